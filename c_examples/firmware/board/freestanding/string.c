/*
 * The functions that a compiler calls on its own, for where there is no C library; one byte at a time.
 * To be compiled with -ffreestanding -fno-tree-loop-distribute-patterns, else they may become calls of themselves.
 */
#include "string.h"

void *memcpy(void *restrict to, const void *restrict from, size_t count) {
    unsigned char *t = to;
    for (const unsigned char *f = from; count > 0; count--) {
        *t++ = *f++;
    }
    return to;
}

void *memmove(void *to, const void *from, size_t count) {
    unsigned char *t = to;
    const unsigned char *f = from;
    if (t < f) {
        return memcpy(to, from, count);
    }
    while (count-- > 0) {
        t[count] = f[count];
    }
    return to;
}

void *memset(void *to, int value, size_t count) {
    for (unsigned char *t = to; count > 0; count--) {
        *t++ = (unsigned char)value;
    }
    return to;
}

int memcmp(const void *a, const void *b, size_t count) {
    const unsigned char *x = a, *y = b;
    for (; count > 0; count--, x++, y++) {
        if (*x != *y) {
            return *x < *y ? -1 : 1;
        }
    }
    return 0;
}

#if defined(__arm__)
/* By which names a compiler for Arm calls memset, where it clears: of the alignment in bytes. */
void __aeabi_memclr(void *to, size_t count);
void __aeabi_memclr4(void *to, size_t count);
void __aeabi_memclr8(void *to, size_t count);

void __aeabi_memclr(void *to, size_t count) {
    memset(to, 0, count);
}

void __aeabi_memclr4(void *to, size_t count) {
    memset(to, 0, count);
}

void __aeabi_memclr8(void *to, size_t count) {
    memset(to, 0, count);
}
#endif
