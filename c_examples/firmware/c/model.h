/*
 * A network of one hidden layer: 64 pixels, 10 units with a leaky ReLU, 10 classes with softmax and cross-entropy; 760
 * weights in one array. It knows nothing of optimizers. A sum has one order, so that its bits are the same on every
 * processor (with -ffp-contract=off).
 */
#ifndef MODEL_H
#define MODEL_H

#include "digits.h"

#include <stdint.h>

/* With a gradient and the two arrays of Adam's state, 12,160 bytes: what a microcontroller with 16 KB has room for. */
enum { HIDDEN = 10, WEIGHTS = (PIXELS + 1) * HIDDEN + (HIDDEN + 1) * CLASSES };

/* Initial weights, the same ones for the same seed. */
void model_init(float weight[WEIGHTS], uint32_t seed);

/* The class that the digit most likely is. */
uint32_t model_classify(const float weight[WEIGHTS], const digit *d);

/* Adds the derivatives of the digit's loss to `gradient`, and gives the loss, -log(probability of the label). */
float model_learn(const float weight[WEIGHTS], const digit *d, float gradient[WEIGHTS]);

/* 64-bit FNV-1a of the weights' bits, little-endian: equal hashes, equal bits. */
uint64_t model_hash(const float weight[WEIGHTS]);

#endif
