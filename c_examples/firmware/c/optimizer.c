#include "optimizer.h"

#include "gradstep.h"

#include <stddef.h>

static float state[2][WEIGHTS];

static union {
    gradstep_sgd sgd;
    gradstep_adagrad adagrad;
    gradstep_rmsprop rmsprop;
    gradstep_adadelta adadelta;
    gradstep_adam adam;
    gradstep_adamw adamw;
} hyper;

static gradstep_options options;

int32_t optimizer_begin(const optimizer *o) {
    gradstep_options_default(&options, sizeof options);
    options.grad_scale = 1.0 / BATCH; /* the mean, taken while the gradient is read */
    return o->begin();
}

static int32_t begin_sgd(double momentum, int32_t nesterov) {
    gradstep_sgd_default(&hyper.sgd);
    hyper.sgd.momentum = momentum;
    hyper.sgd.nesterov = nesterov;
    return gradstep_sgd_init(&hyper.sgd, WEIGHTS, momentum > 0.0 ? state[0] : NULL);
}

static int32_t sgd_begin(void) {
    return begin_sgd(0.0, 0);
}

static int32_t momentum_begin(void) {
    return begin_sgd(0.9, 0);
}

static int32_t nesterov_begin(void) {
    return begin_sgd(0.9, 1);
}

static int32_t sgd_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.sgd.lr = rate;
    float *momentum_buffer = hyper.sgd.momentum > 0.0 ? state[0] : NULL;
    return gradstep_sgd_step(&hyper.sgd, &options, t, WEIGHTS, weight, gradient, momentum_buffer);
}

static int32_t adagrad_begin(void) {
    gradstep_adagrad_default(&hyper.adagrad);
    return gradstep_adagrad_init(&hyper.adagrad, WEIGHTS, state[0]);
}

static int32_t adagrad_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.adagrad.lr = rate;
    return gradstep_adagrad_step(&hyper.adagrad, &options, t, WEIGHTS, weight, gradient, state[0]);
}

static int32_t rmsprop_begin(void) {
    gradstep_rmsprop_default(&hyper.rmsprop);
    return gradstep_rmsprop_init(&hyper.rmsprop, WEIGHTS, state[0], NULL, NULL);
}

static int32_t rmsprop_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.rmsprop.lr = rate;
    return gradstep_rmsprop_step(&hyper.rmsprop, &options, t, WEIGHTS, weight, gradient, state[0], NULL, NULL);
}

static int32_t adadelta_begin(void) {
    gradstep_adadelta_default(&hyper.adadelta);
    return gradstep_adadelta_init(&hyper.adadelta, WEIGHTS, state[0], state[1]);
}

static int32_t adadelta_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.adadelta.lr = rate;
    return gradstep_adadelta_step(&hyper.adadelta, &options, t, WEIGHTS, weight, gradient, state[0], state[1]);
}

static int32_t adam_begin(void) {
    gradstep_adam_default(&hyper.adam);
    return gradstep_adam_init(&hyper.adam, WEIGHTS, state[0], state[1], NULL);
}

static int32_t adam_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.adam.lr = rate;
    return gradstep_adam_step(&hyper.adam, &options, t, WEIGHTS, weight, gradient, state[0], state[1], NULL);
}

static int32_t adamw_begin(void) {
    gradstep_adamw_default(&hyper.adamw);
    return gradstep_adamw_init(&hyper.adamw, WEIGHTS, state[0], state[1], NULL);
}

static int32_t adamw_step(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]) {
    hyper.adamw.lr = rate;
    return gradstep_adamw_step(&hyper.adamw, &options, t, WEIGHTS, weight, gradient, state[0], state[1], NULL);
}

const optimizer optimizers[OPTIMIZER_COUNT] = {
    {"sgd", 0.5, sgd_begin, sgd_step},
    {"momentum", 0.05, momentum_begin, sgd_step},
    {"nesterov", 0.05, nesterov_begin, sgd_step},
    {"adagrad", 0.1, adagrad_begin, adagrad_step},
    {"rmsprop", 0.02, rmsprop_begin, rmsprop_step},
    {"adadelta", 10.0, adadelta_begin, adadelta_step},
    {"adam", 0.05, adam_begin, adam_step},
    {"adamw", 0.05, adamw_begin, adamw_step},
};
