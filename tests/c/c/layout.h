/* The layout of every struct, asserted by the compiler, in C and in C++. Nothing but the compiler's
 * own headers, so that it can be asked of any target, without a C library. */

#ifndef LAYOUT_H
#define LAYOUT_H

#include "gradstep.h"

#if GRADSTEP_VERSION < 0x000100
#error "the preprocessor can compare versions, and 0.1.0 is the first"
#endif

#ifdef __cplusplus
#define ASSERT static_assert
#else
#define ASSERT _Static_assert
#endif

/* Where a double in a struct is aligned to 4 bytes: i386. */
struct layout_double {
    char before;
    double value;
};

#define DOUBLE_ALIGNMENT offsetof(struct layout_double, value)

#define EXPECTED(on64, on32, on386)                                                                \
    (sizeof(void *) == 8 ? (size_t)(on64) : DOUBLE_ALIGNMENT == 8 ? (size_t)(on32) : (size_t)(on386))

ASSERT(sizeof(void *) == 8 || sizeof(void *) == 4, "a width of pointers that is not in the table");
ASSERT(sizeof(size_t) == sizeof(void *), "size_t is as wide as a pointer");
ASSERT(sizeof(float) == 4 && sizeof(double) == 8, "binary32 and binary64");

#define STRUCT(type, on64, on32, on386)                                                            \
    ASSERT(sizeof(type) == EXPECTED(on64, on32, on386), "the size of " #type);
#define FIELD(type, field, on64, on32, on386)                                                      \
    ASSERT(offsetof(type, field) == EXPECTED(on64, on32, on386), "the place of " #type "." #field);
#include "layout.def"
#undef STRUCT
#undef FIELD

/* Defined in layout.cpp, and called from layout.c. */
#ifdef __cplusplus
extern "C"
#endif
uint32_t layout_version_from_cpp(void);

#endif
