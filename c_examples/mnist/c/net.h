/*
 * A small convolutional network over one flat array of parameters: forward, backward, softmax cross-entropy.
 *
 * A network is a list of layers (pad, 5x5 convolution, 2x2 max pool, ReLU, dense, dropout); two are ready made. It is a
 * description only: parameters, gradients and activations live in arrays that the caller owns. Digits go through it
 * LANES at a time, one to a lane of a vector, so that every layer vectorises over whole digits and no sum is ever
 * reordered: with -ffp-contract=off the same bits come out of SSE2, AVX2 and NEON.
 *
 * It knows nothing of optimizers, files, threads or batches, and computes in `real`: float, or double where a test
 * wants to compare the backward pass with finite differences.
 */
#ifndef MNIST_NET_H
#define MNIST_NET_H

#include "failure.h"

#include <stddef.h>
#include <stdint.h>

#ifndef REAL
#define REAL float
#endif
typedef REAL real;

enum { LANES = 8, KERNEL = 5, MAX_LAYERS = 16, MAX_TENSORS = 8 };

/* One number of LANES digits. GCC's vector extension, which clang has too: element-wise + - * / and indexing. */
typedef real lanes __attribute__((vector_size(LANES * sizeof(real)), may_alias));

typedef enum { LAYER_PAD, LAYER_CONV, LAYER_POOL, LAYER_RELU, LAYER_DENSE, LAYER_DROPOUT } layer_kind;

typedef struct {
    size_t channels, height, width;
} shape;

typedef struct {
    layer_kind kind;
    shape in, out;
    size_t input, output;   /* where its values begin in the array of activations */
    size_t weights, biases; /* where they begin in the array of parameters; conv and dense only */
} layer;

/* A named part of the array of parameters. */
typedef struct {
    char name[24];
    size_t offset, count;
    size_t fan_in, fan_out; /* 0 for biases, which start at zero */
} tensor;

typedef struct {
    layer layers[MAX_LAYERS];
    size_t layer_count;
    tensor tensors[MAX_TENSORS];
    size_t tensor_count;
    size_t param_count;
    size_t activation_count; /* lanes, the input's pixels first */
} net;

/*
 * A LeNet for 28 x 28 digits: conv, pool, ReLU, conv, pool, ReLU, dense, ReLU, dense to 10 logits. Widths 4, 8, 18 give
 * 3,424 weights. (ReLU after the pool is ReLU before it, at a quarter of the work: both are maxima.)
 */
void net_lenet(net *n, size_t conv1, size_t conv2, size_t hidden);

/* TensorFlow's MNIST tutorial: padded convolutions of 32 and 64 channels, 1,024 hidden units, dropout 0.4. */
void net_tf(net *n);

/* Multiplications of one digit's pass forward; the pass backward has about twice as many. */
uint64_t net_macs(const net *n);

/* Glorot's uniform initial weights: the seed decides, and nothing else. */
void net_init(const net *n, uint64_t seed, real *params);

/* Which hidden units to drop. A unit's fate depends on the key and on the digit's place in its batch alone. */
typedef struct {
    uint64_t key;
    uint64_t first; /* the place of lane 0 */
} dropout;

/* Fills `values` from its first PIXELS entries on; the last 10 are the logits. `drop` is NULL outside training. */
void net_forward(const net *n, const real *restrict params, lanes *restrict values, const dropout *drop);

/*
 * Adds to `gradient` the derivatives of the loss by the parameters, for all lanes together. `values` as net_forward
 * left them; `slopes` (as long) holds the derivatives by the logits in its last 10 entries and is overwritten before
 * them.
 */
void net_backward(const net *n, const real *restrict params, const lanes *restrict values, lanes *restrict slopes,
                  const dropout *drop, real *restrict gradient);

typedef struct {
    double loss; /* summed over the digits */
    size_t correct;
} score;

/*
 * Adds the cross-entropy and the hits of the first `count` lanes to `sum`. Unless `slopes` is NULL, writes its last 10
 * entries: the derivatives of `scale` times the loss, zero in the lanes from `count` on.
 */
void net_score(const net *n, const lanes *values, const uint8_t *labels, size_t count, double scale, lanes *slopes,
               score *sum);

/* 64-bit FNV-1a of the parameters' bits, little-endian: equal hashes, equal bits. */
uint64_t net_hash(const net *n, const float *params);

#endif
