/* How much of the stack was used, from what is left of the paint that the startup code put there. */
#include "board.h"

extern const uint32_t __stack_bottom[], __stack_top[]; /* sections.ld */

bool board_report(void) {
    const uint32_t *word = __stack_bottom;
    while (word < __stack_top && *word == STACK_PAINT) {
        word++;
    }
    print("# stack: ");
    print_unsigned((uint32_t)((uintptr_t)__stack_top - (uintptr_t)word));
    print(" of ");
    print_unsigned((uint32_t)((uintptr_t)__stack_top - (uintptr_t)__stack_bottom));
    print(" bytes\n");
    return word > __stack_bottom;
}
