/* What is refused, why, and that nothing is written then: every function, every rule, every
 * argument. */

#include "check.h"
#include "rules.h"

#include <float.h>
#include <limits.h>
#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum {
    N = 16,    /* elements of a buffer */
    GAP = 16,  /* elements between two buffers */
    ROOM = N + GAP,
    BUFFERS = 2 + MAX_STATES, /* param, grad, and the state */
    TENSORS = 3,
    PARAM = 0,
    GRAD = 1,
    STATE = 2,
    ALL = -1,
};

/* Everything that a call can reach, in one piece, so that all of it can be compared. */
struct world {
    alignas(64) float memory[TENSORS * BUFFERS * ROOM + ROOM];
    union any_tensor list[TENSORS + 1];
    union any_hyper hyper[2];
    gradstep_options options[2];
    size_t begin[2];
    size_t end[2];
};

static void make_world(struct world *world, const struct variant *variant) {
    memset(world, 0x55, sizeof *world);
    for (size_t i = 0; i < sizeof world->memory / sizeof world->memory[0]; i++) {
        world->memory[i] = 0.5F + 0.001F * (float)i;
    }
    if (variant != NULL) {
        fill_variant(&world->hyper[0], variant);
    }
    gradstep_options_default(&world->options[0], sizeof world->options[0]);
}

/* A status is this error, of no tensor of a list, and `world` is still `before`. */
#define REFUSED(tally, world, before, call, kind, argument)                                        \
    REFUSED_OF(tally, world, before, call, kind, argument, -1)

/* The same, of the tensor with this index. */
#define REFUSED_OF(tally, world, before, call, kind, argument, tensor)                             \
    do {                                                                                           \
        CHECK_ERROR_OF(tally, call, kind, argument, tensor);                                       \
        CHECK(tally, memcmp(world, before, sizeof *(world)) == 0);                                 \
    } while (0)

static float *place(struct world *world, size_t tensor, size_t buffer) {
    return world->memory + GAP + (tensor * BUFFERS + buffer) * ROOM;
}

/* A tensor of the world that nothing is wrong with. */
static struct tensor good_tensor(struct world *world, const struct variant *variant, size_t index) {
    struct tensor tensor = {N, place(world, index, PARAM), place(world, index, GRAD), {NULL}};
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = variant->uses[i] ? place(world, index, STATE + i) : NULL;
    }
    return tensor;
}

static bool has_buffer(const struct variant *variant, size_t buffer) {
    return buffer < STATE || variant->uses[buffer - STATE];
}

static float *get_buffer(const struct tensor *tensor, size_t buffer) {
    return buffer == PARAM  ? tensor->param
           : buffer == GRAD ? (float *)tensor->grad
                            : tensor->state[buffer - STATE];
}

static void set_buffer(struct tensor *tensor, size_t buffer, float *to) {
    if (buffer == PARAM) {
        tensor->param = to;
    } else if (buffer == GRAD) {
        tensor->grad = to;
    } else {
        tensor->state[buffer - STATE] = to;
    }
}

static const char *buffer_name(const struct variant *variant, size_t buffer) {
    return buffer == PARAM  ? "param"
           : buffer == GRAD ? "grad"
                            : variant->rule->states[buffer - STATE];
}

static float *at_address(uintptr_t address) {
    return (float *)address;
}

static float *shifted(float *pointer, size_t bytes) {
    return (float *)((char *)pointer + bytes);
}

/* A bad tensor is refused by a step, and wherever it stands in a list. */
static void refuse_tensor(struct tally *tally, struct world *world, const struct variant *variant,
                          const struct tensor *bad, int32_t kind, const char *argument) {
    const struct rule *rule = variant->rule;
    const void *hyper = &world->hyper[0];
    struct world before = *world;
    REFUSED(tally, world, &before, rule->step(hyper, NULL, 1, bad), kind, argument);
    for (size_t bad_index = 0; bad_index < TENSORS; bad_index++) {
        for (size_t i = 0; i < TENSORS; i++) {
            struct tensor good = good_tensor(world, variant, i);
            rule->put(world->list, i, i == bad_index ? bad : &good);
        }
        before = *world;
        REFUSED_OF(tally, world, &before, rule->step_list(hyper, NULL, 1, TENSORS, world->list),
                   kind, argument, bad_index);
    }
}

/* As `refuse_tensor`, also by init: what is wrong is in the state. */
static void refuse_state(struct tally *tally, struct world *world, const struct variant *variant,
                         const struct tensor *bad, int32_t kind, const char *argument) {
    struct world before = *world;
    REFUSED(tally, world, &before, variant->rule->init(&world->hyper[0], bad->n, bad->state), kind,
            argument);
    refuse_tensor(tally, world, variant, bad, kind, argument);
}

/* Hyperparameters at `hyper`, which may be null or misaligned, are refused by every function that
 * takes some, also where there is nothing to do. */
static void refuse_hyper(struct tally *tally, struct world *world, const struct variant *variant,
                         const void *hyper, int32_t kind, const char *argument) {
    const struct rule *rule = variant->rule;
    struct tensor good = good_tensor(world, variant, 0);
    struct tensor empty = {0};
    rule->put(world->list, 0, &good);
    struct world before = *world;
    REFUSED(tally, world, &before, rule->init(hyper, N, good.state), kind, argument);
    REFUSED(tally, world, &before, rule->init(hyper, 0, empty.state), kind, argument);
    REFUSED(tally, world, &before, rule->step(hyper, NULL, 1, &good), kind, argument);
    REFUSED(tally, world, &before, rule->step(hyper, &world->options[0], 7, &empty), kind, argument);
    REFUSED(tally, world, &before, rule->step_list(hyper, NULL, 1, 1, world->list), kind, argument);
    REFUSED(tally, world, &before, rule->step_list(hyper, NULL, 1, 0, NULL), kind, argument);
}

/* Every value that a domain has not got. */
static const struct {
    enum domain domain;
    int32_t kind;
    double values[12]; /* up to the 0, which every domain has */
} bad_values[] = {
    /* 3.4028236e38 is finite, and the float nearest to it is not. */
    {NON_NEGATIVE,
     GRADSTEP_ERROR_NOT_NON_NEGATIVE,
     {-1.0, -DBL_TRUE_MIN, -DBL_MAX, DBL_MAX, 3.4028236e38, NAN, -NAN, INFINITY, -INFINITY}},
    {FINITE,
     GRADSTEP_ERROR_NOT_FINITE,
     {DBL_MAX, -DBL_MAX, 3.4028236e38, -3.4028236e38, NAN, INFINITY, -INFINITY}},
    {UNIT_INTERVAL,
     GRADSTEP_ERROR_NOT_IN_UNIT_INTERVAL,
     {-DBL_TRUE_MIN, -1.0, 1.0, 1.0 + DBL_EPSILON, DBL_MAX, NAN, -NAN, INFINITY, -INFINITY}},
    {FRACTION,
     GRADSTEP_ERROR_NOT_A_FRACTION,
     {-DBL_TRUE_MIN, -1.0, 1.0 + DBL_EPSILON, DBL_MAX, NAN, -NAN, INFINITY, -INFINITY}},
    {FLAG, GRADSTEP_ERROR_UNKNOWN, {2, -1, 255, 256, 257, INT32_MAX, INT32_MIN}},
    {EPS_OF_TWO,
     GRADSTEP_ERROR_UNKNOWN,
     {GRADSTEP_EPS_HAT, 3, -1, 256, 257, INT32_MAX, INT32_MIN}},
    {EPS_OF_THREE, GRADSTEP_ERROR_UNKNOWN, {3, -1, 256, 257, INT32_MAX, INT32_MIN}},
    {AMSGRAD, GRADSTEP_ERROR_UNKNOWN, {3, -1, 256, 257, INT32_MAX, INT32_MIN}},
    {RESERVED, GRADSTEP_ERROR_NOT_ZERO, {1, -1, 256, 65536, INT32_MAX, INT32_MIN}},
};

/* The ends of a domain, which are in it. */
static const struct {
    enum domain domain;
    double values[6]; /* up to the second 0 */
} good_values[] = {
    {NON_NEGATIVE, {-0.0, DBL_TRUE_MIN, FLT_TRUE_MIN, FLT_MAX, 1.0}},
    {FINITE, {-FLT_MAX, FLT_MAX, DBL_TRUE_MIN, -1.0}},
    {UNIT_INTERVAL, {-0.0, DBL_TRUE_MIN, 1.0 - DBL_EPSILON, 0.5}},
    {FRACTION, {-0.0, DBL_TRUE_MIN, 1.0, 1.0 - DBL_EPSILON}},
    {FLAG, {0, 1}},
    {EPS_OF_TWO, {GRADSTEP_EPS_OUTSIDE, GRADSTEP_EPS_INSIDE}},
    {EPS_OF_THREE, {GRADSTEP_EPS_OUTSIDE, GRADSTEP_EPS_INSIDE, GRADSTEP_EPS_HAT}},
    {AMSGRAD, {GRADSTEP_AMSGRAD_OFF, GRADSTEP_AMSGRAD_RAW, GRADSTEP_AMSGRAD_CORRECTED}},
    {RESERVED, {0}},
};

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

static void bad_field(struct tally *tally, const struct variant *variant, const struct field *field) {
    for (size_t i = 0; i < LENGTH(bad_values); i++) {
        if (bad_values[i].domain != field->domain) {
            continue;
        }
        for (const double *value = bad_values[i].values; *value != 0.0; value++) {
            struct world world;
            make_world(&world, variant);
            check_context(tally, "%s, %s = %g", variant->name, field->name, *value);
            set_field(&world.hyper[0], field, *value);
            refuse_hyper(tally, &world, variant, &world.hyper[0], bad_values[i].kind, field->name);
        }
    }
}

void errors_hyperparameters(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        for (const struct field *field = variant->rule->fields; field->name != NULL; field++) {
            bad_field(tally, variant, field);
        }
    }
}

/* The other side of every bound. Without elements no state is needed, whatever the field says. */
void errors_hyperparameters_at_bounds(struct tally *tally) {
    const struct rule *rule = NULL;
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        if (variant->rule == rule) {
            continue;
        }
        rule = variant->rule;
        for (const struct field *field = rule->fields; field->name != NULL; field++) {
            for (size_t i = 0; i < LENGTH(good_values); i++) {
                if (good_values[i].domain != field->domain) {
                    continue;
                }
                const double *value = good_values[i].values;
                do {
                    union any_hyper hyper;
                    fill_variant(&hyper, variant);
                    set_field(&hyper, field, *value);
                    struct tensor empty = {0};
                    check_context(tally, "%s, %s = %g", variant->name, field->name, *value);
                    CHECK_OK(tally, rule->init(&hyper, 0, empty.state));
                    CHECK_OK(tally, rule->step(&hyper, NULL, 1, &empty));
                    CHECK_OK(tally, rule->step_list(&hyper, NULL, UINT64_MAX, 0, NULL));
                    value++;
                } while (*value != 0.0);
            }
        }
    }
}

/* What is wrong only with two fields together. */
void errors_hyperparameters_together(struct tally *tally) {
    static const struct {
        struct variant variant;
        int32_t kind;
        const char *argument;
    } rows[] = {
        {{"sgd, nesterov without momentum", &rules[0], {{"nesterov", 1}}, {false}},
         GRADSTEP_ERROR_NESTEROV_NEEDS_MOMENTUM,
         "nesterov"},
        {{"sgd, nesterov with dampening",
          &rules[0],
          {{"nesterov", 1}, {"momentum", 0.9}, {"dampening", 0.1}},
          {true}},
         GRADSTEP_ERROR_NESTEROV_NEEDS_MOMENTUM,
         "nesterov"},
        {{"adamw, lr weight_decay too large",
          &rules[5],
          {{"lr", 1e30}, {"weight_decay", 1e30}},
          {true, true}},
         GRADSTEP_ERROR_NOT_FINITE,
         "weight_decay"},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        struct world world;
        make_world(&world, &rows[i].variant);
        check_context(tally, "%s", rows[i].variant.name);
        refuse_hyper(tally, &world, &rows[i].variant, &world.hyper[0], rows[i].kind,
                     rows[i].argument);
    }
}

/* hyper, t, options. */
void errors_arguments_before_buffers(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        struct world world;
        make_world(&world, variant);
        struct tensor good = good_tensor(&world, variant, 0);
        rule->put(world.list, 0, &good);
        const struct world before = world;
        const void *hyper = &world.hyper[0];
        gradstep_options *options = &world.options[0];

        check_context(tally, "%s, hyper is null", variant->name);
        refuse_hyper(tally, &world, variant, NULL, GRADSTEP_ERROR_NULL, "hyper");
        for (size_t bytes = 1; bytes < alignof(double); bytes++) {
            check_context(tally, "%s, hyper is %zu bytes off", variant->name, bytes);
            refuse_hyper(tally, &world, variant, shifted((float *)&world.hyper[0], bytes),
                         GRADSTEP_ERROR_MISALIGNED, "hyper");
        }

        check_context(tally, "%s, t", variant->name);
        REFUSED(tally, &world, &before, rule->step(hyper, NULL, 0, &good), GRADSTEP_ERROR_ZERO, "t");
        REFUSED(tally, &world, &before, rule->step(hyper, options, 0, &(struct tensor){0}),
                GRADSTEP_ERROR_ZERO, "t");
        REFUSED(tally, &world, &before, rule->step_list(hyper, NULL, 0, 1, world.list),
                GRADSTEP_ERROR_ZERO, "t");
        REFUSED(tally, &world, &before, rule->step_list(hyper, NULL, 0, 0, NULL),
                GRADSTEP_ERROR_ZERO, "t");

        for (size_t bytes = 1; bytes < alignof(gradstep_options); bytes++) {
            check_context(tally, "%s, options are %zu bytes off", variant->name, bytes);
            const void *off = shifted((float *)options, bytes);
            REFUSED(tally, &world, &before, rule->step(hyper, off, 1, &good),
                    GRADSTEP_ERROR_MISALIGNED, "options");
            REFUSED(tally, &world, &before, rule->step_list(hyper, off, 1, 1, world.list),
                    GRADSTEP_ERROR_MISALIGNED, "options");
        }

        static const struct {
            gradstep_options options;
            int32_t kind;
            const char *argument;
        } rows[] = {
            {{0, 1.0, INFINITY}, GRADSTEP_ERROR_WRONG_SIZE, "size"},
            {{sizeof(gradstep_options) - 1, 1.0, INFINITY}, GRADSTEP_ERROR_WRONG_SIZE, "size"},
            {{sizeof(gradstep_options) + 1, 1.0, INFINITY}, GRADSTEP_ERROR_WRONG_SIZE, "size"},
            {{SIZE_MAX, 1.0, INFINITY}, GRADSTEP_ERROR_WRONG_SIZE, "size"},
            {{sizeof(gradstep_options), NAN, 1.0}, GRADSTEP_ERROR_NOT_FINITE, "grad_scale"},
            {{sizeof(gradstep_options), INFINITY, 1.0}, GRADSTEP_ERROR_NOT_FINITE, "grad_scale"},
            {{sizeof(gradstep_options), -INFINITY, 1.0}, GRADSTEP_ERROR_NOT_FINITE, "grad_scale"},
            {{sizeof(gradstep_options), 3.4028236e38, 1.0}, GRADSTEP_ERROR_NOT_FINITE, "grad_scale"},
            {{sizeof(gradstep_options), -1e39, 1.0}, GRADSTEP_ERROR_NOT_FINITE, "grad_scale"},
            {{sizeof(gradstep_options), 1.0, -1.0}, GRADSTEP_ERROR_NOT_A_BOUND, "grad_clamp"},
            {{sizeof(gradstep_options), 1.0, -DBL_TRUE_MIN}, GRADSTEP_ERROR_NOT_A_BOUND, "grad_clamp"},
            {{sizeof(gradstep_options), 1.0, -INFINITY}, GRADSTEP_ERROR_NOT_A_BOUND, "grad_clamp"},
            {{sizeof(gradstep_options), 1.0, NAN}, GRADSTEP_ERROR_NOT_A_BOUND, "grad_clamp"},
        };
        for (size_t i = 0; i < LENGTH(rows); i++) {
            check_context(tally, "%s, options of row %zu", variant->name, i);
            *options = rows[i].options;
            const struct world unchanged = world;
            REFUSED(tally, &world, &unchanged, rule->step(hyper, options, 1, &good), rows[i].kind,
                    rows[i].argument);
            REFUSED(tally, &world, &unchanged, rule->step_list(hyper, options, 1, 1, world.list),
                    rows[i].kind, rows[i].argument);
        }

        static const gradstep_options fine[] = {
            {sizeof(gradstep_options), 1.0, INFINITY}, {sizeof(gradstep_options), 0.0, 0.0},
            {sizeof(gradstep_options), -1.0, -0.0},    {sizeof(gradstep_options), FLT_MAX, DBL_MAX},
            {sizeof(gradstep_options), -0.0, FLT_MIN},
        };
        check_context(tally, "%s, options that are fine", variant->name);
        CHECK_OK(tally, rule->step(hyper, NULL, 1, &(struct tensor){0}));
        for (size_t i = 0; i < LENGTH(fine); i++) {
            CHECK_OK(tally, rule->step(hyper, &fine[i], 1, &(struct tensor){0}));
            CHECK_OK(tally, rule->step_list(hyper, &fine[i], UINT64_MAX, 0, NULL));
        }
    }
}

/* Null, misaligned, missing and unused buffers. */
void errors_buffers(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        struct world world;
        make_world(&world, variant);
        for (size_t buffer = 0; buffer < BUFFERS; buffer++) {
            const char *name = buffer_name(variant, buffer);
            if (name == NULL) {
                break; /* the rule has no further state */
            }
            struct tensor bad = good_tensor(&world, variant, 0);
            if (!has_buffer(variant, buffer)) {
                check_context(tally, "%s, %s is not used", variant->name, name);
                set_buffer(&bad, buffer, place(&world, 0, buffer));
                refuse_state(tally, &world, variant, &bad, GRADSTEP_ERROR_UNUSED, name);
                continue;
            }
            bool optional = buffer >= STATE && variant->rule->optional[buffer - STATE];
            check_context(tally, "%s, %s is null", variant->name, name);
            set_buffer(&bad, buffer, NULL);
            (buffer < STATE ? refuse_tensor : refuse_state)(
                tally, &world, variant, &bad,
                optional ? GRADSTEP_ERROR_MISSING : GRADSTEP_ERROR_NULL, name);
            for (size_t bytes = 1; bytes < alignof(float); bytes++) {
                check_context(tally, "%s, %s is %zu bytes off", variant->name, name, bytes);
                set_buffer(&bad, buffer, shifted(place(&world, 0, buffer), bytes));
                (buffer < STATE ? refuse_tensor : refuse_state)(tally, &world, variant, &bad,
                                                                GRADSTEP_ERROR_MISALIGNED, name);
            }
        }
    }
}

/* Lengths whose bytes do not fit the address space, or end behind it. */
void errors_lengths(struct tally *tally) {
    static const size_t too_long[] = {
        SIZE_MAX,           SIZE_MAX - 3,        SIZE_MAX / 2,        SIZE_MAX / 2 + 1,
        SIZE_MAX / 4,       SIZE_MAX / 4 + 1,    SIZE_MAX / 4 + 2,    (size_t)PTRDIFF_MAX,
        PTRDIFF_MAX / 4 + 1, PTRDIFF_MAX / 2 + 1,
    };
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        struct world world;
        make_world(&world, variant);
        for (size_t i = 0; i < LENGTH(too_long); i++) {
            struct tensor bad = good_tensor(&world, variant, 0);
            bad.n = too_long[i];
            check_context(tally, "%s, n = %zx", variant->name, bad.n);
            bool has_state = variant->uses[0] || variant->uses[1] || variant->uses[2];
            (has_state ? refuse_state : refuse_tensor)(tally, &world, variant, &bad,
                                                       GRADSTEP_ERROR_TOO_LONG, "n");
        }
        for (size_t buffer = 0; buffer < BUFFERS; buffer++) {
            if (!has_buffer(variant, buffer)) {
                continue;
            }
            /* One that ends at the last address is no better: there is no address behind it. */
            static const size_t bytes_left[] = {4, 8, N * 4 - 4, N * 4};
            for (size_t i = 0; i < LENGTH(bytes_left); i++) {
                struct tensor bad = good_tensor(&world, variant, 0);
                set_buffer(&bad, buffer, at_address(UINTPTR_MAX - bytes_left[i] + 1));
                check_context(tally, "%s, %s ends behind the last address", variant->name,
                              buffer_name(variant, buffer));
                (buffer < STATE ? refuse_tensor : refuse_state)(tally, &world, variant, &bad,
                                                                GRADSTEP_ERROR_TOO_LONG, "n");
            }
        }
    }
}

/* Each pair of buffers that shares one element, all, or anything between. */
void errors_overlaps(struct tally *tally) {
    static const int offsets[] = {-(N - 1), -1, 0, 1, N - 1};
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        struct world world;
        make_world(&world, variant);
        for (size_t moved = 0; moved < BUFFERS; moved++) {
            for (size_t fixed = 0; fixed < BUFFERS; fixed++) {
                if (moved == fixed || !has_buffer(variant, moved) || !has_buffer(variant, fixed)) {
                    continue;
                }
                const char *name = moved == GRAD || fixed == GRAD
                                       ? "grad"
                                       : buffer_name(variant, moved > fixed ? moved : fixed);
                for (size_t i = 0; i < LENGTH(offsets); i++) {
                    struct tensor bad = good_tensor(&world, variant, 0);
                    set_buffer(&bad, moved, get_buffer(&bad, fixed) + offsets[i]);
                    check_context(tally, "%s, %s is at %s %+d", variant->name,
                                  buffer_name(variant, moved), buffer_name(variant, fixed),
                                  offsets[i]);
                    (moved >= STATE && fixed >= STATE ? refuse_state : refuse_tensor)(
                        tally, &world, variant, &bad, GRADSTEP_ERROR_OVERLAP, name);
                }
            }
        }
    }
}

/* Buffers that touch are fine, in any order. */
void errors_adjacent_is_fine(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        for (size_t first = 0; first < BUFFERS; first++) {
            for (size_t stride = 1; stride < BUFFERS; stride++) {
                struct world world;
                make_world(&world, variant);
                struct tensor tensor = {.n = N};
                for (size_t i = 0; i < BUFFERS; i++) {
                    size_t buffer = (first + i * stride) % BUFFERS;
                    if (has_buffer(variant, buffer)) {
                        set_buffer(&tensor, buffer, world.memory + GAP + i * N);
                    }
                }
                variant->rule->put(world.list, 0, &tensor);
                check_context(tally, "%s, adjacent, order %zu %zu", variant->name, first, stride);
                const struct world before = world;
                CHECK_OK(tally, variant->rule->init(&world.hyper[0], N, tensor.state));
                CHECK_OK(tally, variant->rule->step(&world.hyper[0], NULL, 1, &tensor));
                CHECK_OK(tally, variant->rule->step_list(&world.hyper[0], NULL, 2, 1, world.list));
                /* And nothing but the buffers was written. */
                size_t used = GAP + BUFFERS * N;
                CHECK(tally, memcmp(world.memory, before.memory, GAP * sizeof(float)) == 0);
                CHECK(tally, memcmp(world.memory + used, before.memory + used,
                                    sizeof world.memory - used * sizeof(float)) == 0);
                CHECK(tally, memcmp(tensor.grad, before.memory + (tensor.grad - world.memory),
                                    N * sizeof(float)) == 0);
                CHECK(tally, memcmp(tensor.param, before.memory + (tensor.param - world.memory),
                                    N * sizeof(float)) != 0);
                CHECK(tally, memcmp(world.list, before.list,
                                    sizeof world - offsetof(struct world, list)) == 0);
            }
        }
    }
}

/* n = 0 does nothing, whatever the pointers. */
void errors_nothing_to_do(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        struct world world;
        make_world(&world, variant);
        float *same = place(&world, 0, 0);
        const struct tensor empty[] = {
            {0, NULL, NULL, {NULL}},
            {0, same, same, {same, same, same}},
            {0, shifted(same, 1), shifted(same, 2), {shifted(same, 3), shifted(same, 1), NULL}},
            {0, at_address(UINTPTR_MAX), at_address(UINTPTR_MAX), {at_address(UINTPTR_MAX)}},
            {0, at_address(UINTPTR_MAX - 3), at_address(4), {at_address(1)}},
            /* Strictly inside the list. */
            {0, (float *)world.list + 1, (float *)world.list + 1, {(float *)world.list + 2}},
        };
        for (size_t i = 0; i < LENGTH(empty); i++) {
            check_context(tally, "%s, n = 0, row %zu", variant->name, i);
            rule->put(world.list, 0, &empty[i]);
            rule->put(world.list, 1, &empty[i]);
            const struct world before = world;
            CHECK_OK(tally, rule->init(&world.hyper[0], 0, empty[i].state));
            CHECK_OK(tally, rule->step(&world.hyper[0], NULL, 1, &empty[i]));
            CHECK_OK(tally, rule->step_list(&world.hyper[0], NULL, 1, 1, world.list));
            CHECK_OK(tally, rule->step_list(&world.hyper[0], NULL, 1, 2, world.list));
            CHECK(tally, memcmp(&world, &before, sizeof world) == 0);
        }
        check_context(tally, "%s, count = 0", variant->name);
        const struct world before = world;
        CHECK_OK(tally, rule->step_list(&world.hyper[0], NULL, 1, 0, NULL));
        CHECK_OK(tally, rule->step_list(&world.hyper[0], NULL, 1, 0, at_address(1)));
        CHECK_OK(tally, rule->step_list(&world.hyper[0], NULL, 1, 0, world.list));
        CHECK(tally, memcmp(&world, &before, sizeof world) == 0);
    }
}

/* The list itself. */
void errors_lists(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        struct world world;
        make_world(&world, variant);
        const void *hyper = &world.hyper[0];
        for (size_t i = 0; i < TENSORS; i++) {
            struct tensor good = good_tensor(&world, variant, i);
            rule->put(world.list, i, &good);
        }
        struct world before = world;

        check_context(tally, "%s, list", variant->name);
        REFUSED(tally, &world, &before, rule->step_list(hyper, NULL, 1, 1, NULL),
                GRADSTEP_ERROR_NULL, "tensors");
        for (size_t bytes = 1; bytes < alignof(union any_tensor); bytes++) {
            REFUSED(tally, &world, &before,
                    rule->step_list(hyper, NULL, 1, 1, shifted((float *)world.list, bytes)),
                    GRADSTEP_ERROR_MISALIGNED, "tensors");
        }
        const size_t too_many[] = {SIZE_MAX, SIZE_MAX / rule->tensor_size,
                                   SIZE_MAX / rule->tensor_size + 1,
                                   PTRDIFF_MAX / rule->tensor_size + 1};
        for (size_t i = 0; i < LENGTH(too_many); i++) {
            REFUSED(tally, &world, &before, rule->step_list(hyper, NULL, 1, too_many[i], world.list),
                    GRADSTEP_ERROR_TOO_LONG, "count");
        }
        REFUSED(tally, &world, &before,
                rule->step_list(hyper, NULL, 1, 1, at_address(UINTPTR_MAX - rule->tensor_size + 1)),
                GRADSTEP_ERROR_TOO_LONG, "count");

        /* A buffer that is written lies on the list: as a whole, by one element at either end, or
         * in its last tensor. */
        for (size_t buffer = 0; buffer < BUFFERS; buffer++) {
            if (buffer == GRAD || !has_buffer(variant, buffer)) {
                continue;
            }
            float *list = (float *)world.list;
            size_t length = TENSORS * rule->tensor_size / sizeof(float);
            float *const on_list[] = {list, list - (N - 1), list + 1, list + length - 1};
            for (size_t i = 0; i < LENGTH(on_list); i++) {
                for (size_t index = 0; index < TENSORS; index++) {
                    make_world(&world, variant);
                    for (size_t j = 0; j < TENSORS; j++) {
                        struct tensor tensor = good_tensor(&world, variant, j);
                        if (j == index) {
                            set_buffer(&tensor, buffer, on_list[i]);
                        }
                        rule->put(world.list, j, &tensor);
                    }
                    before = world;
                    check_context(tally, "%s, %s lies on the list, row %zu", variant->name,
                                  buffer_name(variant, buffer), i);
                    REFUSED_OF(tally, &world, &before,
                               rule->step_list(hyper, NULL, 1, TENSORS, world.list),
                               GRADSTEP_ERROR_OVERLAP, "tensors", index);
                }
            }
        }
    }
}

/* Of several tensors with something wrong the first one is told. */
void errors_lists_first(struct tally *tally) {
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        for (size_t first = 0; first < TENSORS; first++) {
            struct world world;
            make_world(&world, variant);
            for (size_t i = 0; i < TENSORS; i++) {
                struct tensor tensor = good_tensor(&world, variant, i);
                if (i == first) {
                    tensor.param = (float *)world.list;
                } else if (i > first) {
                    tensor.grad = NULL;
                }
                rule->put(world.list, i, &tensor);
            }
            struct world before = world;
            const void *hyper = &world.hyper[0];
            check_context(tally, "%s, %zu is the first", variant->name, first);
            REFUSED_OF(tally, &world, &before, rule->step_list(hyper, NULL, 1, TENSORS, world.list),
                       GRADSTEP_ERROR_OVERLAP, "tensors", first);
            /* The hyperparameters and t come before any tensor. */
            REFUSED(tally, &world, &before, rule->step_list(hyper, NULL, 0, TENSORS, world.list),
                    GRADSTEP_ERROR_ZERO, "t");

            /* The other way round. */
            struct tensor tensor = good_tensor(&world, variant, first);
            tensor.grad = NULL;
            rule->put(world.list, first, &tensor);
            for (size_t i = first + 1; i < TENSORS; i++) {
                tensor = good_tensor(&world, variant, i);
                tensor.param = (float *)world.list;
                rule->put(world.list, i, &tensor);
            }
            before = world;
            REFUSED_OF(tally, &world, &before, rule->step_list(hyper, NULL, 1, TENSORS, world.list),
                       GRADSTEP_ERROR_NULL, "grad", first);
        }
    }
}

/* The index in a status has 15 bits: from 32766 on all are the same. */
void errors_lists_long(struct tally *tally) {
    enum { MANY = 65537 };
    static const struct {
        size_t index;
        int32_t tensor;
    } rows[] = {
        {255, 255},     {256, 256},     {32765, 32765}, {32766, 32766},
        {32767, 32766}, {65535, 32766}, {65536, 32766},
    };
    const gradstep_sgd hyper = {.lr = 0.1};
    gradstep_sgd_tensor *list = calloc(MANY, sizeof *list);
    check_context(tally, "a long list");
    if (!CHECK(tally, list != NULL)) {
        return;
    }
    CHECK_OK(tally, gradstep_sgd_step_list(&hyper, NULL, 1, MANY, list));
    for (size_t i = 0; i < LENGTH(rows); i++) {
        check_context(tally, "a long list, tensor %zu", rows[i].index);
        list[rows[i].index].n = 1;
        CHECK_ERROR_OF(tally, gradstep_sgd_step_list(&hyper, NULL, 1, MANY, list),
                       GRADSTEP_ERROR_NULL, "param", rows[i].tensor);
        CHECK_OK(tally, gradstep_sgd_step_list(&hyper, NULL, 1, rows[i].index, list));
        list[rows[i].index].n = 0;
    }
    free(list);
}

/* default and preset: what is not there is refused, and `hyper` stays. */
void errors_presets(struct tally *tally) {
    static const int32_t presets[] = {GRADSTEP_PRESET_TORCH,    GRADSTEP_PRESET_KERAS,
                                      GRADSTEP_PRESET_OPTAX,    GRADSTEP_PRESET_ARTICLE1,
                                      GRADSTEP_PRESET_ARTICLE2, GRADSTEP_PRESET_TF1};
    static const struct {
        const char *rule;
        int32_t preset;
    } unavailable[] = {
        {"rmsprop", GRADSTEP_PRESET_ARTICLE2}, {"adadelta", GRADSTEP_PRESET_ARTICLE1},
        {"adamw", GRADSTEP_PRESET_ARTICLE1},   {"adamw", GRADSTEP_PRESET_ARTICLE2},
        {"adamw", GRADSTEP_PRESET_TF1},
    };
    static const int32_t unknown[] = {-1, 6, 255, 256, 257, INT32_MAX, INT32_MIN};

    for (const struct rule *rule = rules; rule->name != NULL; rule++) {
        struct world world;
        make_world(&world, NULL);
        const struct world before = world;
        void *hyper = &world.hyper[0];
        check_context(tally, "%s, default and preset", rule->name);
        REFUSED(tally, &world, &before, rule->fill_default(NULL), GRADSTEP_ERROR_NULL, "hyper");
        REFUSED(tally, &world, &before, rule->fill_preset(NULL, 0), GRADSTEP_ERROR_NULL, "hyper");
        for (size_t bytes = 1; bytes < alignof(double); bytes++) {
            REFUSED(tally, &world, &before, rule->fill_default(shifted(hyper, bytes)),
                    GRADSTEP_ERROR_MISALIGNED, "hyper");
            REFUSED(tally, &world, &before, rule->fill_preset(shifted(hyper, bytes), 0),
                    GRADSTEP_ERROR_MISALIGNED, "hyper");
        }
        for (size_t i = 0; i < LENGTH(unknown); i++) {
            check_context(tally, "%s, preset %d", rule->name, (int)unknown[i]);
            REFUSED(tally, &world, &before, rule->fill_preset(hyper, unknown[i]),
                    GRADSTEP_ERROR_UNKNOWN, "preset");
        }
        for (size_t i = 0; i < LENGTH(presets); i++) {
            bool available = true;
            for (size_t j = 0; j < LENGTH(unavailable); j++) {
                available &= strcmp(unavailable[j].rule, rule->name) != 0 ||
                             unavailable[j].preset != presets[i];
            }
            check_context(tally, "%s, preset %d", rule->name, (int)presets[i]);
            make_world(&world, NULL);
            if (!available) {
                REFUSED(tally, &world, &before, rule->fill_preset(hyper, presets[i]),
                        GRADSTEP_ERROR_UNAVAILABLE, "preset");
                continue;
            }
            CHECK_OK(tally, rule->fill_preset(hyper, presets[i]));
            /* Nothing behind the struct was written, and every field holds what a step takes. */
            CHECK(tally, memcmp((char *)hyper + rule->hyper_size,
                                (const char *)&before.hyper[0] + rule->hyper_size,
                                sizeof world.hyper - rule->hyper_size) == 0);
            CHECK(tally, memcmp(&world, &before, offsetof(struct world, hyper)) == 0);
            CHECK_OK(tally, rule->step(hyper, NULL, 1, &(struct tensor){0}));
        }
    }
}

void errors_options_default(struct tally *tally) {
    struct world world;
    memset(&world, 0x55, sizeof world);
    const struct world before = world;
    gradstep_options *options = &world.options[0];
    const size_t size = sizeof *options;
    check_context(tally, "options_default");
    REFUSED(tally, &world, &before, gradstep_options_default(NULL, size), GRADSTEP_ERROR_NULL,
            "options");
    for (size_t bytes = 1; bytes < alignof(gradstep_options); bytes++) {
        void *off = shifted((float *)options, bytes);
        REFUSED(tally, &world, &before, gradstep_options_default(off, size),
                GRADSTEP_ERROR_MISALIGNED, "options");
    }
    static const size_t wrong[] = {0, 1, sizeof(gradstep_options) - 1, sizeof(gradstep_options) + 1,
                                   SIZE_MAX};
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        REFUSED(tally, &world, &before, gradstep_options_default(options, wrong[i]),
                GRADSTEP_ERROR_WRONG_SIZE, "size");
    }
    CHECK_OK(tally, gradstep_options_default(options, size));
    CHECK(tally, options->size == size && options->grad_scale == 1.0 &&
                     options->grad_clamp == (double)INFINITY);
    CHECK(tally, memcmp(&world.options[1], &before.options[1], size) == 0);
}

void errors_chunks(struct tally *tally) {
    struct world world;
    make_world(&world, NULL);
    const struct world before = world;
    size_t *begin = &world.begin[0];
    size_t *end = &world.end[0];
    static const size_t lengths[] = {0, 1, 100, SIZE_MAX};
    for (size_t i = 0; i < LENGTH(lengths); i++) {
        size_t n = lengths[i];
        check_context(tally, "chunk of %zu", n);
        REFUSED(tally, &world, &before, gradstep_chunk(n, 0, 0, begin, end), GRADSTEP_ERROR_ZERO,
                "chunks");
        REFUSED(tally, &world, &before, gradstep_chunk(n, 4, 4, begin, end),
                GRADSTEP_ERROR_OUT_OF_RANGE, "index");
        REFUSED(tally, &world, &before, gradstep_chunk(n, 1, SIZE_MAX, begin, end),
                GRADSTEP_ERROR_OUT_OF_RANGE, "index");
        REFUSED(tally, &world, &before, gradstep_chunk(n, SIZE_MAX, SIZE_MAX, begin, end),
                GRADSTEP_ERROR_OUT_OF_RANGE, "index");
        REFUSED(tally, &world, &before, gradstep_chunk(n, 4, 0, NULL, end), GRADSTEP_ERROR_NULL,
                "begin");
        REFUSED(tally, &world, &before, gradstep_chunk(n, 4, 0, begin, NULL), GRADSTEP_ERROR_NULL,
                "end");
        for (size_t bytes = 1; bytes < alignof(size_t); bytes++) {
            size_t *off_begin = (size_t *)(void *)shifted((float *)begin, bytes);
            size_t *off_end = (size_t *)(void *)shifted((float *)end, bytes);
            REFUSED(tally, &world, &before, gradstep_chunk(n, 4, 0, off_begin, end),
                    GRADSTEP_ERROR_MISALIGNED, "begin");
            REFUSED(tally, &world, &before, gradstep_chunk(n, 4, 0, begin, off_end),
                    GRADSTEP_ERROR_MISALIGNED, "end");
        }
    }
}

/* Statuses as numbers, also ones that no call returns. */
void errors_status(struct tally *tally) {
    static const int32_t kinds[] = {
        GRADSTEP_ERROR_NULL,
        GRADSTEP_ERROR_MISALIGNED,
        GRADSTEP_ERROR_OVERLAP,
        GRADSTEP_ERROR_TOO_LONG,
        GRADSTEP_ERROR_MISSING,
        GRADSTEP_ERROR_UNUSED,
        GRADSTEP_ERROR_NOT_NON_NEGATIVE,
        GRADSTEP_ERROR_NOT_FINITE,
        GRADSTEP_ERROR_NOT_IN_UNIT_INTERVAL,
        GRADSTEP_ERROR_NOT_A_FRACTION,
        GRADSTEP_ERROR_NOT_A_BOUND,
        GRADSTEP_ERROR_ZERO,
        GRADSTEP_ERROR_NESTEROV_NEEDS_MOMENTUM,
        GRADSTEP_ERROR_UNKNOWN,
        GRADSTEP_ERROR_UNAVAILABLE,
        GRADSTEP_ERROR_WRONG_SIZE,
        GRADSTEP_ERROR_OUT_OF_RANGE,
        GRADSTEP_ERROR_NOT_ZERO,
        GRADSTEP_ERROR_NOT_NORMAL,
        GRADSTEP_ERROR_NOT_ABOVE_ONE,
        GRADSTEP_ERROR_NOT_BETWEEN_ZERO_AND_ONE,
        GRADSTEP_ERROR_GRAD_NOT_FINITE,
        GRADSTEP_ERROR_FORMAT,
        GRADSTEP_ERROR_NOT_A_MULTIPLE,
        GRADSTEP_ERROR_NOT_AN_INTERVAL,
    };
    const char *const not_ours = "is not a status of this library";
    check_context(tally, "status");
    CHECK(tally, strcmp(gradstep_status_message(GRADSTEP_OK), "success") == 0);
    CHECK(tally, strcmp(gradstep_status_argument(GRADSTEP_OK), "") == 0);
    CHECK(tally, gradstep_status_tensor(GRADSTEP_OK) == -1);
    /* A message is the reason's alone, and says which it is. */
    for (size_t i = 0; i < LENGTH(kinds); i++) {
        const char *message = gradstep_status_message(kinds[i] | 1 << 8);
        CHECK(tally, strlen(message) > 5 && strcmp(message, not_ours) != 0);
        CHECK(tally, strcmp(message, gradstep_status_message(kinds[i] | 7 << 8)) == 0);
        for (size_t j = 0; j < i; j++) {
            CHECK(tally, kinds[i] != kinds[j]);
            CHECK(tally, strcmp(message, gradstep_status_message(kinds[j] | 1 << 8)) != 0);
        }
    }
    /* Any number has a text. */
    int32_t odd[5000] = {-1, INT32_MIN, INT32_MIN + 1, INT32_MAX, 0xff, 0xff00, 0x100, 5, 5 << 8};
    size_t count = 9;
    for (int32_t bit = 0; bit < 31; bit++) {
        odd[count++] = (int32_t)1 << bit;
        odd[count++] = -((int32_t)1 << bit);
    }
    uint32_t random = 1;
    while (count < LENGTH(odd)) {
        random = random * 1664525 + 1013904223;
        int32_t shift = (int32_t)(random >> 16) % 20; /* small ones as well */
        odd[count++] = (int32_t)(random & 0x7fffffff) >> shift;
    }
    for (size_t i = 0; i < count; i++) {
        check_context(tally, "status %d", (int)odd[i]);
        const char *message = gradstep_status_message(odd[i]);
        const char *argument = gradstep_status_argument(odd[i]);
        CHECK(tally, message != NULL && argument != NULL);
        CHECK(tally, odd[i] == GRADSTEP_OK || (strlen(message) > 0 && strlen(argument) > 0));
        CHECK(tally, odd[i] == GRADSTEP_OK || strcmp(message, "success") != 0);
        /* The upper bits are a tensor's, and change nothing else. */
        int32_t tensor = gradstep_status_tensor(odd[i]);
        CHECK(tally, tensor == (odd[i] < 0 ? -1 : odd[i] / 65536 - 1));
        int32_t elsewhere = (odd[i] & 0xffff) | 1234 << 16;
        CHECK(tally, gradstep_status_tensor(elsewhere) == 1233);
        CHECK(tally, GRADSTEP_STATUS_KIND(elsewhere) == GRADSTEP_STATUS_KIND(odd[i]));
        if ((odd[i] & 0xffff) != 0) {
            CHECK(tally, gradstep_status_message(elsewhere) == message);
            CHECK(tally, gradstep_status_argument(elsewhere) == argument);
        }
    }
}

/* Backends that are not there leave the choice as it is. */
void errors_backend(struct tally *tally) {
    static const int32_t unknown[] = {0, -1, 6, 255, 257, INT32_MAX, INT32_MIN};
    check_context(tally, "backend");
    const char *name = gradstep_backend_name();
    for (size_t i = 0; i < LENGTH(unknown); i++) {
        CHECK_ERROR(tally, gradstep_backend_force(unknown[i]), GRADSTEP_ERROR_UNKNOWN, "backend");
        CHECK(tally, strcmp(gradstep_backend_name(), name) == 0);
    }
    /* No machine has all of them. */
    const int32_t foreign[] = {
#if defined(__x86_64__) || defined(__i386__) || defined(_M_X64) || defined(_M_IX86)
        GRADSTEP_BACKEND_NEON,
        GRADSTEP_BACKEND_SIMD128,
#else
        GRADSTEP_BACKEND_AVX2,
        GRADSTEP_BACKEND_AVX512,
#endif
    };
    for (size_t i = 0; i < LENGTH(foreign); i++) {
        CHECK_ERROR(tally, gradstep_backend_force(foreign[i]), GRADSTEP_ERROR_UNAVAILABLE, "backend");
        CHECK(tally, strcmp(gradstep_backend_name(), name) == 0);
    }
}
