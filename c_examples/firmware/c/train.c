#include "train.h"

#include <string.h>

_Static_assert(TRAINING_COUNT % BATCH == 0, "digits go in whole batches");

float weight[WEIGHTS];

static float gradient[WEIGHTS];
static uint32_t steps;

int32_t train_begin(const training *plan) {
    model_init(weight, plan->seed);
    steps = 0;
    return optimizer_begin(plan->optimizer);
}

static int32_t step(const training *plan) {
    const uint32_t total = plan->epochs * (uint32_t)(plan->count / BATCH);
    const double rate = plan->rate * (total - steps) / total;
    steps++;
    return plan->optimizer->step(rate, steps, weight, gradient);
}

/* As an integer, whose sums are exact. What has diverged (also to NaN) is a thousand. */
static uint32_t millionths(float loss) {
    return loss < 1000.0F ? (uint32_t)(loss * 1e6F) : 1000000000;
}

int32_t train_epoch(const training *plan, uint32_t *loss) {
    uint64_t sum = 0;
    for (size_t first = 0; first < plan->count; first += BATCH) {
        memset(gradient, 0, sizeof gradient);
        for (size_t i = first; i < first + BATCH; i++) {
            sum += millionths(model_learn(weight, &plan->digits[i], gradient));
        }
        const int32_t status = step(plan);
        if (status != 0) {
            return status;
        }
    }
    *loss = (uint32_t)(sum / plan->count);
    return 0;
}

uint32_t test(const digit *digits, size_t count) {
    uint32_t recognised = 0;
    for (size_t i = 0; i < count; i++) {
        recognised += model_classify(weight, &digits[i]) == digits[i].label;
    }
    return recognised;
}
