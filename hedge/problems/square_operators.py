"""Operators on a square grid: source to solution, initial to final state.

The nodes are (i h, j h), i, j = 1 … m, h = 1 / (m + 1), in the unit square with zero values on its
boundary, and come row by row. A is the five-point matrix of −Δ: second-order differences.
A point load s δ(x − x_j) is s / h² at node j.
"""

from __future__ import annotations

import math

import numpy as np

from hedge.errors import InputError
from hedge.problems.five_point import FivePoint
from hedge.problems.implicit_steps import DIFFUSIVITY, FINAL_TIME, STEP, exponential_series
from hedge.problems.operator_problem import MOST_SENSORS, OperatorProblem

LEAST_SIDE, MOST_SIDE = 2, math.isqrt(MOST_SENSORS)


def poisson2d_operator(sensors: int) -> OperatorProblem:
    """−Δu = f in the unit square, u = 0 on its boundary: A u = f. The map is the Green's function.

    sensors is m², for a grid of m × m nodes. Raises InputError for other numbers, and for m not in 2 … 128.

    >>> poisson2d_operator(9).reference(np.eye(9)[4:5]).reshape(3, 3).round(4)
    array([[0.0039, 0.0078, 0.0039],
           [0.0078, 0.0234, 0.0078],
           [0.0039, 0.0078, 0.0039]])
    """
    stiffness = square_stiffness("poisson2d-operator", sensors)
    return OperatorProblem(
        name="poisson2d-operator",
        title="-Δu = f in the unit square, source to solution",
        layer=stiffness,
        solver=stiffness.solve,
        residual=lambda u, f: stiffness.times(u) - f,
    )


def heat2d_operator(sensors: int) -> OperatorProblem:
    """u_t = 0.1 Δu in the unit square, u = 0 on its boundary: from u(0) to u(T) = exp(−0.1 T A) u(0).

    T = 0.01. Composed of implicit steps as :func:`hedge.problems.operators.heat_operator` is. sensors is
    m², for a grid of m × m nodes. Raises InputError for other numbers, and for m not in 2 … 128.

    >>> heat = heat2d_operator(31**2)
    >>> mode = np.outer(np.sin(np.pi * heat.grid), np.sin(np.pi * heat.grid)).reshape(1, -1)
    >>> (heat.reference(mode) / mode)[0, 480].round(4)  # exp(-0.002 pi^2)
    np.float64(0.9805)
    """
    stiffness = square_stiffness("heat2d-operator", sensors)
    return OperatorProblem(
        name="heat2d-operator",
        title=f"u_t = {DIFFUSIVITY:g} Δu in the unit square, u(0) to u({FINAL_TIME:g})",
        layer=FivePoint(stiffness.side, 1.0 + STEP * stiffness.diagonal, STEP * stiffness.beside),
        solver=lambda states: stiffness.filtered(
            states, lambda eigenvalues: np.exp(-DIFFUSIVITY * FINAL_TIME * eigenvalues)
        ),
        residual=None,
        series=exponential_series(),
    )


def square_stiffness(name: str, sensors: int) -> FivePoint:
    """A on a grid of so many nodes, for an operator called ``name``; raises InputError if there is none."""
    side = math.isqrt(max(sensors, 0))
    if side**2 != sensors or not LEAST_SIDE <= side <= MOST_SIDE:
        raise InputError(
            f"sensors: {name} is on a square grid, and {sensors} sensors are none of "
            f"{LEAST_SIDE}x{LEAST_SIDE} to {MOST_SIDE}x{MOST_SIDE}; give for example 32x32"
        )
    inverse_square = float((side + 1) ** 2)
    return FivePoint(side, 4.0 * inverse_square, -inverse_square)
