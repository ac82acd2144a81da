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

/* Ends the program; the emulator's exit status is 0 or 1. */
_Noreturn void board_exit(bool success);

/* The most bytes of stack that were in use so far, and how many there are. Equal, they mean an overflow. */
uint32_t stack_used(void);
uint32_t stack_size(void);
#endif

#endif
