/* Steps called from C, in a loop, so that no interpreter's time counts: gradstep's lists, and the
 * naive functions of a C file, by the numbers of their buffers and scalars.
 */

#include <stddef.h>
#include <stdint.h>

typedef int32_t step_list(const void *hyper, const void *options, uint64_t t, size_t count,
                          const void *tensors);

int32_t loop_list(step_list *step, const void *hyper, uint64_t t, size_t count,
                  const void *tensors, size_t steps)
{
    int32_t status = 0;
    for (; steps && !status; steps--)
        status = step(hyper, NULL, t++, count, tensors);
    return status;
}

typedef struct {
    size_t n;
    float *buffer[5];
} tensor;

#define LOOP(buffers, scalars, parameters, arguments)                                     \
    void loop_##buffers##_##scalars(void(*step) parameters, size_t count,                 \
                                    const tensor *tensors, const float *s, size_t steps)  \
    {                                                                                     \
        for (; steps; steps--)                                                            \
            for (size_t i = 0; i < count; i++) {                                          \
                size_t n = tensors[i].n;                                                  \
                float *const *b = tensors[i].buffer;                                      \
                step arguments;                                                           \
            }                                                                             \
    }

LOOP(2, 1, (size_t, float *, float *, float), (n, b[0], b[1], s[0]))
LOOP(3, 2, (size_t, float *, float *, float *, float, float), (n, b[0], b[1], b[2], s[0], s[1]))
LOOP(3, 3, (size_t, float *, float *, float *, float, float, float),
     (n, b[0], b[1], b[2], s[0], s[1], s[2]))
LOOP(4, 3, (size_t, float *, float *, float *, float *, float, float, float),
     (n, b[0], b[1], b[2], b[3], s[0], s[1], s[2]))
LOOP(4, 5, (size_t, float *, float *, float *, float *, float, float, float, float, float),
     (n, b[0], b[1], b[2], b[3], s[0], s[1], s[2], s[3], s[4]))
LOOP(4, 6, (size_t, float *, float *, float *, float *, float, float, float, float, float, float),
     (n, b[0], b[1], b[2], b[3], s[0], s[1], s[2], s[3], s[4], s[5]))
LOOP(5, 5,
     (size_t, float *, float *, float *, float *, float *, float, float, float, float, float),
     (n, b[0], b[1], b[2], b[3], b[4], s[0], s[1], s[2], s[3], s[4]))
