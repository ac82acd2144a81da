/*
 * Learns to read digits with each optimizer in turn, and prints how it goes: always the same text, whatever the
 * processor. The last line of an optimizer is a hash of its weights, so that a PC vouches for every bit of them.
 */
#include "board.h"
#include "optimizer.h"
#include "train.h"

#include "gradstep.h"

enum { EPOCHS = 5, SEED = 1 };

static bool check(int32_t status) {
    if (status == GRADSTEP_OK) {
        return true;
    }
    print("error: ");
    print(gradstep_status_argument(status));
    print(" ");
    print(gradstep_status_message(status));
    print("\n");
    return false;
}

static void print_epoch(uint32_t epoch, uint32_t loss, uint32_t recognised) {
    print("  epoch ");
    print_unsigned(epoch);
    print(": loss ");
    print_unsigned(loss);
    print(" micronats, recognises ");
    print_unsigned(recognised * 10000 / TEST_COUNT);
    print(" of 10000\n");
}

static bool learn(const optimizer *o) {
    const training plan = {o, o->rate, SEED, training_digits, TRAINING_COUNT, EPOCHS};
    print(o->name);
    print("\n");
    if (!check(train_begin(&plan))) {
        return false;
    }
    for (uint32_t epoch = 1; epoch <= EPOCHS; epoch++) {
        uint32_t loss;
        if (!check(train_epoch(&plan, &loss))) {
            return false;
        }
        print_epoch(epoch, loss, test(test_digits, TEST_COUNT));
    }
    const uint64_t hash = model_hash(weight);
    print("  weights ");
    print_hex((uint32_t)(hash >> 32), 8);
    print_hex((uint32_t)hash, 8);
    print("\n");
    return true;
}

int main(void) {
    print_unsigned(WEIGHTS);
    print(" weights learn from ");
    print_unsigned(TRAINING_COUNT);
    print(" digits, and are tested on ");
    print_unsigned(TEST_COUNT);
    print(" others\n");
    for (uint32_t i = 0; i < OPTIMIZER_COUNT; i++) {
        if (!learn(&optimizers[i])) {
            return 1;
        }
    }
    return board_report() ? 0 : 1;
}
