#include "tiny.h"
#if TINY_EXPORT != 0x6db19cf7u
#error "tiny.c and tiny.h are of two exports; export all files again"
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>
#include <float.h>
#if DBL_MANT_DIG != 53
#error "a double is a float here: export with --precision float, or compile with -mdouble=64"
#endif

/* An AVR's flash has addresses of its own; GNU C reads constants from there, others copy them into RAM. */
#if defined(__AVR__) && defined(__FLASH)
#define IN_FLASH __flash
#else
#define IN_FLASH
#endif

static const IN_FLASH float w0[3] = {
    0.0f, 0.5f, -0.25f
};

static const IN_FLASH float w1[6] = {
    0.5f, 0.25f, -0.5f, -1.0f, 0.75f, 0.125f
};

static const IN_FLASH int8_t w2[3] = {
    64, -127, 127
};

static const IN_FLASH int8_t w3[3] = {
    127, -127, 127
};

static const IN_FLASH float w4[3] = {
    0.007874016f, 0.003937008f, 0.001968504f
};

static const IN_FLASH float w5[3] = {
    0.125f, 0.0f, -0.5f
};

static const IN_FLASH float w6[3] = {
    1.0f, -2.0f, 0.5f
};

static const IN_FLASH float w7[3] = {
    -0.5f, -0.125f, -0.5f
};

static const IN_FLASH float w8[3] = {
    1.0f, -0.375f, 0.125f
};

static const IN_FLASH float w9[3] = {
    -2.0f, -1.125f, -0.03125f
};

#ifdef __AVX2__ /* four numbers at a time: of fewer libm takes no longer */
#ifdef __GNUC__
__attribute__((always_inline)) inline /* it is long, and a call would stand in the way of vectors */
#endif
/* tanh within 4e-16 of its value for every double; NaN stays NaN. */
static double fast_tanh(double x)
{
    const uint64_t end = 0x4034000000000000u, infinity = 0x7ff0000000000000u;
    uint64_t bits, size;
    double y, power;
    memcpy(&bits, &x, sizeof x);
    size = bits & 0x7fffffffffffffffu;
    const uint64_t beyond = -(uint64_t)(size > end), nan = -(uint64_t)(size > infinity);
    size = (size & ~beyond) | (end & beyond);
    memcpy(&y, &size, sizeof y);
    const int32_t n = (int32_t)(y * 2.8853900817779268 + 0.5);
    const double r = (2 * y - n * 0x1.62e42fefa3800p-1) - n * 0x1.ef35793c76730p-45;
    const double q = 1.0 / 2 + r * (1.0 / 6 + r * (1.0 / 24 + r * (1.0 / 120 + r * (1.0 / 720
                   + r * (1.0 / 5040 + r * (1.0 / 40320 + r * (1.0 / 362880 + r * (1.0 / 3628800
                   + r * (1.0 / 39916800 + r * (1.0 / 479001600 + r / 6227020800.0))))))))));
    const uint64_t exponent = (uint64_t)(n + 1023) << 52;
    memcpy(&power, &exponent, sizeof power);
    const double e = power * (r + r * r * q) + (power - 1);
    y = e / (e + 2);
    memcpy(&size, &y, sizeof y);
    size |= (bits & 0x8000000000000000u) | (nan & 0x7ff8000000000000u);
    memcpy(&y, &size, sizeof y);
    return y;
}
#else
static double fast_tanh(double x)
{
    return tanh(x);
}
#endif

/* A vector as wide as the processor's registers, of gcc's and clang's type, or one number (-DLANES=1). */
#if defined(LANES)
#elif !defined(__GNUC__)
#define LANES 1
#elif defined(__AVX512F__)
#define LANES 8
#elif defined(__AVX__)
#define LANES 4
#elif defined(__SSE2__) || defined(__aarch64__) || defined(__wasm_simd128__)
#define LANES 2
#else
#define LANES 1
#endif
#if LANES < 1 || 16 % LANES
#error "LANES must divide 16"
#endif
#define FEW_LANES (LANES < 4 ? LANES : 4)
#if LANES > 1
typedef double lanes __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef double few_lanes __attribute__((vector_size(8 * FEW_LANES), aligned(8), may_alias));
#else
typedef double lanes, few_lanes;
#endif

/* z += W a; the inner loop runs over the outputs, so that compilers vectorise it. */
#if defined(__GNUC__)
__attribute__((noinline)) /* or gcc 12 loses sums at -O3 for AVX-512 */
#endif
static void multiply(size_t inputs, size_t outputs, const IN_FLASH float *restrict w,
                   const double *restrict a, double *restrict z)
{
    for (size_t k = 0; k < inputs; ++k) {
        const double a_k = a[k];
        for (size_t j = 0; j < outputs; ++j)
            z[j] += a_k * (double)w[k * outputs + j];
    }
}

/* z += W a for 16 rows, which lie innermost; the sums of some outputs at a time stay in registers. */
static void multiply_tile(size_t inputs, size_t outputs, const IN_FLASH float *restrict w,
                   const double *restrict a, double *restrict z)
{
    size_t j = 0;
    for (; j < outputs - outputs % 8; j += 8)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = t[0 * 16 / LANES]; lanes s1 = t[1 * 16 / LANES];
            lanes s2 = t[2 * 16 / LANES]; lanes s3 = t[3 * 16 / LANES];
            lanes s4 = t[4 * 16 / LANES]; lanes s5 = t[5 * 16 / LANES];
            lanes s6 = t[6 * 16 / LANES]; lanes s7 = t[7 * 16 / LANES];
            for (size_t k = 0; k < inputs; ++k) {
                const lanes a_k = *(const lanes *)(a + k * 16 + r);
                const IN_FLASH float *v = w + k * outputs + j;
                s0 += (double)v[0] * a_k; s1 += (double)v[1] * a_k; s2 += (double)v[2] * a_k;
                s3 += (double)v[3] * a_k; s4 += (double)v[4] * a_k; s5 += (double)v[5] * a_k;
                s6 += (double)v[6] * a_k; s7 += (double)v[7] * a_k;
            }
            t[0 * 16 / LANES] = s0; t[1 * 16 / LANES] = s1; t[2 * 16 / LANES] = s2;
            t[3 * 16 / LANES] = s3; t[4 * 16 / LANES] = s4; t[5 * 16 / LANES] = s5;
            t[6 * 16 / LANES] = s6; t[7 * 16 / LANES] = s7;
        }
    for (; j < outputs - outputs % 4; j += 4)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = t[0 * 16 / LANES]; lanes s1 = t[1 * 16 / LANES];
            lanes s2 = t[2 * 16 / LANES]; lanes s3 = t[3 * 16 / LANES];
            for (size_t k = 0; k < inputs; ++k) {
                const lanes a_k = *(const lanes *)(a + k * 16 + r);
                const IN_FLASH float *v = w + k * outputs + j;
                s0 += (double)v[0] * a_k; s1 += (double)v[1] * a_k; s2 += (double)v[2] * a_k;
                s3 += (double)v[3] * a_k;
            }
            t[0 * 16 / LANES] = s0; t[1 * 16 / LANES] = s1; t[2 * 16 / LANES] = s2;
            t[3 * 16 / LANES] = s3;
        }
    for (; j < outputs; ++j)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = *t, s1 = {0};
            size_t k = 0;
            for (; k < inputs - inputs % 2; k += 2) {
                const IN_FLASH float *v = w + k * outputs + j;
                s0 += (double)v[0] * *(const lanes *)(a + (k + 0) * 16 + r);
                s1 += (double)v[outputs] * *(const lanes *)(a + (k + 1) * 16 + r);
            }
            for (; k < inputs; ++k) s0 += (double)w[k * outputs + j] * *(const lanes *)(a + k * 16 + r);
            *t = s0 + s1;
        }
}

/* z += W a; the inner loop runs over the outputs, so that compilers vectorise it. */
#if defined(__GNUC__)
__attribute__((noinline)) /* or gcc 12 loses sums at -O3 for AVX-512 */
#endif
static void multiply_int8(size_t inputs, size_t outputs, const IN_FLASH int8_t *restrict w,
                   const double *restrict a, double *restrict z)
{
    for (size_t k = 0; k < inputs; ++k) {
        const double a_k = a[k];
        for (size_t j = 0; j < outputs; ++j)
            z[j] += a_k * (double)w[k * outputs + j];
    }
}

/* z += W a for 16 rows, which lie innermost; the sums of some outputs at a time stay in registers. */
static void multiply_int8_tile(size_t inputs, size_t outputs, const IN_FLASH int8_t *restrict w,
                   const double *restrict a, double *restrict z)
{
    size_t j = 0;
    for (; j < outputs - outputs % 8; j += 8)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = t[0 * 16 / LANES]; lanes s1 = t[1 * 16 / LANES];
            lanes s2 = t[2 * 16 / LANES]; lanes s3 = t[3 * 16 / LANES];
            lanes s4 = t[4 * 16 / LANES]; lanes s5 = t[5 * 16 / LANES];
            lanes s6 = t[6 * 16 / LANES]; lanes s7 = t[7 * 16 / LANES];
            for (size_t k = 0; k < inputs; ++k) {
                const lanes a_k = *(const lanes *)(a + k * 16 + r);
                const IN_FLASH int8_t *v = w + k * outputs + j;
                s0 += (double)v[0] * a_k; s1 += (double)v[1] * a_k; s2 += (double)v[2] * a_k;
                s3 += (double)v[3] * a_k; s4 += (double)v[4] * a_k; s5 += (double)v[5] * a_k;
                s6 += (double)v[6] * a_k; s7 += (double)v[7] * a_k;
            }
            t[0 * 16 / LANES] = s0; t[1 * 16 / LANES] = s1; t[2 * 16 / LANES] = s2;
            t[3 * 16 / LANES] = s3; t[4 * 16 / LANES] = s4; t[5 * 16 / LANES] = s5;
            t[6 * 16 / LANES] = s6; t[7 * 16 / LANES] = s7;
        }
    for (; j < outputs - outputs % 4; j += 4)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = t[0 * 16 / LANES]; lanes s1 = t[1 * 16 / LANES];
            lanes s2 = t[2 * 16 / LANES]; lanes s3 = t[3 * 16 / LANES];
            for (size_t k = 0; k < inputs; ++k) {
                const lanes a_k = *(const lanes *)(a + k * 16 + r);
                const IN_FLASH int8_t *v = w + k * outputs + j;
                s0 += (double)v[0] * a_k; s1 += (double)v[1] * a_k; s2 += (double)v[2] * a_k;
                s3 += (double)v[3] * a_k;
            }
            t[0 * 16 / LANES] = s0; t[1 * 16 / LANES] = s1; t[2 * 16 / LANES] = s2;
            t[3 * 16 / LANES] = s3;
        }
    for (; j < outputs; ++j)
        for (size_t r = 0; r < 16; r += LANES) {
            lanes *t = (lanes *)(z + j * 16 + r);
            lanes s0 = *t, s1 = {0};
            size_t k = 0;
            for (; k < inputs - inputs % 2; k += 2) {
                const IN_FLASH int8_t *v = w + k * outputs + j;
                s0 += (double)v[0] * *(const lanes *)(a + (k + 0) * 16 + r);
                s1 += (double)v[outputs] * *(const lanes *)(a + (k + 1) * 16 + r);
            }
            for (; k < inputs; ++k) s0 += (double)w[k * outputs + j] * *(const lanes *)(a + k * 16 + r);
            *t = s0 + s1;
        }
}

void tiny_eval(const double *x, double *u)
{
    double s[4];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) s[i] = (double)w0[i];
    multiply(2, 3, w1, x, s);
    for (size_t i = 0; i < 3; ++i) s[i] = fast_tanh(s[i]);
    /* site1: 3 x 3, rank 1 */
    s[3] = 0.0;
    multiply_int8(3, 1, w2, s, s + 3);
    s[3] = s[3] * 0.007874015718698502;
    for (size_t i = 0; i < 3; ++i) s[i] = 0.0;
    multiply_int8(1, 3, w3, s + 3, s);
    for (size_t i = 0; i < 3; ++i) s[i] = s[i] * (double)w4[i] + (double)w5[i];
    for (size_t i = 0; i < 3; ++i) s[i] = fast_tanh(s[i]);
    /* site2: 1 x 3, dense */
    s[3] = 0.75;
    multiply(3, 1, w6, s, s + 3);
    u[0] = x[0] * s[3];
}

static void evaluate_tile(const double *restrict rows, double *restrict results)
{
    double x[2 * 16], u[1 * 16];
    double s[4 * 16];
    for (size_t r = 0; r < 16; ++r)
        for (size_t i = 0; i < 2; ++i) x[i * 16 + r] = rows[r * 2 + i];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) for (size_t r = 0; r < 16; ++r) s[(i) * 16 + r] = (double)w0[i];
    multiply_tile(2, 3, w1, x, s);
    for (size_t i = 0; i < 48; ++i) s[i] = fast_tanh(s[i]);
    /* site1: 3 x 3, rank 1 */
    for (size_t i = 0; i < 16; ++i) s[48 + i] = 0.0;
    multiply_int8_tile(3, 1, w2, s, s + 48);
    for (size_t i = 0; i < 16; ++i) s[48 + i] = s[48 + i] * 0.007874015718698502;
    for (size_t i = 0; i < 48; ++i) s[i] = 0.0;
    multiply_int8_tile(1, 3, w3, s + 48, s);
    for (size_t i = 0; i < 3; ++i) for (size_t r = 0; r < 16; ++r) s[(i) * 16 + r] = s[(i) * 16 + r] * (double)w4[i] + (double)w5[i];
    for (size_t i = 0; i < 48; ++i) s[i] = fast_tanh(s[i]);
    /* site2: 1 x 3, dense */
    for (size_t i = 0; i < 16; ++i) s[48 + i] = 0.75;
    multiply_tile(3, 1, w6, s, s + 48);
    for (size_t i = 0; i < 16; ++i) u[i] = x[i] * s[48 + i];
    for (size_t r = 0; r < 16; ++r)
        for (size_t i = 0; i < 1; ++i) results[r * 1 + i] = u[i * 16 + r];
}

void tiny_eval_batch(size_t n, const double *x, double *u)
{
    for (; n >= 16; n -= 16, x += 2 * 16, u += 1 * 16)
        evaluate_tile(x, u);
    for (; n > 0; --n, x += 2, u += 1)
        tiny_eval(x, u);
}

void tiny_jacobian(const double *x, double *u, double *J)
{
    double s[21];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) s[i] = (double)w0[i];
    multiply(2, 3, w1, x, s);
    for (size_t i = 0; i < 3; ++i) s[9 + i] = fast_tanh(s[i]);
    for (size_t i = 0; i < 3; ++i) s[i] = 1.0 - (s[9 + i] * s[9 + i]);
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[i] * (double)w1[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[i] * (double)w1[3 + i];
    /* site1: 3 x 3, rank 1, times 3 */
    for (size_t i = 0; i < 3; ++i) s[i] = 0.0;
    for (size_t i = 0; i < 3; ++i) multiply_int8(3, 1, w2, s + 3 + 3 * i, s + i);
    s[0] = s[0] * 0.007874015718698502;
    s[1] = s[1] * 0.007874015718698502;
    s[2] = s[2] * 0.007874015718698502;
    for (size_t i = 0; i < 9; ++i) s[3 + i] = 0.0;
    for (size_t i = 0; i < 3; ++i) multiply_int8(1, 3, w3, s + i, s + 3 + 3 * i);
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[3 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[6 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[9 + i] = s[9 + i] * (double)w4[i] + (double)w5[i];
    for (size_t i = 0; i < 3; ++i) s[18 + i] = fast_tanh(s[9 + i]);
    for (size_t i = 0; i < 3; ++i) s[i] = 1.0 - (s[18 + i] * s[18 + i]);
    for (size_t i = 0; i < 3; ++i) s[12 + i] = s[3 + i] * s[i];
    for (size_t i = 0; i < 3; ++i) s[15 + i] = s[6 + i] * s[i];
    /* site2: 1 x 3, dense, times 3 */
    s[0] = 0.0;
    s[1] = 0.0;
    s[2] = 0.75;
    for (size_t i = 0; i < 3; ++i) multiply(3, 1, w6, s + 12 + 3 * i, s + i);
    u[0] = x[0] * s[2];
    J[0] = s[2] + (s[0] * x[0]);
    J[1] = s[1] * x[0];
}

void tiny_hessian(const double *x, double *u, double *J, double *H)
{
    double s[42];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) s[i] = (double)w0[i];
    multiply(2, 3, w1, x, s);
    for (size_t i = 0; i < 3; ++i) s[18 + i] = fast_tanh(s[i]);
    for (size_t i = 0; i < 3; ++i) s[i] = 1.0 - (s[18 + i] * s[18 + i]);
    for (size_t i = 0; i < 3; ++i) s[21 + i] = s[i] * s[18 + i];
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[i] * (double)w1[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[i] * (double)w1[3 + i];
    for (size_t i = 0; i < 3; ++i) s[9 + i] = s[21 + i] * (double)w7[i];
    for (size_t i = 0; i < 3; ++i) s[12 + i] = s[21 + i] * (double)w8[i];
    for (size_t i = 0; i < 3; ++i) s[15 + i] = s[21 + i] * (double)w9[i];
    /* site1: 3 x 3, rank 1, times 6 */
    for (size_t i = 0; i < 6; ++i) s[21 + i] = 0.0;
    for (size_t i = 0; i < 6; ++i) multiply_int8(3, 1, w2, s + 3 + 3 * i, s + 21 + i);
    s[21] = s[21] * 0.007874015718698502;
    s[22] = s[22] * 0.007874015718698502;
    s[23] = s[23] * 0.007874015718698502;
    s[24] = s[24] * 0.007874015718698502;
    s[25] = s[25] * 0.007874015718698502;
    s[26] = s[26] * 0.007874015718698502;
    for (size_t i = 0; i < 18; ++i) s[i] = 0.0;
    for (size_t i = 0; i < 6; ++i) multiply_int8(1, 3, w3, s + 21 + i, s + 3 * i);
    for (size_t i = 0; i < 3; ++i) s[i] = s[i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[3 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[6 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[9 + i] = s[9 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[12 + i] = s[12 + i] * (double)w4[i];
    for (size_t i = 0; i < 3; ++i) s[15 + i] = s[15 + i] * (double)w4[i] + (double)w5[i];
    for (size_t i = 0; i < 3; ++i) s[33 + i] = fast_tanh(s[15 + i]);
    for (size_t i = 0; i < 3; ++i) s[36 + i] = 1.0 - (s[33 + i] * s[33 + i]);
    for (size_t i = 0; i < 3; ++i) s[18 + i] = s[i] * s[36 + i];
    for (size_t i = 0; i < 3; ++i) s[21 + i] = s[3 + i] * s[36 + i];
    for (size_t i = 0; i < 3; ++i) s[39 + i] = s[21 + i] * s[33 + i];
    for (size_t i = 0; i < 3; ++i) s[24 + i] = ((s[i] * (s[18 + i] * s[33 + i])) * (-2.0)) + (s[6 + i] * s[36 + i]);
    for (size_t i = 0; i < 3; ++i) s[27 + i] = ((s[i] * s[39 + i]) * (-2.0)) + (s[9 + i] * s[36 + i]);
    for (size_t i = 0; i < 3; ++i) s[30 + i] = ((s[3 + i] * s[39 + i]) * (-2.0)) + (s[12 + i] * s[36 + i]);
    /* site2: 1 x 3, dense, times 6 */
    s[0] = 0.0;
    s[1] = 0.0;
    s[2] = 0.0;
    s[3] = 0.0;
    s[4] = 0.0;
    s[5] = 0.75;
    for (size_t i = 0; i < 6; ++i) multiply(3, 1, w6, s + 18 + 3 * i, s + i);
    s[6] = s[1] + (s[3] * x[0]);
    u[0] = x[0] * s[5];
    J[0] = s[5] + (s[0] * x[0]);
    J[1] = s[1] * x[0];
    H[0] = s[0] + (s[0] + (s[2] * x[0]));
    H[1] = s[6];
    H[2] = s[6];
    H[3] = s[4] * x[0];
}
