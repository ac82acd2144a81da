#include "net.h"

#include "idx.h"
#include "plain_math.h"
#include "rng.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/*
 * On x86-64 Linux, compile what carries this mark for AVX2 as well and let the loader choose. The bits are those of
 * SSE2: contraction into FMA is off, and lanes never mix.
 */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(MNIST_NO_CLONES)
#define FOR_EACH_CPU __attribute__((target_clones("avx2", "default")))
#else
#define FOR_EACH_CPU
#endif
#define INLINE static inline __attribute__((always_inline))

/* Output channels (or units) that share each load of an input, and columns of the output that share each weight. */
enum { BLOCK = 4, COLUMNS = 2 };

/* ---- building ---- */

static size_t volume(shape s) {
    return s.channels * s.height * s.width;
}

static void begin(net *n) {
    *n = (net){0};
    n->activation_count = PIXELS;
}

static layer *add_layer(net *n, layer_kind kind) {
    layer *l = &n->layers[n->layer_count];
    l->kind = kind;
    if (n->layer_count == 0) {
        l->in = (shape){1, SIDE, SIDE};
        l->input = 0;
    } else {
        l->in = l[-1].out;
        l->input = l[-1].output;
    }
    l->out = l->in;
    l->output = n->activation_count;
    n->layer_count++;
    return l;
}

static size_t add_tensor(net *n, const char *name, const char *part, size_t count, size_t fan_in, size_t fan_out) {
    tensor *t = &n->tensors[n->tensor_count++];
    snprintf(t->name, sizeof t->name, "%s.%s", name, part);
    t->offset = n->param_count;
    t->count = count;
    t->fan_in = fan_in;
    t->fan_out = fan_out;
    n->param_count += count;
    return t->offset;
}

static void add_plain(net *n, layer_kind kind) {
    layer *l = add_layer(n, kind);
    if (kind == LAYER_POOL) {
        l->out.height /= 2;
        l->out.width /= 2;
    } else if (kind == LAYER_PAD) {
        l->out.height += KERNEL - 1;
        l->out.width += KERNEL - 1;
    }
    n->activation_count += volume(l->out);
}

static void add_conv(net *n, const char *name, size_t channels) {
    layer *l = add_layer(n, LAYER_CONV);
    l->out = (shape){channels, l->in.height - (KERNEL - 1), l->in.width - (KERNEL - 1)};
    size_t area = KERNEL * KERNEL;
    l->weights = add_tensor(n, name, "weight", channels * l->in.channels * area, l->in.channels * area,
                            channels * area);
    l->biases = add_tensor(n, name, "bias", channels, 0, 0);
    n->activation_count += volume(l->out);
}

static void add_dense(net *n, const char *name, size_t units) {
    layer *l = add_layer(n, LAYER_DENSE);
    l->out = (shape){units, 1, 1};
    l->weights = add_tensor(n, name, "weight", units * volume(l->in), volume(l->in), units);
    l->biases = add_tensor(n, name, "bias", units, 0, 0);
    n->activation_count += volume(l->out);
}

void net_lenet(net *n, size_t conv1, size_t conv2, size_t hidden) {
    begin(n);
    add_conv(n, "conv1", conv1);
    add_plain(n, LAYER_POOL);
    add_plain(n, LAYER_RELU);
    add_conv(n, "conv2", conv2);
    add_plain(n, LAYER_POOL);
    add_plain(n, LAYER_RELU);
    add_dense(n, "dense1", hidden);
    add_plain(n, LAYER_RELU);
    add_dense(n, "dense2", CLASSES);
}

void net_tf(net *n) {
    begin(n);
    add_plain(n, LAYER_PAD);
    add_conv(n, "conv1", 32);
    add_plain(n, LAYER_POOL);
    add_plain(n, LAYER_RELU);
    add_plain(n, LAYER_PAD);
    add_conv(n, "conv2", 64);
    add_plain(n, LAYER_POOL);
    add_plain(n, LAYER_RELU);
    add_dense(n, "dense1", 1024);
    add_plain(n, LAYER_RELU);
    add_plain(n, LAYER_DROPOUT);
    add_dense(n, "dense2", CLASSES);
}

uint64_t net_macs(const net *n) {
    uint64_t macs = 0;
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *l = &n->layers[i];
        if (l->kind == LAYER_CONV) {
            macs += (uint64_t)volume(l->out) * l->in.channels * KERNEL * KERNEL;
        } else if (l->kind == LAYER_DENSE) {
            macs += (uint64_t)volume(l->out) * volume(l->in);
        }
    }
    return macs;
}

void net_init(const net *n, uint64_t seed, real *params) {
    rng r = rng_stream(seed, STREAM_WEIGHTS);
    for (size_t i = 0; i < n->tensor_count; i++) {
        const tensor *t = &n->tensors[i];
        double limit = t->fan_in == 0 ? 0.0 : sqrt(6.0 / (double)(t->fan_in + t->fan_out));
        for (size_t j = 0; j < t->count; j++) {
            double uniform = t->fan_in == 0 ? 0.0 : 2.0 * (double)rng_uniform(&r) - 1.0;
            params[t->offset + j] = (real)(limit * uniform);
        }
    }
}

/* ---- convolution: out[o] = bias[o] + sum over c, ky, kx of weight[o][c][ky][kx] * in[c][y + ky][x + kx] ---- */

/*
 * `channels` by `columns` outputs at once, whose sums are independent of each other: enough of them to keep the adders
 * busy, and each weight and input that is loaded serves several.
 */
INLINE void conv_forward_tile(const layer *l, const real *restrict weights, const real *restrict biases,
                              const lanes *restrict in, lanes *restrict out, const size_t channels,
                              const size_t columns) {
    const size_t in_plane = l->in.height * l->in.width;
    const size_t out_plane = l->out.height * l->out.width;
    const size_t filter = l->in.channels * KERNEL * KERNEL;
    lanes sum[BLOCK][COLUMNS];
    for (size_t o = 0; o < channels; o++) {
        for (size_t x = 0; x < columns; x++) {
            sum[o][x] = (lanes){0} + biases[o];
        }
    }
    for (size_t c = 0; c < l->in.channels; c++) {
        for (size_t ky = 0; ky < KERNEL; ky++) {
            const lanes *row = in + c * in_plane + ky * l->in.width;
            const real *w = weights + (c * KERNEL + ky) * KERNEL;
            for (size_t kx = 0; kx < KERNEL; kx++) {
                for (size_t o = 0; o < channels; o++) {
                    for (size_t x = 0; x < columns; x++) {
                        sum[o][x] += w[o * filter + kx] * row[x + kx];
                    }
                }
            }
        }
    }
    for (size_t o = 0; o < channels; o++) {
        for (size_t x = 0; x < columns; x++) {
            out[o * out_plane + x] = sum[o][x];
        }
    }
}

INLINE void conv_forward_channels(const layer *l, const real *restrict weights, const real *restrict biases,
                                  const lanes *restrict in, lanes *restrict out, const size_t channels) {
    for (size_t y = 0; y < l->out.height; y++) {
        const lanes *from = in + y * l->in.width;
        lanes *to = out + y * l->out.width;
        size_t x = 0;
        for (; x + COLUMNS <= l->out.width; x += COLUMNS) {
            conv_forward_tile(l, weights, biases, from + x, to + x, channels, COLUMNS);
        }
        for (; x < l->out.width; x++) {
            conv_forward_tile(l, weights, biases, from + x, to + x, channels, 1);
        }
    }
}

FOR_EACH_CPU
static void conv_forward(const layer *l, const real *restrict params, const lanes *restrict in, lanes *restrict out) {
    const real *weights = params + l->weights;
    const real *biases = params + l->biases;
    const size_t filter = l->in.channels * KERNEL * KERNEL;
    const size_t plane = l->out.height * l->out.width;
    size_t o = 0;
    for (; o + BLOCK <= l->out.channels; o += BLOCK) {
        conv_forward_channels(l, weights + o * filter, biases + o, in, out + o * plane, BLOCK);
    }
    for (; o < l->out.channels; o++) {
        conv_forward_channels(l, weights + o * filter, biases + o, in, out + o * plane, 1);
    }
}

/* The sum over the lanes, always as the same tree. */
INLINE real across(const lanes *v) {
    const lanes a = *v;
    return ((a[0] + a[1]) + (a[2] + a[3])) + ((a[4] + a[5]) + (a[6] + a[7]));
}
_Static_assert(LANES == 8, "across() adds eight lanes");

/* Derivatives by the weights and biases: each weight meets its input at every place of the output. */
FOR_EACH_CPU
static void conv_backward_params(const layer *l, const lanes *restrict in, const lanes *restrict out_slope,
                                 real *restrict gradient) {
    const size_t in_plane = l->in.height * l->in.width;
    const size_t out_plane = l->out.height * l->out.width;
    for (size_t o = 0; o < l->out.channels; o++) {
        const lanes *slope = out_slope + o * out_plane;
        for (size_t c = 0; c < l->in.channels; c++) {
            for (size_t ky = 0; ky < KERNEL; ky++) {
                lanes sum[KERNEL] = {0};
                for (size_t y = 0; y < l->out.height; y++) {
                    const lanes *row = in + c * in_plane + (y + ky) * l->in.width;
                    for (size_t x = 0; x < l->out.width; x++) {
                        const lanes s = slope[y * l->out.width + x];
                        for (size_t kx = 0; kx < KERNEL; kx++) {
                            sum[kx] += s * row[x + kx];
                        }
                    }
                }
                real *w = gradient + l->weights + ((o * l->in.channels + c) * KERNEL + ky) * KERNEL;
                for (size_t kx = 0; kx < KERNEL; kx++) {
                    w[kx] += across(&sum[kx]);
                }
            }
        }
        lanes sum = {0};
        for (size_t i = 0; i < out_plane; i++) {
            sum += slope[i];
        }
        gradient[l->biases + o] += across(&sum);
    }
}

/* Derivatives by `block` input channels: each input gathers from the outputs whose window covers it. */
INLINE void conv_backward_input_block(const layer *l, const real *restrict weights, const lanes *restrict out_slope,
                                      lanes *restrict in_slope, const size_t block) {
    const size_t in_plane = l->in.height * l->in.width;
    const size_t out_plane = l->out.height * l->out.width;
    const size_t area = KERNEL * KERNEL;
    for (size_t y = 0; y < l->in.height; y++) {
        const size_t ky_begin = y < l->out.height ? 0 : y - (l->out.height - 1);
        const size_t ky_end = y < KERNEL ? y + 1 : KERNEL;
        for (size_t x = 0; x < l->in.width; x++) {
            const size_t kx_begin = x < l->out.width ? 0 : x - (l->out.width - 1);
            const size_t kx_end = x < KERNEL ? x + 1 : KERNEL;
            lanes sum[BLOCK] = {0};
            for (size_t o = 0; o < l->out.channels; o++) {
                const lanes *slope = out_slope + o * out_plane;
                const real *w = weights + o * l->in.channels * area;
                for (size_t ky = ky_begin; ky < ky_end; ky++) {
                    for (size_t kx = kx_begin; kx < kx_end; kx++) {
                        const lanes s = slope[(y - ky) * l->out.width + (x - kx)];
                        for (size_t c = 0; c < block; c++) {
                            sum[c] += w[c * area + ky * KERNEL + kx] * s;
                        }
                    }
                }
            }
            for (size_t c = 0; c < block; c++) {
                in_slope[c * in_plane + y * l->in.width + x] = sum[c];
            }
        }
    }
}

FOR_EACH_CPU
static void conv_backward_input(const layer *l, const real *restrict params, const lanes *restrict out_slope,
                                lanes *restrict in_slope) {
    const real *weights = params + l->weights;
    const size_t area = KERNEL * KERNEL;
    const size_t plane = l->in.height * l->in.width;
    size_t c = 0;
    for (; c + BLOCK <= l->in.channels; c += BLOCK) {
        conv_backward_input_block(l, weights + c * area, out_slope, in_slope + c * plane, BLOCK);
    }
    for (; c < l->in.channels; c++) {
        conv_backward_input_block(l, weights + c * area, out_slope, in_slope + c * plane, 1);
    }
}

/* ---- dense: out[o] = bias[o] + sum over i of weight[o][i] * in[i] ---- */

INLINE void dense_forward_block(size_t inputs, const real *restrict weights, const real *restrict biases,
                                const lanes *restrict in, lanes *restrict out, const size_t block) {
    lanes sum[BLOCK];
    for (size_t o = 0; o < block; o++) {
        sum[o] = (lanes){0} + biases[o];
    }
    for (size_t i = 0; i < inputs; i++) {
        for (size_t o = 0; o < block; o++) {
            sum[o] += weights[o * inputs + i] * in[i];
        }
    }
    for (size_t o = 0; o < block; o++) {
        out[o] = sum[o];
    }
}

FOR_EACH_CPU
static void dense_forward(const layer *l, const real *restrict params, const lanes *restrict in, lanes *restrict out) {
    const size_t inputs = volume(l->in);
    const real *weights = params + l->weights;
    const real *biases = params + l->biases;
    size_t o = 0;
    for (; o + BLOCK <= l->out.channels; o += BLOCK) {
        dense_forward_block(inputs, weights + o * inputs, biases + o, in, out + o, BLOCK);
    }
    for (; o < l->out.channels; o++) {
        dense_forward_block(inputs, weights + o * inputs, biases + o, in, out + o, 1);
    }
}

/* Here the vectors run over the inputs, since a weight's derivative is a sum over the lanes. */
FOR_EACH_CPU
static void dense_backward_params(const layer *l, const lanes *restrict in, const lanes *restrict out_slope,
                                  real *restrict gradient) {
    enum { TILE = 256 };
    real column[LANES][TILE]; /* the inputs of one digit, side by side */
    const size_t inputs = volume(l->in);
    for (size_t begin = 0; begin < inputs; begin += TILE) {
        const size_t count = inputs - begin < TILE ? inputs - begin : TILE;
        for (size_t i = 0; i < count; i++) {
            for (size_t s = 0; s < LANES; s++) {
                column[s][i] = in[begin + i][s];
            }
        }
        for (size_t o = 0; o < l->out.channels; o++) {
            const lanes s = out_slope[o];
            real *w = gradient + l->weights + o * inputs + begin;
            for (size_t i = 0; i < count; i++) {
                w[i] += ((s[0] * column[0][i] + s[1] * column[1][i]) + (s[2] * column[2][i] + s[3] * column[3][i])) +
                        ((s[4] * column[4][i] + s[5] * column[5][i]) + (s[6] * column[6][i] + s[7] * column[7][i]));
            }
        }
    }
    for (size_t o = 0; o < l->out.channels; o++) {
        gradient[l->biases + o] += across(&out_slope[o]);
    }
}

FOR_EACH_CPU
static void dense_backward_input(const layer *l, const real *restrict params, const lanes *restrict out_slope,
                                 lanes *restrict in_slope) {
    const size_t inputs = volume(l->in);
    const real *weights = params + l->weights;
    for (size_t i = 0; i < inputs; i++) {
        in_slope[i] = (lanes){0};
    }
    size_t o = 0;
    for (; o + BLOCK <= l->out.channels; o += BLOCK) {
        const real *w = weights + o * inputs;
        const lanes s0 = out_slope[o], s1 = out_slope[o + 1], s2 = out_slope[o + 2], s3 = out_slope[o + 3];
        for (size_t i = 0; i < inputs; i++) {
            in_slope[i] += (w[i] * s0 + w[inputs + i] * s1) + (w[2 * inputs + i] * s2 + w[3 * inputs + i] * s3);
        }
    }
    for (; o < l->out.channels; o++) {
        const lanes s = out_slope[o];
        for (size_t i = 0; i < inputs; i++) {
            in_slope[i] += weights[o * inputs + i] * s;
        }
    }
}
_Static_assert(BLOCK == 4, "dense_backward_input() adds four units at a time");

/* ---- the layers without parameters ---- */

/* Lane by lane: where the comparison `mask` holds a, elsewhere b. */
typedef __typeof__(_Generic((real)0, float : (int32_t)0, double : (int64_t)0)) real_bits;
typedef real_bits lane_mask __attribute__((vector_size(LANES * sizeof(real_bits))));
#define SELECT(mask, a, b) ((lanes)(((mask) & (lane_mask)(a)) | (~(mask) & (lane_mask)(b))))

FOR_EACH_CPU
static void pool_forward(const layer *l, const lanes *restrict in, lanes *restrict out) {
    for (size_t c = 0; c < l->out.channels; c++) {
        for (size_t y = 0; y < l->out.height; y++) {
            const lanes *above = in + (c * l->in.height + 2 * y) * l->in.width;
            const lanes *below = above + l->in.width;
            for (size_t x = 0; x < l->out.width; x++) {
                lanes a = above[2 * x], b = above[2 * x + 1], c2 = below[2 * x], d = below[2 * x + 1];
                a = SELECT(a >= b, a, b);
                c2 = SELECT(c2 >= d, c2, d);
                *out++ = SELECT(a >= c2, a, c2);
            }
        }
    }
}

/* The first of the four that equals the maximum gets its slope, the others zero. */
FOR_EACH_CPU
static void pool_backward(const layer *l, const lanes *restrict in, const lanes *restrict out,
                          const lanes *restrict out_slope, lanes *restrict in_slope) {
    const lanes zero = {0};
    for (size_t c = 0; c < l->out.channels; c++) {
        for (size_t y = 0; y < l->out.height; y++) {
            const size_t above = (c * l->in.height + 2 * y) * l->in.width;
            const size_t below = above + l->in.width;
            for (size_t x = 0; x < l->out.width; x++) {
                const size_t place[4] = {above + 2 * x, above + 2 * x + 1, below + 2 * x, below + 2 * x + 1};
                const lanes maximum = *out++;
                const lanes slope = *out_slope++;
                lane_mask open = ~(lane_mask){0};
                for (size_t i = 0; i < 4; i++) {
                    const lane_mask hit = open & (in[place[i]] == maximum);
                    in_slope[place[i]] = SELECT(hit, slope, zero);
                    open &= ~hit;
                }
            }
        }
    }
}

FOR_EACH_CPU
static void relu_forward(size_t count, const lanes *restrict in, lanes *restrict out) {
    const lanes zero = {0};
    for (size_t i = 0; i < count; i++) {
        out[i] = SELECT(in[i] <= zero, zero, in[i]); /* so that NaN passes through */
    }
}

FOR_EACH_CPU
static void relu_backward(size_t count, const lanes *restrict in, const lanes *restrict out_slope,
                          lanes *restrict in_slope) {
    const lanes zero = {0};
    for (size_t i = 0; i < count; i++) {
        in_slope[i] = SELECT(in[i] <= zero, zero, out_slope[i]);
    }
}

/* Zeros around each plane, so that the convolution behind it keeps the size. */
static void pad_forward(const layer *l, const lanes *restrict in, lanes *restrict out) {
    const size_t margin = (KERNEL - 1) / 2;
    memset(out, 0, volume(l->out) * sizeof *out);
    for (size_t c = 0; c < l->in.channels; c++) {
        for (size_t y = 0; y < l->in.height; y++) {
            memcpy(out + (c * l->out.height + y + margin) * l->out.width + margin,
                   in + (c * l->in.height + y) * l->in.width, l->in.width * sizeof *in);
        }
    }
}

static void pad_backward(const layer *l, const lanes *restrict out_slope, lanes *restrict in_slope) {
    const size_t margin = (KERNEL - 1) / 2;
    for (size_t c = 0; c < l->in.channels; c++) {
        for (size_t y = 0; y < l->in.height; y++) {
            memcpy(in_slope + (c * l->in.height + y) * l->in.width,
                   out_slope + (c * l->out.height + y + margin) * l->out.width + margin,
                   l->in.width * sizeof *in_slope);
        }
    }
}

/* Forward on values and backward on slopes alike: drops a unit with probability 0.4, scales the others by 1 / 0.6. */
static void drop_units(size_t count, const dropout *drop, const lanes *restrict in, lanes *restrict out) {
    if (drop == NULL) {
        memcpy(out, in, count * sizeof *in);
        return;
    }
    const uint64_t threshold = UINT64_MAX / 5 * 2;
    for (size_t i = 0; i < count; i++) {
        for (size_t s = 0; s < LANES; s++) {
            const uint64_t fate = rng_mix(rng_mix(drop->key + drop->first + s) + i);
            out[i][s] = fate < threshold ? (real)0 : in[i][s] * (real)(1 / 0.6);
        }
    }
}

/* ---- the whole network ---- */

void net_forward(const net *n, const real *restrict params, lanes *restrict values, const dropout *drop) {
    for (size_t i = 0; i < n->layer_count; i++) {
        const layer *l = &n->layers[i];
        const lanes *in = values + l->input;
        lanes *out = values + l->output;
        switch (l->kind) {
        case LAYER_PAD:
            pad_forward(l, in, out);
            break;
        case LAYER_CONV:
            conv_forward(l, params, in, out);
            break;
        case LAYER_POOL:
            pool_forward(l, in, out);
            break;
        case LAYER_RELU:
            relu_forward(volume(l->in), in, out);
            break;
        case LAYER_DENSE:
            dense_forward(l, params, in, out);
            break;
        case LAYER_DROPOUT:
            drop_units(volume(l->in), drop, in, out);
            break;
        }
    }
}

void net_backward(const net *n, const real *restrict params, const lanes *restrict values, lanes *restrict slopes,
                  const dropout *drop, real *restrict gradient) {
    for (size_t i = n->layer_count; i-- > 0;) {
        const layer *l = &n->layers[i];
        const lanes *in = values + l->input;
        const lanes *out_slope = slopes + l->output;
        lanes *in_slope = slopes + l->input;
        const bool first = l->weights == 0; /* no parameters before it: nobody asks for derivatives by its input */
        switch (l->kind) {
        case LAYER_PAD:
            pad_backward(l, out_slope, in_slope);
            break;
        case LAYER_CONV:
            conv_backward_params(l, in, out_slope, gradient);
            if (first) {
                return;
            }
            conv_backward_input(l, params, out_slope, in_slope);
            break;
        case LAYER_POOL:
            pool_backward(l, in, values + l->output, out_slope, in_slope);
            break;
        case LAYER_RELU:
            relu_backward(volume(l->in), in, out_slope, in_slope);
            break;
        case LAYER_DENSE:
            dense_backward_params(l, in, out_slope, gradient);
            if (first) {
                return;
            }
            dense_backward_input(l, params, out_slope, in_slope);
            break;
        case LAYER_DROPOUT:
            drop_units(volume(l->in), drop, out_slope, in_slope);
            break;
        }
    }
}

void net_score(const net *n, const lanes *values, const uint8_t *labels, size_t count, double scale, lanes *slopes,
               score *sum) {
    const size_t last = n->activation_count - CLASSES;
    const lanes *logits = values + last;
    if (slopes != NULL) {
        memset(slopes + last, 0, CLASSES * sizeof *slopes);
    }
    for (size_t s = 0; s < count; s++) {
        size_t best = 0;
        for (size_t k = 1; k < CLASSES; k++) {
            if (logits[k][s] > logits[best][s]) {
                best = k;
            }
        }
        double probability[CLASSES];
        double total = 0.0;
        for (size_t k = 0; k < CLASSES; k++) {
            probability[k] = plain_exp((double)(logits[k][s] - logits[best][s]));
            total += probability[k];
        }
        const size_t label = labels[s];
        sum->loss += plain_log(total) - (double)(logits[label][s] - logits[best][s]);
        sum->correct += best == label;
        if (slopes != NULL) {
            for (size_t k = 0; k < CLASSES; k++) {
                const double target = k == label ? 1.0 : 0.0;
                slopes[last + k][s] = (real)((probability[k] / total - target) * scale);
            }
        }
    }
}

uint64_t net_hash(const net *n, const float *params) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n->param_count; i++) {
        uint32_t bits;
        memcpy(&bits, &params[i], sizeof bits);
        for (int shift = 0; shift < 32; shift += 8) {
            hash = (hash ^ (bits >> shift & 0xff)) * 0x100000001b3u;
        }
    }
    return hash;
}
