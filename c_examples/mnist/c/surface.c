#include "surface.h"

#include "plain_math.h"

#include <math.h>

static double square(double x) {
    return x * x;
}

double surface_at(int32_t kind, double x, double y, double slope[2]) {
    switch (kind) {
    case SURFACE_BEALE: {
        const double a = 1.5 - x + x * y;
        const double b = 2.25 - x + x * y * y;
        const double c = 2.625 - x + x * y * y * y;
        slope[0] = 2.0 * (a * (y - 1.0) + b * (y * y - 1.0) + c * (y * y * y - 1.0));
        slope[1] = 2.0 * x * (a + 2.0 * b * y + 3.0 * c * y * y);
        return a * a + b * b + c * c;
    }
    case SURFACE_ROSENBROCK: {
        const double off = y - x * x;
        slope[0] = -2.0 * (1.0 - x) - 400.0 * x * off;
        slope[1] = 200.0 * off;
        return square(1.0 - x) + 100.0 * off * off;
    }
    case SURFACE_SADDLE:
        slope[0] = 2.0 * x;
        slope[1] = y * y * y - 2.0 * y;
        return x * x - y * y + square(y * y) / 4.0;
    case SURFACE_VALLEY: {
        const double hill = plain_exp(-y * y / 8.0);
        slope[0] = 8.0 * x;
        slope[1] = -y / 4.0 * hill;
        return 4.0 * x * x - 1.0 + hill;
    }
    case SURFACE_BOWL:
        slope[0] = 25.0 * x;
        slope[1] = y / 4.0;
        return (25.0 * x * x + y * y / 4.0) / 2.0;
    case SURFACE_SQUARE:
        slope[0] = 2.0 * x;
        slope[1] = 0.0;
        return x * x;
    case SURFACE_SLOPE:
        slope[0] = 1.0;
        slope[1] = 0.0;
        return x;
    case SURFACE_RARE:
        slope[0] = 1.0;
        slope[1] = 1.0;
        return x + y;
    default:
        slope[0] = slope[1] = (double)NAN;
        return (double)NAN;
    }
}

bool surface_walk(int32_t kind, optimizer_settings settings, const float start[2], size_t steps, float *path,
                  failure *why) {
    if (kind < SURFACE_BEALE || kind > SURFACE_RARE) {
        return fail(why, "surface: no such function: %ld", (long)kind);
    }
    float point[2] = {start[0], start[1]};
    float gradient[2] = {0.0f, 0.0f};
    const optimizer_tensor both = {.offset = 0, .count = 2};
    optimizer *o = optimizer_create(settings, point, gradient, &both, 1, why);
    if (o == NULL) {
        return false;
    }
    path[0] = start[0];
    path[1] = start[1];
    bool good = true;
    for (size_t step = 1; good && step <= steps; step++) {
        double slope[2];
        surface_at(kind, (double)point[0], (double)point[1], slope);
        if (kind == SURFACE_RARE && step % SURFACE_RARE_PERIOD != 0) {
            slope[1] = 0.0;
        }
        const float before[2] = {point[0], point[1]};
        for (size_t i = 0; i < 2; i++) {
            gradient[i] = (float)slope[i];
        }
        good = optimizer_step(o, settings.lr, why);
        for (size_t i = 0; i < 2; i++) {
            /*
             * In Nesterov's method the optimizer's parameters are the point ahead, q = p + beta m. With the article's
             * m' = beta m - lr g(q), p' = p + m', this is p' = q - lr g(q): no need to know the momentum.
             */
            path[2 * step + i] = settings.kind == OPTIMIZER_NESTEROV
                                     ? (float)((double)before[i] - settings.lr * (double)gradient[i])
                                     : point[i];
        }
    }
    optimizer_destroy(o);
    return good;
}
