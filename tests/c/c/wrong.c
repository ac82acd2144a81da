/* Wrong on purpose: what a sanitizer or Valgrind must report, so that its silence about everything
 * else is known to mean something. */

#include "gradstep.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

enum { N = 40 };

static void *allocated(size_t size) {
    void *memory = calloc(1, size);
    if (memory == NULL) {
        abort();
    }
    return memory;
}

static void step(size_t n, float *param, const float *grad) {
    gradstep_sgd hyper;
    gradstep_sgd_default(&hyper);
    if (gradstep_sgd_step(&hyper, NULL, 1, n, param, grad, NULL) != GRADSTEP_OK) {
        abort();
    }
}

/* The kernel writes behind a buffer. */
void wrong_n(void) {
    float *grad = allocated(2 * N * sizeof *grad);
    void *apart = allocated(4096);
    float *param = allocated(N * sizeof *param);
    step(2 * N, param, grad);
    free(param);
    free(apart);
    free(grad);
}

/* C reads behind a buffer. */
float wrong_index(size_t index) {
    float *volatile buffer = allocated(N * sizeof *buffer);
    float value = buffer[index];
    free(buffer);
    return value;
}

/* The program's course depends on a gradient that nobody has written. */
void wrong_gradient(void) {
    float param[N] = {0};
    float *volatile grad = malloc(N * sizeof *grad);
    if (grad == NULL) {
        abort();
    }
    step(N, param, grad);
    free(grad);
    if (param[N - 1] > 0.0F) {
        puts("up");
    }
}

/* A sum that C does not define. */
int wrong_sum(int one) {
    return INT_MAX + one;
}
