/*
 * From reset to main() on a Cortex-M: the vector table, the floating-point unit, memory, and what happens on a fault.
 */
#include "board.h"

#include <stdint.h>

int main(void);

/* From sections.ld. */
extern uint32_t __stack_bottom[], __stack_top[], __data_start[], __data_end[], __bss_start[], __bss_end[];
extern const uint32_t __data_load[];

#if defined(__ARM_FP)
/* Coprocessor access control: full access to 10 and 11, which are the floating-point unit. */
static volatile uint32_t *const CPACR = (uint32_t *)0xE000ED88;
#endif

_Noreturn void reset(void) {
#if defined(__ARM_FP)
    *CPACR |= 0xFu << 20;
    __asm__ volatile("dsb\n\tisb" ::: "memory");
#endif
    /* Volatile, so that no call of memset paints over its own frame. */
    volatile uint32_t *sp;
    __asm__("mov %0, sp" : "=r"(sp));
    for (volatile uint32_t *word = __stack_bottom; word < sp; word++) {
        *word = STACK_PAINT;
    }
    const uint32_t *from = __data_load;
    for (volatile uint32_t *to = __data_start; to < __data_end;) {
        *to++ = *from++;
    }
    for (volatile uint32_t *to = __bss_start; to < __bss_end;) {
        *to++ = 0;
    }
    board_exit(main() == 0);
}

/* What the processor has pushed: r0-r3, r12, lr, then the address of the instruction that failed. */
__attribute__((used)) static _Noreturn void report(const uint32_t *frame) {
    uint32_t exception;
    __asm__("mrs %0, ipsr" : "=r"(exception));
    print("fault: exception ");
    print_unsigned(exception);
    if (frame >= __stack_bottom && frame < __stack_top) {
        print(" at ");
        print_hex(frame[6], 8);
    } else {
        print(": stack overflow");
    }
    print("\n");
    board_exit(false);
}

/* Reports with a fresh stack, as the old one may be what failed. */
__attribute__((naked)) static void fault(void) {
    __asm__("mrs r0, msp\n\t"
            "ldr r1, =__stack_top\n\t"
            "mov sp, r1\n\t"
            "ldr r1, =%c0\n\t"
            "bx r1" ::"i"(report));
}

typedef union {
    uint32_t *stack;
    void (*handler)(void);
} vector;

/*
 * The stack, reset, and the processor's own exceptions, none of which is expected. The board's interrupts would follow;
 * nothing here enables one.
 */
__attribute__((used, section(".vectors"))) static const vector vectors[16] = {
    {.stack = __stack_top}, {.handler = reset}, {.handler = fault}, {.handler = fault},
    {.handler = fault},     {.handler = fault}, {.handler = fault}, {.handler = fault},
    {0},                    {0},                {0},                {.handler = fault},
    {.handler = fault},     {0},                {.handler = fault}, {.handler = fault},
};
