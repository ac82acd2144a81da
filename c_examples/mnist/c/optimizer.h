/*
 * The eight optimizers of gradstep behind one interface. The only file that speaks to gradstep.
 *
 * Owns the optimizer's state, as large as the rule needs; a step updates all tensors of a network with one call and
 * allocates nothing. It knows nothing of layers, digits or epochs.
 */
#ifndef MNIST_OPTIMIZER_H
#define MNIST_OPTIMIZER_H

#include "failure.h"

#include <stddef.h>
#include <stdint.h>

typedef enum {
    OPTIMIZER_SGD,
    OPTIMIZER_MOMENTUM,
    OPTIMIZER_NESTEROV,
    OPTIMIZER_ADAGRAD,
    OPTIMIZER_RMSPROP,
    OPTIMIZER_ADADELTA,
    OPTIMIZER_ADAM,
    OPTIMIZER_ADAMW
} optimizer_kind;

/*
 * What an optimizer keeps its state in: float, bfloat16, or numbers of 8 bits of which each 64 share an exponent.
 * Parameters and gradients are float.
 */
typedef enum { OPTIMIZER_STATE_F32, OPTIMIZER_STATE_BF16, OPTIMIZER_STATE_8BIT } optimizer_state;

/* Where a tensor lies in the arrays of parameters and gradients. */
typedef struct {
    size_t offset, count;
} optimizer_tensor;

/*
 * `preset` is one of gradstep's GRADSTEP_PRESET_*: the defaults and the conventions of PyTorch, Keras and so on. The
 * doubles but the rate replace the preset's values, and NaN leaves them. `momentum` is that of `momentum` and `nesterov`,
 * otherwise the preset's, or 0.9 where the preset has none; `initial` is where the average of squares (RMSProp) or their
 * sum (AdaGrad) starts. What an optimizer does not have, it ignores. `state` is an optimizer_state, and `rounding`, one of
 * GRADSTEP_ROUNDING_*, how numbers get there.
 */
typedef struct {
    int32_t kind, preset, state, rounding;
    double lr, momentum, eps, initial;
} optimizer_settings;

typedef struct optimizer optimizer;

/* `params` and `gradient` are the arrays that each step reads and updates. */
optimizer *optimizer_create(optimizer_settings settings, float *params, float *gradient,
                            const optimizer_tensor *tensors, size_t tensor_count, failure *why);
void optimizer_destroy(optimizer *o);

/* One step at this rate. The step counter is part of the optimizer: the first step is 1. */
bool optimizer_step(optimizer *o, double lr, failure *why);

/* What the state takes. */
size_t optimizer_state_bytes(const optimizer *o);

/* Takes over another's state and step counter; both must have been created alike, but for the rate. */
bool optimizer_copy(optimizer *to, const optimizer *from, failure *why);

/* Makes gradstep use one instruction set ("scalar", "avx2", ...); fails where the machine lacks it. */
bool optimizer_force_backend(const char *name, failure *why);
const char *optimizer_backend(void);

#endif
