"""Functions of one variable as certification encloses them: Taylor coefficients and suprema of derivatives.

f_k is the normalised derivative f⁽ᵏ⁾/k!. Suprema over an interval are proved, not read off a grid: a cell
[c − h, c + h] of a table holds Σ_j C(j, k)|f_j(c)|h^(j−k), which is Taylor's theorem for f_k, and what is
left of that sum is bounded by Cauchy's inequality |f_j(c)| ≤ M/Rʲ on the disc of radius R around c, inside
which f is analytic. docs/mathematics.md has the discs and the M of each function.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache, partial, reduce
from math import comb, factorial, pi, sqrt

import numpy as np
from scipy.special import erf

from hedge.arrays import Array, Indices

UNIT = 2.0**-53
# numpy's and scipy's functions are taken to be within 4 ulp, that is 8 units of roundoff: the one
# assumption on the machine's library. tests/test_analytic.py looks for worse.
LIBRARY = 8.0 * UNIT
# Room for the rounding of sums of fewer than 2^12 terms that are not negative.
UP = 1.0 + 2.0**-40

Coefficients = list[Array]
Series = Callable[[Array, int], tuple[Coefficients, Coefficients]]
Supremum = Callable[[int, Array, Array], Array]


@dataclass(frozen=True)
class Analytic:
    """One function f.

    series gives, from the points m and an order P, the f_k(m) for k = 0 … P as computed, and bounds of
    their rounding errors. supremum bounds |f_k|, k ≥ 1, over intervals [lower, upper]. lower and upper
    bound f itself where they are finite; f is defined on x > beyond only.
    """

    series: Series
    supremum: Supremum
    lower: float = -np.inf
    upper: float = np.inf
    beyond: float = -np.inf


@dataclass(frozen=True)
class _Disc:
    """|f| ≤ most on every disc of this radius around a point of [−reach, reach]; on those around points
    beyond, |f − asymptote| ≤ left, where the asymptote is a constant or a line no steeper than slope."""

    radius: float
    most: float
    reach: float
    left: float
    slope: float = 0.0


# ----------------------------------------------------------------------------------- tables of suprema

_HALF_WIDTH = 1.0 / 64.0
_FURTHER = 12  # terms of a cell's sum; those left are below (h/R)^12 = 2^-72 of M


def _tabulated(series: Series, disc: _Disc) -> Supremum:
    """Suprema from a table over cells of [−reach, reach], by the largest of those that an interval meets."""

    @lru_cache(maxsize=64)
    def table_of(k: int) -> Array:
        """Row l holds the largest of the 2^l cells that begin at each."""
        levels = [_cells(series, disc, k)]
        while 2 * (width := 2 ** (len(levels) - 1)) <= len(levels[0]):
            levels.append(np.maximum(levels[-1][:-width], levels[-1][width:]))
        return np.stack([np.pad(level, (0, len(levels[0]) - len(level))) for level in levels])

    def supremum(k: int, lower: Array, upper: Array) -> Array:
        table = table_of(k)
        first, last = _cell(lower, disc, table.shape[1]), _cell(upper, disc, table.shape[1])
        level = np.frexp(last - first + 1)[1] - 1
        found = np.maximum(table[level, first], table[level, last + 1 - (1 << level)])
        return np.asarray(np.where(np.isfinite(lower) & np.isfinite(upper), found, table.max()))

    return supremum


def _cell(x: Array, disc: _Disc, cells: int) -> Indices:
    """The cell that holds x; the first and the last one hold all beyond the reach."""
    inside = np.nan_to_num(np.clip(x, -2.0 * disc.reach, 2.0 * disc.reach))
    cell = np.floor((inside + disc.reach) / (2.0 * _HALF_WIDTH)) + 1.0
    return np.clip(cell, 0, cells - 1).astype(np.intp)


def _cells(series: Series, disc: _Disc, k: int) -> Array:
    h, last = _HALF_WIDTH * (1.0 + 2.0**-30), k + _FURTHER
    count = round(disc.reach / _HALF_WIDTH)
    centres = (2.0 * np.arange(count, dtype=np.float64) + 1.0) * _HALF_WIDTH - disc.reach
    values, errors = series(centres, last)
    terms = (comb(j, k) * (abs(values[j]) + errors[j]) * h ** (j - k) for j in range(k, last + 1))
    # Σ_{j > last} C(j, k) h^(j−k) M/R^j, a series whose terms fall by half and more
    tail = 2.0 * comb(last + 1, k) * h ** (last + 1 - k) * disc.most / disc.radius ** (last + 1)
    beyond = [disc.left / disc.radius**k + (disc.slope if k == 1 else 0.0)]
    return np.concatenate([beyond, reduce(np.add, terms) + tail, beyond]) * UP


# --------------------------------------------------------------------------------------------- functions


def _relative(coefficients: Coefficients, units: float = 0.0) -> tuple[Coefficients, Coefficients]:
    """Coefficients of closed form: coefficient k is computed in k + 4 roundings and a function."""
    errors = [
        (LIBRARY + (k + 4.0 + units) * UNIT) * abs(each) for k, each in enumerate(coefficients)
    ]
    return coefficients, errors


def _tanh(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    """y' = 1 − y², so that (k + 1) y_{k+1} = [k = 0] − Σ y_i y_{k−i}; |y_k| ≤ tan 1 by Cauchy."""
    y, errors = [np.tanh(m)], [LIBRARY]
    for k in range(order):
        squares = reduce(np.add, (y[i] * y[k - i] for i in range(k + 1)))
        y.append(((k == 0) - squares) / (k + 1.0))
        carried = 2.0 * _MOST_OF_TANH * sum(errors)
        rounded = (k + 3.0) * UNIT * (1.0 + (k + 1.0) * _MOST_OF_TANH**2)
        errors.append((carried + rounded) * UP / (k + 1.0) + UNIT * _MOST_OF_TANH)
    return y, [np.asarray(error) for error in errors]


_MOST_OF_TANH = 1.5575  # |tanh| ≤ tan 1 where |Im z| ≤ 1


def _sigmoid(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    """½ + ½ tanh(x/2)."""
    y, errors = _tanh(0.5 * m, order)
    scaled = [0.5 ** (k + 1) * each for k, each in enumerate(y)]
    scaled[0] = 0.5 + scaled[0]
    return scaled, [0.5 ** (k + 1) * e + (UNIT if k == 0 else 0.0) for k, e in enumerate(errors)]


def _integral(
    value: Callable[[Array], Array], derivative: Series, m: Array, order: int
) -> tuple[Coefficients, Coefficients]:
    """Of a function whose derivative has the series s: f_k = s_{k−1}/k.

    Its value may be the sum of numbers of size 1 that cancel.
    """
    s, errors = derivative(m, max(order - 1, 0))
    found = [value(m), *(s[k - 1] / k for k in range(1, order + 1))]
    bounds = [2.0 * LIBRARY * (abs(found[0]) + 1.0)]
    bounds += [errors[k - 1] / k + UNIT * abs(found[k]) for k in range(1, order + 1)]
    return found, bounds


def _times_x(of: Series, m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    """x g(x): f_k = m g_k + g_{k−1}."""
    g, errors = of(m, order)
    before, errors_before = [0.0 * g[0], *g[:-1]], [0.0 * g[0], *errors[:-1]]
    found = [m * g[k] + before[k] for k in range(order + 1)]
    bounds = [
        abs(m) * errors[k] + errors_before[k] + 2.0 * UNIT * (abs(m * g[k]) + abs(before[k]))
        for k in range(order + 1)
    ]
    return found, bounds


def _gauss(scale: float, rate: float, m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    """g = scale e^(−rate x²): g' = −2 rate x g, so that (k + 1) g_{k+1} = −2 rate (m g_k + g_{k−1})."""
    g, errors = [scale * np.exp(-rate * m * m)], [np.full_like(m, 0.0)]
    errors[0] = (LIBRARY + (4.0 + 3.0 * rate * m * m) * UNIT) * g[0] + 1e-300
    for k in range(order):
        before, error = (g[k - 1], errors[k - 1]) if k else (0.0 * m, 0.0 * m)
        factor = 2.0 * rate / (k + 1.0)
        g.append(-factor * (m * g[k] + before))
        rounded = 5.0 * UNIT * (abs(m * g[k]) + abs(before))
        errors.append(factor * (abs(m) * errors[k] + error + rounded) * UP)
    return g, errors


_bell = partial(_gauss, 2.0 / sqrt(pi), 1.0)
_density = partial(_gauss, 1.0 / sqrt(2.0 * pi), 0.5)
_erf = partial(_integral, erf, _bell)
_normal = partial(_integral, lambda m: 0.5 + 0.5 * erf(m / sqrt(2.0)), _density)


def _softplus(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    return _integral(lambda x: np.logaddexp(0.0, x), _sigmoid, m, order)


_silu, _gelu = partial(_times_x, _sigmoid), partial(_times_x, _normal)


def _wave(phase: int, m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    """sin (phase 0) or cos (1): the derivatives go round sin, cos, −sin, −cos."""
    turns = [np.sin(m), np.cos(m)]
    found = [
        (-1.0) ** ((k + phase) // 2) * turns[(k + phase) % 2] / factorial(k)
        for k in range(order + 1)
    ]
    return found, [np.full_like(m, (LIBRARY + 2.0 * UNIT) / factorial(k)) for k in range(order + 1)]


def _wave_supremum(k: int, lower: Array, upper: Array) -> Array:
    return np.full_like(lower, UP / factorial(k))


def _exp(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    return _relative([np.exp(m) / factorial(k) for k in range(order + 1)])


def _exp_supremum(k: int, lower: Array, upper: Array) -> Array:
    return np.exp(upper) / factorial(k) * UP


def _log(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
    return _relative([np.log(m), *(-((-1.0 / m) ** k) / k for k in range(1, order + 1))], order)


def _log_supremum(k: int, lower: Array, upper: Array) -> Array:
    return lower ** (-float(k)) / k * UP


def power(exponent: float) -> Analytic:
    """xᶜ on x > 0, c any real: f_k = C(c, k) x^(c−k).

    >>> float(power(-1.0).supremum(1, np.array(0.5), np.array(2.0)).round(6))
    4.0
    """
    binomials = [1.0]
    while len(binomials) < 64:
        k = len(binomials)
        binomials.append(binomials[-1] * (exponent - k + 1.0) / k)

    def series(m: Array, order: int) -> tuple[Coefficients, Coefficients]:
        return _relative(
            [binomials[k] * m ** (exponent - k) for k in range(order + 1)], 3.0 * order
        )

    def supremum(k: int, lower: Array, upper: Array) -> Array:
        return abs(binomials[k]) * np.maximum(lower ** (exponent - k), upper ** (exponent - k)) * UP

    return Analytic(series, supremum, lower=0.0, beyond=0.0)


def _function(
    series: Series, disc: _Disc, lower: float = -np.inf, upper: float = np.inf
) -> Analytic:
    return Analytic(series, _tabulated(series, disc), lower, upper)


TANH = _function(_tanh, _Disc(1.0, 1.5575, 18.0, 1e-13), -1.0, 1.0)
SIGMOID = _function(_sigmoid, _Disc(2.0, 1.2788, 36.0, 1e-13), 0.0, 1.0)
SOFTPLUS = _function(_softplus, _Disc(2.0, 42.0, 36.0, 1e-13, 1.0), lower=0.0)
SILU = _function(_silu, _Disc(2.0, 60.0, 44.0, 1e-13, 1.0), lower=-0.2785)
ERF = _function(_erf, _Disc(1.0, 4.1, 8.0, 1e-13), -1.0, 1.0)
GELU = _function(_gelu, _Disc(1.0, 24.0, 10.0, 1e-13, 1.0), lower=-0.17)
SIN = Analytic(partial(_wave, 0), _wave_supremum, -1.0, 1.0)
COS = Analytic(partial(_wave, 1), _wave_supremum, -1.0, 1.0)
EXP = Analytic(_exp, _exp_supremum, lower=0.0)
LOG = Analytic(_log, _log_supremum, beyond=0.0)
SQRT = power(0.5)
RECIPROCAL = power(-1.0)
