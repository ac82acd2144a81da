#include "rng.h"

static const uint64_t GOLDEN = 0x9e3779b97f4a7c15u;

uint64_t rng_mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

rng rng_stream(uint64_t seed, uint64_t stream) {
    return (rng){rng_mix(rng_mix(seed + GOLDEN) + stream * GOLDEN)};
}

uint64_t rng_next(rng *r) {
    r->state += GOLDEN;
    return rng_mix(r->state);
}

float rng_uniform(rng *r) {
    return (float)(rng_next(r) >> 40) * 0x1p-24f;
}

size_t rng_below(rng *r, size_t bound) {
    uint64_t n = bound;
    uint64_t excess = (UINT64_MAX % n + 1) % n; /* 2^64 mod n values too many for an even share */
    uint64_t x;
    do {
        x = rng_next(r);
    } while (x > UINT64_MAX - excess);
    return (size_t)(x % n);
}

void rng_shuffle(rng *r, uint32_t *items, size_t count) {
    for (size_t i = count; i > 1; i--) {
        size_t j = rng_below(r, i);
        uint32_t held = items[i - 1];
        items[i - 1] = items[j];
        items[j] = held;
    }
}
