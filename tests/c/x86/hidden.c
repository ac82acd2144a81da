/* What gradstep does on x86-64 processors that lack an instruction set, and where an operating
 * system or a hypervisor hides one.
 *
 *     hidden            this processor, with all that could be missing hidden in turn
 *     hidden <backend>  the processor as it is, on which this backend must be the choice
 *
 * To hide something, the program goes through gradstep's code in single steps, and answers its
 * CPUID and XGETBV instructions itself. It also sees which instructions run, and finds those that
 * the hidden processor would have stopped at. Linux with glibc. */

#define _GNU_SOURCE

#include "rules.h"

#include <cpuid.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>
#include <x86intrin.h>

enum { SCALAR, AVX2, AVX512 };
static const char *const names[] = {"scalar", "avx2", "avx512"};

/* A processor as it shows itself: this one without some bits. */
struct processor {
    const char *name;
    int most; /* the widest instruction set that may be chosen */
    uint32_t leaf1_ecx, leaf7_ebx, extended_ecx, xcr0;
    /* XGETBV is an illegal instruction. */
    bool no_xgetbv;
    /* All variants of all rules are gone through in steps; else only the first, as the choice is
     * what matters. A step takes some 0.1 ms where a hypervisor sees to it. */
    bool thorough;
    /* Leaf 7 is beyond the last one; as on old processors, it gives what another one gives. */
    bool no_leaf7;
};

#define OSXSAVE (1u << 27)
#define ALL ~0u

static const struct processor processors[] = {
    {.name = "as it is", .most = AVX512, .thorough = true},
    {.name = "no OSXSAVE", .most = SCALAR, .leaf1_ecx = OSXSAVE, .no_xgetbv = true},
    {.name = "no XSAVE", .most = SCALAR, .leaf1_ecx = OSXSAVE | bit_XSAVE, .no_xgetbv = true},
    {.name = "no state saved but x87's", .most = SCALAR, .xcr0 = ALL << 1},
    {.name = "no state of AVX saved", .most = SCALAR, .xcr0 = ALL << 2, .thorough = true},
    {.name = "state of AVX-512 saved, none of AVX", .most = SCALAR, .xcr0 = 1u << 2},
    {.name = "state of AVX saved, none of SSE", .most = SCALAR, .xcr0 = 1u << 1},
    {.name = "no state of AVX-512 saved", .most = AVX2, .xcr0 = ALL << 3, .thorough = true},
    {.name = "no masks of AVX-512 saved", .most = AVX2, .xcr0 = 1u << 5},
    {.name = "no upper halves of AVX-512 saved", .most = AVX2, .xcr0 = 1u << 6},
    {.name = "no upper registers of AVX-512 saved", .most = AVX2, .xcr0 = 1u << 7},
    {.name = "no AVX", .most = SCALAR, .leaf1_ecx = bit_AVX},
    {.name = "no AVX2", .most = SCALAR, .leaf7_ebx = bit_AVX2},
    {.name = "no FMA", .most = SCALAR, .leaf1_ecx = bit_FMA},
    {.name = "no BMI1", .most = SCALAR, .leaf7_ebx = bit_BMI},
    {.name = "no BMI2", .most = SCALAR, .leaf7_ebx = bit_BMI2},
    {.name = "no LZCNT", .most = SCALAR, .extended_ecx = bit_ABM},
    {.name = "no POPCNT", .most = SCALAR, .leaf1_ecx = bit_POPCNT},
    {.name = "no SSE4.1", .most = SCALAR, .leaf1_ecx = bit_SSE4_1},
    {.name = "no SSE4.2", .most = SCALAR, .leaf1_ecx = bit_SSE4_2},
    {.name = "no leaf 7", .most = SCALAR, .no_leaf7 = true},
    {.name = "no AVX512F", .most = AVX2, .leaf7_ebx = bit_AVX512F},
    {.name = "no AVX512VL", .most = AVX2, .leaf7_ebx = bit_AVX512VL},
    {.name = "no AVX512BW", .most = AVX2, .leaf7_ebx = bit_AVX512BW},
    {.name = "no AVX512CD", .most = AVX2, .leaf7_ebx = bit_AVX512CD},
    {.name = "no AVX512DQ", .most = AVX2, .leaf7_ebx = bit_AVX512DQ},
};
enum { PROCESSORS = sizeof processors / sizeof processors[0] };

/* What the single steps have seen; volatile, since a signal's handler changes it. */
static const struct processor *volatile seen_by;
static volatile uint64_t cpuids, xgetbvs, of_avx, of_avx512;

/* The program's own code, in which gradstep's is; the C library chooses for itself. */
extern const char __executable_start[], etext[];

static void answer_cpuid(greg_t *registers) {
    const struct processor *processor = seen_by;
    uint32_t leaf = (uint32_t)registers[REG_RAX], subleaf = (uint32_t)registers[REG_RCX];
    uint32_t a, b, c, d;
    __cpuid_count(leaf, subleaf, a, b, c, d);
    if (leaf == 0 && processor->no_leaf7) {
        a = 6;
    } else if (leaf == 1) {
        c &= ~processor->leaf1_ecx;
    } else if (leaf == 7 && processor->no_leaf7) {
        a = b = c = d = ALL;
    } else if (leaf == 7 && subleaf == 0) {
        b &= ~processor->leaf7_ebx;
    } else if (leaf == 0x80000001) {
        c &= ~processor->extended_ecx;
    }
    registers[REG_RAX] = a;
    registers[REG_RBX] = b;
    registers[REG_RCX] = c;
    registers[REG_RDX] = d;
    registers[REG_RIP] += 2;
    cpuids++;
}

static void answer_xgetbv(greg_t *registers) {
    uint32_t low, high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"((uint32_t)registers[REG_RCX]));
    registers[REG_RAX] = low & ~seen_by->xcr0;
    registers[REG_RDX] = high;
    registers[REG_RIP] += 3;
    xgetbvs++;
}

/* Counts an instruction by how it is encoded. Masks have encodings of AVX in a range of their own. */
static void count(const uint8_t *code) {
    bool is_vex2 = code[0] == 0xc5, is_vex3 = code[0] == 0xc4;
    uint8_t opcode = is_vex2 ? code[2] : code[3];
    bool first_map = is_vex2 || (is_vex3 && (code[1] & 0x1f) == 1);
    bool is_mask = first_map && ((opcode >= 0x41 && opcode <= 0x4b) ||
                                 (opcode >= 0x90 && opcode <= 0x99));
    is_mask = is_mask || (is_vex3 && (code[1] & 0x1f) == 3 && opcode >= 0x30 && opcode <= 0x33);
    of_avx += is_vex2 || is_vex3;
    of_avx512 += code[0] == 0x62 || ((is_vex2 || is_vex3) && is_mask);
}

/* Called before each instruction. */
static void before_instruction(int signal, siginfo_t *info, void *context) {
    (void)signal, (void)info;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    for (;;) {
        const uint8_t *code = (const uint8_t *)registers[REG_RIP];
        if (memcmp(code, "\x0f\xa2", 2) == 0) {
            answer_cpuid(registers);
        } else if (memcmp(code, "\x0f\x01\xd0", 3) == 0) {
            answer_xgetbv(registers);
        } else {
            bool ours = (const char *)code >= __executable_start && (const char *)code < etext;
            if (ours) {
                count(code);
            }
            return;
        }
    }
}

static void single_steps(bool on) {
    unsigned long long trap = 1 << 8;
    __writeeflags(on ? __readeflags() | trap : __readeflags() & ~trap);
}

/* Two blocks of the widest registers, one register and a part of one; and a few, where they go one
 * by one through steps that each take long. */
enum { MANY = 2 * 32 + 16 + 5, FEW = 3 };

struct run {
    float param[MANY], grad[MANY], state[MAX_STATES][MANY];
};

static int32_t run(const struct variant *variant, const void *hyper, size_t n, struct run *run) {
    for (size_t i = 0; i < MANY; i++) {
        run->param[i] = (float)(i % 11) - 5.0F;
        run->grad[i] = (float)(i % 7) * 0.37F - 1.0F;
        for (size_t s = 0; s < MAX_STATES; s++) {
            run->state[s][i] = (float)(i % 5) * 0.9F + 1.0F;
        }
    }
    struct tensor tensor = {n, run->param, run->grad, {NULL}};
    for (size_t s = 0; s < MAX_STATES; s++) {
        tensor.state[s] = variant->uses[s] ? run->state[s] : NULL;
    }
    return variant->rule->step(hyper, NULL, 2, &tensor);
}

/* Whether the first variants of the rules give the bits of the plainest instructions. */
static bool rules_agree(size_t count, size_t n, bool stepping) {
    bool agree = true;
    for (size_t i = 0; i < count && variants[i].name != NULL; i++) {
        const struct variant *variant = &variants[i];
        union any_hyper hyper;
        static struct run chosen, plain;
        fill_variant(&hyper, variant);
        single_steps(stepping);
        int32_t status = run(variant, &hyper, n, &chosen);
        single_steps(false);
        bool ran = status == GRADSTEP_OK;

        int backend = strcmp(gradstep_backend_name(), "avx2") == 0     ? GRADSTEP_BACKEND_AVX2
                      : strcmp(gradstep_backend_name(), "avx512") == 0 ? GRADSTEP_BACKEND_AVX512
                                                                       : GRADSTEP_BACKEND_SCALAR;
        gradstep_backend_force(GRADSTEP_BACKEND_SCALAR);
        ran = run(variant, &hyper, n, &plain) == GRADSTEP_OK && ran;
        gradstep_backend_force(backend);
        if (!ran || memcmp(&chosen, &plain, sizeof chosen) != 0) {
            fprintf(stderr, "%s: status %d, or other bits than one by one\n", variant->name,
                    (int)status);
            agree = false;
        }
    }
    return agree;
}

/* The processor as it is. */
static bool chooses(const char *backend) {
    printf("chose %s\n", gradstep_backend_name());
    return strcmp(gradstep_backend_name(), backend) == 0 && rules_agree(SIZE_MAX, MANY, false);
}

/* In a process of its own, as the choice is made once. */
static bool chooses_hidden(const struct processor *processor, int machine) {
    struct sigaction action = {.sa_sigaction = before_instruction, .sa_flags = SA_SIGINFO};
    sigaction(SIGTRAP, &action, NULL);
    seen_by = processor;
    single_steps(true);
    const char *name = gradstep_backend_name();
    single_steps(false);
    uint64_t while_choosing = of_avx + of_avx512;
    int expected = processor->most < machine ? processor->most : machine;
    size_t count = processor->thorough ? SIZE_MAX : 1;
    bool agree = rules_agree(count, expected == SCALAR ? FEW : MANY, true);

    printf("%-36s %s after %d CPUID and %d XGETBV; then %d instructions of AVX, %d of AVX-512\n",
           processor->name, name, (int)cpuids, (int)xgetbvs, (int)of_avx, (int)of_avx512);
    return agree && strcmp(name, names[expected]) == 0 && cpuids > 0 && while_choosing == 0 &&
           (of_avx > 0) == (expected >= AVX2) && (of_avx512 > 0) == (expected == AVX512) &&
           !(processor->no_xgetbv && xgetbvs > 0);
}

/* What the compiler's own detection finds. */
static int widest_of_machine(void) {
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 && __builtin_cpu_supports("avx512vl") ? AVX512 : avx2 ? AVX2 : SCALAR;
}

int main(int count, char **arguments) {
    if (count > 1) {
        return chooses(arguments[1]) ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    int failures = 0;
    for (int i = 0; i < PROCESSORS; i++) {
        fflush(stdout);
        pid_t child = fork();
        if (child == 0) {
            exit(chooses_hidden(&processors[i], widest_of_machine()) ? EXIT_SUCCESS : EXIT_FAILURE);
        }
        int status = -1;
        bool passed = child > 0 && waitpid(child, &status, 0) == child && status == 0;
        if (!passed) {
            fprintf(stderr, "%s: failed, status %d\n", processors[i].name, status);
            failures++;
        }
    }
    printf("%d processors, %d failures, on one with %s\n", PROCESSORS, failures,
           names[widest_of_machine()]);
    return failures == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
