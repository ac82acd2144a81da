#include "optimizer.h"

#include "gradstep.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_TENSORS = 16, MAX_STATES = 2 };

struct optimizer {
    optimizer_kind kind;
    uint64_t t;
    size_t tensor_count;
    size_t param_count;
    float *state; /* MAX_STATES arrays as long as the parameters */
    union {
        gradstep_sgd sgd;
        gradstep_adagrad adagrad;
        gradstep_rmsprop rmsprop;
        gradstep_adadelta adadelta;
        gradstep_adam adam;
        gradstep_adamw adamw;
    } hyper;
    union {
        gradstep_sgd_tensor sgd[MAX_TENSORS];
        gradstep_adagrad_tensor adagrad[MAX_TENSORS];
        gradstep_rmsprop_tensor rmsprop[MAX_TENSORS];
        gradstep_adadelta_tensor adadelta[MAX_TENSORS];
        gradstep_adam_tensor adam[MAX_TENSORS];
        gradstep_adamw_tensor adamw[MAX_TENSORS];
    } list;
};

static bool check(int32_t status, failure *why) {
    if (status == GRADSTEP_OK) {
        return true;
    }
    return fail(why, "%s %s", gradstep_status_argument(status), gradstep_status_message(status));
}

static void replace(double *value, double by) {
    if (!isnan(by)) {
        *value = by;
    }
}

/* The hyperparameters: the preset, with what the user chose. */
static int32_t configure(optimizer *o, const optimizer_settings *s) {
    const int32_t preset = s->preset;
    const double lr = s->lr;
    int32_t status;
    switch (o->kind) {
    case OPTIMIZER_SGD:
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
        status = gradstep_sgd_preset(&o->hyper.sgd, preset);
        o->hyper.sgd.lr = lr;
        o->hyper.sgd.nesterov = o->kind == OPTIMIZER_NESTEROV;
        if (o->kind == OPTIMIZER_SGD) {
            o->hyper.sgd.momentum = 0.0;
        } else if (!isnan(s->momentum)) {
            o->hyper.sgd.momentum = s->momentum;
        } else if (o->hyper.sgd.momentum == 0.0) {
            o->hyper.sgd.momentum = 0.9;
        }
        return status;
    case OPTIMIZER_ADAGRAD:
        status = gradstep_adagrad_preset(&o->hyper.adagrad, preset);
        o->hyper.adagrad.lr = lr;
        replace(&o->hyper.adagrad.eps, s->eps);
        replace(&o->hyper.adagrad.initial_accumulator_value, s->initial);
        return status;
    case OPTIMIZER_RMSPROP:
        status = gradstep_rmsprop_preset(&o->hyper.rmsprop, preset);
        o->hyper.rmsprop.lr = lr;
        replace(&o->hyper.rmsprop.eps, s->eps);
        replace(&o->hyper.rmsprop.initial_square_avg, s->initial);
        return status;
    case OPTIMIZER_ADADELTA:
        status = gradstep_adadelta_preset(&o->hyper.adadelta, preset);
        o->hyper.adadelta.lr = lr;
        replace(&o->hyper.adadelta.eps, s->eps);
        return status;
    case OPTIMIZER_ADAM:
        status = gradstep_adam_preset(&o->hyper.adam, preset);
        o->hyper.adam.lr = lr;
        replace(&o->hyper.adam.eps, s->eps);
        return status;
    case OPTIMIZER_ADAMW:
        status = gradstep_adamw_preset(&o->hyper.adamw, preset);
        o->hyper.adamw.lr = lr;
        replace(&o->hyper.adamw.eps, s->eps);
        return status;
    }
    return GRADSTEP_OK;
}

/* Enters tensor `i` in the list, with its two state arrays `a` and `b`, and gives them their initial values. */
static int32_t enter(optimizer *o, size_t i, size_t n, float *param, const float *grad, float *a, float *b) {
    switch (o->kind) {
    case OPTIMIZER_SGD:
        o->list.sgd[i] = (gradstep_sgd_tensor){.n = n, .param = param, .grad = grad};
        return gradstep_sgd_init(&o->hyper.sgd, n, NULL);
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
        o->list.sgd[i] = (gradstep_sgd_tensor){.n = n, .param = param, .grad = grad, .momentum_buffer = a};
        return gradstep_sgd_init(&o->hyper.sgd, n, a);
    case OPTIMIZER_ADAGRAD:
        o->list.adagrad[i] = (gradstep_adagrad_tensor){.n = n, .param = param, .grad = grad, .sum = a};
        return gradstep_adagrad_init(&o->hyper.adagrad, n, a);
    case OPTIMIZER_RMSPROP:
        b = o->hyper.rmsprop.momentum == 0.0 ? NULL : b;
        o->list.rmsprop[i] = (gradstep_rmsprop_tensor){
            .n = n, .param = param, .grad = grad, .square_avg = a, .momentum_buffer = b};
        return gradstep_rmsprop_init(&o->hyper.rmsprop, n, a, NULL, b);
    case OPTIMIZER_ADADELTA:
        o->list.adadelta[i] =
            (gradstep_adadelta_tensor){.n = n, .param = param, .grad = grad, .square_avg = a, .acc_delta = b};
        return gradstep_adadelta_init(&o->hyper.adadelta, n, a, b);
    case OPTIMIZER_ADAM:
        o->list.adam[i] = (gradstep_adam_tensor){.n = n, .param = param, .grad = grad, .exp_avg = a, .exp_avg_sq = b};
        return gradstep_adam_init(&o->hyper.adam, n, a, b, NULL);
    case OPTIMIZER_ADAMW:
        o->list.adamw[i] =
            (gradstep_adamw_tensor){.n = n, .param = param, .grad = grad, .exp_avg = a, .exp_avg_sq = b};
        return gradstep_adamw_init(&o->hyper.adamw, n, a, b, NULL);
    }
    return GRADSTEP_OK;
}

optimizer *optimizer_create(optimizer_settings settings, float *params, const float *gradient,
                            const optimizer_tensor *tensors, size_t tensor_count, failure *why) {
    if (tensor_count > MAX_TENSORS) {
        fail(why, "optimizer: %zu tensors, at most %d", tensor_count, MAX_TENSORS);
        return NULL;
    }
    if (settings.kind < OPTIMIZER_SGD || settings.kind > OPTIMIZER_ADAMW) {
        fail(why, "optimizer: no such rule: %ld", (long)settings.kind);
        return NULL;
    }
    size_t total = 0;
    for (size_t i = 0; i < tensor_count; i++) {
        total += tensors[i].count;
    }
    optimizer *o = calloc(1, sizeof *o);
    float *state = calloc(MAX_STATES * total, sizeof *state);
    if (o == NULL || state == NULL) {
        free(o);
        free(state);
        fail(why, "optimizer: out of memory");
        return NULL;
    }
    o->kind = (optimizer_kind)settings.kind;
    o->tensor_count = tensor_count;
    o->param_count = total;
    o->state = state;
    bool good = check(configure(o, &settings), why);
    for (size_t i = 0; good && i < tensor_count; i++) {
        const size_t n = tensors[i].count;
        const size_t at = tensors[i].offset;
        good = check(enter(o, i, n, params + at, gradient + at, state, state + total), why);
        state += n;
    }
    if (!good) {
        optimizer_destroy(o);
        return NULL;
    }
    return o;
}

void optimizer_destroy(optimizer *o) {
    if (o != NULL) {
        free(o->state);
        free(o);
    }
}

bool optimizer_step(optimizer *o, double lr, failure *why) {
    const uint64_t t = ++o->t;
    const size_t count = o->tensor_count;
    int32_t status = GRADSTEP_OK;
    switch (o->kind) {
    case OPTIMIZER_SGD:
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
        o->hyper.sgd.lr = lr;
        status = gradstep_sgd_step_list(&o->hyper.sgd, NULL, t, count, o->list.sgd);
        break;
    case OPTIMIZER_ADAGRAD:
        o->hyper.adagrad.lr = lr;
        status = gradstep_adagrad_step_list(&o->hyper.adagrad, NULL, t, count, o->list.adagrad);
        break;
    case OPTIMIZER_RMSPROP:
        o->hyper.rmsprop.lr = lr;
        status = gradstep_rmsprop_step_list(&o->hyper.rmsprop, NULL, t, count, o->list.rmsprop);
        break;
    case OPTIMIZER_ADADELTA:
        o->hyper.adadelta.lr = lr;
        status = gradstep_adadelta_step_list(&o->hyper.adadelta, NULL, t, count, o->list.adadelta);
        break;
    case OPTIMIZER_ADAM:
        o->hyper.adam.lr = lr;
        status = gradstep_adam_step_list(&o->hyper.adam, NULL, t, count, o->list.adam);
        break;
    case OPTIMIZER_ADAMW:
        o->hyper.adamw.lr = lr;
        status = gradstep_adamw_step_list(&o->hyper.adamw, NULL, t, count, o->list.adamw);
        break;
    }
    return check(status, why);
}

bool optimizer_copy(optimizer *to, const optimizer *from, failure *why) {
    if (to->kind != from->kind || to->param_count != from->param_count) {
        return fail(why, "optimizer: cannot take over the state of another kind, or of other parameters");
    }
    to->t = from->t;
    memcpy(to->state, from->state, MAX_STATES * from->param_count * sizeof *from->state);
    return true;
}

bool optimizer_force_backend(const char *name, failure *why) {
    static const struct {
        const char *name;
        int32_t backend;
    } backends[] = {
        {"scalar", GRADSTEP_BACKEND_SCALAR}, {"neon", GRADSTEP_BACKEND_NEON},
        {"simd128", GRADSTEP_BACKEND_SIMD128}, {"avx2", GRADSTEP_BACKEND_AVX2},
        {"avx512", GRADSTEP_BACKEND_AVX512},
    };
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        if (strcmp(name, backends[i].name) == 0) {
            const int32_t status = gradstep_backend_force(backends[i].backend);
            return status == GRADSTEP_OK || fail(why, "backend %s %s", name, gradstep_status_message(status));
        }
    }
    return fail(why, "%s: no such backend", name);
}

const char *optimizer_backend(void) {
    return gradstep_backend_name();
}
