// Finds the minimum of Rosenbrock's function, (1 - x)^2 + 100 (y - x^2)^2, which is at (1, 1).

#include <gradstep.h>

#include <cstdio>
#include <stdexcept>
#include <string>
#include <vector>

static void check(int32_t status) {
    if (status != GRADSTEP_OK) {
        throw std::runtime_error(std::string(gradstep_status_argument(status)) + " " +
                                 gradstep_status_message(status));
    }
}

// Adam and the state of one tensor, in vectors that are as long as the parameters.
class Adam {
public:
    Adam(double lr, std::size_t n) : exp_avg(n), exp_avg_sq(n) {
        check(gradstep_adam_default(&hyper));
        hyper.lr = lr;
        check(gradstep_adam_init(&hyper, n, exp_avg.data(), exp_avg_sq.data(), nullptr));
    }

    void step(std::vector<float> &param, const std::vector<float> &grad) {
        // The library takes one length for all buffers, and trusts it.
        if (param.size() != exp_avg.size() || grad.size() != exp_avg.size()) {
            throw std::length_error("a length that is not that of the state");
        }
        check(gradstep_adam_step(&hyper, nullptr, ++t, param.size(), param.data(), grad.data(),
                                 exp_avg.data(), exp_avg_sq.data(), nullptr));
    }

private:
    gradstep_adam hyper;
    std::uint64_t t = 0;
    std::vector<float> exp_avg, exp_avg_sq;
};

int main() try {
    std::vector<float> param = {-1.5F, 2.0F}, grad(2);
    Adam adam(0.02, param.size());

    for (int i = 0; i < 4000; i++) {
        float x = param[0], y = param[1];
        grad[0] = -2.0F * (1.0F - x) - 400.0F * x * (y - x * x);
        grad[1] = 200.0F * (y - x * x);
        adam.step(param, grad);
    }

    std::printf("minimum at (%.3f, %.3f)\n", param[0], param[1]);
} catch (const std::exception &error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
