"""The functions of one variable: how to compute them, and how steep their derivatives can be.

f_n is f⁽ⁿ⁾/n!, the normalised derivative. No table is looked up; each bound is one formula.

tanh. With y = tanh x, y' = 1 − y², so that every derivative is (1 − y²) Q_n(y) with Q_1 = 1 and
Q_{n+1} = −2 y Q_n + (1 − y²) Q_n'. max |Q_n| over [0, 1] (Q_n is even or odd) is bounded in exact fractions
by Taylor's theorem on 64 cells; 1 − y² falls with |x|.
Sigmoid is ½ + ½ tanh(x/2), the derivative of softplus is sigmoid, and (x g)_n = x g_n + g_{n−1}.
erf. The n-th derivative is (2/√π) (−1)^(n−1) H_{n−1}(x) e^(−x²), and |H_k(x)| ≤ 1.0865 √(2^k k!) e^(x²/2)
(Cramér; Abramowitz and Stegun 22.14.17).
sin, cos: at most 1/n!. exp: e^upper/n!. log: 1/(n lowerⁿ). x^c: |C(c, n)| x^(c−n), largest at an end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import lru_cache

import numpy as np

from hedge.arrays import Array
from hedge.certifying.checking.polynomials import UNIT, UP

# The assumption on this machine's numpy and C library: 4 ulp, that is 8 units.
LIBRARY = 8.0 * UNIT
_CELLS = 64


@dataclass(frozen=True)
class Function:
    """f on x > beyond (all x where that is −∞).

    value computes it within library (|f| + absolute + relative |x|). supremum(n, lower, upper) bounds |f_n|
    over intervals, n ≥ 1; NaN says that it is unknown. f lies between least and most.
    """

    value: Callable[[Array], Array]
    supremum: Callable[[int, Array, Array], Array]
    absolute: float = 0.0
    relative: float = 0.0
    least: float = -np.inf
    most: float = np.inf
    library: float = LIBRARY


def _nearest(lower: Array, upper: Array) -> Array:
    """The least |x| of the intervals."""
    return np.maximum(np.maximum(lower, -upper), 0.0)


def _furthest(lower: Array, upper: Array) -> Array:
    return np.maximum(np.abs(lower), np.abs(upper))


# ------------------------------------------------------------------------------------ tanh and its kin


@lru_cache
def steepest_of_tanh(n: int) -> float:
    """max |Q_n|/n! over [−1, 1], from above.

    >>> [round(steepest_of_tanh(n), 3) for n in (1, 2)]
    [1.0, 1.0]
    """
    q = [1]
    for _ in range(n - 1):
        slopes = [k * c for k, c in enumerate(q)][1:]
        turned = [0] * (len(q) + 1)
        for k, c in enumerate(q):
            turned[k + 1] -= 2 * c
        for k, c in enumerate(slopes):
            turned[k] += c
            turned[k + 2] -= c
        q = turned
    largest = max(_most_in_cell(q, Fraction(2 * i + 1, 2 * _CELLS)) for i in range(_CELLS))
    return float(largest / math.factorial(n)) * UP


def _most_in_cell(q: list[int], centre: Fraction) -> Fraction:
    """Σ_j |q⁽ʲ⁾(centre)|/j! hʲ: Horner's scheme again and again gives the Taylor coefficients."""
    left, half, total = [Fraction(c) for c in q], Fraction(1, 2 * _CELLS), Fraction(0)
    for j in range(len(q)):
        for k in range(len(left) - 2, j - 1, -1):
            left[k] += centre * left[k + 1]
        total += abs(left[j]) * half**j
    return total


def _tanh_supremum(n: int, lower: Array, upper: Array) -> Array:
    y = np.tanh(_nearest(lower, upper))
    return steepest_of_tanh(n) * (1.0 - y * y + 4.0 * LIBRARY) * UP


def sigmoid(x: Array) -> Array:
    """1/(1 + e^(−x)), within 5 units."""
    return 0.5 + 0.5 * np.tanh(0.5 * x)


def _sigmoid_supremum(n: int, lower: Array, upper: Array) -> Array:
    if n == 0:
        return sigmoid(upper) + LIBRARY
    return 0.5 ** (n + 1) * _tanh_supremum(n, 0.5 * lower, 0.5 * upper) * UP


def _softplus_supremum(n: int, lower: Array, upper: Array) -> Array:
    return np.asarray(_sigmoid_supremum(n - 1, lower, upper) / n * UP)


def _silu_supremum(n: int, lower: Array, upper: Array) -> Array:
    """Of the slope also the mean value theorem: |f'(middle)| + half the width times sup |f''|."""
    far = _furthest(lower, upper)
    crude = (far * _sigmoid_supremum(n, lower, upper) + _sigmoid_supremum(n - 1, lower, upper)) * UP
    if n > 1:
        return crude
    middle = 0.5 * (lower + upper)
    s = sigmoid(middle)
    there = np.abs(s * (1.0 + middle * (1.0 - s))) + LIBRARY * (4.0 + 4.0 * far)
    wide = 0.5 * (upper - lower) + 2.0 * UNIT * far
    return np.minimum(crude, (there + 2.0 * wide * _silu_supremum(2, lower, upper)) * UP)


# ----------------------------------------------------------------------------------------------- others

_erf: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


def _erf_supremum(n: int, lower: Array, upper: Array) -> Array:
    d = _nearest(lower, upper)
    if n == 1:
        return 2.0 / math.sqrt(math.pi) * np.exp(-d * d) * UP + 1e-300
    k = n - 1
    hermite = 1.0865 * math.sqrt(2.0**k * math.factorial(k))
    scale = 2.0 / math.sqrt(math.pi) * hermite / math.factorial(n)
    return np.asarray(scale * np.exp(-0.5 * d * d) * UP + 1e-300)


def _wave_supremum(n: int, lower: Array, upper: Array) -> Array:
    return np.full_like(lower, UP / math.factorial(n))


def _exp_supremum(n: int, lower: Array, upper: Array) -> Array:
    return np.exp(upper) / math.factorial(n) * UP + 1e-300


def _positive(lower: Array) -> Array:
    """Where an interval reaches 0 nothing is known."""
    return np.where(lower > 0.0, lower, np.nan)


def _log_supremum(n: int, lower: Array, upper: Array) -> Array:
    return _positive(lower) ** -float(n) / n * UP + 1e-300


def _reciprocal_supremum(n: int, lower: Array, upper: Array) -> Array:
    return _positive(_nearest(lower, upper)) ** -(n + 1.0) * UP + 1e-300


def power(exponent: float) -> Function:
    """x^c on x > 0."""

    def supremum(n: int, lower: Array, upper: Array) -> Array:
        binomial = math.prod((exponent - k) / (k + 1.0) for k in range(n))
        rest = exponent - n
        ends = np.maximum(_positive(lower) ** rest, upper**rest)
        # exponent − k and exponent − n are rounded: a power of 1 ± 2^-50 of what stands here
        spread = np.exp(2.0**-50 * (1.0 + abs(exponent)) * 750.0)
        found = abs(binomial) * ends * spread * UP + 1e-300
        return np.asarray(np.where(lower > 0.0, found, np.nan))

    return Function(lambda x: _positive(x) ** exponent, supremum, least=0.0)


FUNCTIONS: Mapping[str, Function] = {
    "Cos": Function(np.cos, _wave_supremum, least=-1.0, most=1.0),
    "Erf": Function(_erf, _erf_supremum, least=-1.0, most=1.0),
    "Exp": Function(np.exp, _exp_supremum, least=0.0),
    "Log": Function(np.log, _log_supremum),
    "Sigmoid": Function(sigmoid, _sigmoid_supremum, absolute=1.0, least=0.0, most=1.0),
    "Sin": Function(np.sin, _wave_supremum, least=-1.0, most=1.0),
    "Softplus": Function(
        lambda x: np.logaddexp(0.0, x), _softplus_supremum, absolute=1.0, least=0.0
    ),
    "Sqrt": power(0.5),
    "Tanh": Function(np.tanh, _tanh_supremum, least=-1.0, most=1.0),
}
RECIPROCAL = Function(lambda x: 1.0 / x, _reciprocal_supremum)
SILU = Function(lambda x: x * sigmoid(x), _silu_supremum, relative=1.0, least=-0.2785)

# |fl(f(x)) − f(x)| ≤ a + b |f(x)| in float32, for all x: what a certificate must assume at least.
FLOAT32: Mapping[str, tuple[float, float]] = {
    "Erf": (6.0e-8, 0.0),
    "Softplus": (1e-30, 3.5e-7),
    **dict.fromkeys(("Cos", "Sin"), (1.0e-7, 0.0)),
    "Exp": (1.2e-38, 7.6e-8),
    "Log": (0.0, 2.6e-7),
    "Sigmoid": (1.8e-7, 0.0),
    "Sqrt": (0.0, 2.0**-24),
    "Tanh": (1.2e-38, 3.3e-7),
}
