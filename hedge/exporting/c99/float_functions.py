"""Functions of float that compilers vectorise: they choose by bits, as comparisons of floats may trap.

tanh is a clamped rational function, as exact as onnxruntime's:
x P(x²) / Q(x²) of degrees 4 and 4, the minimax fit of tanh on [0, 8.7] (Loeb, 1957, weighted as Lawson
does), coefficients moved by a few units in the last place to where rounding is least; beyond, its end value.
"""

from __future__ import annotations

# Largest |fast_tanh(x) − tanh(x)| / |tanh(x)| over all floats x, rounding included, with fused
# multiply-adds and without; tests check it. That of the coefficients alone is 1.3e-8, and onnxruntime's
# tanh is off by 3.1e-7 (that of hedge.ops covers both).
FAST_TANH_ERROR = 3.4e-7

# Clamped at 8.7, 0x410b3333.
FAST_TANH = f"""\
/* tanh within {FAST_TANH_ERROR:g} of its value for every float; NaN stays NaN. */
static float fast_tanh(float x)
{{
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
}}
"""

# 0 for numbers below zero; NaN, of larger bits than minus infinity, and minus zero stay.
RELU = """\
static float relu(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof x);
    bits = bits > 0x80000000u && bits <= 0xff800000u ? 0 : bits;
    memcpy(&x, &bits, sizeof x);
    return x;
}
"""
