/* The gradient's norm and the loss scale: what they give, and what is refused. */

#include "check.h"
#include "gradstep.h"

#include <float.h>
#include <math.h>
#include <stdalign.h>
#include <string.h>

enum { N = 1000, PARTS = 3 };

/* A gradient, its exact sum of squares, and so its norm: 600 threes and 400 fours. */
static float grad[N];
static const double SUM = 600 * 9 + 400 * 16;

static void fill(void) {
    for (size_t i = 0; i < N; i++) {
        grad[i] = i % 5 < 3 ? 3.0F : -4.0F;
    }
}

/* In one piece, in parts, backwards, and merged: the same bits. */
void norm_in_parts(struct tally *tally) {
    check_context(tally, "norm in parts");
    fill();
    gradstep_norm whole, parts, each[PARTS];
    CHECK_OK(tally, gradstep_norm_init(&whole));
    CHECK_OK(tally, gradstep_norm_add(&whole, N, grad));
    CHECK_OK(tally, gradstep_norm_add(&whole, 0, NULL));
    gradstep_norm values;
    const gradstep_values as_values = {grad, NULL, GRADSTEP_FORMAT_F32, 0};
    CHECK_OK(tally, gradstep_norm_init(&values));
    CHECK_OK(tally, gradstep_norm_add_values(&values, N, &as_values));
    CHECK_OK(tally, gradstep_norm_add_values(&values, 0, NULL));
    CHECK(tally, memcmp(&whole, &values, sizeof whole) == 0);
    const gradstep_values eight = {grad, (uint8_t *)grad, GRADSTEP_FORMAT_E4M3, 0};
    CHECK(tally, GRADSTEP_STATUS_KIND(gradstep_norm_add_values(&values, 64, &eight)) ==
                     GRADSTEP_ERROR_FORMAT);
    CHECK(tally, memcmp(&whole, &values, sizeof whole) == 0);
    CHECK_OK(tally, gradstep_norm_init(&parts));
    for (size_t i = PARTS; i-- > 0;) {
        size_t begin, end;
        CHECK_OK(tally, gradstep_chunk(N, PARTS, i, &begin, &end));
        memset(&each[i], 0, sizeof each[i]);
        CHECK_OK(tally, gradstep_norm_add(&each[i], end - begin, grad + begin));
        CHECK_OK(tally, gradstep_norm_merge(&parts, &each[i]));
    }
    CHECK(tally, memcmp(&whole, &parts, sizeof whole) == 0);
    double sum, value, factor;
    int32_t finite;
    CHECK_OK(tally, gradstep_norm_sum_of_squares(&parts, &sum));
    CHECK_OK(tally, gradstep_norm_value(&parts, &value));
    CHECK_OK(tally, gradstep_norm_is_finite(&parts, &finite));
    CHECK(tally, sum == SUM && value == sqrt(SUM) && finite == 1);

    const double max_norm = 2.0, loss_scale = 8.0;
    CHECK_OK(tally, gradstep_norm_clip(&parts, NULL, NULL, &factor));
    CHECK(tally, factor == 1.0);
    CHECK_OK(tally, gradstep_norm_clip(&parts, &max_norm, NULL, &factor));
    CHECK(tally, factor == 2.0 / (sqrt(SUM) + 1e-6));
    CHECK_OK(tally, gradstep_norm_clip(&parts, &max_norm, &loss_scale, &factor));
    CHECK(tally, factor == 2.0 / (sqrt(SUM) / 8.0 + 1e-6) / 8.0);
    CHECK_OK(tally, gradstep_norm_clip(&parts, NULL, &loss_scale, &factor));
    CHECK(tally, factor == 0.125);
}

/* The loop of a run in half precision: two gradients, one that overflows, and another one. */
void norm_in_a_run(struct tally *tally) {
    check_context(tally, "norm in a run");
    static const float gradients[4][2] = {{3, 4}, {0, 1}, {INFINITY, 0}, {6, 8}};
    static const double scales[5] = {4, 4, 8, 4, 4};
    static const float params[5][2] = {{0, 0}, {-3, -4}, {-3, -5}, {-3, -5}, {-9, -13}};
    gradstep_sgd sgd;
    gradstep_options options;
    gradstep_loss_scale scale;
    CHECK_OK(tally, gradstep_sgd_default(&sgd));
    CHECK_OK(tally, gradstep_options_default(&options, sizeof options));
    CHECK_OK(tally, gradstep_loss_scale_default(&scale));
    CHECK(tally, scale.scale == 65536.0 && scale.growth_factor == 2.0 && scale.backoff_factor == 0.5);
    CHECK(tally, scale.growth_interval == 2000 && scale.growth_tracker == 0);
    sgd.lr = 1.0;
    scale.scale = 4.0;
    scale.growth_interval = 2;

    float param[2] = {0, 0};
    uint64_t t = 0;
    for (size_t i = 0; i < 4; i++) {
        CHECK(tally, scale.scale == scales[i] && param[0] == params[i][0] && param[1] == params[i][1]);
        float scaled[2] = {gradients[i][0] * (float)scale.scale, gradients[i][1] * (float)scale.scale};
        gradstep_norm norm;
        int32_t take;
        CHECK_OK(tally, gradstep_norm_init(&norm));
        CHECK_OK(tally, gradstep_norm_add(&norm, 2, scaled));
        CHECK_OK(tally, gradstep_loss_scale_advance(&scale, &norm, NULL, &options.grad_scale, &take));
        CHECK(tally, take == (i != 2) && (take == 0 ? options.grad_scale == 0.0 : true));
        if (take != 0) {
            CHECK_OK(tally, gradstep_sgd_step(&sgd, &options, ++t, 2, param, scaled, NULL));
        }
    }
    CHECK(tally, scale.scale == scales[4] && param[0] == params[4][0] && param[1] == params[4][1]);
    CHECK(tally, t == 3 && scale.growth_tracker == 1);
    CHECK_OK(tally, gradstep_loss_scale_update(&scale, 1));
    CHECK(tally, scale.scale == 8.0 && scale.growth_tracker == 0);
    CHECK_OK(tally, gradstep_loss_scale_update(&scale, 0));
    CHECK(tally, scale.scale == 4.0 && scale.growth_tracker == 0);
}

/* Everything that these calls can reach, in one piece, so that all of it can be compared. */
struct world {
    gradstep_norm norm, other;
    gradstep_loss_scale scale;
    alignas(8) float grad[8];
    double max_norm, loss_scale;
    alignas(8) double value[2];
    alignas(8) int32_t flag[2];
};

static void make_world(struct world *world) {
    memset(world, 0x55, sizeof *world);
    gradstep_norm_init(&world->norm);
    gradstep_norm_init(&world->other);
    gradstep_loss_scale_default(&world->scale);
    for (size_t i = 0; i < 8; i++) {
        world->grad[i] = (float)i;
    }
    gradstep_norm_add(&world->norm, 8, world->grad);
    world->max_norm = 1.0;
    world->loss_scale = 1.0;
}

#define REFUSED(call, kind, argument)                                                              \
    do {                                                                                           \
        CHECK_ERROR(tally, call, kind, argument);                                                  \
        CHECK(tally, memcmp(&world, &before, sizeof world) == 0);                                  \
    } while (0)

static void *shifted(void *pointer, size_t bytes) {
    return (char *)pointer + bytes;
}

/* Every function, with each pointer null and misaligned. */
void norm_pointers(struct tally *tally) {
    struct world world;
    make_world(&world);
    const struct world before = world;
    for (size_t bytes = 0; bytes < 4; bytes++) {
        const int32_t kind = bytes == 0 ? GRADSTEP_ERROR_NULL : GRADSTEP_ERROR_MISALIGNED;
#define BAD(place) (bytes == 0 ? NULL : shifted(place, bytes))
        check_context(tally, "norm, pointers %zu bytes off", bytes);
        REFUSED(gradstep_norm_init(BAD(&world.norm)), kind, "norm");
        REFUSED(gradstep_norm_add(BAD(&world.norm), 8, world.grad), kind, "norm");
        REFUSED(gradstep_norm_add(BAD(&world.norm), 0, NULL), kind, "norm");
        REFUSED(gradstep_norm_add(&world.norm, 7, BAD(world.grad)), kind, "grad");
        REFUSED(gradstep_norm_merge(BAD(&world.norm), &world.other), kind, "norm");
        REFUSED(gradstep_norm_merge(&world.norm, BAD(&world.other)), kind, "other");
        REFUSED(gradstep_norm_is_finite(BAD(&world.norm), world.flag), kind, "norm");
        REFUSED(gradstep_norm_is_finite(&world.norm, BAD(world.flag)), kind, "finite");
        REFUSED(gradstep_norm_sum_of_squares(BAD(&world.norm), world.value), kind, "norm");
        REFUSED(gradstep_norm_sum_of_squares(&world.norm, BAD(world.value)), kind, "value");
        REFUSED(gradstep_norm_value(BAD(&world.norm), world.value), kind, "norm");
        REFUSED(gradstep_norm_value(&world.norm, BAD(world.value)), kind, "value");
        REFUSED(gradstep_norm_clip(BAD(&world.norm), NULL, NULL, world.value), kind, "norm");
        REFUSED(gradstep_norm_clip(&world.norm, NULL, NULL, BAD(world.value)), kind, "factor");
        REFUSED(gradstep_loss_scale_default(BAD(&world.scale)), kind, "loss_scale");
        REFUSED(gradstep_loss_scale_update(BAD(&world.scale), 1), kind, "loss_scale");
        gradstep_loss_scale *scale = &world.scale;
        const double *max_norm = &world.max_norm;
        REFUSED(gradstep_loss_scale_advance(BAD(scale), &world.norm, max_norm, world.value,
                                            world.flag),
                kind, "loss_scale");
        REFUSED(gradstep_loss_scale_advance(scale, BAD(&world.norm), max_norm, world.value,
                                            world.flag),
                kind, "norm");
        REFUSED(gradstep_loss_scale_advance(scale, &world.norm, max_norm, BAD(world.value),
                                            world.flag),
                kind, "factor");
        REFUSED(gradstep_loss_scale_advance(scale, &world.norm, max_norm, world.value,
                                            BAD(world.flag)),
                kind, "take");
        if (bytes > 0) {
            void *off = BAD(&world.max_norm);
            REFUSED(gradstep_norm_clip(&world.norm, off, NULL, world.value), kind, "max_norm");
            REFUSED(gradstep_norm_clip(&world.norm, NULL, off, world.value), kind, "loss_scale");
            REFUSED(gradstep_loss_scale_advance(scale, &world.norm, off, world.value, world.flag),
                    kind, "max_norm");
        }
    }
}

void norm_errors(struct tally *tally) {
    struct world world;
    make_world(&world);
    struct world before = world;
    check_context(tally, "norm, lengths and overlaps");
    REFUSED(gradstep_norm_add(&world.norm, SIZE_MAX, world.grad), GRADSTEP_ERROR_TOO_LONG, "n");
    REFUSED(gradstep_norm_add(&world.norm, SIZE_MAX / 4, world.grad), GRADSTEP_ERROR_TOO_LONG, "n");
    float *words = (float *)(void *)world.norm.words;
    REFUSED(gradstep_norm_add(&world.norm, 1, words), GRADSTEP_ERROR_OVERLAP, "grad");
    REFUSED(gradstep_norm_add(&world.norm, 9, words + 21), GRADSTEP_ERROR_OVERLAP, "grad");
    REFUSED(gradstep_norm_add(&world.other, 23, words), GRADSTEP_ERROR_OVERLAP, "grad");
    REFUSED(gradstep_norm_merge(&world.norm, &world.norm), GRADSTEP_ERROR_OVERLAP, "other");
    gradstep_norm *between = shifted(&world.norm, 8);
    REFUSED(gradstep_norm_merge(between, &world.other), GRADSTEP_ERROR_OVERLAP, "other");
    REFUSED(gradstep_norm_merge(&world.norm, between), GRADSTEP_ERROR_OVERLAP, "other");

    static const double not_bounds[] = {-DBL_TRUE_MIN, -1.0, -INFINITY, NAN};
    for (size_t i = 0; i < sizeof not_bounds / sizeof not_bounds[0]; i++) {
        world.max_norm = not_bounds[i];
        before = world;
        check_context(tally, "norm, max_norm %g", not_bounds[i]);
        REFUSED(gradstep_norm_clip(&world.norm, &world.max_norm, NULL, world.value),
                GRADSTEP_ERROR_NOT_A_BOUND, "max_norm");
        REFUSED(gradstep_loss_scale_advance(&world.scale, &world.norm, &world.max_norm, world.value,
                                            world.flag),
                GRADSTEP_ERROR_NOT_A_BOUND, "max_norm");
    }
    make_world(&world);
    static const double not_normal[] = {
        0.0,     -0.0,     -1.0, FLT_MIN * (1.0 - DBL_EPSILON), FLT_TRUE_MIN, 3.4028236e38,
        DBL_MAX, INFINITY, NAN,
    };
    for (size_t i = 0; i < sizeof not_normal / sizeof not_normal[0]; i++) {
        world.loss_scale = not_normal[i];
        world.scale.scale = not_normal[i];
        before = world;
        check_context(tally, "norm, scale %g", not_normal[i]);
        REFUSED(gradstep_norm_clip(&world.norm, NULL, &world.loss_scale, world.value),
                GRADSTEP_ERROR_NOT_NORMAL, "loss_scale");
        REFUSED(gradstep_loss_scale_update(&world.scale, 1), GRADSTEP_ERROR_NOT_NORMAL, "scale");
        REFUSED(gradstep_loss_scale_advance(&world.scale, &world.norm, NULL, world.value, world.flag),
                GRADSTEP_ERROR_NOT_NORMAL, "scale");
    }
    static const struct {
        size_t place;
        int32_t kind;
        const char *field;
        double values[6]; /* up to the second 0 */
    } factors[] = {
        {offsetof(gradstep_loss_scale, growth_factor),
         GRADSTEP_ERROR_NOT_ABOVE_ONE,
         "growth_factor",
         {0.0, 1.0, -2.0, INFINITY, NAN}},
        {offsetof(gradstep_loss_scale, backoff_factor),
         GRADSTEP_ERROR_NOT_BETWEEN_ZERO_AND_ONE,
         "backoff_factor",
         {0.0, 1.0, -0.5, INFINITY, NAN}},
    };
    for (size_t f = 0; f < 2; f++) {
        for (const double *value = factors[f].values; value == factors[f].values || *value != 0.0;
             value++) {
            make_world(&world);
            memcpy((char *)&world.scale + factors[f].place, value, sizeof *value);
            before = world;
            check_context(tally, "norm, %s %g", factors[f].field, *value);
            REFUSED(gradstep_loss_scale_update(&world.scale, 0), factors[f].kind, factors[f].field);
            REFUSED(gradstep_loss_scale_advance(&world.scale, &world.norm, NULL, world.value,
                                                world.flag),
                    factors[f].kind, factors[f].field);
        }
    }
    make_world(&world);
    world.scale.growth_interval = 0;
    before = world;
    check_context(tally, "norm, growth_interval");
    REFUSED(gradstep_loss_scale_update(&world.scale, 0), GRADSTEP_ERROR_ZERO, "growth_interval");
    make_world(&world);
    before = world;
    REFUSED(gradstep_loss_scale_update(&world.scale, 2), GRADSTEP_ERROR_UNKNOWN, "finite");
    REFUSED(gradstep_loss_scale_update(&world.scale, -1), GRADSTEP_ERROR_UNKNOWN, "finite");

    world.grad[3] = NAN;
    CHECK_OK(tally, gradstep_norm_add(&world.norm, 8, world.grad));
    before = world;
    check_context(tally, "norm, not finite");
    REFUSED(gradstep_norm_clip(&world.norm, NULL, NULL, world.value), GRADSTEP_ERROR_GRAD_NOT_FINITE,
            "norm");
    CHECK_OK(tally, gradstep_norm_value(&world.norm, &world.value[0]));
    CHECK_OK(tally, gradstep_norm_sum_of_squares(&world.norm, &world.value[1]));
    CHECK_OK(tally, gradstep_norm_is_finite(&world.norm, world.flag));
    CHECK(tally, isnan(world.value[0]) && isnan(world.value[1]) && world.flag[0] == 0);
}
