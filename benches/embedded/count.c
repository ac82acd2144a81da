/*
 * Counts instructions and stack of a step, and of the textbook loop, under an emulator that takes the same time for each
 * instruction (QEMU -icount shift=0).
 *
 * Prints for each case of cases.h: its name; the step's thousandths of an instruction per parameter, its instructions
 * per call besides, and its bytes of stack; and the first two of the loop. Then a hash of what the steps made.
 */
#include "board.h"
#include "gradstep.h"
#include "naive.h"

#if defined(__riscv)
#define MOVE_SP "mv %0, sp"
#else
#define MOVE_SP "mov %0, sp"
#endif

enum { LARGE = 1024, SMALL = 512, REPEATS = 16, STACK = 1500 };

static float p[LARGE], g[LARGE], a[LARGE], b[LARGE], c[LARGE];

/* The number of instructions so far, in units that calibrate() finds. */
#if defined(__riscv)
static uint32_t ticks(void) {
    uint32_t count;
    __asm__ volatile(".option push\n\t.option arch, +zicsr\n\tcsrr %0, minstret\n\t.option pop" : "=r"(count));
    return count;
}
enum { BITS = 32 };

__attribute__((noinline)) static void spin(uint32_t n) {
    __asm__ volatile("1: addi %0, %0, -1\n\tbnez %0, 1b" : "+r"(n));
}
#else
static volatile uint32_t *const SYSTICK = (uint32_t *)0xE000E010; /* control, reload, current */

static uint32_t ticks(void) {
    return 0xFFFFFF - SYSTICK[2];
}
enum { BITS = 24 };

__attribute__((noinline)) static void spin(uint32_t n) {
    __asm__ volatile(".syntax unified\n1: subs %0, #1\n\tbne 1b" : "+l"(n) : : "cc");
}
#endif

static uint32_t since(uint32_t start) {
    return (ticks() - start) & (0xFFFFFFFF >> (32 - BITS));
}

/* Instructions in 1000 units: a loop of two is run, long and short. */
static uint32_t per_thousand;

static void calibrate(void) {
#if !defined(__riscv)
    SYSTICK[1] = 0xFFFFFF;
    SYSTICK[2] = 0;
    SYSTICK[0] = 5; /* on, from the processor's clock, without an interrupt */
#endif
    uint32_t start = ticks();
    spin(1000);
    uint32_t few = since(start);
    start = ticks();
    spin(1001000);
    per_thousand = (uint32_t)(2000000ULL * 1000 / (since(start) - few));
}

/* The same numbers each time: magnitudes from 2^-20 to 1, both signs. */
static uint32_t seed;

static float number(void) {
    seed = seed * 1664525 + 1013904223;
    uint32_t exponent = 107 + (seed >> 12) % 20;
    union {
        uint32_t bits;
        float value;
    } number = {(seed & 0x80000000) | exponent << 23 | (seed * 2654435761U) >> 9};
    return number.value;
}

static void fill(void) {
    seed = 1;
    for (unsigned i = 0; i < LARGE; i++) {
        p[i] = number();
        g[i] = number();
        a[i] = number();
        b[i] = number();
        b[i] *= b[i];
        c[i] = number();
        c[i] *= c[i];
    }
}

static uint64_t hash = 0xCBF29CE484222325;

static void add_to_hash(const float *numbers) {
    for (unsigned i = 0; i < LARGE; i++) {
        union {
            float value;
            uint32_t bits;
        } number = {numbers[i]};
        hash = (hash ^ number.bits) * 0x100000001B3;
    }
}

typedef int run(size_t n, uint64_t t);

#define hyper (*hyper_pointer)
#define CASE(name, type, setup, call, loop)                                                                            \
    static type hyper_##name;                                                                                          \
    static void prepare_##name(void) {                                                                                 \
        type *hyper_pointer = &hyper_##name;                                                                           \
        setup;                                                                                                         \
    }
#include "cases.h"
#undef CASE

#define CASE(name, type, setup, call, loop)                                                                            \
    static int step_##name(size_t n, uint64_t t) {                                                                     \
        const type *hyper_pointer = &hyper_##name;                                                                     \
        (void)t;                                                                                                       \
        return call != GRADSTEP_OK;                                                                                    \
    }
#include "cases.h"
#undef CASE
#undef hyper

#define CASE(name, type, setup, call, loop)                                                                            \
    static int loop_##name(size_t n, uint64_t t) {                                                                     \
        (void)t;                                                                                                       \
        loop;                                                                                                          \
        return 0;                                                                                                      \
    }
#include "cases.h"
#undef CASE

/* Instructions of a number of calls of one length. */
static uint32_t instructions(run *run, size_t n) {
    uint32_t start = ticks();
    for (unsigned repeat = 0; repeat < REPEATS; repeat++) {
        /* A step late enough that its bias is still corrected. */
        if (run(n, 1000 + repeat) != 0) {
            print("error\n");
            board_exit(false);
        }
    }
    return (uint32_t)((uint64_t)since(start) * per_thousand / 1000);
}

/* The bytes below this function's frame that a call changes. */
__attribute__((noinline)) static uint32_t stack(run *run) {
    volatile uint32_t *end;
    __asm__ volatile(MOVE_SP : "=r"(end));
    for (volatile uint32_t *word = end - STACK / 4; word < end; word++) {
        *word = STACK_PAINT;
    }
    run(SMALL, 1000);
    volatile uint32_t *word = end - STACK / 4;
    while (word < end && *word == STACK_PAINT) {
        word++;
    }
    return (uint32_t)(end - word) * 4;
}

static void print_counts(run *run) {
    fill();
    uint32_t large = instructions(run, LARGE);
    fill();
    uint32_t small = instructions(run, SMALL);
    uint32_t per_thousand_parameters = (uint32_t)((uint64_t)(large - small) * 1000 / (REPEATS * (LARGE - SMALL)));
    uint32_t of_parameters = large - small;
    print(" ");
    print_unsigned(per_thousand_parameters);
    print(" ");
    print_unsigned(small > of_parameters ? (small - of_parameters) / REPEATS : 0);
}

static void report(const char *name, run *step, run *loop) {
    print(name);
    print_counts(step);
    add_to_hash(p);
    print(" ");
    print_unsigned(stack(step));
    print_counts(loop);
    print("\n");
}

int main(void) {
    calibrate();
#define CASE(name, type, setup, call, loop)                                                                            \
    prepare_##name();                                                                                                  \
    report(#name, step_##name, loop_##name);
#include "cases.h"
    print("hash ");
    print_hex((uint32_t)(hash >> 32), 8);
    print_hex((uint32_t)hash, 8);
    print("\n");
    return 0;
}
