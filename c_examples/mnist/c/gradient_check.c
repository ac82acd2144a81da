#include "gradient_check.h"

/* The network once more, in double: its functions under names of their own, inside this file. */
#define REAL double
#define net_lenet check_lenet
#define net_tf check_tf
#define net_macs check_macs
#define net_init check_init
#define net_forward check_forward
#define net_backward check_backward
#define net_score check_score
#define net_hash check_hash
/* No clones here: clang would give them the names that they have in net.c. */
#undef MNIST_NO_CLONES
#define MNIST_NO_CLONES
#include "net.c"

#include "rng.h"

#include <stdlib.h>

enum { DIGITS = LANES - 1 }; /* one lane unused, as in the last group of a batch */

static const uint8_t LABELS[LANES] = {3, 1, 4, 1, 5, 9, 2, 6};
static const dropout DROP = {12345, 0};

static double loss(const net *n, const double *params, lanes *values) {
    score sum = {0};
    check_forward(n, params, values, &DROP);
    check_score(n, values, LABELS, DIGITS, 1.0, NULL, &sum);
    return sum.loss / DIGITS;
}

double gradient_check(int model) {
    net n;
    if (model == 2) {
        check_tf(&n);
    } else if (model == 1) {
        check_lenet(&n, 3, 5, 7);
    } else {
        check_lenet(&n, 4, 8, 18);
    }
    double *params = calloc(n.param_count, sizeof *params);
    double *gradient = calloc(n.param_count, sizeof *gradient);
    lanes *values = aligned_alloc(sizeof *values, n.activation_count * sizeof *values);
    lanes *slopes = aligned_alloc(sizeof *slopes, n.activation_count * sizeof *slopes);
    double worst = HUGE_VAL;
    if (params != NULL && gradient != NULL && values != NULL && slopes != NULL) {
        rng r = rng_stream(7, 99);
        check_init(&n, 7, params);
        for (size_t i = 0; i < PIXELS; i++) {
            for (size_t s = 0; s < LANES; s++) {
                values[i][s] = (double)rng_uniform(&r);
            }
        }
        score sum = {0};
        check_forward(&n, params, values, &DROP);
        check_score(&n, values, LABELS, DIGITS, 1.0 / DIGITS, slopes, &sum);
        check_backward(&n, params, values, slopes, &DROP, gradient);
        worst = 0.0;
        const size_t probes = n.param_count < 100000 ? 40 : 4; /* for each tensor */
        for (size_t i = 0; i < n.tensor_count; i++) {
            for (size_t probe = 0; probe < probes; probe++) {
                const size_t at = n.tensors[i].offset + rng_below(&r, n.tensors[i].count);
                const double held = params[at];
                const double h = 1e-6;
                params[at] = held + h;
                const double above = loss(&n, params, values);
                params[at] = held - h;
                const double below = loss(&n, params, values);
                params[at] = held;
                const double slope = (above - below) / (2.0 * h);
                const double scale = fmax(fmax(fabs(slope), fabs(gradient[at])), 1e-3);
                worst = fmax(worst, fabs(slope - gradient[at]) / scale);
            }
        }
    }
    free(params);
    free(gradient);
    free(values);
    free(slopes);
    return worst;
}
