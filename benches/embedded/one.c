/*
 * A program with one rule in it, and one with the textbook loop in its place: what the linker takes for it is the flash
 * that the rule costs. RULE is a case of cases.h, or `none`; NAIVE chooses the loop.
 */
#include "gradstep.h"
#include "naive.h"

#define N 4

/* Volatile pointers, so that the compiler knows nothing of what they point to. */
static float memory[5][N];
static float *volatile buffers[5] = {memory[0], memory[1], memory[2], memory[3], memory[4]};
static volatile size_t length = N;
static volatile uint64_t step = 1;

#if defined(NAIVE)
#define RUN(type, setup, call, loop) loop
#else
#define RUN(type, setup, call, loop)                                                                                   \
    type hyper;                                                                                                        \
    setup;                                                                                                             \
    failed = call != GRADSTEP_OK
#endif

#define CASE(name, type, setup, call, loop)                                                                            \
    static int run_##name(size_t n, uint64_t t, float *p, float *g, float *a, float *b, float *c) {                    \
        int failed = 0;                                                                                                \
        (void)n, (void)t, (void)p, (void)g, (void)a, (void)b, (void)c;                                                 \
        RUN(type, setup, call, loop);                                                                                  \
        return failed;                                                                                                 \
    }
#pragma GCC diagnostic ignored "-Wunused-function"
#include "cases.h"
static int run_none(size_t n, uint64_t t, float *p, float *g, float *a, float *b, float *c) {
    (void)n, (void)t, (void)p, (void)g, (void)a, (void)b, (void)c;
    return 0;
}

#define JOIN(a, b) a##b
#define RUN_OF(name) JOIN(run_, name)

int main(void) {
    return RUN_OF(RULE)(length, step, buffers[0], buffers[1], buffers[2], buffers[3], buffers[4]);
}
