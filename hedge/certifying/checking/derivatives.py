"""Of each function of one variable the first and the second derivative, as functions themselves.

The suprema are those of the function: (f⁽ᵏ⁾)_n = f_{n+k} (n + k)!/n!. What stands beside each value is what
it errs by, in units of LOOSE (|f⁽ᵏ⁾| + absolute + relative |x|):

tanh        y is off by 8 units of itself: 1 − y² by at most 18, −2y(1 − y²) by at most 38
sigmoid     s is off by 5 units, and |(s(1 − s))'|, |(s(1 − s)(1 − 2s))'| ≤ 1 in s
x sigmoid   |d/ds| of both is at most 2 + |x|
erf         x² is rounded, a factor of at most 1 + 2x² units; x² e^(−x²) and |x|³ e^(−x²) are below ½
x^c         c − 1 and c − 2 are rounded, and |log x| < 746: 8192 (1 + |c|) units are more than that
the others  a few operations that each err by a unit
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np

from hedge.arrays import Array
from hedge.certifying.checking.functions import (
    FUNCTIONS,
    LIBRARY,
    RECIPROCAL,
    SILU,
    Function,
    power,
    sigmoid,
)
from hedge.certifying.checking.polynomials import UP

LOOSE = 4.0 * LIBRARY
TWO_BY_ROOT_PI = 2.0 / math.sqrt(math.pi)
Value = Callable[[Array], Array]
WAVE, BELL = (-1.0, 1.0), (0.0, 0.25)
Triple = tuple[Function, Function, Function]


def _triple(
    f: Function,
    first: Value,
    second: Value,
    *ranges: tuple[float, float],
    absolute: float = 0.0,
    relative: float = 0.0,
    library: float = LOOSE,
) -> Triple:
    """f, f' and f''; what f' and what f'' lies between, where that is known."""

    def slope(k: int, value: Value) -> Function:
        least, most = ranges[k - 1] if ranges else (-np.inf, np.inf)
        supremum = partial(_supremum, f, k)
        return Function(value, supremum, absolute, relative, least, most, library)

    return f, slope(1, first), slope(2, second)


def _supremum(f: Function, k: int, n: int, lower: Array, upper: Array) -> Array:
    return f.supremum(n + k, lower, upper) * float(math.perm(n + k, k)) * UP


def _tanh_second(x: Array) -> Array:
    y = np.tanh(x)
    return -2.0 * y * (1.0 - y * y)


def _bell(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1.0 - s)


def _bell_slope(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1.0 - s) * (1.0 - 2.0 * s)


def _silu_first(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1.0 + x * (1.0 - s))


def _silu_second(x: Array) -> Array:
    s = sigmoid(x)
    return s * (1.0 - s) * (2.0 + x * (1.0 - 2.0 * s))


def powers(exponent: float) -> Triple:
    """x^c on x > 0 with its derivatives."""
    f, c = power(exponent), exponent
    return _triple(
        f,
        lambda x: c * x ** (c - 1.0),
        lambda x: c * (c - 1.0) * x ** (c - 2.0),
        library=2.0**-40 * (1.0 + abs(c)),
    )


DERIVATIVES: Mapping[str, Triple] = {
    "Cos": _triple(FUNCTIONS["Cos"], lambda x: -np.sin(x), lambda x: -np.cos(x), WAVE, WAVE),
    "Erf": _triple(
        FUNCTIONS["Erf"],
        lambda x: TWO_BY_ROOT_PI * np.exp(-x * x),
        lambda x: -2.0 * TWO_BY_ROOT_PI * x * np.exp(-x * x),
        (0.0, 1.1284),
        (-0.968, 0.968),
        absolute=1.0,
    ),
    "Exp": _triple(FUNCTIONS["Exp"], np.exp, np.exp),
    "Log": _triple(FUNCTIONS["Log"], lambda x: 1.0 / x, lambda x: -1.0 / (x * x)),
    "Reciprocal": _triple(RECIPROCAL, lambda x: -1.0 / (x * x), lambda x: 2.0 / (x * x * x)),
    "Sigmoid": _triple(
        FUNCTIONS["Sigmoid"], _bell, _bell_slope, BELL, (-0.0963, 0.0963), absolute=1.0
    ),
    "SiLU": _triple(
        SILU, _silu_first, _silu_second, (-0.1, 1.1), (-0.25, 0.501), absolute=1.0, relative=1.0
    ),
    "Sin": _triple(FUNCTIONS["Sin"], np.cos, lambda x: -np.sin(x), WAVE, WAVE),
    "Softplus": _triple(FUNCTIONS["Softplus"], sigmoid, _bell, (0.0, 1.0), BELL, absolute=1.0),
    "Sqrt": powers(0.5),
    "Tanh": _triple(
        FUNCTIONS["Tanh"],
        lambda x: 1.0 - np.tanh(x) ** 2,
        _tanh_second,
        (0.0, 1.0),
        (-0.77, 0.77),
        absolute=2.0,
    ),
}
