#include "train.h"

#include "rng.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* What one shard of a batch adds up. */
typedef struct {
    float *gradient;
    score score;
} shard;

/*
 * Where a shard computes. One that is done leaves it to the next: a single thread then always works in the same one,
 * which stays in its cache.
 */
typedef struct {
    atomic_flag taken;
    lanes *values, *slopes;
} workspace;

struct trainer {
    net net;
    digits train;
    train_settings settings;
    float *params, *gradient;
    shard shards[SHARDS];
    workspace workspaces[SHARDS]; /* no more shards than that run at a time */
    uint32_t *order;
    rng order_rng;
    size_t place; /* in `order`: where the next batch begins */
    optimizer *optimizer;
    uint64_t step, epoch;
    double optimizer_seconds;
};

/* Some digits to pass through the network, forward only or forward and backward. */
typedef struct {
    trainer *trainer;
    const train_host *host;
    digits digits;
    const uint32_t *order; /* NULL: as they come */
    size_t count;
    bool learn;
    uint64_t dropout_key;
} batch;

/* Groups of LANES digits, the last one perhaps not full. */
static size_t group_count(const batch *b) {
    return (b->count + LANES - 1) / LANES;
}

/* None of them without work. */
static size_t shard_count(const batch *b) {
    const size_t groups = group_count(b);
    return groups < SHARDS ? groups : SHARDS;
}

/* ---- one shard ---- */

static void load(const batch *b, size_t first, size_t count, lanes *values, uint8_t *labels) {
    for (size_t s = 0; s < LANES; s++) {
        /* The last group repeats its first digit in unused lanes; its slopes are zero there. */
        const size_t place = s < count ? first + s : first;
        const size_t digit = b->order == NULL ? place : b->order[place];
        const uint8_t *pixels = b->digits.pixels + digit * PIXELS;
        for (size_t i = 0; i < PIXELS; i++) {
            values[i][s] = (float)pixels[i] * (1.0f / 255.0f);
        }
        labels[s] = b->digits.labels[digit];
    }
}

static workspace *take_workspace(trainer *t) {
    for (size_t i = 0;; i = (i + 1) % SHARDS) {
        if (!atomic_flag_test_and_set(&t->workspaces[i].taken)) {
            return &t->workspaces[i];
        }
    }
}

static void give_back(workspace *w) {
    atomic_flag_clear(&w->taken);
}

/* The groups are dealt to the shards in contiguous runs, whose bounds depend on the batch size alone. */
static void run_shard(void *context, size_t index) {
    const batch *b = context;
    trainer *t = b->trainer;
    shard *own = &t->shards[index];
    workspace *work = take_workspace(t);
    own->score = (score){0};
    if (b->learn) {
        memset(own->gradient, 0, t->net.param_count * sizeof *own->gradient);
    }
    const size_t groups = group_count(b);
    const size_t shards = shard_count(b);
    for (size_t g = groups * index / shards; g < groups * (index + 1) / shards; g++) {
        const size_t first = g * LANES;
        const size_t count = b->count - first < LANES ? b->count - first : LANES;
        uint8_t labels[LANES];
        load(b, first, count, work->values, labels);
        if (b->learn) {
            const dropout drop = {b->dropout_key, first};
            net_forward(&t->net, t->params, work->values, &drop);
            net_score(&t->net, work->values, labels, count, 1.0 / (double)b->count, work->slopes, &own->score);
            net_backward(&t->net, t->params, work->values, work->slopes, &drop, own->gradient);
        } else {
            net_forward(&t->net, t->params, work->values, NULL);
            net_score(&t->net, work->values, labels, count, 1.0, NULL, &own->score);
        }
    }
    give_back(work);
}

static score run_batch(batch *b) {
    trainer *t = b->trainer;
    const size_t shards = shard_count(b);
    b->host->parallel(b->host->context, shards, run_shard, b);
    score sum = {0};
    for (size_t i = 0; i < shards; i++) {
        sum.loss += t->shards[i].score.loss;
        sum.correct += t->shards[i].score.correct;
    }
    return sum;
}

static void add_gradients(trainer *t, size_t shards) {
    memcpy(t->gradient, t->shards[0].gradient, t->net.param_count * sizeof *t->gradient);
    for (size_t i = 1; i < shards; i++) {
        const float *restrict part = t->shards[i].gradient;
        float *restrict sum = t->gradient;
        for (size_t j = 0; j < t->net.param_count; j++) {
            sum[j] += part[j];
        }
    }
}

/* ---- the trainer ---- */

static lanes *new_lanes(size_t count) {
    return aligned_alloc(sizeof(lanes), count * sizeof(lanes));
}

static bool allocate(trainer *t, failure *why) {
    const size_t params = t->net.param_count;
    const size_t activations = t->net.activation_count;
    t->params = calloc(params, sizeof *t->params);
    t->gradient = calloc(params, sizeof *t->gradient);
    t->order = calloc(t->train.count, sizeof *t->order);
    bool good = t->params != NULL && t->gradient != NULL && t->order != NULL;
    for (size_t i = 0; i < SHARDS; i++) {
        shard *s = &t->shards[i];
        workspace *w = &t->workspaces[i];
        s->gradient = calloc(params, sizeof *s->gradient);
        w->values = new_lanes(activations);
        w->slopes = new_lanes(activations);
        atomic_flag_clear(&w->taken);
        good = good && s->gradient != NULL && w->values != NULL && w->slopes != NULL;
    }
    return good || fail(why, "out of memory for %zu weights and %zu digits", params, t->train.count);
}

trainer *trainer_create(digits train, train_settings settings, failure *why) {
    if (settings.batch_size == 0) {
        fail(why, "batch size: must be at least 1");
        return NULL;
    }
    trainer *t = calloc(1, sizeof *t);
    if (t == NULL) {
        fail(why, "out of memory");
        return NULL;
    }
    if (settings.model == MODEL_TF) {
        net_tf(&t->net);
    } else {
        net_lenet(&t->net, settings.conv1, settings.conv2, settings.hidden);
    }
    t->train = train;
    t->settings = settings;
    if (settings.batch_size > train.count) {
        t->settings.batch_size = train.count;
    }
    const net *n = &t->net;
    optimizer_tensor tensors[MAX_TENSORS];
    for (size_t i = 0; i < n->tensor_count; i++) {
        tensors[i] = (optimizer_tensor){n->tensors[i].offset, n->tensors[i].count};
    }
    if (allocate(t, why)) {
        t->optimizer = optimizer_create(settings.optimizer, t->params, t->gradient, tensors, n->tensor_count, why);
    }
    if (t->optimizer == NULL) {
        trainer_destroy(t);
        return NULL;
    }
    net_init(n, settings.seed, t->params);
    t->order_rng = rng_stream(settings.seed, STREAM_ORDER);
    for (size_t i = 0; i < train.count; i++) {
        t->order[i] = (uint32_t)i;
    }
    t->place = train.count; /* the first batch begins an epoch */
    return t;
}

void trainer_destroy(trainer *t) {
    if (t == NULL) {
        return;
    }
    for (size_t i = 0; i < SHARDS; i++) {
        free(t->shards[i].gradient);
        free(t->workspaces[i].values);
        free(t->workspaces[i].slopes);
    }
    optimizer_destroy(t->optimizer);
    free(t->order);
    free(t->gradient);
    free(t->params);
    free(t);
}

/* The rate of the step after `step` others. */
static double rate(const train_settings *s, uint64_t step) {
    const double lr = s->optimizer.lr;
    if (s->decay_steps == 0) {
        return lr;
    }
    return step < s->decay_steps ? lr * (1.0 - (double)step / (double)s->decay_steps) : 0.0;
}

static bool train_batch(trainer *t, const train_host *host, size_t count, score *out, failure *why) {
    rng dropout_rng = rng_stream(t->settings.seed + t->step, STREAM_DROPOUT);
    batch b = {t, host, t->train, t->order + t->place, count, true, rng_next(&dropout_rng)};
    *out = run_batch(&b);
    add_gradients(t, shard_count(&b));
    const double lr = rate(&t->settings, t->step);
    const double start = host->seconds(host->context);
    const bool good = optimizer_step(t->optimizer, lr, why);
    t->optimizer_seconds += host->seconds(host->context) - start;
    t->place += count;
    t->step++;
    return good;
}

bool trainer_steps(trainer *t, uint64_t count, const train_host *host, failure *why) {
    for (uint64_t i = 0; i < count; i++) {
        if (t->place == t->train.count) {
            t->epoch++;
            t->place = 0;
            rng_shuffle(&t->order_rng, t->order, t->train.count);
        }
        const size_t rest = t->train.count - t->place;
        const size_t size = rest < t->settings.batch_size ? rest : t->settings.batch_size;
        score sum;
        if (!train_batch(t, host, size, &sum, why)) {
            return false;
        }
        const batch_report report = {t->step, t->epoch, sum.loss / (double)size, (double)sum.correct / (double)size,
                                     t->optimizer_seconds};
        if (!host->after_batch(host->context, &report)) {
            break;
        }
    }
    return true;
}

bool trainer_copy(trainer *to, const trainer *from, failure *why) {
    if (to->net.param_count != from->net.param_count) {
        return fail(why, "trainer: cannot take over the weights of another network");
    }
    if (!optimizer_copy(to->optimizer, from->optimizer, why)) {
        return false;
    }
    memcpy(to->params, from->params, from->net.param_count * sizeof *from->params);
    to->step = from->step;
    return true;
}

void trainer_set_lr(trainer *t, double lr) {
    t->settings.optimizer.lr = lr;
}

bool trainer_time_optimizer(trainer *t, const train_host *host, double budget, double *seconds, failure *why) {
    /* So long that reading the clock does not count, and so short that many rounds are not interrupted. */
    const double round_seconds = 1e-4;
    const double lr = t->settings.optimizer.lr;
    const double end = host->seconds(host->context) + budget;
    uint64_t steps = 1;
    *seconds = INFINITY;
    for (double now = 0.0; now < end || isinf(*seconds);) {
        const double start = host->seconds(host->context);
        for (uint64_t i = 0; i < steps; i++) {
            if (!optimizer_step(t->optimizer, lr, why)) {
                return false;
            }
        }
        now = host->seconds(host->context);
        if (now - start < round_seconds) {
            steps *= 2;
        } else if ((now - start) / (double)steps < *seconds) {
            *seconds = (now - start) / (double)steps;
        }
    }
    return true;
}

evaluation trainer_evaluate(trainer *t, const train_host *host, digits test) {
    batch b = {t, host, test, NULL, test.count, false, 0};
    const score sum = run_batch(&b);
    return (evaluation){sum.loss / (double)test.count, (double)sum.correct / (double)test.count};
}

uint64_t trainer_hash(const trainer *t) {
    return net_hash(&t->net, t->params);
}

size_t trainer_param_count(const trainer *t) {
    return t->net.param_count;
}

size_t trainer_state_bytes(const trainer *t) {
    return optimizer_state_bytes(t->optimizer);
}

uint64_t trainer_macs(const trainer *t) {
    return net_macs(&t->net);
}
