/*
 * Compares the network's backward pass with finite differences. A test; the demo does not call it.
 */
#ifndef MNIST_GRADIENT_CHECK_H
#define MNIST_GRADIENT_CHECK_H

/*
 * The largest difference between a derivative and its central difference over every tensor of a network in double
 * arithmetic, relative to the larger of the two and 1e-3. `model` is 0 (LeNet), 1 (an odd-sized LeNet) or 2 (the TF
 * net).
 */
double gradient_check(int model);

#endif
