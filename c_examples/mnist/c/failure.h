/*
 * What went wrong, as one sentence for the person at the terminal.
 *
 * A function that can fail returns false and writes the sentence; the caller hands it on unread. There are no error
 * codes and nothing is printed from C.
 */
#ifndef MNIST_FAILURE_H
#define MNIST_FAILURE_H

#include <stdbool.h>

typedef struct {
    char text[320];
} failure;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
/* Writes the sentence and returns false, so that a check can end in `return fail(...)`. */
bool fail(failure *out, const char *format, ...);

#endif
