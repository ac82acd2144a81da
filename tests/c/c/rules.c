#include "rules.h"

#include <string.h>

static int32_t sgd_default(void *hyper) {
    return gradstep_sgd_default(hyper);
}
static int32_t sgd_preset(void *hyper, int32_t preset) {
    return gradstep_sgd_preset(hyper, preset);
}
static int32_t sgd_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_sgd_init(hyper, n, state[0]);
}
static int32_t sgd_step(const void *hyper, const gradstep_options *options, uint64_t t,
                        const struct tensor *x) {
    return gradstep_sgd_step(hyper, options, t, x->n, x->param, x->grad, x->state[0]);
}
static int32_t sgd_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                             size_t count, const void *tensors) {
    return gradstep_sgd_step_list(hyper, options, t, count, tensors);
}
static void sgd_put(void *list, size_t index, const struct tensor *x) {
    gradstep_sgd_tensor item = {
        .n = x->n, .param = x->param, .grad = x->grad, .momentum_buffer = x->state[0]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t sgd_fused_step(const void *hyper, const gradstep_options *options,
                              const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                              size_t index, size_t count, const void *tensors) {
    return gradstep_sgd_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void sgd_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_sgd_fused_tensor item = {.n = x->n,
                                      .param = x->param,
                                      .grad = x->grad,
                                      .momentum_buffer = x->state[0],
                                      .ema = x->ema,
                                      .copy = x->copy,
                                      .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

static int32_t adagrad_default(void *hyper) {
    return gradstep_adagrad_default(hyper);
}
static int32_t adagrad_preset(void *hyper, int32_t preset) {
    return gradstep_adagrad_preset(hyper, preset);
}
static int32_t adagrad_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_adagrad_init(hyper, n, state[0]);
}
static int32_t adagrad_step(const void *hyper, const gradstep_options *options, uint64_t t,
                            const struct tensor *x) {
    return gradstep_adagrad_step(hyper, options, t, x->n, x->param, x->grad, x->state[0]);
}
static int32_t adagrad_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                                 size_t count, const void *tensors) {
    return gradstep_adagrad_step_list(hyper, options, t, count, tensors);
}
static void adagrad_put(void *list, size_t index, const struct tensor *x) {
    gradstep_adagrad_tensor item = {
        .n = x->n, .param = x->param, .grad = x->grad, .sum = x->state[0]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t adagrad_fused_step(const void *hyper, const gradstep_options *options,
                                  const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                                  size_t index, size_t count, const void *tensors) {
    return gradstep_adagrad_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void adagrad_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_adagrad_fused_tensor item = {.n = x->n,
                                          .param = x->param,
                                          .grad = x->grad,
                                          .sum = x->state[0],
                                          .ema = x->ema,
                                          .copy = x->copy,
                                          .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

static int32_t rmsprop_default(void *hyper) {
    return gradstep_rmsprop_default(hyper);
}
static int32_t rmsprop_preset(void *hyper, int32_t preset) {
    return gradstep_rmsprop_preset(hyper, preset);
}
static int32_t rmsprop_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_rmsprop_init(hyper, n, state[0], state[1], state[2]);
}
static int32_t rmsprop_step(const void *hyper, const gradstep_options *options, uint64_t t,
                            const struct tensor *x) {
    return gradstep_rmsprop_step(hyper, options, t, x->n, x->param, x->grad, x->state[0],
                                 x->state[1], x->state[2]);
}
static int32_t rmsprop_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                                 size_t count, const void *tensors) {
    return gradstep_rmsprop_step_list(hyper, options, t, count, tensors);
}
static void rmsprop_put(void *list, size_t index, const struct tensor *x) {
    gradstep_rmsprop_tensor item = {.n = x->n,
                                    .param = x->param,
                                    .grad = x->grad,
                                    .square_avg = x->state[0],
                                    .grad_avg = x->state[1],
                                    .momentum_buffer = x->state[2]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t rmsprop_fused_step(const void *hyper, const gradstep_options *options,
                                  const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                                  size_t index, size_t count, const void *tensors) {
    return gradstep_rmsprop_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void rmsprop_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_rmsprop_fused_tensor item = {.n = x->n,
                                          .param = x->param,
                                          .grad = x->grad,
                                          .square_avg = x->state[0],
                                          .grad_avg = x->state[1],
                                          .momentum_buffer = x->state[2],
                                          .ema = x->ema,
                                          .copy = x->copy,
                                          .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

static int32_t adadelta_default(void *hyper) {
    return gradstep_adadelta_default(hyper);
}
static int32_t adadelta_preset(void *hyper, int32_t preset) {
    return gradstep_adadelta_preset(hyper, preset);
}
static int32_t adadelta_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_adadelta_init(hyper, n, state[0], state[1]);
}
static int32_t adadelta_step(const void *hyper, const gradstep_options *options, uint64_t t,
                             const struct tensor *x) {
    return gradstep_adadelta_step(hyper, options, t, x->n, x->param, x->grad, x->state[0],
                                  x->state[1]);
}
static int32_t adadelta_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                                  size_t count, const void *tensors) {
    return gradstep_adadelta_step_list(hyper, options, t, count, tensors);
}
static void adadelta_put(void *list, size_t index, const struct tensor *x) {
    gradstep_adadelta_tensor item = {.n = x->n,
                                     .param = x->param,
                                     .grad = x->grad,
                                     .square_avg = x->state[0],
                                     .acc_delta = x->state[1]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t adadelta_fused_step(const void *hyper, const gradstep_options *options,
                                   const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                                   size_t index, size_t count, const void *tensors) {
    return gradstep_adadelta_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void adadelta_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_adadelta_fused_tensor item = {.n = x->n,
                                           .param = x->param,
                                           .grad = x->grad,
                                           .square_avg = x->state[0],
                                           .acc_delta = x->state[1],
                                           .ema = x->ema,
                                           .copy = x->copy,
                                           .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

static int32_t adam_default(void *hyper) {
    return gradstep_adam_default(hyper);
}
static int32_t adam_preset(void *hyper, int32_t preset) {
    return gradstep_adam_preset(hyper, preset);
}
static int32_t adam_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_adam_init(hyper, n, state[0], state[1], state[2]);
}
static int32_t adam_step(const void *hyper, const gradstep_options *options, uint64_t t,
                         const struct tensor *x) {
    return gradstep_adam_step(hyper, options, t, x->n, x->param, x->grad, x->state[0], x->state[1],
                              x->state[2]);
}
static int32_t adam_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                              size_t count, const void *tensors) {
    return gradstep_adam_step_list(hyper, options, t, count, tensors);
}
static void adam_put(void *list, size_t index, const struct tensor *x) {
    gradstep_adam_tensor item = {.n = x->n,
                                 .param = x->param,
                                 .grad = x->grad,
                                 .exp_avg = x->state[0],
                                 .exp_avg_sq = x->state[1],
                                 .max_exp_avg_sq = x->state[2]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t adam_fused_step(const void *hyper, const gradstep_options *options,
                               const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                               size_t index, size_t count, const void *tensors) {
    return gradstep_adam_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void adam_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_adam_fused_tensor item = {.n = x->n,
                                       .param = x->param,
                                       .grad = x->grad,
                                       .exp_avg = x->state[0],
                                       .exp_avg_sq = x->state[1],
                                       .max_exp_avg_sq = x->state[2],
                                       .ema = x->ema,
                                       .copy = x->copy,
                                       .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

static int32_t adamw_default(void *hyper) {
    return gradstep_adamw_default(hyper);
}
static int32_t adamw_preset(void *hyper, int32_t preset) {
    return gradstep_adamw_preset(hyper, preset);
}
static int32_t adamw_init(const void *hyper, size_t n, float *const state[MAX_STATES]) {
    return gradstep_adamw_init(hyper, n, state[0], state[1], state[2]);
}
static int32_t adamw_step(const void *hyper, const gradstep_options *options, uint64_t t,
                          const struct tensor *x) {
    return gradstep_adamw_step(hyper, options, t, x->n, x->param, x->grad, x->state[0], x->state[1],
                               x->state[2]);
}
static int32_t adamw_step_list(const void *hyper, const gradstep_options *options, uint64_t t,
                               size_t count, const void *tensors) {
    return gradstep_adamw_step_list(hyper, options, t, count, tensors);
}
static void adamw_put(void *list, size_t index, const struct tensor *x) {
    gradstep_adamw_tensor item = {.n = x->n,
                                  .param = x->param,
                                  .grad = x->grad,
                                  .exp_avg = x->state[0],
                                  .exp_avg_sq = x->state[1],
                                  .max_exp_avg_sq = x->state[2]};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}
static int32_t adamw_fused_step(const void *hyper, const gradstep_options *options,
                                const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                                size_t index, size_t count, const void *tensors) {
    return gradstep_adamw_fused_step(hyper, options, epilogue, t, chunks, index, count, tensors);
}
static void adamw_put_fused(void *list, size_t index, const struct fused_tensor *x) {
    gradstep_adamw_fused_tensor item = {.n = x->n,
                                        .param = x->param,
                                        .grad = x->grad,
                                        .exp_avg = x->state[0],
                                        .exp_avg_sq = x->state[1],
                                        .max_exp_avg_sq = x->state[2],
                                        .ema = x->ema,
                                        .copy = x->copy,
                                        .offset = x->offset};
    memcpy((char *)list + index * sizeof item, &item, sizeof item);
}

#define FUNCTIONS(rule)                                                                            \
    .hyper_size = sizeof(gradstep_##rule), .tensor_size = sizeof(gradstep_##rule##_tensor),        \
    .fill_default = rule##_default, .fill_preset = rule##_preset, .init = rule##_init,             \
    .step = rule##_step, .step_list = rule##_step_list, .put = rule##_put,                         \
    .fused_tensor_size = sizeof(gradstep_##rule##_fused_tensor),                                   \
    .fused_step = rule##_fused_step, .put_fused = rule##_put_fused
#define FIELD(rule, field, domain) {#field, offsetof(gradstep_##rule, field), domain}

#define ADAM_FIELDS(rule)                                                                          \
    {FIELD(rule, lr, NON_NEGATIVE),           FIELD(rule, beta1, UNIT_INTERVAL),                   \
     FIELD(rule, beta2, UNIT_INTERVAL),       FIELD(rule, eps, NON_NEGATIVE),                      \
     FIELD(rule, weight_decay, NON_NEGATIVE), FIELD(rule, amsgrad, AMSGRAD),                       \
     FIELD(rule, eps_placement, EPS_OF_THREE), FIELD(rule, maximize, FLAG),                        \
     FIELD(rule, reserved, RESERVED)}

enum { SGD, ADAGRAD, RMSPROP, ADADELTA, ADAM, ADAMW, RULES };

const struct rule rules[RULES + 1] = {
    [SGD] = {.name = "sgd",
             .fields = {FIELD(sgd, lr, NON_NEGATIVE), FIELD(sgd, momentum, NON_NEGATIVE),
                        FIELD(sgd, dampening, FINITE), FIELD(sgd, weight_decay, NON_NEGATIVE),
                        FIELD(sgd, nesterov, FLAG), FIELD(sgd, lr_inside, FLAG),
                        FIELD(sgd, maximize, FLAG), FIELD(sgd, reserved, RESERVED)},
             .states = {"momentum_buffer"},
             .optional = {true},
             FUNCTIONS(sgd)},
    [ADAGRAD] = {.name = "adagrad",
                 .fields = {FIELD(adagrad, lr, NON_NEGATIVE), FIELD(adagrad, lr_decay, NON_NEGATIVE),
                            FIELD(adagrad, eps, NON_NEGATIVE),
                            FIELD(adagrad, weight_decay, NON_NEGATIVE),
                            FIELD(adagrad, initial_accumulator_value, NON_NEGATIVE),
                            FIELD(adagrad, eps_placement, EPS_OF_TWO),
                            FIELD(adagrad, maximize, FLAG)},
                 .states = {"sum"},
                 FUNCTIONS(adagrad)},
    [RMSPROP] = {.name = "rmsprop",
                 .fields = {FIELD(rmsprop, lr, NON_NEGATIVE), FIELD(rmsprop, alpha, FRACTION),
                            FIELD(rmsprop, eps, NON_NEGATIVE),
                            FIELD(rmsprop, weight_decay, NON_NEGATIVE),
                            FIELD(rmsprop, momentum, NON_NEGATIVE),
                            FIELD(rmsprop, initial_square_avg, NON_NEGATIVE),
                            FIELD(rmsprop, centered, FLAG), FIELD(rmsprop, eps_placement, EPS_OF_TWO),
                            FIELD(rmsprop, lr_inside, FLAG), FIELD(rmsprop, maximize, FLAG)},
                 .states = {"square_avg", "grad_avg", "momentum_buffer"},
                 .optional = {false, true, true},
                 FUNCTIONS(rmsprop)},
    [ADADELTA] = {.name = "adadelta",
                  .fields = {FIELD(adadelta, lr, NON_NEGATIVE), FIELD(adadelta, rho, FRACTION),
                             FIELD(adadelta, eps, NON_NEGATIVE),
                             FIELD(adadelta, weight_decay, NON_NEGATIVE),
                             FIELD(adadelta, maximize, FLAG),
                             FIELD(adadelta, reserved, RESERVED)},
                  .states = {"square_avg", "acc_delta"},
                  FUNCTIONS(adadelta)},
    [ADAM] = {.name = "adam",
              .fields = ADAM_FIELDS(adam),
              .states = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
              .optional = {false, false, true},
              FUNCTIONS(adam)},
    [ADAMW] = {.name = "adamw",
               .fields = ADAM_FIELDS(adamw),
               .states = {"exp_avg", "exp_avg_sq", "max_exp_avg_sq"},
               .optional = {false, false, true},
               FUNCTIONS(adamw)},
};

const struct variant variants[] = {
    {"sgd, momentum", &rules[SGD], {{"momentum", 0.9}}, {true}},
    {"sgd, plain", &rules[SGD], {{"lr", 0.1}}, {false}},
    {"sgd, nesterov", &rules[SGD], {{"momentum", 0.9}, {"nesterov", 1}, {"lr_inside", 1}}, {true}},
    {"adagrad", &rules[ADAGRAD], {{"initial_accumulator_value", 0.1}}, {true}},
    {"rmsprop", &rules[RMSPROP], {{"initial_square_avg", 1.0}}, {true}},
    {"rmsprop, centered", &rules[RMSPROP], {{"centered", 1}}, {true, true, false}},
    {"rmsprop, momentum", &rules[RMSPROP], {{"momentum", 0.5}}, {true, false, true}},
    {"rmsprop, both", &rules[RMSPROP], {{"centered", 1}, {"momentum", 0.5}}, {true, true, true}},
    {"adadelta", &rules[ADADELTA], {{"weight_decay", 0.1}}, {true, true}},
    {"adam", &rules[ADAM], {{"lr", 0.01}}, {true, true}},
    {"adam, amsgrad",
     &rules[ADAM],
     {{"amsgrad", GRADSTEP_AMSGRAD_RAW}, {"eps_placement", GRADSTEP_EPS_INSIDE}},
     {true, true, true}},
    {"adamw", &rules[ADAMW], {{"eps_placement", GRADSTEP_EPS_HAT}}, {true, true}},
    {"adamw, amsgrad", &rules[ADAMW], {{"amsgrad", GRADSTEP_AMSGRAD_CORRECTED}}, {true, true, true}},
    {.name = NULL},
};

const struct rule *rule_named(const char *name) {
    for (const struct rule *rule = rules; rule->name != NULL; rule++) {
        if (strcmp(rule->name, name) == 0) {
            return rule;
        }
    }
    return NULL;
}

const struct field *field_named(const struct rule *rule, const char *name) {
    for (const struct field *field = rule->fields; field->name != NULL; field++) {
        if (strcmp(field->name, name) == 0) {
            return field;
        }
    }
    return NULL;
}

double get_field(const void *hyper, const struct field *field) {
    const char *place = (const char *)hyper + field->offset;
    double real;
    int32_t integer;
    if (field->domain < FLAG) {
        memcpy(&real, place, sizeof real);
        return real;
    }
    memcpy(&integer, place, sizeof integer);
    return integer;
}

void set_field(void *hyper, const struct field *field, double value) {
    char *place = (char *)hyper + field->offset;
    if (field->domain < FLAG) {
        memcpy(place, &value, sizeof value);
    } else {
        int32_t integer = (int32_t)value;
        memcpy(place, &integer, sizeof integer);
    }
}

void fill_variant(void *hyper, const struct variant *variant) {
    const struct rule *rule = variant->rule;
    rule->fill_default(hyper);
    for (const struct setting *setting = variant->settings; setting->field != NULL; setting++) {
        set_field(hyper, field_named(rule, setting->field), setting->value);
    }
}
