#include "check.h"

#include "gradstep.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* A broken rule breaks a thousand rows of a table; the first ones are enough. */
enum { MOST_PRINTED = 20 };

void check_context(struct tally *tally, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(tally->context, sizeof tally->context, format, arguments);
    va_end(arguments);
}

static bool count(struct tally *tally, bool holds) {
    tally->checks++;
    tally->failures += !holds;
    return !holds && tally->failures <= MOST_PRINTED;
}

bool check_that(struct tally *tally, bool holds, const char *file, int line, const char *what) {
    if (count(tally, holds)) {
        fprintf(stderr, "%s:%d: %s [%s]\n", file, line, what, tally->context);
    }
    return holds;
}

bool check_status(struct tally *tally, int32_t status, int32_t kind, const char *argument,
                  int32_t tensor, const char *file, int line, const char *call) {
    const char *refused = gradstep_status_argument(status);
    bool holds = GRADSTEP_STATUS_KIND(status) == kind && strcmp(refused, argument) == 0 &&
                 gradstep_status_tensor(status) == tensor &&
                 (status == GRADSTEP_OK) == (kind == GRADSTEP_OK) && status >= 0;
    if (count(tally, holds)) {
        fprintf(stderr,
                "%s:%d: %s: %d, tensor %d: \"%s %s\"; expected tensor %d: kind %d of \"%s\" [%s]\n",
                file, line, call, (int)status, (int)gradstep_status_tensor(status), refused,
                gradstep_status_message(status), (int)tensor, (int)kind, argument, tally->context);
    }
    return holds;
}
