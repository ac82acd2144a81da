/* The textbook loops of benches/naive.c. */
#ifndef NAIVE_H
#define NAIVE_H

#include <stddef.h>

typedef float *restrict rw;
typedef const float *restrict ro;

void naive_sgd(size_t n, rw p, ro g, float lr);
void naive_momentum(size_t n, rw p, ro g, rw b, float lr, float momentum);
void naive_nesterov(size_t n, rw p, ro g, rw b, float lr, float momentum);
void naive_adagrad(size_t n, rw p, ro g, rw s, float lr, float eps);
void naive_rmsprop(size_t n, rw p, ro g, rw v, float lr, float alpha, float eps);
void naive_rmsprop_centered(size_t n, rw p, ro g, rw v, rw m, float lr, float alpha, float eps);
void naive_rmsprop_momentum(size_t n, rw p, ro g, rw v, rw b, float lr, float alpha, float eps, float momentum);
void naive_adadelta(size_t n, rw p, ro g, rw v, rw a, float lr, float rho, float eps);
void naive_adam(size_t n, rw p, ro g, rw m, rw v, float step, float root, float beta1, float beta2, float eps);
void naive_amsgrad(size_t n, rw p, ro g, rw m, rw v, rw max, float step, float root, float beta1, float beta2,
                   float eps);
void naive_adamw(size_t n, rw p, ro g, rw m, rw v, float step, float root, float beta1, float beta2, float eps,
                 float shrink);
float naive_norm(size_t n, ro g);

#endif
