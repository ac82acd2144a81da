/*
 * For the host: how the rates in optimizer.c were chosen. Trains on three quarters of the training digits and tests on
 * the fourth, so that the test digits have no say; for each rate the digits recognised in 10,000, a mean over seeds.
 */
#include "optimizer.h"
#include "train.h"

#include <stdio.h>
#include <stdlib.h>

enum { EPOCHS = 5, SEEDS = 8, LEARN = TRAINING_COUNT * 3 / 4, HELD_OUT = TRAINING_COUNT - LEARN };

_Static_assert(LEARN % BATCH == 0, "digits go in whole batches");

static uint32_t recognised(const optimizer *o, double rate, uint32_t seed) {
    const training plan = {o, rate, seed, training_digits, LEARN, EPOCHS};
    int32_t status = train_begin(&plan);
    uint32_t loss;
    for (int epoch = 0; epoch < EPOCHS && status == 0; epoch++) {
        status = train_epoch(&plan, &loss);
    }
    if (status != 0) {
        fprintf(stderr, "%s: status %ld\n", o->name, (long)status);
        exit(EXIT_FAILURE);
    }
    return test(training_digits + LEARN, HELD_OUT);
}

int main(void) {
    static const double steps[] = {1.0, 2.0, 5.0};
    for (size_t i = 0; i < OPTIMIZER_COUNT; i++) {
        printf("%s:", optimizers[i].name);
        for (double decade = 0.001; decade < 20.0; decade *= 10.0) {
            for (size_t s = 0; s < 3; s++) {
                uint32_t sum = 0;
                for (uint32_t seed = 1; seed <= SEEDS; seed++) {
                    sum += recognised(&optimizers[i], decade * steps[s], seed);
                }
                printf(" %g %lu", decade * steps[s], (unsigned long)(sum * 10000 / (SEEDS * HELD_OUT)));
            }
        }
        printf("\n");
    }
    return EXIT_SUCCESS;
}
