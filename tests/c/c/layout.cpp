// The header in C++: the same layout, C linkage, types that can be copied byte for byte.

#include "gradstep.h"
#include "gradstep.h"

#include "layout.h"

#ifndef LAYOUT_ONLY

#include <type_traits>

#define STRUCT(type, ...)                                                                          \
    static_assert(std::is_standard_layout<type>::value, #type);                                    \
    static_assert(std::is_trivial<type>::value, #type);
#define FIELD(type, field, ...)
#define CONSTANT(name, value)
#define FUNCTION(result, name, arguments)
#include "abi.def"
#undef STRUCT
#undef FIELD
#undef CONSTANT
#undef FUNCTION

// C linkage: with C++ names this would not link.
uint32_t layout_version_from_cpp() {
    gradstep_adam hyper{};
    gradstep_options options{};
    if (gradstep_adam_default(&hyper) != GRADSTEP_OK ||
        gradstep_options_default(&options, sizeof options) != GRADSTEP_OK) {
        return 0;
    }
    const float grad[] = {1.0F};
    float param[] = {1.0F}, exp_avg[] = {0.0F}, exp_avg_sq[] = {0.0F};
    int32_t status =
        gradstep_adam_step(&hyper, &options, 1, 1, param, grad, exp_avg, exp_avg_sq, nullptr);
    return status == GRADSTEP_OK && gradstep_version() == GRADSTEP_VERSION ? GRADSTEP_VERSION : 0;
}

#endif
