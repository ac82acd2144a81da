/* How a RISC-V of QEMU's machine `virt` starts main, and how it ends: by a device for tests. */

#include <stdint.h>

_Noreturn void end(int status);
int main(void);

/* Where the machine begins. */
__attribute__((naked, section(".vectors"), used)) void _start(void) {
    __asm__(".option push\n"
            ".option norelax\n"
            "la gp, __global_pointer$\n"
            ".option pop\n"
            "la sp, stack_top\n"
            "la t0, fault\n"
            "csrw mtvec, t0\n"
            "call main\n"
            "call end\n");
}

__attribute__((used, aligned(4))) static _Noreturn void fault(void) {
    end(3);
}

_Noreturn void end(int status) {
    volatile uint32_t *device = (volatile uint32_t *)0x100000;
    for (;;) {
        *device = status == 0 ? 0x5555 : (uint32_t)status << 16 | 0x3333;
    }
}
