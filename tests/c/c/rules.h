/* Every rule behind one signature, so that a test is written once. */

#ifndef RULES_H
#define RULES_H

#include "gradstep.h"

#include <stdbool.h>

enum { MAX_STATES = 3, MAX_FIELDS = 10, MAX_SETTINGS = 12 };

/* What a field may hold. */
enum domain {
    NON_NEGATIVE,
    FINITE,
    UNIT_INTERVAL,
    FRACTION,
    /* From here on an int32_t, before it a double. */
    FLAG,
    EPS_OF_TWO,
    EPS_OF_THREE,
    AMSGRAD,
    RESERVED,
};

struct field {
    const char *name;
    size_t offset;
    enum domain domain;
};

/* A tensor of any rule; only as many states are passed on as the rule has. */
struct tensor {
    size_t n;
    float *param;
    const float *grad;
    float *state[MAX_STATES];
};

/* The same of a fused step. */
struct fused_tensor {
    size_t n;
    gradstep_values param;
    gradstep_values grad;
    gradstep_values state[MAX_STATES];
    gradstep_values ema;
    gradstep_values copy;
    uint64_t offset;
};

/* Room for the hyperparameters of any rule, and for a tensor of any rule's list. */
union any_hyper {
    gradstep_sgd sgd;
    gradstep_adagrad adagrad;
    gradstep_rmsprop rmsprop;
    gradstep_adadelta adadelta;
    gradstep_adam adam;
    gradstep_adamw adamw;
};

union any_tensor {
    gradstep_sgd_tensor sgd;
    gradstep_adagrad_tensor adagrad;
    gradstep_rmsprop_tensor rmsprop;
    gradstep_adadelta_tensor adadelta;
    gradstep_adam_tensor adam;
    gradstep_adamw_tensor adamw;
};

union any_fused_tensor {
    gradstep_sgd_fused_tensor sgd;
    gradstep_adagrad_fused_tensor adagrad;
    gradstep_rmsprop_fused_tensor rmsprop;
    gradstep_adadelta_fused_tensor adadelta;
    gradstep_adam_fused_tensor adam;
    gradstep_adamw_fused_tensor adamw;
};

struct rule {
    const char *name;
    size_t hyper_size;
    size_t tensor_size;
    size_t fused_tensor_size;
    struct field fields[MAX_FIELDS + 1];  /* up to the one without a name */
    const char *states[MAX_STATES + 1];   /* their names, up to NULL */
    bool optional[MAX_STATES];            /* the state may be NULL, by the hyperparameters */

    int32_t (*fill_default)(void *hyper);
    int32_t (*fill_preset)(void *hyper, int32_t preset);
    int32_t (*init)(const void *hyper, size_t n, float *const state[MAX_STATES]);
    int32_t (*step)(const void *hyper, const gradstep_options *options, uint64_t t,
                    const struct tensor *tensor);
    int32_t (*step_list)(const void *hyper, const gradstep_options *options, uint64_t t,
                         size_t count, const void *tensors);
    /* Puts a tensor into a list of this rule, which need not be aligned. */
    void (*put)(void *list, size_t index, const struct tensor *tensor);
    int32_t (*fused_step)(const void *hyper, const gradstep_options *options,
                          const gradstep_epilogue *epilogue, uint64_t t, size_t chunks,
                          size_t index, size_t count, const void *tensors);
    /* As `put`, into a list of fused_step. */
    void (*put_fused)(void *list, size_t index, const struct fused_tensor *tensor);
};

/* A field and its value; an int32_t field's is converted. */
struct setting {
    const char *field;
    double value;
};

/* Hyperparameters that differ in the state that they need. */
struct variant {
    const char *name;
    const struct rule *rule;
    struct setting settings[MAX_SETTINGS + 1]; /* over the defaults, up to the one without a field */
    bool uses[MAX_STATES];
};

/* All rules, up to the one without a name. */
extern const struct rule rules[];

/* All variants, up to the one without a name. The first of each rule allows every other value of
 * each field. */
extern const struct variant variants[];

const struct rule *rule_named(const char *name);
const struct field *field_named(const struct rule *rule, const char *name);
double get_field(const void *hyper, const struct field *field);
void set_field(void *hyper, const struct field *field, double value);

/* The rule's defaults with the settings of the variant. */
void fill_variant(void *hyper, const struct variant *variant);

#endif
