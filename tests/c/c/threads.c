/* Steps on several threads at once, a program for ThreadSanitizer.
 *
 *     threads                  each thread on its part of a tensor, and the results compared
 *     threads BACKEND LENGTH   two threads on the same elements: wrong, and to be reported
 */

#include "check.h"
#include "rules.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 4, MOST = 4099, BUFFERS = 2 + MAX_STATES };

static const struct {
    const char *name;
    int32_t number;
} backends[] = {
    {"scalar", GRADSTEP_BACKEND_SCALAR}, {"neon", GRADSTEP_BACKEND_NEON},
    {"avx2", GRADSTEP_BACKEND_AVX2},     {"avx512", GRADSTEP_BACKEND_AVX512},
};

/* What one thread does: a step on some of the elements. */
struct part {
    const struct rule *rule;
    const void *hyper;
    const struct tensor *whole;
    size_t begin, end;
    int32_t status;
};

static void *step_on_part(void *argument) {
    struct part *part = argument;
    struct tensor tensor = *part->whole;
    tensor.n = part->end - part->begin;
    tensor.param += part->begin;
    tensor.grad += part->begin;
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = tensor.state[i] == NULL ? NULL : tensor.state[i] + part->begin;
    }
    part->status = part->rule->step(part->hyper, NULL, 1, &tensor);
    return NULL;
}

/* Chooses other instruction sets meanwhile, which changes no result. */
static void *change_backend(void *unused) {
    for (size_t i = 0; i < 20; i++) {
        gradstep_backend_force(backends[i % (sizeof backends / sizeof backends[0])].number);
    }
    return unused;
}

static void run(struct tally *tally, void *(*function)(void *), void *arguments, size_t size,
                size_t count, bool disturbed) {
    pthread_t threads[MOST_THREADS + 1];
    size_t started = count + (disturbed ? 1 : 0);
    for (size_t i = 0; i < started; i++) {
        void *argument = (char *)arguments + i * size;
        CHECK(tally, pthread_create(&threads[i], NULL, i < count ? function : change_backend,
                                    i < count ? argument : NULL) == 0);
    }
    for (size_t i = 0; i < started; i++) {
        CHECK(tally, pthread_join(threads[i], NULL) == 0);
    }
}

static void *name_backend(void *name) {
    *(const char **)name = gradstep_backend_name();
    return NULL;
}

/* Nobody has asked for an instruction set yet, and then all do at once. */
static void first_of_all(struct tally *tally) {
    const char *names[MOST_THREADS] = {NULL};
    check_context(tally, "the first calls");
    run(tally, name_backend, names, sizeof names[0], MOST_THREADS, false);
    for (size_t i = 0; i < MOST_THREADS; i++) {
        CHECK(tally, names[i] != NULL && strcmp(names[i], gradstep_backend_name()) == 0);
    }
}

/* Tensors of one variant, in memory of their own: one for each of two runs. */
static float memory[2][BUFFERS][MOST];

static struct tensor fresh(const struct variant *variant, const void *hyper, size_t run, size_t n) {
    struct tensor tensor = {n, memory[run][0], memory[run][1], {NULL}};
    for (size_t i = 0; i < n; i++) {
        memory[run][0][i] = 1.0F + (float)(i % 37);
        memory[run][1][i] = (float)(i % 11) - 5.5F;
    }
    for (size_t i = 0; i < MAX_STATES; i++) {
        tensor.state[i] = variant->uses[i] ? memory[run][2 + i] : NULL;
    }
    variant->rule->init(hyper, n, tensor.state);
    return tensor;
}

/* The parts of gradstep_chunk(), or others that end where no register does. */
static void cut(struct tally *tally, size_t n, size_t count, bool odd, size_t index, size_t *begin,
                size_t *end) {
    if (odd) {
        *begin = n * index / count;
        *end = n * (index + 1) / count;
    } else {
        CHECK_OK(tally, gradstep_chunk(n, count, index, begin, end));
    }
}

static void in_parts(struct tally *tally, const struct variant *variant, const void *hyper,
                     size_t n, size_t count, bool odd, bool disturbed) {
    struct tensor whole = fresh(variant, hyper, 0, n);
    CHECK_OK(tally, variant->rule->step(hyper, NULL, 1, &whole));

    struct tensor tensor = fresh(variant, hyper, 1, n);
    struct part parts[MOST_THREADS];
    for (size_t i = 0; i < count; i++) {
        parts[i] = (struct part){variant->rule, hyper, &tensor, 0, 0, -1};
        cut(tally, n, count, odd, i, &parts[i].begin, &parts[i].end);
    }
    run(tally, step_on_part, parts, sizeof parts[0], count, disturbed);
    for (size_t i = 0; i < count; i++) {
        CHECK_OK(tally, parts[i].status);
    }
    for (size_t buffer = 0; buffer < BUFFERS; buffer++) {
        if (buffer < 2 || variant->uses[buffer - 2]) {
            CHECK(tally, memcmp(memory[0][buffer], memory[1][buffer], n * sizeof(float)) == 0);
        }
    }
}

static void correct(struct tally *tally) {
    static const size_t lengths[] = {1, 17, 100, 1000, MOST};
    first_of_all(tally);
    for (size_t b = 0; b < sizeof backends / sizeof backends[0]; b++) {
        if (gradstep_backend_force(backends[b].number) != GRADSTEP_OK) {
            printf("%s: not available here\n", backends[b].name);
            continue;
        }
        for (const struct variant *variant = variants; variant->name != NULL; variant++) {
            union any_hyper hyper;
            fill_variant(&hyper, variant);
            for (size_t i = 0; i < sizeof lengths / sizeof lengths[0]; i++) {
                for (size_t count = 2; count <= MOST_THREADS; count += 2) {
                    for (int odd = 0; odd < 2; odd++) {
                        check_context(tally, "%s, %s, n = %zu, %zu threads%s", variant->name,
                                      backends[b].name, lengths[i], count, odd ? ", odd" : "");
                        in_parts(tally, variant, &hyper, lengths[i], count, odd, false);
                        gradstep_backend_force(backends[b].number);
                    }
                }
            }
            check_context(tally, "%s, while the backend changes", variant->name);
            in_parts(tally, variant, &hyper, 1000, 2, true, true);
            gradstep_backend_force(backends[b].number);
        }
        printf("%s: ", backends[b].name);
        printf("%d checks\n", (int)tally->checks);
    }
}

/* Two threads on the same elements. */
static void wrong(struct tally *tally, const char *backend, size_t n) {
    const struct variant *variant = &variants[0];
    union any_hyper hyper;
    fill_variant(&hyper, variant);
    for (size_t b = 0; b < sizeof backends / sizeof backends[0]; b++) {
        if (strcmp(backends[b].name, backend) == 0) {
            CHECK_OK(tally, gradstep_backend_force(backends[b].number));
        }
    }
    CHECK(tally, strcmp(gradstep_backend_name(), backend) == 0);
    CHECK(tally, n <= MOST);
    struct tensor tensor = fresh(variant, &hyper, 0, n);
    struct part part = {variant->rule, &hyper, &tensor, 0, n, -1};
    struct part parts[2] = {part, part};
    run(tally, step_on_part, parts, sizeof parts[0], 2, false);
}

int main(int argc, char **argv) {
    struct tally tally = {0};
    if (argc == 3) {
        wrong(&tally, argv[1], strtoul(argv[2], NULL, 10));
    } else {
        correct(&tally);
    }
    return tally.failures > 0;
}
