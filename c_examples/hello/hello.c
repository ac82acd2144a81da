/* Finds the minimum of Rosenbrock's function, (1 - x)^2 + 100 (y - x^2)^2, which is at (1, 1). */

#include <gradstep.h>

#include <stdio.h>
#include <stdlib.h>

static void check(int32_t status) {
    if (status != GRADSTEP_OK) {
        fprintf(stderr, "%s %s\n", gradstep_status_argument(status), gradstep_status_message(status));
        exit(EXIT_FAILURE);
    }
}

int main(void) {
    float param[2] = {-1.5F, 2.0F};
    float grad[2], exp_avg[2], exp_avg_sq[2];

    gradstep_adam adam;
    check(gradstep_adam_default(&adam));
    adam.lr = 0.02;
    check(gradstep_adam_init(&adam, 2, exp_avg, exp_avg_sq, NULL));

    for (uint64_t t = 1; t <= 4000; t++) {
        float x = param[0], y = param[1];
        grad[0] = -2.0F * (1.0F - x) - 400.0F * x * (y - x * x);
        grad[1] = 200.0F * (y - x * x);
        check(gradstep_adam_step(&adam, NULL, t, 2, param, grad, exp_avg, exp_avg_sq, NULL));
    }

    printf("minimum at (%.3f, %.3f)\n", param[0], param[1]);
    return EXIT_SUCCESS;
}
