/*
 * Which export the library is of, whether this processor has all that it was compiled for, and loops over
 * rows, in which Python would be slow.
 */
#include "tiny.h"

unsigned tiny_export(void);
int tiny_runs_here(void);

unsigned tiny_export(void)
{
    return TINY_EXPORT;
}

int tiny_runs_here(void)
{
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
#ifdef __AVX__
    if (!__builtin_cpu_supports("avx")) return 0;
#endif
#ifdef __AVX2__
    if (!__builtin_cpu_supports("avx2")) return 0;
#endif
#ifdef __FMA__
    if (!__builtin_cpu_supports("fma")) return 0;
#endif
#ifdef __BMI2__
    if (!__builtin_cpu_supports("bmi2")) return 0;
#endif
#ifdef __AVX512F__
    if (!__builtin_cpu_supports("avx512f")) return 0;
#endif
#ifdef __AVX512BW__
    if (!__builtin_cpu_supports("avx512bw")) return 0;
#endif
#ifdef __AVX512DQ__
    if (!__builtin_cpu_supports("avx512dq")) return 0;
#endif
#ifdef __AVX512VL__
    if (!__builtin_cpu_supports("avx512vl")) return 0;
#endif
#endif
    return 1;
}

void tiny_jacobian_batch(size_t n, const float *x, float *u, float *J);

void tiny_jacobian_batch(size_t n, const float *x, float *u, float *J)
{
    for (size_t i = 0; i < n; ++i)
        tiny_jacobian(x + i * 2, u + i * 1, J + i * 1 * 2);
}

void tiny_inside_batch(size_t n, const float *x, unsigned char *inside);

void tiny_inside_batch(size_t n, const float *x, unsigned char *inside)
{
    for (size_t i = 0; i < n; ++i)
        inside[i] = (unsigned char)tiny_inside(x + i * 2);
}
