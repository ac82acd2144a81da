/* Counts checks, and says where one failed. */

#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct tally {
    int32_t checks;
    int32_t failures;
    /* What a table is at, printed with a failure. */
    char context[160];
};

/* Says what the checks that follow are about, as printf does. */
void check_context(struct tally *tally, const char *format, ...);

/* Use the macros. */
bool check_that(struct tally *tally, bool holds, const char *file, int line, const char *what);
bool check_status(struct tally *tally, int32_t status, int32_t kind, const char *argument,
                  int32_t tensor, const char *file, int line, const char *call);

/* The condition holds. */
#define CHECK(tally, condition) check_that(tally, condition, __FILE__, __LINE__, #condition)

/* The call succeeds. */
#define CHECK_OK(tally, call) check_status(tally, call, 0, "", -1, __FILE__, __LINE__, #call)

/* The call is refused for this reason, GRADSTEP_ERROR_*, and because of this argument, which
 * belongs to no tensor of a list. */
#define CHECK_ERROR(tally, call, kind, argument)                                                   \
    CHECK_ERROR_OF(tally, call, kind, argument, -1)

/* The same, with the index of the tensor that the argument belongs to. */
#define CHECK_ERROR_OF(tally, call, kind, argument, tensor)                                        \
    check_status(tally, call, kind, argument, (int32_t)(tensor), __FILE__, __LINE__, #call)

#endif
