/* Which memory a step touches: the gradient and the hyperparameters are only read, and nothing
 * before or behind a buffer is touched at all. */

#if defined(__unix__) || defined(__APPLE__)
#define _DEFAULT_SOURCE /* MAP_ANONYMOUS */
#define _DARWIN_C_SOURCE
#include <sys/mman.h>
#include <unistd.h>
#define HAS_PAGES 1
#else
#define HAS_PAGES 0
#endif

#include "check.h"
#include "rules.h"

#include <string.h>

/* Constant objects, which a linker puts where nothing can be written. */
void memory_constants(struct tally *tally) {
    static const float grad[5] = {1.0F, -2.0F, 3.0F, -4.0F, 5.0F};
    static const gradstep_options options = {sizeof options, 2.0, 1e30};
    static const gradstep_adam hyper = {.lr = 0.25};
    static float param[5], exp_avg[5], exp_avg_sq[5];
    static const gradstep_adam_tensor list[1] = {
        {.n = 5, .param = param, .grad = grad, .exp_avg = exp_avg, .exp_avg_sq = exp_avg_sq}};
    memset(param, 0, sizeof param);
    check_context(tally, "constants");
    CHECK_OK(tally, gradstep_adam_init(&hyper, 5, exp_avg, exp_avg_sq, NULL));
    CHECK_OK(tally, gradstep_adam_step_list(&hyper, &options, 1, 1, list));
    /* Without averages a step is lr, against the gradient's sign. */
    for (size_t i = 0; i < 5; i++) {
        CHECK(tally, param[i] == (grad[i] > 0 ? -0.25F : 0.25F));
    }
}

#if HAS_PAGES

/* All lengths up to more than eight registers of 16 floats, and the farthest that a buffer is from
 * its shore: 64 bytes. */
enum { MOST = 130, FARTHEST = 16 };

/* Elements on either side of a buffer that are looked at, as far as there are any. */
enum { LOOKED_AT = 40 };

/* param, grad, and the states. */
enum { BUFFERS = 2 + MAX_STATES };

/* Pages, with one that cannot be touched before and behind. */
struct island {
    char *all;
    size_t all_size;
    char *begin;
    size_t size;
};

static bool make_island(struct island *island) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    size_t most = (MOST + FARTHEST + LOOKED_AT) * sizeof(float);
    island->size = (most + page - 1) / page * page;
    island->all_size = island->size + 2 * page;
    island->all = mmap(NULL, island->all_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (island->all == MAP_FAILED) {
        return false;
    }
    island->begin = island->all + page;
    return mprotect(island->begin, island->size, PROT_READ | PROT_WRITE) == 0;
}

/* Where on its island a buffer lies: so many elements from the beginning, or from the end. */
struct place {
    bool at_end;
    size_t distance;
};

static float *on_shore(const struct island *island, size_t n, struct place place) {
    size_t bytes = place.distance * sizeof(float);
    size_t from = place.at_end ? island->size - n * sizeof(float) - bytes : bytes;
    return (float *)(void *)(island->begin + from);
}

/* Each buffer lies as the first, or each somewhere else. */
static struct place arranged(struct place first, size_t index, bool alike) {
    struct place other = {first.at_end != (index % 2 == 1),
                          (first.distance + 5 * index) % (FARTHEST + 1)};
    return alike ? first : other;
}

static float number(size_t buffer, size_t i) {
    float value = (float)((i * 7 + buffer * 3) % 13) - 6.0F;
    return buffer < 2 ? value : value * value; /* which is any state, where `init` has no say */
}

/* What is around a buffer, as bytes. */
enum { UNTOUCHED = 0x5a };

/* Whether the bytes around the buffer are as they were. */
static bool untouched_around(const struct island *island, const float *buffer, size_t n) {
    const char *begin = (const char *)buffer, *end = (const char *)(buffer + n);
    const char *first = island->begin, *last = island->begin + island->size;
    size_t looked_at = LOOKED_AT * sizeof(float);
    first = (size_t)(begin - first) > looked_at ? begin - looked_at : first;
    last = (size_t)(last - end) > looked_at ? end + looked_at : last;
    for (const char *byte = first; byte < last; byte++) {
        if ((byte < begin || byte >= end) && *byte != UNTOUCHED) {
            return false;
        }
    }
    return true;
}

/* One step on islands gives what `expected` has, and touches nothing around. */
static void step_on_islands(struct tally *tally, const struct variant *variant, const void *hyper,
                            const struct island islands[BUFFERS], size_t n, struct place first,
                            bool alike, const float expected[BUFFERS][MOST]) {
    float *buffers[BUFFERS];
    for (size_t b = 0; b < BUFFERS; b++) {
        memset(islands[b].begin, UNTOUCHED, islands[b].size);
        buffers[b] = on_shore(&islands[b], n, arranged(first, b, alike));
        for (size_t i = 0; i < n; i++) {
            buffers[b][i] = number(b, i);
        }
    }
    struct tensor tensor = {n, buffers[0], buffers[1], {NULL}};
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = variant->uses[i] ? buffers[2 + i] : NULL;
    }
    CHECK(tally, mprotect(islands[1].begin, islands[1].size, PROT_READ) == 0);
    CHECK_OK(tally, variant->rule->step(hyper, NULL, 3, &tensor));
    CHECK(tally, mprotect(islands[1].begin, islands[1].size, PROT_READ | PROT_WRITE) == 0);
    for (size_t b = 0; b < BUFFERS; b++) {
        CHECK(tally, memcmp(buffers[b], expected[b], n * sizeof(float)) == 0);
        CHECK(tally, untouched_around(&islands[b], buffers[b], n));
    }
}

/* All places, and all lengths up to four registers, for one variant; the hyperparameters are write-protected, and so is
 * the gradient during a step. */
static void variant_on_islands(struct tally *tally, const struct variant *variant,
                               const struct island *hyper, const struct island islands[BUFFERS]) {
    CHECK(tally, mprotect(hyper->begin, hyper->size, PROT_READ | PROT_WRITE) == 0);
    fill_variant(hyper->begin, variant);
    CHECK(tally, mprotect(hyper->begin, hyper->size, PROT_READ) == 0);

    static float expected[BUFFERS][MOST];
    struct tensor tensor = {MOST, expected[0], expected[1], {NULL}};
    for (size_t b = 0; b < BUFFERS; b++) {
        for (size_t i = 0; i < MOST; i++) {
            expected[b][i] = number(b, i);
        }
    }
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = variant->uses[i] ? expected[2 + i] : NULL;
    }
    CHECK_OK(tally, variant->rule->step(hyper->begin, NULL, 3, &tensor));

    for (size_t n = 1; n <= MOST; n += n < 70 ? 1 : 6) {
        for (size_t distance = 0; distance <= FARTHEST; distance++) {
            for (int which = 0; which < 4; which++) {
                struct place first = {which & 1, distance};
                bool alike = !(which & 2);
                check_context(tally, "%s, %s, n = %zu, %zu from the %s%s", gradstep_backend_name(),
                              variant->name, n, distance, first.at_end ? "end" : "beginning",
                              alike ? "" : ", others elsewhere");
                step_on_islands(tally, variant, hyper->begin, islands, n, first, alike,
                                (const float(*)[MOST])expected);
            }
        }
    }
}

/* Each buffer alone on an island, with every instruction set. A touch too far ends the program. */
void memory_pages(struct tally *tally) {
    struct island islands[BUFFERS + 1];
    check_context(tally, "pages");
    for (size_t i = 0; i < BUFFERS + 1; i++) {
        if (!CHECK(tally, make_island(&islands[i]))) {
            return;
        }
    }
    for (int32_t backend = GRADSTEP_BACKEND_SCALAR; backend <= GRADSTEP_BACKEND_AVX512; backend++) {
        if (gradstep_backend_force(backend) != GRADSTEP_OK) {
            continue;
        }
        for (const struct variant *variant = variants; variant->name != NULL; variant++) {
            variant_on_islands(tally, variant, &islands[BUFFERS], islands);
        }
    }
    for (size_t i = 0; i < BUFFERS + 1; i++) {
        CHECK(tally, munmap(islands[i].all, islands[i].all_size) == 0);
    }
}

#else

void memory_pages(struct tally *tally) {
    check_context(tally, "no pages here");
}

#endif
