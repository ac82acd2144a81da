/* How much of the stack was used, from what is left of the paint that the startup code put there. */
#include "board.h"

extern const uint32_t __stack_bottom[], __stack_top[]; /* sections.ld */

uint32_t stack_used(void) {
    const uint32_t *word = __stack_bottom;
    while (word < __stack_top && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)((uintptr_t)__stack_top - (uintptr_t)word);
}

uint32_t stack_size(void) {
    return (uint32_t)((uintptr_t)__stack_top - (uintptr_t)__stack_bottom);
}
