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

enum { MOST = 200 };

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

/* Pages, with one that cannot be touched before and behind. */
struct island {
    char *all;
    size_t all_size;
    char *begin;
    size_t size;
};

static bool make_island(struct island *island) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    island->size = (MOST * sizeof(float) + page - 1) / page * page;
    island->all_size = island->size + 2 * page;
    island->all = mmap(NULL, island->all_size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (island->all == MAP_FAILED) {
        return false;
    }
    island->begin = island->all + page;
    return mprotect(island->begin, island->size, PROT_READ | PROT_WRITE) == 0;
}

/* `n` elements that begin with the island, or end with it. */
static float *on_shore(const struct island *island, size_t n, bool at_end) {
    char *pointer = island->begin;
    return (float *)(void *)(at_end ? pointer + island->size - n * sizeof(float) : pointer);
}

/* Each buffer alone on an island, at its beginning and at its end, for every length up to a few
 * registers; the gradient and the hyperparameters write-protected. A touch too far ends the
 * program. */
void memory_pages(struct tally *tally) {
    enum { BUFFERS = 3 + MAX_STATES };
    struct island islands[BUFFERS];
    check_context(tally, "pages");
    for (size_t i = 0; i < BUFFERS; i++) {
        if (!CHECK(tally, make_island(&islands[i]))) {
            return;
        }
    }
    struct island *param = &islands[0], *grad = &islands[1], *hyper = &islands[2];
    struct island *state = &islands[3];
    for (size_t i = 0; i < grad->size / sizeof(float); i++) {
        ((float *)(void *)grad->begin)[i] = (float)(i % 7) - 3.0F;
    }
    CHECK(tally, mprotect(grad->begin, grad->size, PROT_READ) == 0);

    for (const struct variant *variant = variants; variant->name != NULL; variant++) {
        const struct rule *rule = variant->rule;
        CHECK(tally, mprotect(hyper->begin, hyper->size, PROT_READ | PROT_WRITE) == 0);
        fill_variant(hyper->begin, variant);
        CHECK(tally, mprotect(hyper->begin, hyper->size, PROT_READ) == 0);
        for (size_t n = 1; n < MOST; n += n < 80 ? 1 : 13) {
            for (int at_end = 0; at_end < 2; at_end++) {
                check_context(tally, "%s, n = %zu, at the %s", variant->name, n,
                              at_end ? "end" : "beginning");
                struct tensor tensor = {n, on_shore(param, n, at_end), on_shore(grad, n, at_end), {0}};
                for (size_t i = 0; i < MAX_STATES; i++) {
                    tensor.state[i] = variant->uses[i] ? on_shore(&state[i], n, at_end) : NULL;
                }
                memset(param->begin, 0, param->size);
                CHECK_OK(tally, rule->init(hyper->begin, n, tensor.state));
                CHECK_OK(tally, rule->step(hyper->begin, NULL, 1, &tensor));
                CHECK(tally, tensor.param[0] != 0.0F || tensor.grad[0] == 0.0F);
                CHECK(tally, tensor.param[n - 1] != 0.0F || tensor.grad[n - 1] == 0.0F);
            }
        }
    }
    for (size_t i = 0; i < BUFFERS; i++) {
        CHECK(tally, munmap(islands[i].all, islands[i].all_size) == 0);
    }
}

#else

void memory_pages(struct tally *tally) {
    check_context(tally, "no pages here");
}

#endif
