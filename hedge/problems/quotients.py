"""Derivatives of any function up to the fourth order, by central difference quotients."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np

from hedge.arrays import Array

Axes = tuple[int, ...]
"""Inputs that are differentiated along, in order; of a Laplacian LAPLACIAN and then those it is over."""
LAPLACIAN, SUMMED = -1, "laplacian"  # the latter after a field's name
# Sixth-order quotients of each order, symmetric or antisymmetric: the weights of the values at a point, one
# step from it, two …. Steps are parts of an input's interval, by the order of the whole derivative: with
# float64 it is then good to about 1e-6, first and second ones even in the shock of Burgers.
WEIGHTS = {
    1: (0.0, 3 / 4, -3 / 20, 1 / 60),
    2: (-49 / 18, 3 / 2, -3 / 20, 1 / 90),
    3: (0.0, -61 / 30, 169 / 120, -3 / 10, 7 / 240),
    4: (91 / 8, -122 / 15, 169 / 60, -2 / 5, 7 / 240),
}
STEPS = {0: 0.0, 1: 1e-4, 2: 1e-4, 3: 3e-3, 4: 8e-3}
HIGHEST_ORDER = max(STEPS)


def summands(axes: Axes) -> tuple[Axes, ...]:
    """What a derivative is the sum of: a Laplacian second derivatives, any other itself.

    >>> summands((LAPLACIAN, 0, 2)), summands((0, 1))
    (((0, 0), (2, 2)), ((0, 1),))
    """
    return tuple((axis, axis) for axis in axes[1:]) if axes[:1] == (LAPLACIAN,) else (axes,)


def derivative(function: Callable[[Array], Array], x: Array, axes: Axes, widths: Array) -> Array:
    """∂f/∂x_axes at x (n, d), (n, m), for a function of (n, d) -> (n, m) on intervals so wide, (d,).

    >>> x = np.array([[0.5, 2.0]])
    >>> float(derivative(lambda x: x[:, :1] ** 3 * x[:, 1:], x, (0, 0, 1), np.ones(2)).round(6)[0, 0])
    3.0
    """
    parts = summands(axes)
    if parts != (axes,):
        return np.asarray(sum(derivative(function, x, part, widths) for part in parts))
    steps = STEPS[len(axes)] * widths

    def of_those_left(x: Array, left: Axes) -> Array:
        if not left:
            return function(x)
        axis, order = left[0], left.count(left[0])
        here, *weights = WEIGHTS[order]
        move = np.zeros_like(steps)
        move[axis] = steps[axis]
        total = here * of_those_left(x, left[order:]) if here else 0.0
        for distance, weight in enumerate(weights, 1):
            ahead = of_those_left(x + distance * move, left[order:])
            behind = of_those_left(x - distance * move, left[order:])
            total = total + weight * (ahead + (-1.0) ** order * behind)
        return np.asarray(total / steps[axis] ** order)

    return of_those_left(x, axes)


def reach(wanted: Iterable[Axes], dimension: int) -> Array:
    """How far derivatives reach from a point, in parts of the intervals, (d,)."""
    found = np.zeros(dimension)
    for axes in (part for each in wanted for part in summands(each)):
        for axis in axes:
            away = STEPS[len(axes)] * (len(WEIGHTS[axes.count(axis)]) - 1)
            found[axis] = max(found[axis], away)
    return found
