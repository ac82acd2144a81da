/*
 * What a program may ask of the board that it runs on: text, the end, and how much of the stack it used.
 *
 * Text and the end go through semihosting, a debugger's (or emulator's) service, so that no driver is needed.
 */
#ifndef BOARD_H
#define BOARD_H

/* What unused stack is filled with at reset. */
#define STACK_PAINT 0x5AFE57AC

#ifndef __ASSEMBLER__
#include <stdbool.h>
#include <stdint.h>

void print(const char *text);
void print_unsigned(uint32_t number);
/* The lowest `digits` (at most 8) hexadecimal digits. */
void print_hex(uint32_t number, unsigned digits);

/* Ends the program, as returning from main() does; an emulator's exit status is 0 or 1. */
_Noreturn void board_exit(bool success);

/*
 * Prints what is true of this board alone, in lines that start with '#': how much of the stack was used, at most, so
 * far. False if that is all of it.
 */
bool board_report(void);
#endif

#endif
