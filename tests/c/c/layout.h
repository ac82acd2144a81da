/* The ABI that is written down in abi.def, asserted by the compiler, in C and in C++. Nothing but the
 * compiler's own headers, so that it can be asked of any target, without a C library. */

#ifndef LAYOUT_H
#define LAYOUT_H

#include "gradstep.h"

#if GRADSTEP_VERSION < 0x000100
#error "the preprocessor can compare versions, and 0.1.0 is the first"
#endif

#ifdef __cplusplus
#define ASSERT static_assert
#elif __STDC_VERSION__ >= 201112L
#define ASSERT _Static_assert
#else
/* C99: an array of a negative size. */
#define ASSERT(condition, text) extern const char layout_assert[(condition) ? 1 : -1]
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

/* What a struct's alignment is, in C99 as well. */
#define STRUCT(type, size64, size32, size386, align64, align32, align386)                          \
    struct type##_aligned {                                                                        \
        char before;                                                                               \
        type value;                                                                                \
    };                                                                                             \
    ASSERT(offsetof(struct type##_aligned, value) == EXPECTED(align64, align32, align386),         \
           "the alignment of " #type);                                                             \
    ASSERT(sizeof(type) == EXPECTED(size64, size32, size386), "the size of " #type);
#define FIELD(type, field, field_type, on64, on32, on386)                                          \
    ASSERT(offsetof(type, field) == EXPECTED(on64, on32, on386), "the place of " #type "." #field); \
    ASSERT(sizeof(((type *)0)->field) == sizeof(field_type), "the size of " #type "." #field);
#define CONSTANT(name, value) ASSERT((name) == (value), #name);
/* Declared once more: an error where it differs. */
#define FUNCTION(result, name, arguments) result name arguments;
#ifdef __cplusplus
extern "C" {
#endif
#include "abi.def"
#ifdef __cplusplus
}
#endif
#undef STRUCT
#undef FIELD
#undef CONSTANT
#undef FUNCTION

/* Defined in layout.cpp, and called from layout.c. */
#ifdef __cplusplus
extern "C"
#endif
uint32_t layout_version_from_cpp(void);

#endif
