/* A C program with two static libraries that are written in Rust. Ends with 0 if both compute the
 * same, and the second one's panic arrives where it belongs. */

#include "gradstep.h"

#include <stdbool.h>
#ifdef BOARD
#include "board.h"
#else
#include <unistd.h>
#endif

enum { N = 37, STEPS = 3 };

/* As second-library's lib.rs has it. */
struct tensor {
    size_t n;
    float *param;
    const float *grad;
    float *exp_avg, *exp_avg_sq;
};

void second_adam_step(uint64_t t, const struct tensor *tensor);

static bool same;

/* The end of the second library's own panic handler. */
_Noreturn void second_panicked(void) {
#ifdef BOARD
    board_exit(same);
#else
    _exit(same ? 0 : 1);
#endif
}

/* Without a C library there is no memcmp. */
static bool same_bits(const float *a, const float *b) {
    const unsigned char *x = (const unsigned char *)a, *y = (const unsigned char *)b;
    for (size_t i = 0; i < N * sizeof *a; i++) {
        if (x[i] != y[i]) {
            return false;
        }
    }
    return true;
}

static float param[2][N], grad[N], exp_avg[2][N], exp_avg_sq[2][N];

int main(void) {
    for (int i = 0; i < N; i++) {
        param[0][i] = param[1][i] = (float)(i % 5) - 2.0F;
        grad[i] = (float)(i % 7) * 0.3F - 1.0F;
    }
    struct tensor tensor = {N, param[1], grad, exp_avg[1], exp_avg_sq[1]};
    gradstep_adam adam;
    bool succeeded = gradstep_adam_default(&adam) == GRADSTEP_OK;
    for (uint64_t t = 1; t <= STEPS; t++) {
        int32_t status = gradstep_adam_step(&adam, NULL, t, N, param[0], grad, exp_avg[0],
                                            exp_avg_sq[0], NULL);
        succeeded = succeeded && status == GRADSTEP_OK;
        second_adam_step(t, &tensor);
    }
    same = succeeded && param[0][0] != -2.0F && same_bits(param[0], param[1]) &&
           same_bits(exp_avg[0], exp_avg[1]) && same_bits(exp_avg_sq[0], exp_avg_sq[1]);
#ifdef SECOND_HAS_STD
    return same ? 0 : 1;
#else
    second_adam_step(0, &tensor);
    return 2;
#endif
}
