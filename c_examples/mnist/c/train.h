/*
 * Training: shuffled batches, gradients, steps, evaluation.
 *
 * The result depends on the network, the data, the seed and the optimizer, to the last bit, and not on the number of
 * threads: a batch is cut into up to SHARDS parts, by its size alone, each part sums its gradient for itself, and the
 * sums are added in order. Who computes the parts is the caller's business: `parallel_for` may use threads or a loop.
 *
 * It starts no thread, reads no clock, prints nothing and opens no file: all of that comes in as callbacks.
 */
#ifndef MNIST_TRAIN_H
#define MNIST_TRAIN_H

#include "failure.h"
#include "idx.h"
#include "net.h"
#include "optimizer.h"

enum { SHARDS = 8 };

/* What training on one batch did. */
typedef struct {
    uint64_t step;            /* steps so far, this one included */
    uint64_t epoch;           /* 1 in the first */
    double loss;              /* mean over the batch, before the step */
    double accuracy;          /* likewise, 0 .. 1 */
    double optimizer_seconds; /* spent in the optimizer's steps since the start */
} batch_report;

typedef struct {
    double loss, accuracy;
} evaluation;

/* Calls body(body_context, i) for each i below count, in any order, from any thread, and returns when all are done. */
typedef void parallel_for(void *context, size_t count, void (*body)(void *body_context, size_t index),
                          void *body_context);

/* The outside world. */
typedef struct {
    void *context;
    parallel_for *parallel;
    double (*seconds)(void *context);                              /* a monotonic clock */
    bool (*after_batch)(void *context, const batch_report *batch); /* false ends the training */
} train_host;

enum { MODEL_LENET = 0, MODEL_TF = 1 };

typedef struct {
    int32_t model;
    size_t conv1, conv2, hidden; /* LeNet's widths */
    uint64_t seed;
    size_t batch_size; /* more than the digits means all of them */
    optimizer_settings optimizer;
    uint64_t decay_steps; /* over so many steps the rate falls linearly to zero; 0: it stays */
} train_settings;

typedef struct trainer trainer;

/* `digits` belong to the caller and must outlive the trainer. */
trainer *trainer_create(digits train, train_settings settings, failure *why);
void trainer_destroy(trainer *t);

/* The next `count` batches. Each epoch has every digit once, in an order of its own. */
bool trainer_steps(trainer *t, uint64_t count, const train_host *host, failure *why);

/* Takes over another's weights, optimizer state and step count; the rate and the place in the epoch stay. */
bool trainer_copy(trainer *to, const trainer *from, failure *why);

/* From the next step on. */
void trainer_set_lr(trainer *t, double lr);

/*
 * The seconds of one optimizer step, measured for `budget` seconds: the mean over a short round of steps, in the fastest
 * round, since whatever else the machine does can only add to it. All steps are with the gradient of the last batch, and
 * the weights are worth nothing afterwards.
 */
bool trainer_time_optimizer(trainer *t, const train_host *host, double budget, double *seconds, failure *why);

evaluation trainer_evaluate(trainer *t, const train_host *host, digits test);
uint64_t trainer_hash(const trainer *t);
size_t trainer_param_count(const trainer *t);
size_t trainer_state_bytes(const trainer *t); /* of the optimizer */
uint64_t trainer_macs(const trainer *t); /* see net_macs() */

#endif
