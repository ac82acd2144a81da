/* What naive.c needs of <math.h>, where there is no C library. */
#ifndef MATH_H
#define MATH_H

#define sqrtf __builtin_sqrtf

#endif
