/*
 * exp and log in single precision, from + - * / alone: the same bits on every processor, as a C library's are not, and
 * quick on one whose floating-point unit has single precision only, or which has none. Off by at most 3 ULP where
 * softmax needs them.
 */
#ifndef EXP_LOG_H
#define EXP_LOG_H

/* e^x for x <= 0; 0 below -80; NaN stays NaN. */
float plain_expf(float x);

/* The natural logarithm of a normal x > 0; NaN stays NaN. */
float plain_logf(float x);

#endif
