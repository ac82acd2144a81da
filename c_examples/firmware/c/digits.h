/* Handwritten digits of 8 x 8 pixels, small enough to lie in a microcontroller's flash. data/digits.c has them. */
#ifndef DIGITS_H
#define DIGITS_H

#include <stdint.h>

enum { PIXELS = 64, CLASSES = 10, TRAINING_COUNT = 2000, TEST_COUNT = 500 };

typedef struct {
    uint8_t label;
    uint8_t pixels[PIXELS / 2]; /* 4 bits each, the left one of two in the lower bits; 15 is black */
} digit;

extern const digit training_digits[TRAINING_COUNT];
extern const digit test_digits[TEST_COUNT];

#endif
