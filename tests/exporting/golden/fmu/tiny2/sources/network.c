#include "network.h"
#if TINY2_EXPORT != 0x4610947bu
#error "network.c and network.h are of two exports; export all files again"
#endif

#include <math.h>
#include <stdint.h>
#include <string.h>

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

/* tanh within 3.4e-07 of its value for every float; NaN stays NaN. */
static float fast_tanh(float x)
{
    const uint32_t end = 0x410b3333u, infinity = 0x7f800000u;
    uint32_t bits, size;
    float y;
    memcpy(&bits, &x, sizeof x);
    size = bits & 0x7fffffffu;
    size = size > end && size <= infinity ? end : size;
    bits = (bits & 0x80000000u) | size;
    memcpy(&y, &bits, sizeof y);
    const float t = y * y;
    const float p = 0.99999994f + t * (0.13393117f + t * (0.003510221f + t * (2.0861222e-05f
                  + t * 1.37273775e-08f)));
    const float q = 0.4672642f + t * (0.025931949f + t * (0.00033100453f + t * 7.92403e-07f));
    return y * p / (1 + t * q);
}

/* A vector as wide as the processor's registers, of gcc's and clang's type, or one number (-DLANES=1). */
#if defined(LANES)
#elif !defined(__GNUC__)
#define LANES 1
#elif defined(__AVX512F__)
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#elif defined(__SSE2__) || defined(__aarch64__) || defined(__wasm_simd128__)
#define LANES 4
#else
#define LANES 1
#endif
#if LANES < 1 || 16 % LANES
#error "LANES must divide 16"
#endif
#define FEW_LANES (LANES < 8 ? LANES : 8)
#if LANES > 1
typedef float lanes __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef float few_lanes __attribute__((vector_size(4 * FEW_LANES), aligned(4), may_alias));
#else
typedef float lanes, few_lanes;
#endif

/* z += W a; the sums of some outputs at a time stay in registers. */
static void multiply(size_t inputs, size_t outputs, const IN_FLASH float *restrict w,
                   const float *restrict a, float *restrict z)
{
    size_t j = 0;
    for (; j < outputs - outputs % (8 * FEW_LANES); j += 8 * FEW_LANES) {
        few_lanes *t0 = (few_lanes *)(z + j);
        few_lanes s00 = t0[0]; few_lanes s01 = t0[1]; few_lanes s02 = t0[2];
        few_lanes s03 = t0[3]; few_lanes s04 = t0[4]; few_lanes s05 = t0[5];
        few_lanes s06 = t0[6]; few_lanes s07 = t0[7];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH few_lanes *v = (const IN_FLASH few_lanes *)(w + k * outputs + j);
            s00 += a[k] * v[0]; s01 += a[k] * v[1]; s02 += a[k] * v[2]; s03 += a[k] * v[3];
            s04 += a[k] * v[4]; s05 += a[k] * v[5]; s06 += a[k] * v[6]; s07 += a[k] * v[7];
        }
        t0[0] = s00; t0[1] = s01; t0[2] = s02; t0[3] = s03; t0[4] = s04; t0[5] = s05;
        t0[6] = s06; t0[7] = s07;
    }
#if LANES > 1
    for (; j < outputs - outputs % (FEW_LANES); j += FEW_LANES) {
        few_lanes *t0 = (few_lanes *)(z + j);
        few_lanes s00 = t0[0];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH few_lanes *v = (const IN_FLASH few_lanes *)(w + k * outputs + j);
            s00 += a[k] * v[0];
        }
        t0[0] = s00;
    }
#endif
    for (; j < outputs - outputs % (4); j += 4) {
        float *t0 = (float *)(z + j);
        float s00 = t0[0]; float s01 = t0[1]; float s02 = t0[2]; float s03 = t0[3];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH float *v = (const IN_FLASH float *)(w + k * outputs + j);
            s00 += a[k] * v[0]; s01 += a[k] * v[1]; s02 += a[k] * v[2]; s03 += a[k] * v[3];
        }
        t0[0] = s00; t0[1] = s01; t0[2] = s02; t0[3] = s03;
    }
    for (; j < outputs; ++j) {
        float s00 = z[j]; float s01 = 0; float s02 = 0; float s03 = 0;
        size_t k = 0;
        for (; k < inputs - inputs % 4; k += 4) {
            const IN_FLASH float *v = w + k * outputs + j;
            s00 += a[k] * *v; s01 += a[k + 1] * v[outputs]; s02 += a[k + 2] * v[2 * outputs];
            s03 += a[k + 3] * v[3 * outputs];
        }
        for (; k < inputs; ++k) {
            const float v = w[k * outputs + j];
            s00 += a[k] * v;
        }
        z[j] = (s00 + s01) + (s02 + s03);
    }
}

/* z += W a for 3 vectors; the sums of some outputs at a time stay in registers. */
static void multiply_3(size_t inputs, size_t outputs, const IN_FLASH float *restrict w,
                   const float *restrict a, float *restrict z,
                   size_t to_a, size_t to_z)
{
    size_t j = 0;
    for (; j < outputs - outputs % (2 * FEW_LANES); j += 2 * FEW_LANES) {
        few_lanes *t0 = (few_lanes *)(z + j); few_lanes *t1 = (few_lanes *)(z + to_z + j);
        few_lanes *t2 = (few_lanes *)(z + 2 * to_z + j);
        few_lanes s00 = t0[0]; few_lanes s01 = t0[1]; few_lanes s10 = t1[0];
        few_lanes s11 = t1[1]; few_lanes s20 = t2[0]; few_lanes s21 = t2[1];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH few_lanes *v = (const IN_FLASH few_lanes *)(w + k * outputs + j);
            s00 += a[k] * v[0]; s01 += a[k] * v[1]; s10 += a[to_a + k] * v[0];
            s11 += a[to_a + k] * v[1]; s20 += a[2 * to_a + k] * v[0];
            s21 += a[2 * to_a + k] * v[1];
        }
        t0[0] = s00; t0[1] = s01; t1[0] = s10; t1[1] = s11; t2[0] = s20; t2[1] = s21;
    }
#if LANES > 1
    for (; j < outputs - outputs % (FEW_LANES); j += FEW_LANES) {
        few_lanes *t0 = (few_lanes *)(z + j); few_lanes *t1 = (few_lanes *)(z + to_z + j);
        few_lanes *t2 = (few_lanes *)(z + 2 * to_z + j);
        few_lanes s00 = t0[0]; few_lanes s10 = t1[0]; few_lanes s20 = t2[0];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH few_lanes *v = (const IN_FLASH few_lanes *)(w + k * outputs + j);
            s00 += a[k] * v[0]; s10 += a[to_a + k] * v[0]; s20 += a[2 * to_a + k] * v[0];
        }
        t0[0] = s00; t1[0] = s10; t2[0] = s20;
    }
#endif
    for (; j < outputs - outputs % (4); j += 4) {
        float *t0 = (float *)(z + j); float *t1 = (float *)(z + to_z + j);
        float *t2 = (float *)(z + 2 * to_z + j);
        float s00 = t0[0]; float s01 = t0[1]; float s02 = t0[2]; float s03 = t0[3];
        float s10 = t1[0]; float s11 = t1[1]; float s12 = t1[2]; float s13 = t1[3];
        float s20 = t2[0]; float s21 = t2[1]; float s22 = t2[2]; float s23 = t2[3];
        for (size_t k = 0; k < inputs; ++k) {
            const IN_FLASH float *v = (const IN_FLASH float *)(w + k * outputs + j);
            s00 += a[k] * v[0]; s01 += a[k] * v[1]; s02 += a[k] * v[2]; s03 += a[k] * v[3];
            s10 += a[to_a + k] * v[0]; s11 += a[to_a + k] * v[1]; s12 += a[to_a + k] * v[2];
            s13 += a[to_a + k] * v[3]; s20 += a[2 * to_a + k] * v[0];
            s21 += a[2 * to_a + k] * v[1]; s22 += a[2 * to_a + k] * v[2];
            s23 += a[2 * to_a + k] * v[3];
        }
        t0[0] = s00; t0[1] = s01; t0[2] = s02; t0[3] = s03; t1[0] = s10; t1[1] = s11;
        t1[2] = s12; t1[3] = s13; t2[0] = s20; t2[1] = s21; t2[2] = s22; t2[3] = s23;
    }
    for (; j < outputs; ++j) {
        float s00 = z[j]; float s01 = 0; float s02 = 0; float s03 = 0; float s10 = z[to_z + j];
        float s11 = 0; float s12 = 0; float s13 = 0; float s20 = z[2 * to_z + j]; float s21 = 0;
        float s22 = 0; float s23 = 0;
        size_t k = 0;
        for (; k < inputs - inputs % 4; k += 4) {
            const IN_FLASH float *v = w + k * outputs + j;
            s00 += a[k] * *v; s01 += a[k + 1] * v[outputs]; s02 += a[k + 2] * v[2 * outputs];
            s03 += a[k + 3] * v[3 * outputs]; s10 += a[to_a + k] * *v;
            s11 += a[to_a + k + 1] * v[outputs]; s12 += a[to_a + k + 2] * v[2 * outputs];
            s13 += a[to_a + k + 3] * v[3 * outputs]; s20 += a[2 * to_a + k] * *v;
            s21 += a[2 * to_a + k + 1] * v[outputs];
            s22 += a[2 * to_a + k + 2] * v[2 * outputs];
            s23 += a[2 * to_a + k + 3] * v[3 * outputs];
        }
        for (; k < inputs; ++k) {
            const float v = w[k * outputs + j];
            s00 += a[k] * v; s10 += a[to_a + k] * v; s20 += a[2 * to_a + k] * v;
        }
        z[j] = (s00 + s01) + (s02 + s03); z[to_z + j] = (s10 + s11) + (s12 + s13);
        z[2 * to_z + j] = (s20 + s21) + (s22 + s23);
    }
}

/* z += W a for 16 rows, which lie innermost; the sums of some outputs at a time stay in registers. */
static void multiply_tile(size_t inputs, size_t outputs, const IN_FLASH float *restrict w,
                   const float *restrict a, float *restrict z)
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
                s0 += v[0] * a_k; s1 += v[1] * a_k; s2 += v[2] * a_k; s3 += v[3] * a_k;
                s4 += v[4] * a_k; s5 += v[5] * a_k; s6 += v[6] * a_k; s7 += v[7] * a_k;
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
                s0 += v[0] * a_k; s1 += v[1] * a_k; s2 += v[2] * a_k; s3 += v[3] * a_k;
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
                s0 += v[0] * *(const lanes *)(a + (k + 0) * 16 + r);
                s1 += v[outputs] * *(const lanes *)(a + (k + 1) * 16 + r);
            }
            for (; k < inputs; ++k) s0 += w[k * outputs + j] * *(const lanes *)(a + k * 16 + r);
            *t = s0 + s1;
        }
}

/* z += W a; the inner loop runs over the outputs, so that compilers vectorise it. */
static void multiply_int8(size_t inputs, size_t outputs, const IN_FLASH int8_t *restrict w,
                   const float *restrict a, float *restrict z)
{
    for (size_t k = 0; k < inputs; ++k) {
        const float a_k = a[k];
        for (size_t j = 0; j < outputs; ++j)
            z[j] += a_k * (float)w[k * outputs + j];
    }
}

/* z += W a for 16 rows, which lie innermost; the sums of some outputs at a time stay in registers. */
static void multiply_int8_tile(size_t inputs, size_t outputs, const IN_FLASH int8_t *restrict w,
                   const float *restrict a, float *restrict z)
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
                s0 += (float)v[0] * a_k; s1 += (float)v[1] * a_k; s2 += (float)v[2] * a_k;
                s3 += (float)v[3] * a_k; s4 += (float)v[4] * a_k; s5 += (float)v[5] * a_k;
                s6 += (float)v[6] * a_k; s7 += (float)v[7] * a_k;
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
                s0 += (float)v[0] * a_k; s1 += (float)v[1] * a_k; s2 += (float)v[2] * a_k;
                s3 += (float)v[3] * a_k;
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
                s0 += (float)v[0] * *(const lanes *)(a + (k + 0) * 16 + r);
                s1 += (float)v[outputs] * *(const lanes *)(a + (k + 1) * 16 + r);
            }
            for (; k < inputs; ++k) s0 += (float)w[k * outputs + j] * *(const lanes *)(a + k * 16 + r);
            *t = s0 + s1;
        }
}

#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "outside the domain results are NaN: compile without -ffast-math and -ffinite-math-only"
#endif

static const IN_FLASH float lowest[2] = {
    0.0f, -1.0f
};
static const IN_FLASH float highest[2] = {
    1.0f, 1.0f
};

int tiny2_inside(const float *x)
{
    int inside = 1;
    for (size_t i = 0; i < 2; ++i)
        inside &= (x[i] >= lowest[i]) & (x[i] <= highest[i]);
    return inside;
}

void tiny2_eval(const float *x, float *u)
{
    float s[4];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) s[i] = w0[i];
    multiply(2, 3, w1, x, s);
    for (size_t i = 0; i < 3; ++i) s[i] = fast_tanh(s[i]);
    /* site1: 3 x 3, rank 1 */
    s[3] = 0.0f;
    multiply_int8(3, 1, w2, s, s + 3);
    s[3] = s[3] * 0.007874016f;
    for (size_t i = 0; i < 3; ++i) s[i] = 0.0f;
    multiply_int8(1, 3, w3, s + 3, s);
    for (size_t i = 0; i < 3; ++i) s[i] = s[i] * w4[i] + w5[i];
    for (size_t i = 0; i < 3; ++i) s[i] = fast_tanh(s[i]);
    /* site2: 1 x 3, dense */
    s[3] = 0.75f;
    multiply(3, 1, w6, s, s + 3);
    u[0] = x[0] * s[3];
    if (!tiny2_inside(x))
        for (size_t i = 0; i < 1; ++i) u[i] = NAN;
}

static void evaluate_tile(const float *restrict rows, float *restrict results)
{
    float x[2 * 16], u[1 * 16];
    float s[4 * 16];
    for (size_t r = 0; r < 16; ++r)
        for (size_t i = 0; i < 2; ++i) x[i * 16 + r] = rows[r * 2 + i];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) for (size_t r = 0; r < 16; ++r) s[(i) * 16 + r] = w0[i];
    multiply_tile(2, 3, w1, x, s);
    for (size_t i = 0; i < 48; ++i) s[i] = fast_tanh(s[i]);
    /* site1: 3 x 3, rank 1 */
    for (size_t i = 0; i < 16; ++i) s[48 + i] = 0.0f;
    multiply_int8_tile(3, 1, w2, s, s + 48);
    for (size_t i = 0; i < 16; ++i) s[48 + i] = s[48 + i] * 0.007874016f;
    for (size_t i = 0; i < 48; ++i) s[i] = 0.0f;
    multiply_int8_tile(1, 3, w3, s + 48, s);
    for (size_t i = 0; i < 3; ++i) for (size_t r = 0; r < 16; ++r) s[(i) * 16 + r] = s[(i) * 16 + r] * w4[i] + w5[i];
    for (size_t i = 0; i < 48; ++i) s[i] = fast_tanh(s[i]);
    /* site2: 1 x 3, dense */
    for (size_t i = 0; i < 16; ++i) s[48 + i] = 0.75f;
    multiply_tile(3, 1, w6, s, s + 48);
    for (size_t i = 0; i < 16; ++i) u[i] = x[i] * s[48 + i];
    {
        int32_t out[16];
        for (size_t r = 0; r < 16; ++r) out[r] = 0;
        for (size_t i = 0; i < 2; ++i)
            for (size_t r = 0; r < 16; ++r)
                out[r] |= -!((x[i * 16 + r] >= lowest[i]) & (x[i * 16 + r] <= highest[i]));
        for (size_t i = 0; i < 1; ++i)
            for (size_t r = 0; r < 16; ++r) {
                int32_t result;
                memcpy(&result, &u[i * 16 + r], sizeof result);
                result |= out[r];
                memcpy(&u[i * 16 + r], &result, sizeof result);
            }
    }
    for (size_t r = 0; r < 16; ++r)
        for (size_t i = 0; i < 1; ++i) results[r * 1 + i] = u[i * 16 + r];
}

void tiny2_eval_batch(size_t n, const float *x, float *u)
{
    for (; n >= 16; n -= 16, x += 2 * 16, u += 1 * 16)
        evaluate_tile(x, u);
    for (; n > 0; --n, x += 2, u += 1)
        tiny2_eval(x, u);
}

void tiny2_jacobian(const float *x, float *u, float *J)
{
    float s[21];
    /* site0: 3 x 2, dense */
    for (size_t i = 0; i < 3; ++i) s[i] = w0[i];
    multiply(2, 3, w1, x, s);
    for (size_t i = 0; i < 3; ++i) s[9 + i] = fast_tanh(s[i]);
    for (size_t i = 0; i < 3; ++i) s[i] = 1.0f - (s[9 + i] * s[9 + i]);
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[i] * w1[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[i] * w1[3 + i];
    /* site1: 3 x 3, rank 1, times 3 */
    for (size_t i = 0; i < 3; ++i) s[i] = 0.0f;
    for (size_t i = 0; i < 3; ++i) multiply_int8(3, 1, w2, s + 3 + 3 * i, s + i);
    s[0] = s[0] * 0.007874016f;
    s[1] = s[1] * 0.007874016f;
    s[2] = s[2] * 0.007874016f;
    for (size_t i = 0; i < 9; ++i) s[3 + i] = 0.0f;
    for (size_t i = 0; i < 3; ++i) multiply_int8(1, 3, w3, s + i, s + 3 + 3 * i);
    for (size_t i = 0; i < 3; ++i) s[3 + i] = s[3 + i] * w4[i];
    for (size_t i = 0; i < 3; ++i) s[6 + i] = s[6 + i] * w4[i];
    for (size_t i = 0; i < 3; ++i) s[9 + i] = s[9 + i] * w4[i] + w5[i];
    for (size_t i = 0; i < 3; ++i) s[18 + i] = fast_tanh(s[9 + i]);
    for (size_t i = 0; i < 3; ++i) s[i] = 1.0f - (s[18 + i] * s[18 + i]);
    for (size_t i = 0; i < 3; ++i) s[12 + i] = s[3 + i] * s[i];
    for (size_t i = 0; i < 3; ++i) s[15 + i] = s[6 + i] * s[i];
    /* site2: 1 x 3, dense, times 3 */
    s[0] = 0.0f;
    s[1] = 0.0f;
    s[2] = 0.75f;
    multiply_3(3, 1, w6, s + 12, s, 3, 1);
    u[0] = x[0] * s[2];
    J[0] = s[2] + (s[0] * x[0]);
    J[1] = s[1] * x[0];
    if (!tiny2_inside(x))
        for (size_t i = 0; i < 1; ++i) u[i] = NAN;
    if (!tiny2_inside(x))
        for (size_t i = 0; i < 2; ++i) J[i] = NAN;
}
