"""Operators on a grid of sensors: source to solution, initial to final state, and one nonlinear.

The grid is x_i = i h, i = 1 … n, h = 1 / (n + 1), on (0, 1) with zero values at both ends, and
A = tridiag(−1, 2, −1) / h² is −d²/dx² on it: second-order differences, or linear finite elements
with lumped masses. A function is its n nodal values; a point load s δ(x − x_j) is s / h at node j.
Random sources hold every frequency: smooth fields, white noise, point loads.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Chebyshev
from scipy import fft

from hedge.arrays import Array
from hedge.errors import InputError, ToleranceError
from hedge.problems.domain import LARGEST
from hedge.problems.tridiagonal import Tridiagonal

# Correlation lengths of the smooth fields, in parts of the interval.
LENGTHS = (0.3, 0.1, 0.03, 0.01)
LOAD_STRENGTHS = (0.5, 1.0)
KINDS = 3


def random_sources(sensors: int, count: int, seed: int) -> Array:
    """Independent sources at the nodes x_i = i h, h = 1 / (sensors + 1): (count, sensors), float64.

    In random order, a third each of

    - smooth Gaussian fields of unit variance, each of one of the correlation ``LENGTHS``;
    - white noise of unit intensity, which on the grid has the variance 1 / h;
    - point loads ±s δ(x − x_j), on the grid ±s / h at one node, s uniform in ``LOAD_STRENGTHS``. The
      loads visit every node before any node twice.

    So scaled, all three move a Green's function's output by about as much, on every grid, and the
    mean of f fᵀ is a multiple of the identity plus what the smooth fields add: no frequency is
    missing, none is weak.

    >>> random_sources(5, 4, seed=0).shape
    (4, 5)
    """
    rng = np.random.default_rng(seed)
    kinds = rng.permutation(np.arange(count) % KINDS)
    smooth, noise, loads = (np.flatnonzero(kinds == kind) for kind in range(KINDS))
    spacing = 1.0 / (sensors + 1)
    sources = np.zeros((count, sensors))
    sources[smooth] = _smooth_fields(sensors, len(smooth), rng)
    sources[noise] = rng.standard_normal((len(noise), sensors)) / np.sqrt(spacing)
    strengths = rng.uniform(*LOAD_STRENGTHS, len(loads)) * rng.choice([-1.0, 1.0], len(loads))
    sources[loads, _positions(sensors, len(loads), rng)] = strengths / spacing
    return sources


def _smooth_fields(sensors: int, count: int, rng: np.random.Generator) -> Array:
    """Σ_k a_k cos kπx with independent a_k ~ N(0, exp(−(kπℓ)² / 2)), scaled to unit variance."""
    lengths = rng.choice(LENGTHS, (count, 1))
    waves = np.arange(sensors + 2)
    deviations = np.exp(-((waves * np.pi * lengths) ** 2) / 4.0)
    # cos² is 1 for the constant and 1/2 in the mean for every wave.
    variance = deviations[:, :1] ** 2 + 0.5 * np.sum(deviations[:, 1:] ** 2, axis=1, keepdims=True)
    amplitudes = deviations / np.sqrt(variance) * rng.standard_normal(deviations.shape)
    amplitudes[:, 1:-1] /= 2.0  # the transform doubles all but the first and the last
    return np.asarray(fft.dct(amplitudes, type=1, axis=1)[:, 1:-1])


def _positions(sensors: int, count: int, rng: np.random.Generator) -> np.ndarray:
    rounds = [rng.permutation(sensors) for _ in range(-(-count // sensors))]
    return np.concatenate([*rounds, np.empty(0, dtype=np.int64)])[:count].astype(np.int64)


LEAST_SENSORS, MOST_SENSORS = 2, 4096
TEST_SOURCES = 1024

# The heat operator's DIFFUSIVITY · FINAL_TIME = 1e-3: a point load spreads to a bump 0.1 wide.
DIFFUSIVITY, FINAL_TIME = 0.1, 0.01
# exp(−x) is a polynomial of this degree in 1 / (1 + x / POLE) to 7e-8, for all x ≥ 0 at once.
DEGREE, POLE = 16, 11.52

# Sources this large let u³ move the solution by 3 %. Eight steps leave 4e-6 of it in the mean over
# sources, and 5e-5 for the worst of 6,000.
CUBIC_AMPLITUDE, CUBIC_ITERATIONS = 2.5, 8
NEWTON_STEPS, NEWTON_TOLERANCE = 100, 1e-8


@dataclass(frozen=True)
class OperatorProblem:
    """A map from n values on the grid to n values, to be learnt from its equation alone.

    The trained part is one matrix S (n, n). It minimises the energy E[½ uᵀ B u − fᵀ u], u = S f, over
    random sources f; where these span all of Rⁿ, the least energy is at S = B⁻¹ and nowhere else.
    From S the map is composed, without further unknowns:

    series      None: the layer itself, S f. Else c_0 … c_m, the map Σ c_k T_k(2 S − 1) f with the
                Chebyshev polynomials T_k: m linear layers that share S
    iterations  1, or that many unrolled steps u <- S (f − u³), the first from u = 0

    layer       B, symmetric positive definite
    amplitude   the factor on :func:`hedge.problems.operators.random_sources`
    solver      sources (count, n) -> solutions (count, n) by other means, the reference
    residual    (solutions, sources) -> (count, n), zero for exact solutions; None where the equation
                says nothing of input and output alone
    """

    name: str
    title: str
    layer: Tridiagonal
    solver: Callable[[Array], Array]
    residual: Callable[[Array, Array], Array] | None
    series: tuple[float, ...] | None = None
    iterations: int = 1
    amplitude: float = 1.0

    @property
    def sensors(self) -> int:
        """The number n of nodes."""
        return self.layer.size

    @property
    def dimension(self) -> int:
        """Numbers of a source."""
        return self.sensors

    @property
    def outputs(self) -> int:
        """Numbers of a solution."""
        return self.sensors

    @property
    def fields(self) -> tuple[str, ...]:
        """One function, on the whole grid."""
        return ("u",)

    @property
    def test_rows(self) -> int:
        """Sources that an error is measured on."""
        return TEST_SOURCES

    @property
    def grid(self) -> Array:
        """The nodes (n,)."""
        return np.arange(1, self.sensors + 1) / (self.sensors + 1)

    @property
    def linear(self) -> bool:
        """Whether the map is one matrix."""
        return self.iterations == 1

    def sample(self, count: int, seed: int) -> Array:
        """Independent random sources (count, n), float64: smooth, white noise and point loads.

        Raises InputError for a count below 1 or a negative seed.
        """
        if count < 1:
            raise InputError(f"sources: {count} is too few; at least 1")
        if seed < 0:
            raise InputError(f"seed: {seed} is negative; give 0 or more")
        return self.amplitude * random_sources(self.sensors, count, seed)

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float | None:
        """That of the discrete equation on 1,024 random sources, in parts of the sources' own.

        Differences at the grid's spacing weigh 4 / h² in the residual of −u″: weights rounded to
        float32 alone leave a residual of about 6e-9 · n^1.5, however small the error.
        """
        if self.residual is None:
            return None
        sources = self.sample(TEST_SOURCES, seed)
        with np.errstate(over="ignore", invalid="ignore"):  # of outputs that overflowed
            residual = self.residual(solution(sources), sources)
            return float(np.linalg.norm(residual) / np.linalg.norm(sources))

    def reference(self, sources: Array) -> Array:
        """The solutions (count, n) of the discrete problem for ``sources`` (count, n), in float64.

        Accurate to 1e-9 of each solution. Raises InputError for sources of another shape or with
        values that are not finite, ToleranceError if the nonlinear solver does not converge.
        """
        if sources.ndim != 2 or sources.shape[1] != self.sensors:
            raise InputError(
                f"sources: have shape {sources.shape}; {self.name} on {self.sensors} sensors needs "
                f"(count, {self.sensors})"
            )
        if not (np.abs(sources) <= LARGEST).all():
            raise InputError(f"sources: hold NaN, Inf or values beyond {LARGEST:g}")
        return self.solver(np.asarray(sources, dtype=np.float64))


def poisson_operator(sensors: int) -> OperatorProblem:
    """−u″ = f on (0, 1), u = 0 at both ends: A u = f. The map is the Green's function h G(x_i, x_j).

    In 1D these differences are exact at the nodes for point loads: G(x, y) = x (1 − y) for x ≤ y.

    Raises InputError for sensors not in 2 … 4,096.

    >>> poisson_operator(3).reference(np.array([[0.0, 4.0, 0.0]]))  # a unit load in the middle
    array([[0.125, 0.25 , 0.125]])
    """
    stiffness = _stiffness(sensors)
    return OperatorProblem(
        name="poisson-operator",
        title="-u'' = f on (0, 1), source to solution",
        layer=stiffness,
        solver=stiffness.solve,
        residual=lambda u, f: stiffness.times(u) - f,
    )


def heat_operator(sensors: int) -> OperatorProblem:
    """u_t = 0.1 u_xx on (0, 1), u = 0 at both ends: from u(0) to u(T) = exp(−0.1 T A) u(0), T = 0.01.

    The trained layer is one implicit step, B = 1 + τ A. The exponential is composed of such steps, as
    a polynomial of degree 16 in S that is within 7e-8 of it on every positive spectrum (a rational
    approximation with one real pole: Nørsett 1978, Andersson 1981). In the mean over the random sources
    that is below 7e-7 of the output. The reference takes each sine mode down exactly.

    Raises InputError for sensors not in 2 … 4,096.

    >>> heat = heat_operator(63)
    >>> heat.reference(np.sin(np.pi * heat.grid[None]))[0, 31].round(4)  # exp(-0.001 pi^2)
    np.float64(0.9902)
    """
    stiffness = _stiffness(sensors)
    step = DIFFUSIVITY * FINAL_TIME / POLE
    return OperatorProblem(
        name="heat-operator",
        title=f"u_t = {DIFFUSIVITY:g} u_xx on (0, 1), u(0) to u({FINAL_TIME:g})",
        layer=Tridiagonal(sensors, 1.0 + step * stiffness.diagonal, step * stiffness.beside),
        solver=_decayed,
        residual=None,
        series=_exponential_series(),
    )


def cubic_operator(sensors: int) -> OperatorProblem:
    """−u″ + u³ = f on (0, 1), u = 0 at both ends: A u + u³ = f, by unrolled steps u <- G (f − u³).

    The trained layer is G alone, the matrix of the linear part. A step multiplies the error by up to
    3 max u² / π²; the sources are scaled so that this is below a half for the largest of thousands,
    and eight steps leave less than 1e-5 in the mean. The reference is Newton's method on the discrete
    equation.

    Raises InputError for sensors not in 2 … 4,096.

    >>> cubic = cubic_operator(16)
    >>> f = cubic.sample(3, seed=0)
    >>> bool(abs(cubic.residual(cubic.reference(f), f)).max() < 1e-9)
    True
    """
    stiffness = _stiffness(sensors)
    return OperatorProblem(
        name="cubic-operator",
        title="-u'' + u^3 = f on (0, 1), source to solution",
        layer=stiffness,
        solver=lambda sources: _newton(stiffness, sources),
        residual=lambda u, f: stiffness.times(u) + u**3 - f,
        iterations=CUBIC_ITERATIONS,
        amplitude=CUBIC_AMPLITUDE,
    )


OPERATORS: dict[str, Callable[[int], OperatorProblem]] = {
    "poisson-operator": poisson_operator,
    "heat-operator": heat_operator,
    "cubic-operator": cubic_operator,
}


def find_operator(name: str, sensors: int) -> OperatorProblem:
    """The operator problem called ``name`` on a grid of ``sensors`` nodes.

    Raises InputError, with the known names, for any other, and for sensors not in 2 … 4,096.

    >>> find_operator("heat-operator", 64).sensors
    64
    """
    if name not in OPERATORS:
        raise InputError(f"operator {name!r} is not known; known: {', '.join(OPERATORS)}")
    return OPERATORS[name](sensors)


def _stiffness(sensors: int) -> Tridiagonal:
    if not LEAST_SENSORS <= sensors <= MOST_SENSORS:
        raise InputError(
            f"sensors: {sensors} is out of range; give {LEAST_SENSORS} to {MOST_SENSORS}"
        )
    inverse_square = float((sensors + 1) ** 2)
    return Tridiagonal(sensors, 2.0 * inverse_square, -inverse_square)


def _decayed(states: Array) -> Array:
    """exp(−DIFFUSIVITY · FINAL_TIME · A) for every row, in the sine modes that diagonalise A."""
    n = states.shape[1]
    eigenvalues = (2.0 * (n + 1) * np.sin(np.pi * np.arange(1, n + 1) / (2 * (n + 1)))) ** 2
    modes = fft.dst(states, type=1, axis=1, norm="ortho")
    decay = np.exp(-DIFFUSIVITY * FINAL_TIME * eigenvalues)
    return np.asarray(fft.idst(decay * modes, type=1, axis=1, norm="ortho"))


def _exponential_series() -> tuple[float, ...]:
    """c with exp(−x) ≈ Σ c_k T_k(2 s − 1), s = 1 / (1 + x / POLE) in (0, 1]."""

    def exponential(y: Array) -> Array:
        with np.errstate(divide="ignore"):  # x = ∞ at y = −1, where the exponential is zero
            return np.exp(-POLE * (2.0 / (y + 1.0) - 1.0))

    return tuple(float(c) for c in Chebyshev.interpolate(exponential, DEGREE).coef)


def _newton(stiffness: Tridiagonal, sources: Array) -> Array:
    """Newton's method for A u + u³ = f, row by row."""
    return np.array([_newton_row(stiffness, f[None]) for f in sources])


def _newton_row(stiffness: Tridiagonal, source: Array) -> Array:
    u = stiffness.solve(source)
    for _ in range(NEWTON_STEPS):
        change = stiffness.solve(stiffness.times(u) + u**3 - source, extra=3.0 * u[0] ** 2)
        u = u - change
        # Convergence is quadratic: what is left is the square of this change.
        if np.abs(change).max() <= NEWTON_TOLERANCE * np.abs(u).max():
            return np.asarray(u[0])
    raise ToleranceError(
        f"cubic-operator: Newton's method did not converge in {NEWTON_STEPS} steps for a source of "
        f"size {math.sqrt(float(np.mean(source**2))):.1e}; scale it down"
    )
