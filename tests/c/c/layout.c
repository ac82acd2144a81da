/* The header by itself: nothing before it, twice, with the layout that is written down. */

#include "gradstep.h"
#include "gradstep.h"

#include "layout.h"

/* What follows needs a C library; the assertions above do not, and are compiled for other targets
 * without one. */
#ifndef LAYOUT_ONLY

#include "check.h"

#include <string.h>

/* One row of abi.def, for the Rust side to compare with its own. */
struct layout_row {
    const char *type;
    const char *field; /* NULL for the whole struct, whose size is `bytes` */
    size_t bytes;
};

static const struct layout_row rows[] = {
#define STRUCT(type, ...) {#type, NULL, sizeof(type)},
#define FIELD(type, field, ...) {#type, #field, offsetof(type, field)},
#define CONSTANT(name, value)
#define FUNCTION(result, name, arguments)
#include "abi.def"
#undef STRUCT
#undef FIELD
#undef CONSTANT
#undef FUNCTION
};

const struct layout_row *layout_rows(size_t *count) {
    *count = sizeof rows / sizeof rows[0];
    return rows;
}

void layout_version(struct tally *tally) {
    check_context(tally, "version");
    CHECK(tally, gradstep_version() == GRADSTEP_VERSION);
    CHECK(tally, gradstep_version() >> 16 == GRADSTEP_VERSION_MAJOR);
    CHECK(tally, (gradstep_version() >> 8 & 0xff) == GRADSTEP_VERSION_MINOR);
    CHECK(tally, (gradstep_version() & 0xff) == GRADSTEP_VERSION_PATCH);
    CHECK(tally, layout_version_from_cpp() == GRADSTEP_VERSION);
}

/* A null pointer constant of each kind, const objects, and brace initialization are accepted. */
void layout_use(struct tally *tally) {
    check_context(tally, "use");
    static const gradstep_sgd hyper = {.lr = 0.5};
    static const float grad[2] = {1.0F, -1.0F};
    float param[2] = {1.0F, 1.0F};
    gradstep_sgd_tensor list[1] = {{.n = 2, .param = param, .grad = grad}};
    CHECK_OK(tally, gradstep_sgd_step_list(&hyper, NULL, 1, 1, list));
    CHECK(tally, param[0] == 0.5F && param[1] == 1.5F);
    CHECK_OK(tally, gradstep_sgd_step(&hyper, 0, 2, 2, param, grad, 0));
    CHECK(tally, param[0] == 0.0F && param[1] == 2.0F);
}

#endif
