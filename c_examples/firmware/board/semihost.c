/* Semihosting (Arm's specification, which RISC-V shares): text and the program's end, for any of the cores. */
#include "board.h"

enum { SYS_WRITE0 = 0x04, SYS_EXIT = 0x18 };
enum { APPLICATION_EXIT = 0x20026, RUN_TIME_ERROR = 0x20023 };

static void call(uint32_t operation, uintptr_t argument) {
#if defined(__riscv)
    register uint32_t a0 __asm__("a0") = operation;
    register uintptr_t a1 __asm__("a1") = argument;
    /* The three instructions are a mark: uncompressed, and on one page. */
    __asm__ volatile(".balign 16\n\t"
                     ".option push\n\t"
                     ".option norvc\n\t"
                     "slli zero, zero, 0x1f\n\t"
                     "ebreak\n\t"
                     "srai zero, zero, 7\n\t"
                     ".option pop"
                     : "+r"(a0)
                     : "r"(a1)
                     : "memory");
#else
    register uint32_t r0 __asm__("r0") = operation;
    register uintptr_t r1 __asm__("r1") = argument;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
#endif
}

void print(const char *text) {
    call(SYS_WRITE0, (uintptr_t)text);
}

void print_unsigned(uint32_t number) {
    char text[11];
    char *first = text + sizeof text - 1;
    *first = 0;
    do {
        *--first = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    print(first);
}

void print_hex(uint32_t number, unsigned digits) {
    char text[9];
    text[digits] = 0;
    while (digits-- > 0) {
        text[digits] = "0123456789abcdef"[number & 15];
        number >>= 4;
    }
    print(text);
}

_Noreturn void board_exit(bool success) {
    call(SYS_EXIT, success ? APPLICATION_EXIT : RUN_TIME_ERROR);
    for (;;) {
    }
}
