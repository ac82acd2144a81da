/*
 * The IDX format of the MNIST files: a pair of images (magic number 0x803) and labels (0x801), big-endian.
 *
 * Validates everything before anything is used: magic number, shape, exact length, equal counts, labels 0 .. 9. An
 * error names the file and says what is wrong with it. Works on bytes in memory, which it neither copies nor frees;
 * it reads no files and knows no compression.
 */
#ifndef MNIST_IDX_H
#define MNIST_IDX_H

#include "failure.h"

#include <stddef.h>
#include <stdint.h>

enum { SIDE = 28, PIXELS = SIDE * SIDE, CLASSES = 10 };

/* One file in memory; the name is for messages. */
typedef struct {
    const char *name;
    const uint8_t *bytes;
    size_t length;
} idx_file;

/* `count` digits: PIXELS bytes and one label each. */
typedef struct {
    const uint8_t *pixels;
    const uint8_t *labels;
    size_t count;
} digits;

bool idx_parse(idx_file images, idx_file labels, digits *out, failure *why);

#endif
