/* From reset to main() on a 32-bit RISC-V in machine mode: the floating-point unit, memory, and traps. */
#include "board.h"

    .option arch, +zicsr

    .section .text.reset, "ax"
    .globl reset
reset:
    .option push
    .option norelax         /* else gp would be computed from gp */
    la gp, __global_pointer$
    .option pop
    la sp, __stack_top
    la t0, trap
    csrw mtvec, t0
#if defined(__riscv_flen)
    li t0, 0x6000           /* mstatus.FS: dirty, which means on */
    csrs mstatus, t0
    csrw fcsr, zero         /* round to nearest, no exception raised */
#endif

    la t0, __stack_bottom
    li t1, STACK_PAINT
1:  sw t1, 0(t0)
    addi t0, t0, 4
    bltu t0, sp, 1b

    la t0, __data_load
    la t1, __data_start
    la t2, __data_end
    j 3f
2:  lw t3, 0(t0)
    sw t3, 0(t1)
    addi t0, t0, 4
    addi t1, t1, 4
3:  bltu t1, t2, 2b

    la t1, __bss_start
    la t2, __bss_end
    j 5f
4:  sw zero, 0(t1)
    addi t1, t1, 4
5:  bltu t1, t2, 4b

    call main
    seqz a0, a0
    tail board_exit

    .section .text.trap, "ax"
    .balign 4               /* the lowest bits of mtvec are a mode */
trap:
    la sp, __stack_top      /* a fresh stack, as the old one may be what failed */
    la a0, text_fault
    call print
    csrr a0, mcause
    call print_unsigned
    la a0, text_at
    call print
    csrr a0, mepc
    li a1, 8
    call print_hex
    la a0, text_newline
    call print
    li a0, 0
    tail board_exit

    .section .rodata.trap, "a"
text_fault:   .asciz "fault: cause "
text_at:      .asciz " at "
text_newline: .asciz "\n"
