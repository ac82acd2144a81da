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
    optimizer_state format;
    uint8_t *state;
    size_t state_bytes;
    gradstep_epilogue epilogue;
    union {
        gradstep_sgd sgd;
        gradstep_adagrad adagrad;
        gradstep_rmsprop rmsprop;
        gradstep_adadelta adadelta;
        gradstep_adam adam;
        gradstep_adamw adamw;
    } hyper;
    union {
        gradstep_sgd_fused_tensor sgd[MAX_TENSORS];
        gradstep_adagrad_fused_tensor adagrad[MAX_TENSORS];
        gradstep_rmsprop_fused_tensor rmsprop[MAX_TENSORS];
        gradstep_adadelta_fused_tensor adadelta[MAX_TENSORS];
        gradstep_adam_fused_tensor adam[MAX_TENSORS];
        gradstep_adamw_fused_tensor adamw[MAX_TENSORS];
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

/*
 * What each rule keeps for a parameter: averages of gradients, which have a sign, and averages or sums of squares, which
 * have none.
 */
enum { NOTHING, SIGNED, SQUARES };

static const uint8_t kept[][MAX_STATES] = {
    [OPTIMIZER_SGD] = {NOTHING, NOTHING},
    [OPTIMIZER_MOMENTUM] = {SIGNED, NOTHING},
    [OPTIMIZER_NESTEROV] = {SIGNED, NOTHING},
    [OPTIMIZER_ADAGRAD] = {SQUARES, NOTHING},
    [OPTIMIZER_RMSPROP] = {SQUARES, NOTHING},
    [OPTIMIZER_ADADELTA] = {SQUARES, SQUARES},
    [OPTIMIZER_ADAM] = {SIGNED, SQUARES},
    [OPTIMIZER_ADAMW] = {SIGNED, SQUARES},
};

/*
 * The next `n` numbers of the state: where they are, and how long. The one place that knows what the formats take. Without
 * memory it counts only.
 */
static gradstep_values next_values(optimizer *o, int content, size_t n) {
    if (content == NOTHING) {
        return (gradstep_values){0};
    }
    const size_t blocks = gradstep_block_count(n);
    uint8_t *next = o->state == NULL ? NULL : o->state + o->state_bytes;
    gradstep_values values = {.data = next};
    size_t bytes = 0;
    switch (o->format) {
    case OPTIMIZER_STATE_F32:
        values.format = GRADSTEP_FORMAT_F32;
        bytes = n * sizeof(float);
        break;
    case OPTIMIZER_STATE_BF16:
        values.format = GRADSTEP_FORMAT_BF16;
        bytes = n * sizeof(uint16_t);
        break;
    case OPTIMIZER_STATE_8BIT:
        values.format = content == SIGNED ? GRADSTEP_FORMAT_E4M3 : GRADSTEP_FORMAT_E5M3;
        values.exponents = next == NULL ? NULL : next + 64 * blocks;
        bytes = 64 * blocks + blocks;
        break;
    }
    o->state_bytes += (bytes + 3) / 4 * 4; /* aligned for the next */
    return values;
}

/* Enters tensor `i` in the list, with its state, whose initial values go to `a` and `b`. */
static int32_t enter(optimizer *o, size_t i, size_t n, gradstep_values param, gradstep_values grad,
                     const gradstep_values state[MAX_STATES], uint64_t offset, float *a, float *b) {
    switch (o->kind) {
    case OPTIMIZER_SGD:
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
        o->list.sgd[i] = (gradstep_sgd_fused_tensor){
            .n = n, .param = param, .grad = grad, .momentum_buffer = state[0], .offset = offset};
        return gradstep_sgd_init(&o->hyper.sgd, n, o->kind == OPTIMIZER_SGD ? NULL : a);
    case OPTIMIZER_ADAGRAD:
        o->list.adagrad[i] = (gradstep_adagrad_fused_tensor){
            .n = n, .param = param, .grad = grad, .sum = state[0], .offset = offset};
        return gradstep_adagrad_init(&o->hyper.adagrad, n, a);
    case OPTIMIZER_RMSPROP:
        o->list.rmsprop[i] = (gradstep_rmsprop_fused_tensor){
            .n = n, .param = param, .grad = grad, .square_avg = state[0], .offset = offset};
        return gradstep_rmsprop_init(&o->hyper.rmsprop, n, a, NULL, NULL);
    case OPTIMIZER_ADADELTA:
        o->list.adadelta[i] = (gradstep_adadelta_fused_tensor){
            .n = n, .param = param, .grad = grad, .square_avg = state[0], .acc_delta = state[1], .offset = offset};
        return gradstep_adadelta_init(&o->hyper.adadelta, n, a, b);
    case OPTIMIZER_ADAM:
        o->list.adam[i] = (gradstep_adam_fused_tensor){
            .n = n, .param = param, .grad = grad, .exp_avg = state[0], .exp_avg_sq = state[1], .offset = offset};
        return gradstep_adam_init(&o->hyper.adam, n, a, b, NULL);
    case OPTIMIZER_ADAMW:
        o->list.adamw[i] = (gradstep_adamw_fused_tensor){
            .n = n, .param = param, .grad = grad, .exp_avg = state[0], .exp_avg_sq = state[1], .offset = offset};
        return gradstep_adamw_init(&o->hyper.adamw, n, a, b, NULL);
    }
    return GRADSTEP_OK;
}

/* Enters all tensors, and gives their state its initial values. */
static bool enter_all(optimizer *o, float *params, float *gradient, const optimizer_tensor *tensors, failure *why) {
    float *initial = calloc(MAX_STATES * o->param_count, sizeof *initial);
    if (initial == NULL) {
        return fail(why, "optimizer: out of memory");
    }
    bool good = true;
    uint64_t offset = 0;
    for (size_t i = 0; good && i < o->tensor_count; i++) {
        const size_t n = tensors[i].count;
        gradstep_values state[MAX_STATES];
        for (size_t k = 0; k < MAX_STATES; k++) {
            state[k] = next_values(o, kept[o->kind][k], n);
        }
        const gradstep_values param = {.data = params + tensors[i].offset, .format = GRADSTEP_FORMAT_F32};
        const gradstep_values grad = {.data = gradient + tensors[i].offset, .format = GRADSTEP_FORMAT_F32};
        good = check(enter(o, i, n, param, grad, state, offset, initial, initial + n), why);
        for (size_t k = 0; good && k < MAX_STATES; k++) {
            if (state[k].data != NULL) {
                good = check(gradstep_values_write(&state[k], n, initial + k * n), why);
            }
        }
        offset += (n + 255) / 256 * 256; /* so that no two numbers are rounded by the same random bits */
    }
    free(initial);
    return good;
}

optimizer *optimizer_create(optimizer_settings settings, float *params, float *gradient,
                            const optimizer_tensor *tensors, size_t tensor_count, failure *why) {
    if (tensor_count > MAX_TENSORS) {
        fail(why, "optimizer: %zu tensors, at most %d", tensor_count, MAX_TENSORS);
        return NULL;
    }
    if (settings.kind < OPTIMIZER_SGD || settings.kind > OPTIMIZER_ADAMW) {
        fail(why, "optimizer: no such rule: %ld", (long)settings.kind);
        return NULL;
    }
    if (settings.state < OPTIMIZER_STATE_F32 || settings.state > OPTIMIZER_STATE_8BIT) {
        fail(why, "optimizer: no such format of state: %ld", (long)settings.state);
        return NULL;
    }
    optimizer *o = calloc(1, sizeof *o);
    if (o == NULL) {
        fail(why, "optimizer: out of memory");
        return NULL;
    }
    o->kind = (optimizer_kind)settings.kind;
    o->format = (optimizer_state)settings.state;
    o->tensor_count = tensor_count;
    for (size_t i = 0; i < tensor_count; i++) {
        o->param_count += tensors[i].count;
        for (size_t k = 0; k < MAX_STATES; k++) {
            next_values(o, kept[o->kind][k], tensors[i].count);
        }
    }
    o->state = calloc(o->state_bytes + 1, 1); /* not of nothing, which may be NULL */
    o->state_bytes = 0;
    bool good = o->state != NULL || fail(why, "optimizer: out of memory");
    good = good && check(configure(o, &settings), why);
    good = good && check(gradstep_epilogue_default(&o->epilogue, sizeof o->epilogue), why);
    o->epilogue.rounding = settings.rounding;
    if (!good || !enter_all(o, params, gradient, tensors, why)) {
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
    const gradstep_epilogue *after = &o->epilogue;
    int32_t status = GRADSTEP_OK;
    switch (o->kind) {
    case OPTIMIZER_SGD:
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
        o->hyper.sgd.lr = lr;
        status = gradstep_sgd_fused_step(&o->hyper.sgd, NULL, after, t, 1, 0, count, o->list.sgd);
        break;
    case OPTIMIZER_ADAGRAD:
        o->hyper.adagrad.lr = lr;
        status = gradstep_adagrad_fused_step(&o->hyper.adagrad, NULL, after, t, 1, 0, count, o->list.adagrad);
        break;
    case OPTIMIZER_RMSPROP:
        o->hyper.rmsprop.lr = lr;
        status = gradstep_rmsprop_fused_step(&o->hyper.rmsprop, NULL, after, t, 1, 0, count, o->list.rmsprop);
        break;
    case OPTIMIZER_ADADELTA:
        o->hyper.adadelta.lr = lr;
        status = gradstep_adadelta_fused_step(&o->hyper.adadelta, NULL, after, t, 1, 0, count, o->list.adadelta);
        break;
    case OPTIMIZER_ADAM:
        o->hyper.adam.lr = lr;
        status = gradstep_adam_fused_step(&o->hyper.adam, NULL, after, t, 1, 0, count, o->list.adam);
        break;
    case OPTIMIZER_ADAMW:
        o->hyper.adamw.lr = lr;
        status = gradstep_adamw_fused_step(&o->hyper.adamw, NULL, after, t, 1, 0, count, o->list.adamw);
        break;
    }
    return check(status, why);
}

size_t optimizer_state_bytes(const optimizer *o) {
    return o->state_bytes;
}

bool optimizer_copy(optimizer *to, const optimizer *from, failure *why) {
    if (to->kind != from->kind || to->format != from->format || to->param_count != from->param_count) {
        return fail(why, "optimizer: cannot take over the state of another kind, or of other parameters");
    }
    to->t = from->t;
    memcpy(to->state, from->state, from->state_bytes);
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
