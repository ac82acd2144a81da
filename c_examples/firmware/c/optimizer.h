/*
 * The optimizers: the only file that calls gradstep. Their state is here, two arrays that they use in turn; the weights
 * and the gradient are the caller's.
 */
#ifndef OPTIMIZER_H
#define OPTIMIZER_H

#include "model.h"

#include <stdint.h>

/* A step follows so many digits, whose gradients have been added up. */
enum { BATCH = 20 };

typedef struct {
    const char *name;
    double rate; /* the best that `make rates` found */
    int32_t (*begin)(void);
    int32_t (*step)(double rate, uint64_t t, float weight[WEIGHTS], const float gradient[WEIGHTS]);
} optimizer;

enum { OPTIMIZER_COUNT = 8 };
extern const optimizer optimizers[OPTIMIZER_COUNT];

/* Fresh state. Gives a status of gradstep's. */
int32_t optimizer_begin(const optimizer *o);

#endif
