"""Operators on a grid of sensors: source to solution, initial to final state, and one nonlinear.

The grid is x_i = i h, i = 1 … n, h = 1 / (n + 1), on (0, 1) with zero values at both ends, and
A = tridiag(−1, 2, −1) / h² is −d²/dx² on it: second-order differences, or linear finite elements
with lumped masses. A function is its n nodal values; a point load s δ(x − x_j) is s / h at node j.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.errors import InputError, ToleranceError, quoted
from hedge.grids import sides_in
from hedge.problems.darcy_operator import darcy_operator
from hedge.problems.implicit_steps import DIFFUSIVITY, FINAL_TIME, STEP, exponential_series
from hedge.problems.operator_problem import LEAST_SENSORS, MOST_SENSORS, OperatorProblem
from hedge.problems.square_operators import heat2d_operator, poisson2d_operator
from hedge.problems.tridiagonal import Tridiagonal
from hedge.problems.unrolled import CubicSteps

# Sources this large let u³ move the solution by 3 %. Eight steps leave 4e-6 of it in the mean over
# sources, and 5e-5 for the worst of 6,000.
CUBIC_AMPLITUDE, CUBIC_ITERATIONS = 2.5, 8
NEWTON_STEPS, NEWTON_TOLERANCE = 100, 1e-8


def poisson_operator(sensors: int) -> OperatorProblem:
    """−u″ = f on (0, 1), u = 0 at both ends: A u = f. The map is the Green's function h G(x_i, x_j).

    In 1D these differences are exact at the nodes for point loads: G(x, y) = x (1 − y) for x ≤ y.

    Raises InputError for sensors not in 2 … 16,384.

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

    Raises InputError for sensors not in 2 … 16,384.

    >>> heat = heat_operator(63)
    >>> heat.reference(np.sin(np.pi * heat.grid[None]))[0, 31].round(4)  # exp(-0.001 pi^2)
    np.float64(0.9902)
    """
    stiffness = _stiffness(sensors)
    return OperatorProblem(
        name="heat-operator",
        title=f"u_t = {DIFFUSIVITY:g} u_xx on (0, 1), u(0) to u({FINAL_TIME:g})",
        layer=Tridiagonal(sensors, 1.0 + STEP * stiffness.diagonal, STEP * stiffness.beside),
        solver=_decayed,
        residual=None,
        series=exponential_series(),
    )


def cubic_operator(sensors: int) -> OperatorProblem:
    """−u″ + u³ = f on (0, 1), u = 0 at both ends: A u + u³ = f, by unrolled steps u <- G (f − u³).

    The trained layer is G alone, the matrix of the linear part. A step multiplies the error by up to
    3 max u² / π²; the sources are scaled so that this is below a half for the largest of thousands,
    and eight steps leave less than 1e-5 in the mean. The reference is Newton's method on the discrete
    equation.

    Raises InputError for sensors not in 2 … 16,384.

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
        unrolled=CubicSteps(CUBIC_ITERATIONS),
        amplitude=CUBIC_AMPLITUDE,
    )


SQUARE = {
    "poisson2d-operator": poisson2d_operator,
    "heat2d-operator": heat2d_operator,
    "darcy-operator": darcy_operator,
}
OPERATORS: dict[str, Callable[[int], OperatorProblem]] = {
    "poisson-operator": poisson_operator,
    "heat-operator": heat_operator,
    "cubic-operator": cubic_operator,
    **SQUARE,
}


def find_operator(name: str, sensors: int) -> OperatorProblem:
    """The operator problem called ``name`` on a grid of ``sensors`` nodes in all.

    Raises InputError, with the known names, for any other, and for sensors not in 2 … 16,384 or, on
    a square, of no square grid.

    >>> find_operator("heat-operator", 64).sensors
    64
    """
    if name not in OPERATORS:
        raise InputError(f"operator {name!r} is not known; known: {', '.join(OPERATORS)}")
    return OPERATORS[name](sensors)


def sensors_of(name: str, text: str) -> int:
    """How many sensors a grid has that is told as a number, or as the sides of a square.

    Raises InputError for a text that is neither, unequal sides, and sides for an operator on an interval.

    >>> sensors_of("poisson2d-operator", "32x32"), sensors_of("poisson-operator", "1024")
    (1024, 1024)
    """
    numbers = sides_in(text)
    if numbers is None or len(numbers) > 2:
        raise InputError(f"sensors: {quoted(text)} is no number and no grid; give 1024 or 32x32")
    if len(numbers) == 1:
        return numbers[0]
    if name not in SQUARE:
        raise InputError(f"sensors: {name} is on a line, not on {quoted(text)}; give one number")
    if numbers[0] != numbers[1]:
        raise InputError(f"sensors: {quoted(text)} is no square; {name} takes equal sides as 32x32")
    return numbers[0] * numbers[1]


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
    modes = scipy.fft.dst(states, type=1, axis=1, norm="ortho")
    decay = np.exp(-DIFFUSIVITY * FINAL_TIME * eigenvalues)
    return np.asarray(scipy.fft.idst(decay * modes, type=1, axis=1, norm="ortho"))


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
