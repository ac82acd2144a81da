/* Training: epochs over digits, in batches, and a test. */
#ifndef TRAIN_H
#define TRAIN_H

#include "model.h"
#include "optimizer.h"

#include <stddef.h>
#include <stdint.h>

typedef struct {
    const optimizer *optimizer;
    double rate; /* of the first step; it falls to 0 in a straight line */
    uint32_t seed;
    const digit *digits;
    size_t count; /* a multiple of BATCH */
    uint32_t epochs;
} training;

/* The weights that are being trained. */
extern float weight[WEIGHTS];

/* New weights and new state. As the next function, gives a status of gradstep's. */
int32_t train_begin(const training *plan);

/* The next epoch: goes through the digits once. `loss` becomes their mean loss, in millionths. */
int32_t train_epoch(const training *plan, uint32_t *loss);

/* How many digits are recognised. */
uint32_t test(const digit *digits, size_t count);

#endif
