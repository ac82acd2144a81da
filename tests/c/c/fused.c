/* Fused steps: that C has the numbers of Rust, as a whole and in chunks of any order, and what is
 * refused. */

#include "check.h"
#include "rules.h"

#include <float.h>
#include <math.h>
#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

#define LENGTH(array) (sizeof(array) / sizeof(array)[0])

/* How many values a tensor has. */
enum { VALUES = 4 + MAX_STATES, PARAM = 0, GRAD = 1, STATE = 2, EMA = STATE + MAX_STATES, COPY };

static gradstep_values *values_of(struct fused_tensor *tensor, size_t which) {
    return which == PARAM  ? &tensor->param
           : which == GRAD ? &tensor->grad
           : which == EMA  ? &tensor->ema
           : which == COPY ? &tensor->copy
                           : &tensor->state[which - STATE];
}

static bool is_blocks(int32_t format) {
    return format == GRADSTEP_FORMAT_E4M3 || format == GRADSTEP_FORMAT_E5M3;
}

/* The bytes of `data`. */
static size_t data_size(int32_t format, size_t n) {
    return is_blocks(format)                ? gradstep_block_count(n) * 64
           : format == GRADSTEP_FORMAT_F32 ? n * sizeof(float)
                                           : n * sizeof(uint16_t);
}

static size_t exponents_size(int32_t format, size_t n) {
    return is_blocks(format) ? gradstep_block_count(n) : 0;
}

/* ---- Numbers ---- */

/* One fused step, and what it came to in Rust. */
struct fused_run {
    const char *rule;
    const struct setting *settings;
    size_t setting_count;
    const gradstep_options *options;   /* may be NULL */
    const gradstep_epilogue *epilogue; /* may be NULL */
    uint64_t t;
    size_t count;
    const struct fused_tensor *before;
    const struct fused_tensor *after;
};

enum { MOST_TENSORS = 4 };

/* A copy that ends where the memory does. */
static void *copied(const void *from, size_t size) {
    void *to = malloc(size > 0 ? size : 1);
    if (to != NULL && size > 0) {
        memcpy(to, from, size);
    }
    return to;
}

static bool same_values(const gradstep_values *a, const gradstep_values *b, size_t n) {
    if (a->data == NULL || b->data == NULL) {
        return a->data == b->data;
    }
    size_t data = data_size(a->format, n), exponents = exponents_size(a->format, n);
    return a->format == b->format && (data == 0 || memcmp(a->data, b->data, data) == 0) &&
           (exponents == 0 || memcmp(a->exponents, b->exponents, exponents) == 0);
}

static void step_in_chunks(struct tally *tally, const struct fused_run *run,
                           const struct rule *rule, const void *hyper, size_t chunks,
                           bool backwards) {
    struct fused_tensor copies[MOST_TENSORS];
    union any_fused_tensor list[MOST_TENSORS];
    for (size_t i = 0; i < run->count; i++) {
        copies[i] = run->before[i];
        for (size_t which = 0; which < VALUES; which++) {
            gradstep_values *values = values_of(&copies[i], which);
            size_t n = copies[i].n, exponents = exponents_size(values->format, n);
            if (values->data == NULL) {
                continue;
            }
            values->data = copied(values->data, data_size(values->format, n));
            values->exponents = exponents > 0 ? copied(values->exponents, exponents) : NULL;
            CHECK(tally, values->data != NULL && (exponents == 0 || values->exponents != NULL));
        }
        rule->put_fused(list, i, &copies[i]);
    }
    for (size_t i = 0; i < chunks; i++) {
        size_t index = backwards ? chunks - 1 - i : i;
        CHECK_OK(tally, rule->fused_step(hyper, run->options, run->epilogue, run->t, chunks, index,
                                         run->count, list));
    }
    for (size_t i = 0; i < run->count; i++) {
        struct fused_tensor expected = run->after[i];
        for (size_t which = 0; which < VALUES; which++) {
            gradstep_values *values = values_of(&copies[i], which);
            CHECK(tally, same_values(values, values_of(&expected, which), expected.n));
            if (values->data != NULL) {
                free(values->data);
                free(values->exponents);
            }
        }
    }
}

/* Takes the step in every way, with the backend of the moment. */
void fused_match(struct tally *tally, const struct fused_run *run) {
    static const struct {
        size_t chunks;
        bool backwards;
    } ways[] = {{1, false}, {3, false}, {3, true}, {7, true}, {20, false}};
    const struct rule *rule = rule_named(run->rule);
    check_context(tally, "%s", run->rule);
    if (!CHECK(tally, rule != NULL && run->count <= MOST_TENSORS)) {
        return;
    }
    union any_hyper hyper;
    CHECK_OK(tally, rule->fill_default(&hyper));
    for (size_t i = 0; i < run->setting_count; i++) {
        const struct field *field = field_named(rule, run->settings[i].field);
        if (!CHECK(tally, field != NULL)) {
            return;
        }
        set_field(&hyper, field, run->settings[i].value);
    }
    for (size_t i = 0; i < LENGTH(ways); i++) {
        check_context(tally, "%s, t = %llu, %zu tensors, the first of %zu, %zu chunks%s, %s",
                      run->rule, (unsigned long long)run->t, run->count, run->before[0].n,
                      ways[i].chunks, ways[i].backwards ? " backwards" : "",
                      gradstep_backend_name());
        step_in_chunks(tally, run, rule, &hyper, ways[i].chunks, ways[i].backwards);
    }
}

/* What gradstep_values_read() and gradstep_values_write() make of these numbers is what Rust makes of
 * them: `values` is what it has written, `read` what it has read of that. */
void fused_values_match(struct tally *tally, const gradstep_values *values, size_t n,
                        const float *numbers, const float *read) {
    check_context(tally, "%zu values of format %d", n, (int)values->format);
    size_t data = data_size(values->format, n), exponents = exponents_size(values->format, n);
    gradstep_values own = {.format = values->format};
    own.data = malloc(data > 0 ? data : 1);
    own.exponents = exponents > 0 ? malloc(exponents) : NULL;
    float *again = malloc(n > 0 ? n * sizeof *again : 1);
    if (CHECK(tally, own.data != NULL && again != NULL)) {
        CHECK_OK(tally, gradstep_values_write(&own, n, numbers));
        CHECK(tally, same_values(&own, values, n));
        CHECK_OK(tally, gradstep_values_read(&own, n, again));
        CHECK(tally, n == 0 || memcmp(again, read, n * sizeof *again) == 0);
    }
    free(own.data);
    free(own.exponents);
    free(again);
}

void fused_block_count(struct tally *tally) {
    static const size_t rows[][2] = {
        {0, 0},     {1, 1},     {63, 1},
        {64, 1},    {65, 2},    {1000, 16},
        {SIZE_MAX, SIZE_MAX / 64 + 1}, {SIZE_MAX - 63, SIZE_MAX / 64},
    };
    for (size_t i = 0; i < LENGTH(rows); i++) {
        check_context(tally, "blocks of %zu", rows[i][0]);
        CHECK(tally, gradstep_block_count(rows[i][0]) == rows[i][1]);
    }
}

/* ---- What is refused ---- */

enum {
    N = 70, /* two blocks, the second not full */
    TENSORS = 3,
    ROOM = 640, /* bytes of one piece of data, and what is between two */
    NARROW = 16, /* bytes for exponents */
};

/* Everything that a call can reach, in one piece, so that all of it can be compared. */
/* Tests are threads of one process: what is static here is one for each. */
struct world {
    alignas(64) unsigned char memory[TENSORS + 1][VALUES][ROOM];
    unsigned char exponents[TENSORS + 1][VALUES][NARROW];
    union any_fused_tensor list[TENSORS + 1];
    union any_hyper hyper[2];
    gradstep_options options[2];
    gradstep_epilogue epilogue[2];
    gradstep_values values[2];
};

static void make_world(struct world *world, const struct variant *variant) {
    memset(world, 0x35, sizeof *world);
    if (variant != NULL) {
        fill_variant(&world->hyper[0], variant);
    }
    gradstep_options_default(&world->options[0], sizeof world->options[0]);
    gradstep_epilogue_default(&world->epilogue[0], sizeof world->epilogue[0]);
}

/* A status is this error, of the tensor with this index or -1, and `world` is still `before`. */
#define REFUSED_OF(call, kind, argument, tensor)                                                   \
    do {                                                                                           \
        CHECK_ERROR_OF(tally, call, kind, argument, tensor);                                       \
        CHECK(tally, memcmp(world, before, sizeof *world) == 0);                                   \
    } while (0)

#define REFUSED(call, kind, argument) REFUSED_OF(call, kind, argument, -1)

static bool is_square(const char *state) {
    static const char *const names[] = {"sum", "square_avg", "acc_delta", "exp_avg_sq",
                                        "max_exp_avg_sq"};
    for (size_t i = 0; i < LENGTH(names); i++) {
        if (strcmp(state, names[i]) == 0) {
            return true;
        }
    }
    return false;
}

/* The formats that a tensor's values may have: 8 bits are for the state alone. */
enum { FORMATS = 4 };

static int32_t format_for(const struct variant *variant, size_t which, size_t format) {
    static const int32_t formats[] = {GRADSTEP_FORMAT_F32, GRADSTEP_FORMAT_BF16,
                                      GRADSTEP_FORMAT_F16};
    if (format < LENGTH(formats)) {
        return formats[format];
    }
    if (which < STATE || which >= EMA) {
        return GRADSTEP_FORMAT_BF16;
    }
    return is_square(variant->rule->states[which - STATE]) ? GRADSTEP_FORMAT_E5M3
                                                           : GRADSTEP_FORMAT_E4M3;
}

static bool has_values(const struct variant *variant, size_t which) {
    return which < STATE || which >= EMA || variant->uses[which - STATE];
}

static const char *values_name(const struct variant *variant, size_t which) {
    return which == PARAM  ? "param"
           : which == GRAD ? "grad"
           : which == EMA  ? "ema"
           : which == COPY ? "copy"
                           : variant->rule->states[which - STATE];
}

/* A tensor of the world that nothing is wrong with; its formats follow each other, from this one. */
static struct fused_tensor good_tensor(struct world *world, const struct variant *variant,
                                       size_t index, size_t format) {
    struct fused_tensor tensor = {.n = N, .offset = 256 * index};
    for (size_t which = 0; which < VALUES; which++) {
        if (!has_values(variant, which)) {
            continue;
        }
        gradstep_values *values = values_of(&tensor, which);
        values->format = format_for(variant, which, (format + which) % FORMATS);
        values->data = world->memory[index][which];
        values->exponents = is_blocks(values->format) ? world->exponents[index][which] : NULL;
    }
    return tensor;
}

/* A step that might go through if it were not for one thing. */
static int32_t try_step(struct world *world, const struct variant *variant, size_t count) {
    return variant->rule->fused_step(&world->hyper[0], &world->options[0], &world->epilogue[0], 1,
                                     3, 1, count, world->list);
}

/* A bad tensor is refused wherever it stands in a list, by each chunk. */
static void refuse_tensor(struct tally *tally, struct world *world, const struct variant *variant,
                          const struct fused_tensor *bad, int32_t kind, const char *argument) {
    for (size_t bad_index = 0; bad_index < TENSORS; bad_index++) {
        for (size_t i = 0; i < TENSORS; i++) {
            /* The bad one is the world's first. */
            struct fused_tensor good = good_tensor(world, variant, 1 + i, i);
            variant->rule->put_fused(world->list, i, i == bad_index ? bad : &good);
        }
        static _Thread_local struct world copy;
        memcpy(&copy, world, sizeof copy);
        const struct world *before = &copy;
        REFUSED_OF(try_step(world, variant, TENSORS), kind, argument, bad_index);
    }
}

/* What is wrong with one of the values by itself. */
static void bad_values(struct tally *tally, struct world *world, const struct variant *variant,
                       size_t which, size_t format) {
    const struct fused_tensor good = good_tensor(world, variant, 0, format);
    const char *name = values_name(variant, which);
    const bool is_state = which >= STATE && which < EMA;
    const bool is_optional = which >= EMA || (is_state && variant->rule->optional[which - STATE]);
    struct fused_tensor bad = good;
    gradstep_values *values = values_of(&bad, which);
#define REFUSE(kind)                                                                               \
    do {                                                                                           \
        refuse_tensor(tally, world, variant, &bad, kind, name);                                    \
        bad = good;                                                                                \
    } while (0)

    if (!has_values(variant, which)) {
        if (variant->rule->states[which - STATE] == NULL) {
            return;
        }
        check_context(tally, "%s, %s is not used", variant->name, name);
        values->data = world->memory[0][which];
        REFUSE(GRADSTEP_ERROR_UNUSED);
        return;
    }
    check_context(tally, "%s, %s of format %d", variant->name, name, (int)values->format);

    if (which < STATE || (is_state && !is_optional)) {
        values->data = NULL;
        REFUSE(GRADSTEP_ERROR_NULL);
    } else if (is_state) {
        values->data = NULL;
        REFUSE(GRADSTEP_ERROR_MISSING);
    }
    size_t alignment = values->format == GRADSTEP_FORMAT_F32 || is_blocks(values->format) ? 4 : 2;
    for (size_t bytes = 1; bytes < alignment; bytes++) {
        values->data = (char *)values->data + bytes;
        REFUSE(GRADSTEP_ERROR_MISALIGNED);
    }
    if (is_blocks(values->format)) {
        values->exponents = NULL;
        REFUSE(GRADSTEP_ERROR_NULL);
        values->exponents = values->data;
        REFUSE(GRADSTEP_ERROR_OVERLAP);
        values->exponents = (uint8_t *)values->data + 127;
        REFUSE(GRADSTEP_ERROR_OVERLAP);
    } else {
        values->exponents = world->exponents[0][which];
        REFUSE(GRADSTEP_ERROR_UNUSED);
    }
    static const int32_t undefined[] = {-1, 5, 6, 255, 256, 257, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < LENGTH(undefined); i++) {
        values->format = undefined[i];
        REFUSE(GRADSTEP_ERROR_FORMAT);
    }
    static const int32_t blocks[] = {GRADSTEP_FORMAT_E4M3, GRADSTEP_FORMAT_E5M3};
    for (size_t i = 0; i < LENGTH(blocks); i++) {
        if (!is_state || format_for(variant, which, FORMATS - 1) != blocks[i]) {
            values->format = blocks[i];
            values->exponents = world->exponents[0][which];
            REFUSE(GRADSTEP_ERROR_FORMAT);
        }
    }
    static const int32_t not_zero[] = {1, -1, 256, INT32_MAX, INT32_MIN};
    for (size_t i = 0; i < LENGTH(not_zero); i++) {
        values->reserved = not_zero[i];
        REFUSE(GRADSTEP_ERROR_NOT_ZERO);
    }
#undef REFUSE
}

void fused_errors_values(struct tally *tally) {
    static _Thread_local struct world world;
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        for (size_t which = 0; which < VALUES; which++) {
            for (size_t format = 0; format < FORMATS; format++) {
                make_world(&world, variant);
                bad_values(tally, &world, variant, which, format);
            }
        }
    }
}

/* Two of a tensor's values that share a byte, and one that shares one with the list. A gradient that is
 * only read may not share one with what is written, either. */
void fused_errors_overlaps(struct tally *tally) {
    static _Thread_local struct world world;
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        for (size_t i = 0; i < VALUES * VALUES * FORMATS; i++) {
            size_t a = i % VALUES, b = i / VALUES % VALUES, format = i / VALUES / VALUES;
            if (a == b || !has_values(variant, a) || !has_values(variant, b)) {
                continue;
            }
            make_world(&world, variant);
            world.epilogue[0].zero_grad = format % 2;
            struct fused_tensor bad = good_tensor(&world, variant, 0, format);
            gradstep_values *moved = values_of(&bad, a), *other = values_of(&bad, b);
            /* Of two it is the later one that is told. The state comes behind the gradient here. */
            const char *name = values_name(variant, a > b ? a : b);
            size_t size = data_size(other->format, N);
            char *const places[] = {(char *)other->data, (char *)other->data + size - 4,
                                    (char *)other->data - data_size(moved->format, N) + 4};
            for (size_t place = 0; place < LENGTH(places); place++) {
                check_context(tally, "%s, %s on %s, place %zu", variant->name,
                              values_name(variant, a), values_name(variant, b), place);
                moved->data = places[place];
                if (b != PARAM || place < 2) {
                    refuse_tensor(tally, &world, variant, &bad, GRADSTEP_ERROR_OVERLAP, name);
                }
            }
            if (is_blocks(other->format)) {
                moved->data = other->exponents;
                if ((uintptr_t)moved->data % 4 == 0) {
                    refuse_tensor(tally, &world, variant, &bad, GRADSTEP_ERROR_OVERLAP, name);
                }
            }
        }
        for (size_t which = 0; which < VALUES; which++) {
            if (!has_values(variant, which)) {
                continue;
            }
            make_world(&world, variant);
            world.epilogue[0].zero_grad = 1;
            struct fused_tensor bad = good_tensor(&world, variant, 0, which);
            values_of(&bad, which)->data = world.list;
            check_context(tally, "%s, %s on the list", variant->name, values_name(variant, which));
            refuse_tensor(tally, &world, variant, &bad, GRADSTEP_ERROR_OVERLAP, "tensors");
        }
    }
}

/* n, offset, and what an empty tensor is not asked for. */
void fused_errors_tensors(struct tally *tally) {
    static _Thread_local struct world world;
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        for (size_t format = 0; format < FORMATS; format++) {
            make_world(&world, variant);
            const struct fused_tensor good = good_tensor(&world, variant, 0, format);
            struct fused_tensor bad = good;
            static const size_t too_long[] = {SIZE_MAX, SIZE_MAX - 1, SIZE_MAX / 2 + 1,
                                              SIZE_MAX / 2 - 64};
            for (size_t i = 0; i < LENGTH(too_long); i++) {
                check_context(tally, "%s, n = %zu", variant->name, too_long[i]);
                bad.n = too_long[i];
                refuse_tensor(tally, &world, variant, &bad, GRADSTEP_ERROR_TOO_LONG, "n");
            }
            bad = good;
            static const uint64_t offsets[] = {1, 64, 128, 255, 257, UINT64_MAX, UINT64_MAX - 256};
            for (size_t i = 0; i < LENGTH(offsets); i++) {
                check_context(tally, "%s, offset %llu", variant->name,
                              (unsigned long long)offsets[i]);
                bad.offset = offsets[i];
                refuse_tensor(tally, &world, variant, &bad, GRADSTEP_ERROR_NOT_A_MULTIPLE, "offset");
            }
            /* The largest offset is one, and an empty tensor has nothing to be refused. */
            bad.offset = UINT64_MAX - 255;
            variant->rule->put_fused(world.list, 0, &bad);
            struct fused_tensor empty = {.offset = 1, .param = {.format = -1, .reserved = 1}};
            variant->rule->put_fused(world.list, 1, &empty);
            check_context(tally, "%s, the largest offset, and an empty tensor", variant->name);
            struct world before;
    memcpy(&before, &world, sizeof before);
            CHECK_OK(tally, try_step(&world, variant, 2));
            for (size_t index = 0; index < 3; index++) {
                CHECK_OK(tally,
                         variant->rule->fused_step(&world.hyper[0], NULL, NULL, 1, 3, index, 1,
                                                   (char *)world.list +
                                                       variant->rule->fused_tensor_size));
            }
            CHECK(tally, memcmp(world.list, before.list, sizeof world.list) == 0);
        }
    }
}

/* Everything around the tensors. */
void fused_errors_arguments(struct tally *tally) {
    static _Thread_local struct world place;
    struct world *world = &place;
    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        make_world(world, variant);
        struct fused_tensor good = good_tensor(world, variant, 0, 3);
        rule->put_fused(world->list, 0, &good);
        static _Thread_local struct world copy;
        memcpy(&copy, world, sizeof copy);
        const struct world *before = &copy;
        const void *hyper = &world->hyper[0];
        const gradstep_options *options = &world->options[0];
        gradstep_epilogue *epilogue = &world->epilogue[0];
        const void *list = world->list;
#define STEP(hyper, options, epilogue, t, chunks, index, count, list)                              \
    rule->fused_step(hyper, options, epilogue, t, chunks, index, count, list)
        check_context(tally, "%s, arguments", variant->name);
        REFUSED(STEP(NULL, options, epilogue, 1, 1, 0, 1, list), GRADSTEP_ERROR_NULL, "hyper");
        REFUSED(STEP(NULL, NULL, NULL, 1, 1, 0, 0, NULL), GRADSTEP_ERROR_NULL, "hyper");
        REFUSED(STEP(hyper, options, epilogue, 0, 1, 0, 1, list), GRADSTEP_ERROR_ZERO, "t");
        REFUSED(STEP(hyper, NULL, NULL, 1, 0, 0, 1, list), GRADSTEP_ERROR_ZERO, "chunks");
        REFUSED(STEP(hyper, NULL, NULL, 1, 0, 0, 0, NULL), GRADSTEP_ERROR_ZERO, "chunks");
        REFUSED(STEP(hyper, NULL, NULL, 1, 1, 1, 1, list), GRADSTEP_ERROR_OUT_OF_RANGE, "index");
        REFUSED(STEP(hyper, NULL, NULL, 1, 3, SIZE_MAX, 1, list), GRADSTEP_ERROR_OUT_OF_RANGE,
                "index");
        REFUSED(STEP(hyper, NULL, NULL, 1, 1, 0, 1, NULL), GRADSTEP_ERROR_NULL, "tensors");
        REFUSED(STEP(hyper, NULL, NULL, 1, 1, 0, SIZE_MAX, list), GRADSTEP_ERROR_TOO_LONG, "count");
        REFUSED(STEP(hyper, NULL, NULL, 1, 1, 0, SIZE_MAX / 64, list), GRADSTEP_ERROR_TOO_LONG,
                "count");
        CHECK_OK(tally, STEP(hyper, NULL, NULL, 1, 1, 0, 0, NULL));
        for (size_t bytes = 1; bytes < alignof(size_t); bytes++) {
            check_context(tally, "%s, %zu bytes off", variant->name, bytes);
#define OFF(pointer) ((const void *)((const char *)(pointer) + bytes))
            REFUSED(STEP(OFF(hyper), NULL, NULL, 1, 1, 0, 1, list), GRADSTEP_ERROR_MISALIGNED,
                    "hyper");
            REFUSED(STEP(hyper, OFF(options), NULL, 1, 1, 0, 1, list), GRADSTEP_ERROR_MISALIGNED,
                    "options");
            REFUSED(STEP(hyper, NULL, OFF(epilogue), 1, 1, 0, 1, list), GRADSTEP_ERROR_MISALIGNED,
                    "epilogue");
            REFUSED(STEP(hyper, NULL, NULL, 1, 1, 0, 1, OFF(list)), GRADSTEP_ERROR_MISALIGNED,
                    "tensors");
        }

        enum { SIZE = sizeof(gradstep_epilogue) };
        static const struct {
            gradstep_epilogue epilogue;
            int32_t kind;
            const char *argument;
        } rows[] = {
#define ROW(size, ema_decay, min, max, rounding, zero_grad, kind, argument)                        \
    {{size, ema_decay, min, max, 0, rounding, zero_grad}, GRADSTEP_ERROR_##kind, argument}
            ROW(0, 0.5, -1, 1, 0, 0, WRONG_SIZE, "size"),
            ROW(SIZE - 1, 0.5, -1, 1, 0, 0, WRONG_SIZE, "size"),
            ROW(SIZE + 1, 0.5, -1, 1, 0, 0, WRONG_SIZE, "size"),
            ROW(SIZE_MAX, 0.5, -1, 1, 0, 0, WRONG_SIZE, "size"),
            ROW(SIZE, -DBL_TRUE_MIN, -1, 1, 0, 0, NOT_A_FRACTION, "ema_decay"),
            ROW(SIZE, 1 + DBL_EPSILON, -1, 1, 0, 0, NOT_A_FRACTION, "ema_decay"),
            ROW(SIZE, INFINITY, -1, 1, 0, 0, NOT_A_FRACTION, "ema_decay"),
            ROW(SIZE, NAN, -1, 1, 0, 0, NOT_A_FRACTION, "ema_decay"),
            ROW(SIZE, 0.5, 1, 1 - DBL_EPSILON, 0, 0, NOT_AN_INTERVAL, "param_max"),
            ROW(SIZE, 0.5, INFINITY, -INFINITY, 0, 0, NOT_AN_INTERVAL, "param_max"),
            ROW(SIZE, 0.5, NAN, 1, 0, 0, NOT_AN_INTERVAL, "param_max"),
            ROW(SIZE, 0.5, -1, NAN, 0, 0, NOT_AN_INTERVAL, "param_max"),
            ROW(SIZE, 0.5, NAN, NAN, 0, 0, NOT_AN_INTERVAL, "param_max"),
            ROW(SIZE, 0.5, -1, 1, 2, 0, UNKNOWN, "rounding"),
            ROW(SIZE, 0.5, -1, 1, -1, 0, UNKNOWN, "rounding"),
            ROW(SIZE, 0.5, -1, 1, 256, 0, UNKNOWN, "rounding"),
            ROW(SIZE, 0.5, -1, 1, 257, 0, UNKNOWN, "rounding"),
            ROW(SIZE, 0.5, -1, 1, INT32_MIN, 0, UNKNOWN, "rounding"),
            ROW(SIZE, 0.5, -1, 1, 0, 2, UNKNOWN, "zero_grad"),
            ROW(SIZE, 0.5, -1, 1, 0, -1, UNKNOWN, "zero_grad"),
            ROW(SIZE, 0.5, -1, 1, 0, 256, UNKNOWN, "zero_grad"),
            ROW(SIZE, 0.5, -1, 1, 0, INT32_MAX, UNKNOWN, "zero_grad"),
        };
        for (size_t i = 0; i < LENGTH(rows); i++) {
            check_context(tally, "%s, epilogue %zu", variant->name, i);
            *epilogue = rows[i].epilogue;
            memcpy(&copy, world, sizeof copy);
            REFUSED(STEP(hyper, options, epilogue, 1, 1, 0, 1, list), rows[i].kind,
                    rows[i].argument);
            REFUSED(STEP(hyper, NULL, epilogue, 1, 1, 0, 0, NULL), rows[i].kind, rows[i].argument);
        }
        static const gradstep_epilogue bounds[] = {
            {SIZE, 0.0, -INFINITY, INFINITY, UINT64_MAX, GRADSTEP_ROUNDING_NEAREST, 0},
            {SIZE, 1.0, 1.0, 1.0, 0, GRADSTEP_ROUNDING_STOCHASTIC, 1},
        };
        for (size_t i = 0; i < LENGTH(bounds); i++) {
            check_context(tally, "%s, bounds %zu", variant->name, i);
            *epilogue = bounds[i];
            CHECK_OK(tally, STEP(hyper, options, epilogue, UINT64_MAX, 1, 0, 1, list));
        }
    }
}

void fused_errors_epilogue_default(struct tally *tally) {
    static _Thread_local struct world place, copy;
    struct world *world = &place;
    memset(world, 0x55, sizeof *world);
    memcpy(&copy, world, sizeof copy);
    const struct world *before = &copy;
    gradstep_epilogue *epilogue = &world->epilogue[0];
    const size_t size = sizeof *epilogue;
    check_context(tally, "epilogue_default");
    REFUSED(gradstep_epilogue_default(NULL, size), GRADSTEP_ERROR_NULL, "epilogue");
    for (size_t bytes = 1; bytes < alignof(gradstep_epilogue); bytes++) {
        void *off = (char *)epilogue + bytes;
        REFUSED(gradstep_epilogue_default(off, size), GRADSTEP_ERROR_MISALIGNED, "epilogue");
    }
    static const size_t wrong[] = {0, 1, sizeof(gradstep_epilogue) - 1,
                                   sizeof(gradstep_epilogue) + 1, SIZE_MAX};
    for (size_t i = 0; i < LENGTH(wrong); i++) {
        REFUSED(gradstep_epilogue_default(epilogue, wrong[i]), GRADSTEP_ERROR_WRONG_SIZE, "size");
    }
    CHECK_OK(tally, gradstep_epilogue_default(epilogue, size));
    CHECK(tally, epilogue->size == size && epilogue->ema_decay == 0.999 &&
                     epilogue->param_min == -(double)INFINITY &&
                     epilogue->param_max == (double)INFINITY && epilogue->seed == 0 &&
                     epilogue->rounding == GRADSTEP_ROUNDING_STOCHASTIC &&
                     epilogue->zero_grad == 0);
    CHECK(tally, memcmp(&world->epilogue[1], &before->epilogue[1], size) == 0);
}

/* Both functions that know nothing of a rule. */
void fused_errors_read_and_write(struct tally *tally) {
    static _Thread_local struct world place, copy;
    struct world *world = &place;
    const struct world *before = &copy;
    gradstep_values *values = &world->values[0];
    float *numbers = (float *)(void *)world->memory[0][0];
#define BOTH(values, n, numbers, kind, argument)                                                   \
    do {                                                                                           \
        memcpy(&copy, world, sizeof copy);                                                         \
        REFUSED(gradstep_values_read(values, n, numbers), kind, argument);                         \
        REFUSED(gradstep_values_write(values, n, numbers), kind, argument);                        \
    } while (0)
    for (int32_t format = GRADSTEP_FORMAT_F32; format <= GRADSTEP_FORMAT_E5M3; format++) {
        make_world(world, NULL);
        const gradstep_values good = {world->memory[1][0],
                                      is_blocks(format) ? world->exponents[1][0] : NULL, format, 0};
        check_context(tally, "values of format %d", (int)format);
        *values = good;
        BOTH(NULL, N, numbers, GRADSTEP_ERROR_NULL, "values");
        for (size_t bytes = 1; bytes < alignof(gradstep_values); bytes++) {
            const void *off = (char *)values + bytes;
            BOTH(off, N, numbers, GRADSTEP_ERROR_MISALIGNED, "values");
        }
        BOTH(values, N, NULL, GRADSTEP_ERROR_NULL, "numbers");
        for (size_t bytes = 1; bytes < alignof(float); bytes++) {
            float *off = (float *)(void *)(world->memory[0][0] + bytes);
            BOTH(values, N, off, GRADSTEP_ERROR_MISALIGNED, "numbers");
        }
        BOTH(values, SIZE_MAX, numbers, GRADSTEP_ERROR_TOO_LONG, "n");
        BOTH(values, N, (float *)values->data, GRADSTEP_ERROR_OVERLAP, "numbers");
        float *last = (float *)(void *)((char *)values->data + data_size(format, N) - 4);
        BOTH(values, N, last, GRADSTEP_ERROR_OVERLAP, "numbers");
        if (is_blocks(format)) {
            BOTH(values, N, (float *)(void *)world->exponents[1][0], GRADSTEP_ERROR_OVERLAP,
                 "numbers");
            values->exponents = NULL;
            BOTH(values, N, numbers, GRADSTEP_ERROR_NULL, "values");
            values->exponents = values->data;
            memcpy(&copy, world, sizeof copy);
            REFUSED(gradstep_values_write(values, N, numbers), GRADSTEP_ERROR_OVERLAP, "values");
        } else {
            values->exponents = world->exponents[1][0];
            BOTH(values, N, numbers, GRADSTEP_ERROR_UNUSED, "values");
        }
        *values = good;
        values->data = NULL;
        BOTH(values, N, numbers, GRADSTEP_ERROR_NULL, "values");
        values->data = (char *)good.data + 1;
        BOTH(values, N, numbers, GRADSTEP_ERROR_MISALIGNED, "values");
        *values = good;
        values->reserved = 1;
        BOTH(values, N, numbers, GRADSTEP_ERROR_NOT_ZERO, "values");
        static const int32_t undefined[] = {-1, 5, 256, INT32_MAX, INT32_MIN};
        for (size_t i = 0; i < LENGTH(undefined); i++) {
            *values = good;
            values->format = undefined[i];
            BOTH(values, N, numbers, GRADSTEP_ERROR_FORMAT, "values");
        }
        CHECK_OK(tally, gradstep_values_read(NULL, 0, NULL));
        CHECK_OK(tally, gradstep_values_write(values, 0, NULL));
        CHECK(tally, memcmp(world, before, sizeof *world) == 0);
    }
}
