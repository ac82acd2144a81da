/* The host as a board, so that it runs the same program. */
#include "board.h"

#include <stdio.h>

void print(const char *text) {
    fputs(text, stdout);
}

void print_unsigned(uint32_t number) {
    printf("%lu", (unsigned long)number);
}

void print_hex(uint32_t number, unsigned digits) {
    printf("%0*lx", (int)digits, (unsigned long)number);
}

bool board_report(void) {
    return fflush(stdout) == 0;
}
