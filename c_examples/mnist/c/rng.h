/*
 * Random numbers that depend on a seed alone: SplitMix64 (Steele, Lea and Flood, "Fast splittable pseudorandom number
 * generators", 2014; the constants are Vigna's). Enough for initial weights, shuffling and dropout; not for secrets.
 */
#ifndef MNIST_RNG_H
#define MNIST_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct {
    uint64_t state;
} rng;

/* One stream for each purpose, so that drawing more numbers for one leaves the others as they were. */
enum { STREAM_WEIGHTS = 1, STREAM_ORDER = 2, STREAM_DROPOUT = 3 };

rng rng_stream(uint64_t seed, uint64_t stream);
uint64_t rng_next(rng *r);

/* Uniform in [0, 1): a multiple of 2^-24, exact as a float. */
float rng_uniform(rng *r);

/* Uniform in 0 .. bound - 1, without bias; bound > 0. */
size_t rng_below(rng *r, size_t bound);

/* Fisher-Yates: every order is equally likely. */
void rng_shuffle(rng *r, uint32_t *items, size_t count);

/* A well-mixed function of its argument: the generator's output function. */
uint64_t rng_mix(uint64_t x);

#endif
