/* How a Cortex-M starts main, and how it ends: by QEMU's semihosting. */

#include <stdint.h>

_Noreturn void end(int status);
int main(void);

extern char stack_top[];

static _Noreturn void start(void) {
#ifdef __ARM_FP
    /* The floating-point unit on, before anything uses it. */
    *(volatile uint32_t *)0xe000ed88 |= 0xfu << 20;
    __asm__ volatile("dsb\n isb");
#endif
    end(main());
}

static _Noreturn void fault(void) {
    end(3);
}

/* The stack, the start, and where a fault leads to. */
__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)start, (const void *)fault, (const void *)fault,
    (const void *)fault, (const void *)fault, (const void *)fault,
};

_Noreturn void end(int status) {
    /* SYS_EXIT_EXTENDED: ADP_Stopped_ApplicationExit, and the status. */
    const uint32_t block[2] = {0x20026, (uint32_t)status};
    register uint32_t call __asm__("r0") = 0x20;
    register const uint32_t *argument __asm__("r1") = block;
    for (;;) {
        __asm__ volatile("bkpt 0xab" : : "r"(call), "r"(argument) : "memory");
    }
}
