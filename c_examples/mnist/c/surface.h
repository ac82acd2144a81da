/*
 * Functions of two variables on which optimizers are compared, and the path that an optimizer takes over one.
 *
 * The functions and their derivatives are computed in double. The points of a path are float, since that is what the
 * optimizers update; each is exact as a double, and the derivatives there are rounded once. Only + - * and plain_exp
 * are used, so a path has the same bits everywhere.
 */
#ifndef MNIST_SURFACE_H
#define MNIST_SURFACE_H

#include "failure.h"
#include "optimizer.h"

#include <stddef.h>
#include <stdint.h>

typedef enum {
    /*
     * (1.5 - x + xy)^2 + (2.25 - x + xy^2)^2 + (2.625 - x + xy^3)^2; minimum 0 at (3, 0.5). E. M. L. Beale, "On an
     * iterative method for finding a local minimum of a function of more than one variable", 1958.
     */
    SURFACE_BEALE,
    /*
     * (1 - x)^2 + 100 (y - x^2)^2; minimum 0 at (1, 1). H. H. Rosenbrock, "An automatic method for finding the
     * greatest or least value of a function", 1960.
     */
    SURFACE_ROSENBROCK,
    /*
     * x^2 - y^2 + y^4 / 4: the saddle of x^2 - y^2 at (0, 0), bounded below; minima -1 at (0, sqrt 2) and
     * (0, -sqrt 2).
     */
    SURFACE_SADDLE,
    /*
     * 4 x^2 - 1 + exp(-y^2 / 8): steep walls across the y axis, along which it falls from a saddle at (0, 0) ever more
     * slowly; no minimum, infimum -1. After the "long valley" of A. Radford's optimizer animations, 2014.
     */
    SURFACE_VALLEY,
    /* (25 x^2 + y^2 / 4) / 2: a bowl a hundred times as curved across as along; minimum 0 at (0, 0). */
    SURFACE_BOWL,
    /* x^2: the textbook's example for the size of the learning rate; minimum 0 at x = 0. */
    SURFACE_SQUARE,
    /* x: the gradient is (1, 0) everywhere. */
    SURFACE_SLOPE,
    /*
     * x + y, as sparse data have it: every example tells of x, one in SURFACE_RARE_PERIOD of y. The gradient is (1, 1),
     * but on a path the derivative by y is 0 at all other steps.
     */
    SURFACE_RARE
} surface_kind;

enum { SURFACE_RARE_PERIOD = 20 };

/* The value at (x, y), and in `slope` the derivatives by x and y; NaN for a kind that does not exist. */
double surface_at(int32_t kind, double x, double y, double slope[2]);

/*
 * Writes `steps` + 1 points to `path`: the start and the place after each step, x and y of each in turn. Plain gradient
 * descent and all else go from point to point; Nesterov's method keeps two, and the path is that of the parameters,
 * not that of the points ahead of them where it takes its gradients.
 */
bool surface_walk(int32_t kind, optimizer_settings settings, const float start[2], size_t steps, float *path,
                  failure *why);

#endif
