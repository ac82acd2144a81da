/* What gradstep is measured against: the textbook loop of each rule, as a good C programmer writes
 * it, for the compiler to vectorize; and loops that move the same memory and compute nothing.
 *
 * `restrict` pointers, scalars computed once by the caller, one division and one root at most. The
 * compiler may fuse multiplications and additions, which gradstep may not.
 */

#include <math.h>
#include <stddef.h>

void naive_sgd(size_t n, float *restrict p, const float *restrict g, float lr)
{
    for (size_t i = 0; i < n; i++)
        p[i] -= lr * g[i];
}

void naive_momentum(size_t n, float *restrict p, const float *restrict g, float *restrict b,
                    float lr, float momentum)
{
    for (size_t i = 0; i < n; i++) {
        b[i] = momentum * b[i] + g[i];
        p[i] -= lr * b[i];
    }
}

void naive_nesterov(size_t n, float *restrict p, const float *restrict g, float *restrict b,
                    float lr, float momentum)
{
    for (size_t i = 0; i < n; i++) {
        b[i] = momentum * b[i] + g[i];
        p[i] -= lr * (momentum * b[i] + g[i]);
    }
}

void naive_adagrad(size_t n, float *restrict p, const float *restrict g, float *restrict s,
                   float lr, float eps)
{
    for (size_t i = 0; i < n; i++) {
        s[i] += g[i] * g[i];
        p[i] -= lr * g[i] / (sqrtf(s[i]) + eps);
    }
}

void naive_rmsprop(size_t n, float *restrict p, const float *restrict g, float *restrict v,
                   float lr, float alpha, float eps)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
        p[i] -= lr * g[i] / (sqrtf(v[i]) + eps);
    }
}

void naive_rmsprop_centered(size_t n, float *restrict p, const float *restrict g,
                            float *restrict v, float *restrict m, float lr, float alpha, float eps)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
        m[i] = alpha * m[i] + (1 - alpha) * g[i];
        float w = v[i] - m[i] * m[i];
        w = w < 0 ? 0 : w;
        p[i] -= lr * g[i] / (sqrtf(w) + eps);
    }
}

void naive_rmsprop_momentum(size_t n, float *restrict p, const float *restrict g,
                            float *restrict v, float *restrict b, float lr, float alpha, float eps,
                            float momentum)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = alpha * v[i] + (1 - alpha) * g[i] * g[i];
        b[i] = momentum * b[i] + g[i] / (sqrtf(v[i]) + eps);
        p[i] -= lr * b[i];
    }
}

void naive_adadelta(size_t n, float *restrict p, const float *restrict g, float *restrict v,
                    float *restrict a, float lr, float rho, float eps)
{
    for (size_t i = 0; i < n; i++) {
        v[i] = rho * v[i] + (1 - rho) * g[i] * g[i];
        float d = sqrtf((a[i] + eps) / (v[i] + eps)) * g[i];
        a[i] = rho * a[i] + (1 - rho) * d * d;
        p[i] -= lr * d;
    }
}

/* step = lr / (1 - beta1^t), root = 1 / sqrt(1 - beta2^t), here and below */
void naive_adam(size_t n, float *restrict p, const float *restrict g, float *restrict m,
                float *restrict v, float step, float root, float beta1, float beta2, float eps)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] -= step * m[i] / (root * sqrtf(v[i]) + eps);
    }
}

void naive_amsgrad(size_t n, float *restrict p, const float *restrict g, float *restrict m,
                   float *restrict v, float *restrict max, float step, float root, float beta1,
                   float beta2, float eps)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        max[i] = max[i] > v[i] ? max[i] : v[i];
        p[i] -= step * m[i] / (root * sqrtf(max[i]) + eps);
    }
}

/* shrink = 1 - lr * weight_decay */
void naive_adamw(size_t n, float *restrict p, const float *restrict g, float *restrict m,
                 float *restrict v, float step, float root, float beta1, float beta2, float eps,
                 float shrink)
{
    for (size_t i = 0; i < n; i++) {
        m[i] = beta1 * m[i] + (1 - beta1) * g[i];
        v[i] = beta2 * v[i] + (1 - beta2) * g[i] * g[i];
        p[i] = shrink * p[i] - step * m[i] / (root * sqrtf(v[i]) + eps);
    }
}

/* Not a step, but what comes before one that is clipped. */
float naive_norm(size_t n, const float *restrict g)
{
    float sum = 0.0F;
    for (size_t i = 0; i < n; i++)
        sum += g[i] * g[i];
    return sqrtf(sum);
}

/* The memory of a rule with 0 to 3 state buffers, with ordinary loads and stores, as in all of the
 * above. `zero` is 0, which the compiler cannot know, so no value changes. */
void bandwidth_0(size_t n, float *restrict p, const float *restrict g, float zero)
{
    for (size_t i = 0; i < n; i++)
        p[i] += zero * g[i];
}

void bandwidth_1(size_t n, float *restrict p, const float *restrict g, float *restrict a,
                 float zero)
{
    for (size_t i = 0; i < n; i++) {
        p[i] += zero * g[i];
        a[i] += zero;
    }
}

void bandwidth_2(size_t n, float *restrict p, const float *restrict g, float *restrict a,
                 float *restrict b, float zero)
{
    for (size_t i = 0; i < n; i++) {
        p[i] += zero * g[i];
        a[i] += zero;
        b[i] += zero;
    }
}

void bandwidth_3(size_t n, float *restrict p, const float *restrict g, float *restrict a,
                 float *restrict b, float *restrict c, float zero)
{
    for (size_t i = 0; i < n; i++) {
        p[i] += zero * g[i];
        a[i] += zero;
        b[i] += zero;
        c[i] += zero;
    }
}
