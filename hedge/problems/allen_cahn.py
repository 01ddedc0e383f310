"""Allen–Cahn: u_t = 10⁻⁴ u_xx + 5u − 5u³ with u(x, 0) = x² cos πx, periodic in x.

The benchmark of Raissi, Perdikaris and Karniadakis (2019). The derivative of u(x, 0) jumps by 4
from x = 1 to x = −1; for t > 0 the solution is smooth there. It is
computed to ten digits, when first asked for.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.problems.conditions import Condition, Faces, Period
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.etdrk4 import at_times
from hedge.problems.layers import Layers
from hedge.problems.problem import Problem
from hedge.problems.stability import Evidence, Stability

DIFFUSIVITY = 1e-4
RATE = 5.0

MODES = 2048  # cosines in x
NODES = 64  # Chebyshev nodes in √t
STEPS = 2048  # per unit of time, at the least
CHUNK = 2048

# f(u) = 5u − 5u³ has f′(±1) = −10. The kink of u(x, 0) lies at u = −1, so with this slope in the
# linear operator the rest, f(u) + 10u = 15u − 5u³, is flat there and has no kink of its own.
SLOPE = -2.0 * RATE
# u(x, 0) = −1 + 2s + … at a distance s from x = ±1.
KINK = 2.0
EARLIER = 1e-10  # than t = 0, when the form of a network begins to round it off


def _allen_cahn_solution(points: Array) -> Array:
    """u_t = 10⁻⁴ u_xx + 5u − 5u³ from u(x, 0) = x² cos πx, periodic: (n, 2) = (x, t) -> (n, 1).

    Absolute error, measured against doubled modes, steps and nodes: 5e-11 within 0.1 of the kink at
    x = ±1, 3e-11 elsewhere. An independent finite-difference solution agrees to its own 1e-7.
    """
    return evaluate(expansion(), points)


@functools.cache
def expansion(modes: int = MODES, nodes: int = NODES, steps: int = STEPS) -> Array:
    """Coefficients (nodes + 1, modes + 1) of w = u − kink in T_j(2√t − 1) cos kπx.

    u is even, so cosines suffice. ETDRK4 from each Chebyshev node in √t to the next. The derivative of
    u(x, 0) jumps at x = ±1, which would leave a Fourier series with errors of order 1/modes at small
    t; `_kink` carries the jump exactly, and the coefficients of w fall like k⁻⁴ at t = 0 and faster
    later.
    """
    from scipy.fft import dct

    x = np.arange(modes + 1) / modes
    linear = SLOPE - DIFFUSIVITY * (math.pi * np.arange(modes + 1, dtype=np.float64)) ** 2

    def coefficients(values: Array) -> Array:
        c: Array = dct(values, 1, axis=0) / (len(values) - 1)
        c[0] /= 2.0
        c[-1] /= 2.0
        return c

    @functools.lru_cache(maxsize=2)
    def kink_at(t: float) -> Array:
        return _kink(x, t)

    def reaction(w: Array, t: float) -> Array:
        halved = w / 2.0
        halved[0], halved[-1] = w[0], w[-1]
        u = kink_at(t) + dct(halved, 1)
        return coefficients((RATE - SLOPE) * u - RATE * u * u * u)

    times = ((1.0 - np.cos(math.pi * np.arange(nodes + 1) / nodes)) / 2.0) ** 2
    start = coefficients(x * x * np.cos(math.pi * x) - _kink(x, 0.0))
    at_nodes = at_times(start, times, linear, reaction, steps)
    # T_j is a cosine of the angle that runs from π at t = 0 to 0 at t = 1.
    return coefficients(np.array(at_nodes[::-1]))


def evaluate(coefficients: Array, points: Array) -> Array:
    """The kink and the expansion at ``points`` (n, 2); returns (n, 1)."""
    nodes, modes = (np.arange(size) for size in coefficients.shape)
    u = _kink(points[:, :1], points[:, 1:])
    angle = np.arccos(2.0 * np.sqrt(points[:, 1:]) - 1.0)
    for start in range(0, len(points), CHUNK):
        part = slice(start, start + CHUNK)
        in_time = np.cos(angle[part] * nodes) @ coefficients
        in_space = np.cos(math.pi * points[part, :1] * modes)
        u[part, 0] += (in_time * in_space).sum(axis=1)
    return u


def _kink(x: Array, t: Array | float) -> Array:
    """Solution of v_t = 10⁻⁴ v_xx − 10 v, periodic, from 2s − s² with s = 1 − |x|.

    At s = 0 its derivative jumps as that of x² cos πx does; it is smooth at s = 1. On the line
    |s| and s² keep closed forms under diffusion, and the images two units away add less than
    exp(−1 / 4·10⁻⁴) = 0.

    >>> float(_kink(np.array([0.5]), 0.0)[0])
    0.75
    """
    from scipy.special import erf

    s = 1.0 - np.abs(x)
    width = np.maximum(np.sqrt(4.0 * DIFFUSIVITY * t), 1e-30)
    z = s / width
    spread = s * erf(z) + width / math.sqrt(math.pi) * np.exp(-z * z)
    v: Array = KINK * np.exp(SLOPE * t) * (spread - s * s / 2.0 - DIFFUSIVITY * t)
    return v


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    u = d["u"]
    return d["u_t"] - DIFFUSIVITY * d["u_xx"] - RATE * (u - u * u * u)


def _offset(x: Sequence[Field], math_: Math) -> Field:
    """x² cos πx at t = 0, with its kink spread as the solution spreads it, from a time EARLIER on.

    x² cos πx alone would keep its kink for all time, since a periodic network has none to cancel it:
    the equation then holds between −1 and 1 for another solution, 3.5e-4 away in relative L2. With
    c = cos(πx/2), the distance to the kink, (4/π) c has the same kink. Beside it u is −1 + v, and v
    decays as e^(−10t) while heat spreads c; with that in its place what is left to the network is
    smooth. Begun EARLIER, so is u at t = 0, 2.3e-7 too high over the kink, about what float32 rounds
    by, and its residual is bounded.
    """
    c = math_.cos(math.pi / 2.0 * x[0])
    width_squared = math.pi**2 * DIFFUSIVITY * (x[1] + EARLIER)
    kink = math_.exp(SLOPE * x[1]) * spread(c, width_squared, math_) - c
    return x[0] * x[0] * math_.cos(math.pi * x[0]) + 4.0 / math.pi * kink


# Read from y = 1 (the kink) to 0 (far away), which is smooth in c and in t, unlike c / width, so that boxes
# bound it. The polynomial, from its constant on, by least squares at y = ((1 + cos θ) / 2)² for 3,000 even θ,
# weighed by min(y^(−1/2), 30).
ROUNDING = 8.0
FITTED = (-0.50001163, -0.12417642, -0.07842468, 0.09498302, -0.61157686,
          1.3835383, -1.85288239, 1.15770171, -0.26967987)  # fmt: skip


def spread(c: Field, width_squared: Field, math_: Math) -> Field:
    """|c| smeared by heat: c erf(c/width) + width exp(−(c/width)²) / √π, within 2.5e-6 of the width.

    R (1 + y p(y)) with R² = c² + 8 width² and y = 8 width² / R²; its second derivative is within
    4.4e-5 / width.

    >>> bool(abs(spread(np.array(0.0), 1.0, np) - 1.0 / math.sqrt(math.pi)) < 2.5e-6)
    True
    """
    square = c * c + ROUNDING * width_squared
    y = ROUNDING * width_squared / square
    p = functools.reduce(lambda total, each: total * y + each, reversed(FITTED))
    return math_.exp(0.5 * math_.log(square)) * (1.0 + y * p)


GROWTH = math.exp(RATE)  # of the error from t = 0 to t = 1: f′ ≤ 5


def _without_residual(found: Evidence) -> float:
    """|e| if r = 0: u starts off by δ, u and u_x jump by at most J₀ and J₁/√t from x = −1 to x = 1."""
    start, value, slope = found.mismatch
    reaction = max(1.0, found.largest**2 + found.largest) * (GROWTH - 1.0)  # ∫ e^5(1 − s) max|c| ds
    by_slope = GROWTH * (DIFFUSIVITY + math.sqrt(math.pi * DIFFUSIVITY) / 2.0) * slope
    return GROWTH * start + (1.0 + GROWTH + reaction) * value / 2.0 + by_slope


def _kernel() -> float:
    """√∫ e^10τ (½ + 1/(2√(2πντ))) dτ; ∫ e^aτ/√τ dτ is a series, whose rest is below rounding."""
    a = 2.0 * RATE
    root = 2.0 * sum(a**n / (math.factorial(n) * (2 * n + 1)) for n in range(60))
    smooth = math.expm1(a) / (2.0 * a)
    return math.sqrt(smooth + root / (2.0 * math.sqrt(2.0 * math.pi * DIFFUSIVITY)))


KERNEL = _kernel()


def _largest(found: Evidence) -> float:
    """|e| ≤ that + ∫ e^5(1 − t) max|r(t)| dt, and |e| ≤ that + 219 ‖r‖."""
    residual = found.residual
    return _without_residual(found) + min(
        residual.of_largest("t", rate=RATE), KERNEL * residual.of("L2", "xt")
    )


def _mean_square(found: Evidence) -> float:
    """‖e(t)‖ ≤ √2 that + √((e^10 − 1)/10) ‖r‖: the interval has the length 2."""
    factor = math.sqrt(math.expm1(2.0 * RATE) / (2.0 * RATE))
    return math.sqrt(2.0) * _without_residual(found) + factor * found.residual.of("L2", "xt")


def _weighted_slope(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    """√(t + EARLIER) u_x: the jump of u_x may be as large as 1/√t. Where cos(πx/2) is not quite 0 at the
    ends, as in float32, it begins with some of the kink."""
    return math_.exp(0.5 * math_.log(x[1] + EARLIER)) * d["u_x"]


allen_cahn = Problem(
    name="allen-cahn",
    title="1D Allen-Cahn, x in [-1, 1] periodic, t in [0, 1], diffusivity 1e-4, reaction 5u - 5u^3",
    inputs="xt",
    domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
    derivatives=("u", "u_t", "u_xx"),
    residual=_residual,
    offset=_offset,
    distance=lambda x, math_: x[1],
    reference=_allen_cahn_solution,
    features=lambda x, math_: [
        math_.cos(math.pi * x[0]),
        math_.sin(math.pi * x[0]),
        2.0 * x[1] - 1.0,
    ],
    conditions=(
        Condition(
            Faces("t", (0,)), lambda x, d, math_: d["u"] - x[0] * x[0] * math_.cos(math.pi * x[0])
        ),
        Condition(Period("x"), lambda x, d, math_: d["u"]),
        Condition(Period("x"), _weighted_slope, ("u_x",)),
    ),
    stability=(
        Stability("max", "", "L2", _largest, "Allen–Cahn equation: max"),
        Stability("L2", "x", "L2", _mean_square, "Allen–Cahn equation: L2 at every time"),
    ),
    layers=Layers(32, 3),
)
