/* What naive.c needs of <math.h>: the processor's instruction where it has one, which a freestanding compiler would
 * not use for the function. */
#ifndef MATH_H
#define MATH_H

#define sqrtf __builtin_sqrtf

#endif
