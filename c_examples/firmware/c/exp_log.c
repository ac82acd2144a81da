#include "exp_log.h"

#include <float.h>
#include <stdint.h>
#include <string.h>

/* With excess precision (x87) an intermediate result would depend on the compiler's choice of registers. */
_Static_assert(FLT_EVAL_METHOD == 0, "float arithmetic must round to float");

/* ln 2 in two parts: the first has so few digits that its product with a small integer is exact. */
static const float LN2_HIGH = 0x1.62e4p-1F, LN2_LOW = 0x1.7f7d1cp-20F;
static const float LOG2_E = 0x1.715476p+0F;

static uint32_t to_bits(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static float from_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

float plain_expf(float x) {
    if (x != x) {
        return x;
    }
    if (x < -80.0F) {
        return 0.0F;
    }
    /* x = k ln 2 + r with |r| <= ln 2 / 2, and e^r from its Taylor series by Horner's rule. */
    const int32_t k = (int32_t)(x * LOG2_E - 0.5F);
    const float r = x - (float)k * LN2_HIGH - (float)k * LN2_LOW;
    float sum = 1.0F / 5040;
    sum = sum * r + 1.0F / 720;
    sum = sum * r + 1.0F / 120;
    sum = sum * r + 1.0F / 24;
    sum = sum * r + 1.0F / 6;
    sum = sum * r + 0.5F;
    sum = sum * r + 1.0F;
    sum = sum * r + 1.0F;
    return from_bits(to_bits(sum) + ((uint32_t)k << 23)); /* times 2^k */
}

float plain_logf(float x) {
    if (x != x) {
        return x;
    }
    /* x = m 2^k with m in [3/4, 3/2); log m = 2 artanh(z) with z = (m - 1) / (m + 1) in [-1/7, 1/5). */
    const uint32_t bits = to_bits(x);
    const uint32_t upper = bits >> 22 & 1;
    const int32_t k = (int32_t)(bits >> 23) - 127 + (int32_t)upper;
    const float m = from_bits((bits & 0x7fffff) | (127 - upper) << 23);
    const float z = (m - 1.0F) / (m + 1.0F);
    const float s = z * z;
    float sum = 1.0F / 9;
    sum = sum * s + 1.0F / 7;
    sum = sum * s + 1.0F / 5;
    sum = sum * s + 1.0F / 3;
    sum = sum * s + 1.0F;
    return 2.0F * z * sum + (float)k * LN2_LOW + (float)k * LN2_HIGH;
}
