/*
 * The square root of a C library for a processor without floating-point instructions: digit by digit, after W. Kahan and
 * Sun's fdlibm. For where there is no C library, so that the textbook loops can be run there, too.
 */
#include <stdint.h>

float sqrtf(float x);

float sqrtf(float x) {
    union {
        float value;
        uint32_t bits;
    } number = {x};
    uint32_t m = number.bits;
    if (m << 1 == 0 || m >= 0x7F800000) { /* zeros, infinity, NaN, and negative numbers */
        return m << 1 == 0 || m == 0x7F800000 ? x : (x - x) / (x - x);
    }
    int32_t exponent = (int32_t)(m >> 23);
    if (exponent == 0) {
        exponent = 1;
        while ((m & 0x00800000) == 0) {
            m <<= 1;
            exponent--;
        }
    }
    exponent -= 127;
    m = (m & 0x007FFFFF) | 0x00800000;
    if (exponent & 1) {
        m <<= 1;
    }
    exponent >>= 1;
    m <<= 1;
    uint32_t root = 0, sum = 0;
    for (uint32_t digit = 0x01000000; digit != 0; digit >>= 1) {
        uint32_t next = sum + digit;
        if (next <= m) {
            sum = next + digit;
            m -= next;
            root += digit;
        }
        m <<= 1;
    }
    root += m != 0 ? root & 1 : 0;
    number.bits = (root >> 1) + 0x3F000000 + ((uint32_t)exponent << 23);
    return number.value;
}
