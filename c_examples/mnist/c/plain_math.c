#include "plain_math.h"

#include <float.h>
#include <math.h>

/* With excess precision (x87) an intermediate result would depend on the compiler's choice of registers. */
_Static_assert(FLT_EVAL_METHOD == 0, "float and double arithmetic must round to their own type");

static const double LN2 = 0x1.62e42fefa39efp-1;

double plain_exp(double x) {
    if (x != x) {
        return x;
    }
    if (x < -700.0) {
        return 0.0;
    }
    /* x = k ln 2 + r with |r| <= ln 2 / 2, and e^r from its Taylor series by Horner's rule. */
    double k = floor(x / LN2 + 0.5);
    double r = x - k * LN2;
    double sum = 1.0;
    for (int i = 13; i >= 1; i--) {
        sum = 1.0 + sum * r / i;
    }
    return ldexp(sum, (int)k);
}

double plain_log(double x) {
    if (x != x || x > DBL_MAX) {
        return x;
    }
    /* x = m 2^k with m in [1/2, 1); log m = 2 artanh(z) with z = (m - 1) / (m + 1) in (-1/3, 0]. */
    int k;
    double m = frexp(x, &k);
    double z = (m - 1.0) / (m + 1.0);
    double sum = 0.0;
    for (int i = 29; i >= 1; i -= 2) {
        sum = 1.0 / i + sum * z * z;
    }
    return 2.0 * z * sum + k * LN2;
}
