/*
 * exp and log from + - * / alone.
 *
 * The libm functions differ in the last bit between systems, and on one system between processors (glibc chooses an FMA
 * variant at run time). These two give the same bits everywhere. They serve softmax, ten values per digit, so they are
 * written to be short rather than fast. Relative error below 1e-13 over the range that softmax needs.
 */
#ifndef MNIST_PLAIN_MATH_H
#define MNIST_PLAIN_MATH_H

/* e^x for x <= 0 (and a little above); 0 below -700; NaN stays NaN. */
double plain_exp(double x);

/* The natural logarithm of a normal x > 0; NaN stays NaN. */
double plain_log(double x);

#endif
