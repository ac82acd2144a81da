#include "model.h"

#include "exp_log.h"

#include <stddef.h>
#include <string.h>

/* Where each part of the network begins: the weights of one pixel (or one unit) follow each other. */
enum {
    HIDDEN_WEIGHTS = 0,
    HIDDEN_BIASES = HIDDEN_WEIGHTS + PIXELS * HIDDEN,
    OUTPUT_WEIGHTS = HIDDEN_BIASES + HIDDEN,
    OUTPUT_BIASES = OUTPUT_WEIGHTS + HIDDEN * CLASSES,
};

static float pixel(const digit *d, size_t i) {
    return (float)(d->pixels[i / 2] >> 4 * (i % 2) & 15) * 0.125F;
}

/* The slope of a leaky ReLU; what has passed it has kept its sign. */
static float leak(float x) {
    return x > 0.0F ? 1.0F : 0.125F;
}

/* sum += factor * row. Most pixels are white, and cost nothing. */
static void add_scaled(float *sum, float factor, const float *row, size_t count) {
    if (factor != 0.0F) {
        for (size_t i = 0; i < count; i++) {
            sum[i] += factor * row[i];
        }
    }
}

static void forward(const float weight[WEIGHTS], const digit *d, float hidden[HIDDEN], float output[CLASSES]) {
    memcpy(hidden, weight + HIDDEN_BIASES, HIDDEN * sizeof *hidden);
    for (size_t i = 0; i < PIXELS; i++) {
        add_scaled(hidden, pixel(d, i), weight + HIDDEN_WEIGHTS + i * HIDDEN, HIDDEN);
    }
    memcpy(output, weight + OUTPUT_BIASES, CLASSES * sizeof *output);
    for (size_t j = 0; j < HIDDEN; j++) {
        hidden[j] *= leak(hidden[j]);
        add_scaled(output, hidden[j], weight + OUTPUT_WEIGHTS + j * CLASSES, CLASSES);
    }
}

static uint32_t largest(const float output[CLASSES]) {
    uint32_t best = 0;
    for (uint32_t k = 1; k < CLASSES; k++) {
        if (output[k] > output[best]) {
            best = k;
        }
    }
    return best;
}

/* The loss; `output` becomes its derivatives by itself. */
static float cross_entropy(float output[CLASSES], uint32_t label) {
    const float most = output[largest(output)];
    const float of_label = output[label] - most;
    float total = 0.0F;
    for (size_t k = 0; k < CLASSES; k++) {
        output[k] = plain_expf(output[k] - most);
        total += output[k];
    }
    for (size_t k = 0; k < CLASSES; k++) {
        output[k] /= total;
    }
    output[label] -= 1.0F;
    return plain_logf(total) - of_label;
}

void model_init(float weight[WEIGHTS], uint32_t seed) {
    /* Marsaglia's xorshift; its upper 24 bits are uniform in [0, 1), and exact as a float. */
    memset(weight, 0, WEIGHTS * sizeof *weight);
    for (size_t i = 0; i < WEIGHTS; i++) {
        if (i < HIDDEN_BIASES || (i >= OUTPUT_WEIGHTS && i < OUTPUT_BIASES)) {
            seed ^= seed << 13;
            seed ^= seed >> 17;
            seed ^= seed << 5;
            const float uniform = (float)(seed >> 8) * 0x1p-23F - 1.0F;
            weight[i] = uniform * (i < HIDDEN_BIASES ? 0.2F : 0.5F);
        }
    }
}

uint32_t model_classify(const float weight[WEIGHTS], const digit *d) {
    float hidden[HIDDEN], output[CLASSES];
    forward(weight, d, hidden, output);
    return largest(output);
}

float model_learn(const float weight[WEIGHTS], const digit *d, float gradient[WEIGHTS]) {
    float hidden[HIDDEN], slope[CLASSES], hidden_slope[HIDDEN];
    forward(weight, d, hidden, slope);
    const float loss = cross_entropy(slope, d->label);

    add_scaled(gradient + OUTPUT_BIASES, 1.0F, slope, CLASSES);
    for (size_t j = 0; j < HIDDEN; j++) {
        add_scaled(gradient + OUTPUT_WEIGHTS + j * CLASSES, hidden[j], slope, CLASSES);
        const float *row = weight + OUTPUT_WEIGHTS + j * CLASSES;
        float sum = 0.0F;
        for (size_t k = 0; k < CLASSES; k++) {
            sum += row[k] * slope[k];
        }
        hidden_slope[j] = sum * leak(hidden[j]);
    }
    add_scaled(gradient + HIDDEN_BIASES, 1.0F, hidden_slope, HIDDEN);
    for (size_t i = 0; i < PIXELS; i++) {
        add_scaled(gradient + HIDDEN_WEIGHTS + i * HIDDEN, pixel(d, i), hidden_slope, HIDDEN);
    }
    return loss;
}

uint64_t model_hash(const float weight[WEIGHTS]) {
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < WEIGHTS; i++) {
        uint32_t bits;
        memcpy(&bits, &weight[i], sizeof bits);
        for (unsigned shift = 0; shift < 32; shift += 8) {
            hash = (hash ^ (bits >> shift & 0xff)) * 0x100000001b3u;
        }
    }
    return hash;
}
