/* The numbers: what C computes is what Rust computed, in one step, in a list, in chunks, with
 * every instruction set. */

#include "check.h"
#include "rules.h"

#include <stdlib.h>
#include <string.h>

/* A short training run, and what it came to in Rust. */
struct run {
    const char *rule;
    const struct setting *settings;
    size_t setting_count;
    const gradstep_options *options; /* may be NULL */
    uint64_t first_t;
    size_t steps;
    size_t n;
    const float *param;                      /* n, where the run starts */
    const float *grads;                      /* n for each step */
    const float *expected_param;             /* n */
    const float *expected_state[MAX_STATES]; /* n each; NULL where there is none */
};

enum way { WHOLE, LIST, CHUNKS_OF_1, CHUNKS_OF_3, CHUNKS_OF_7, INTERRUPTED };

static struct tensor part(const struct tensor *whole, size_t begin, size_t end) {
    struct tensor tensor = {end - begin, whole->param + begin, whole->grad + begin, {NULL}};
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = whole->state[i] == NULL ? NULL : whole->state[i] + begin;
    }
    return tensor;
}

/* A step on pieces of many sizes, all in one call; one of them empty, and none at a register's
 * border but by chance. */
static void step_as_list(struct tally *tally, const struct rule *rule, const void *hyper,
                         const gradstep_options *options, uint64_t t, const struct tensor *whole) {
    enum { PIECES = 6 };
    union any_tensor list[PIECES];
    size_t begin = 0;
    for (size_t i = 0; i < PIECES; i++) {
        size_t length = i == 2 ? 0 : (whole->n - begin) / 3 + (whole->n - begin) % 3;
        size_t end = i == PIECES - 1 ? whole->n : begin + length;
        struct tensor piece = part(whole, begin, end);
        rule->put(list, i, &piece);
        begin = end;
    }
    CHECK_OK(tally, rule->step_list(hyper, options, t, PIECES, list));
}

static void step_in_chunks(struct tally *tally, const struct rule *rule, const void *hyper,
                           const gradstep_options *options, uint64_t t, const struct tensor *whole,
                           size_t chunks) {
    for (size_t index = chunks; index-- > 0;) {
        size_t begin, end;
        CHECK_OK(tally, gradstep_chunk(whole->n, chunks, index, &begin, &end));
        struct tensor piece = part(whole, begin, end);
        CHECK_OK(tally, rule->step(hyper, options, t, &piece));
    }
}

/* What a program keeps of a run that is interrupted within a step, as bytes, to go on later. */
struct checkpoint {
    union any_hyper hyper;
    uint64_t t;
    size_t next_chunk;
    unsigned char *buffers; /* the parameters, then the state */
};

/* Copies to a checkpoint, or from it, the parameters and the state. */
static void copy_buffers(const struct checkpoint *kept, const struct tensor *tensor, bool keep) {
    size_t size = tensor->n * sizeof(float);
    for (size_t i = 0; size > 0 && i <= MAX_STATES; i++) {
        float *buffer = i == 0 ? tensor->param : tensor->state[i - 1];
        if (buffer != NULL) {
            memcpy(keep ? kept->buffers + i * size : (unsigned char *)buffer,
                   keep ? (unsigned char *)buffer : kept->buffers + i * size, size);
        }
    }
}

/* A step in 3 chunks, after each of which everything is kept, lost, and restored. */
static void step_interrupted(struct tally *tally, const struct rule *rule, const void *hyper,
                             const gradstep_options *options, uint64_t t,
                             const struct tensor *whole) {
    enum { CHUNKS = 3 };
    struct checkpoint kept = {.t = t};
    memcpy(&kept.hyper, hyper, rule->hyper_size);
    kept.buffers = malloc((1 + MAX_STATES) * whole->n * sizeof(float) + 1);
    if (!CHECK(tally, kept.buffers != NULL)) {
        return;
    }
    copy_buffers(&kept, whole, true);
    while (kept.next_chunk < CHUNKS) {
        for (size_t i = 0; whole->n > 0 && i <= MAX_STATES; i++) {
            float *buffer = i == 0 ? whole->param : whole->state[i - 1];
            if (buffer != NULL) {
                memset(buffer, 0xff, whole->n * sizeof(float));
            }
        }
        copy_buffers(&kept, whole, false);
        union any_hyper again;
        memcpy(&again, &kept.hyper, sizeof again);
        size_t begin = whole->n * kept.next_chunk / CHUNKS;
        size_t end = whole->n * (kept.next_chunk + 1) / CHUNKS;
        struct tensor piece = part(whole, begin, end);
        CHECK_OK(tally, rule->step(&again, options, kept.t, &piece));
        copy_buffers(&kept, whole, true);
        kept.next_chunk++;
    }
    free(kept.buffers);
}

static bool same(const float *a, const float *b, size_t n) {
    return n == 0 || memcmp(a, b, n * sizeof *a) == 0;
}

static void walk(struct tally *tally, const struct run *run, const struct rule *rule,
                 const void *hyper, enum way way, float *memory) {
    struct tensor tensor = {.n = run->n, .param = memory};
    float *grad = memory + run->n;
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = run->expected_state[i] == NULL ? NULL : memory + (2 + i) * run->n;
    }
    if (run->n > 0) {
        memcpy(tensor.param, run->param, run->n * sizeof(float));
    }
    CHECK_OK(tally, rule->init(hyper, run->n, tensor.state));
    for (size_t step = 0; step < run->steps; step++) {
        uint64_t t = run->first_t + step;
        if (run->n > 0) {
            memcpy(grad, run->grads + step * run->n, run->n * sizeof(float));
        }
        tensor.grad = grad;
        switch (way) {
        case WHOLE:
            CHECK_OK(tally, rule->step(hyper, run->options, t, &tensor));
            break;
        case LIST:
            step_as_list(tally, rule, hyper, run->options, t, &tensor);
            break;
        case CHUNKS_OF_1:
            step_in_chunks(tally, rule, hyper, run->options, t, &tensor, 1);
            break;
        case CHUNKS_OF_3:
            step_in_chunks(tally, rule, hyper, run->options, t, &tensor, 3);
            break;
        case CHUNKS_OF_7:
            step_in_chunks(tally, rule, hyper, run->options, t, &tensor, 7);
            break;
        case INTERRUPTED:
            step_interrupted(tally, rule, hyper, run->options, t, &tensor);
            break;
        }
    }
    CHECK(tally, same(tensor.param, run->expected_param, run->n));
    for (size_t i = 0; i < MAX_STATES; i++) {
        if (tensor.state[i] != NULL) {
            CHECK(tally, same(tensor.state[i], run->expected_state[i], run->n));
        }
    }
}

/* Walks the run in every way, with the backend of the moment. */
void steps_match(struct tally *tally, const struct run *run) {
    static const char *const ways[] = {"whole",    "list",     "1 chunk",
                                       "3 chunks", "7 chunks", "interrupted"};
    const struct rule *rule = rule_named(run->rule);
    if (!CHECK(tally, rule != NULL)) {
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
    float *memory = malloc(((2 + MAX_STATES) * run->n + 1) * sizeof *memory);
    if (!CHECK(tally, memory != NULL)) {
        return;
    }
    for (enum way way = WHOLE; way <= INTERRUPTED; way++) {
        check_context(tally, "%s, n = %zu, t = %llu, %s, %s", run->rule, run->n,
                      (unsigned long long)run->first_t, ways[way], gradstep_backend_name());
        /* One element off the allocation's alignment. */
        walk(tally, run, rule, &hyper, way, memory + 1);
    }
    free(memory);
}

/* Uses this backend from now on; whether there is one. Number and name are Rust's. */
bool steps_force(struct tally *tally, int32_t backend, const char *name) {
    static const struct {
        int32_t backend;
        const char *name;
    } backends[] = {
        {GRADSTEP_BACKEND_SCALAR, "scalar"},     {GRADSTEP_BACKEND_NEON, "neon"},
        {GRADSTEP_BACKEND_SIMD128, "simd128"},   {GRADSTEP_BACKEND_AVX2, "avx2"},
        {GRADSTEP_BACKEND_AVX512, "avx512"},
    };
    check_context(tally, "%s", name);
    bool known = false;
    for (size_t i = 0; i < sizeof backends / sizeof backends[0]; i++) {
        known |= backends[i].backend == backend && strcmp(backends[i].name, name) == 0;
    }
    CHECK(tally, known);
    const char *before = gradstep_backend_name();
    int32_t status = gradstep_backend_force(backend);
    if (GRADSTEP_STATUS_KIND(status) == GRADSTEP_ERROR_UNAVAILABLE) {
        CHECK(tally, strcmp(gradstep_backend_name(), before) == 0);
        return false;
    }
    CHECK_OK(tally, status);
    CHECK(tally, strcmp(gradstep_backend_name(), name) == 0);
    return true;
}

/* Fills `hyper`, and checks that every byte of the struct is written, and none behind it: what was
 * there does not matter. */
static void fill(struct tally *tally, union any_hyper *hyper, const struct rule *rule,
                 int32_t (*filler)(const struct rule *rule, void *hyper, int32_t preset),
                 int32_t preset) {
    static const unsigned char bytes[] = {0xaa, 0x55, 0xff};
    memset(hyper, 0, sizeof *hyper);
    CHECK_OK(tally, filler(rule, hyper, preset));
    for (size_t i = 0; i < sizeof bytes; i++) {
        union any_hyper other;
        memset(&other, bytes[i], sizeof other);
        CHECK_OK(tally, filler(rule, &other, preset));
        CHECK(tally, memcmp(&other, hyper, rule->hyper_size) == 0);
        for (size_t at = rule->hyper_size; at < sizeof other; at++) {
            CHECK(tally, ((const unsigned char *)&other)[at] == bytes[i]);
        }
    }
}

static int32_t fill_default(const struct rule *rule, void *hyper, int32_t preset) {
    (void)preset;
    return rule->fill_default(hyper);
}

static int32_t fill_preset(const struct rule *rule, void *hyper, int32_t preset) {
    return rule->fill_preset(hyper, preset);
}

/* A preset has these values in C, for all of its fields but a reserved one, which is 0; `expected`
 * is NULL if there is none. */
void steps_preset(struct tally *tally, const char *rule_name, int32_t preset,
                  const struct setting *expected, size_t count) {
    const struct rule *rule = rule_named(rule_name);
    union any_hyper hyper;
    check_context(tally, "%s, preset %d", rule_name, (int)preset);
    if (!CHECK(tally, rule != NULL)) {
        return;
    }
    if (expected == NULL) {
        CHECK_ERROR(tally, rule->fill_preset(&hyper, preset), GRADSTEP_ERROR_UNAVAILABLE, "preset");
        return;
    }
    fill(tally, &hyper, rule, fill_preset, preset);
    size_t fields = 0;
    for (const struct field *field = rule->fields; field->name != NULL; field++) {
        if (field->domain == RESERVED) {
            CHECK(tally, get_field(&hyper, field) == 0.0);
        } else {
            fields++;
        }
    }
    CHECK(tally, fields == count);
    for (size_t i = 0; i < count; i++) {
        const struct field *field = field_named(rule, expected[i].field);
        if (!CHECK(tally, field != NULL)) {
            continue;
        }
        check_context(tally, "%s, preset %d, %s", rule_name, (int)preset, field->name);
        CHECK(tally, get_field(&hyper, field) == expected[i].value);
    }
    if (preset == GRADSTEP_PRESET_TORCH) {
        union any_hyper defaults;
        check_context(tally, "%s, default", rule_name);
        fill(tally, &defaults, rule, fill_default, 0);
        CHECK(tally, memcmp(&hyper, &defaults, rule->hyper_size) == 0);
    }
}

/* What gradstep_chunk() says of its parts. */
void steps_chunks(struct tally *tally) {
    static const size_t lengths[] = {0,   1,    255,  256,  257,   511,            512,
                                     769, 1600, 5000, 65537, 1 << 20, SIZE_MAX - 256, SIZE_MAX};
    static const size_t parts[] = {1, 2, 3, 4, 7, 16, 61, 1000};
    for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
        for (size_t j = 0; j < sizeof parts / sizeof parts[0]; j++) {
            size_t n = lengths[i], chunks = parts[j];
            size_t at = 0, shortest = SIZE_MAX, longest = 0;
            check_context(tally, "%zu elements in %zu chunks", n, chunks);
            for (size_t index = 0; index < chunks; index++) {
                size_t begin, end;
                CHECK_OK(tally, gradstep_chunk(n, chunks, index, &begin, &end));
                CHECK(tally, begin == at && begin <= end && end <= n);
                CHECK(tally, begin % 256 == 0 || begin == n);
                at = end;
                shortest = end - begin < shortest ? end - begin : shortest;
                longest = end - begin > longest ? end - begin : longest;
            }
            CHECK(tally, at == n);
            CHECK(tally, longest - shortest <= 256);
        }
    }
    size_t begin, end;
    check_context(tally, "more chunks than elements");
    CHECK_OK(tally, gradstep_chunk(SIZE_MAX, SIZE_MAX, SIZE_MAX - 1, &begin, &end));
    CHECK(tally, begin <= end && end == SIZE_MAX);
    CHECK_OK(tally, gradstep_chunk(1, SIZE_MAX, 0, &begin, &end));
    CHECK(tally, begin <= end && end <= 1);
}
