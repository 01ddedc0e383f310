"""Steady flow in a square cavity below a moving lid: a spectral solver with the corners' flow taken out.

The stream function is that of the corners plus a polynomial with two zeros at every wall, found by
Galerkin's method: ν ∫Δψ Δχ + ∫Δψ (ψ_y χ_x − ψ_x χ_y) = 0 for every such χ, by Newton's method. The pressure
is integrated from the momentum equations along the middle line and then up and down, so that third
derivatives are taken far from most walls; it is zero at the corner (0, 0).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.polynomial import legendre

from hedge.arrays import Array
from hedge.problems.cavity_corners import Flow, in_cavity

Corners = Callable[[Array, Array, float], Flow]
MODES = 64
NEWTON_STEPS, ENOUGH = 20, 1e-11
MOST_ITERATIONS = 400
# Up to this Reynolds number Newton's method finds the flow from none; then it is doubled, at most.
FROM_REST = 125.0
CHUNK = 4_000
# From the lower corner up to here the pressure changes by less than 5e-6, and is known as well.
NEAR_ZERO = 0.02


@dataclass(frozen=True)
class CavityFlow:
    """ψ as coefficients (m, m) beside the corners' flow, p as Legendre coefficients (q, q + 1)."""

    viscosity: float
    corners_in: Corners
    coefficients: Array
    pressure: Array

    def at(self, points: Array) -> Array:
        """u, v and p at points (n, 2) of the unit square but the corners at its lid, (n, 3)."""
        return np.concatenate(
            [self._at(*points[k : k + CHUNK].T) for k in range(0, max(len(points), 1), CHUNK)]
        )

    def _at(self, x: Array, y: Array) -> Array:
        corners = self.corners_in(x, y, self.viscosity)
        (bx, bx1), (by, by1) = (basis(len(self.coefficients), t, 1) for t in (x, y))
        u = corners.y + np.sum((self.coefficients.T @ bx) * by1, axis=0)
        v = -corners.x - np.sum((self.coefficients.T @ bx1) * by, axis=0)
        rows, columns = (
            legendre.legvander(2.0 * t - 1.0, size - 1)
            for t, size in zip((x, y), self.pressure.shape, strict=True)
        )
        p = corners.p + np.sum((rows @ self.pressure) * columns, axis=1)
        return np.column_stack([u, v, p])


def basis(modes: int, t: Array, order: int) -> list[Array]:
    """Polynomials with two zeros at 0 and at 1 (Shen, 1994) and derivatives to ``order``, (modes, n) each."""
    k = np.arange(modes)
    legendres = np.eye(modes + 4)
    scale = np.sqrt(2.0 * (2 * k + 3) ** 2 * (2 * k + 5))
    mixed = (
        legendres[:, :modes]
        - (2.0 * (2 * k + 5) / (2 * k + 7)) * legendres[:, 2:-2]
        + ((2 * k + 3) / (2 * k + 7)) * legendres[:, 4:]
    ) / scale
    return [
        legendre.legvander(2.0 * t - 1.0, modes + 3 - n)
        .dot(legendre.legder(mixed, n, scl=2.0, axis=0))
        .T
        for n in range(order + 1)
    ]


@functools.cache
def cavity_flow(
    reynolds: float = 100.0, modes: int = MODES, corners_in: Corners = in_cavity
) -> CavityFlow:
    """The flow at a Reynolds number of lid speed and width.

    ``corners_in`` is a flow that moves as the lid does and has the singularities of its corners. Relative
    errors of 64 modes against 96, at Re 100: 4e-7 of u and v, 3e-5 of p.
    """
    nodes, weights = legendre.leggauss(2 * modes)
    x, w = (nodes + 1.0) / 2.0, weights / 2.0
    b = basis(modes, x, 3)
    steps = math.ceil(math.log2(max(reynolds / FROM_REST, 1.0)))
    laplacian = None
    for step in range(steps + 1):
        viscosity = 2.0 ** (steps - step) / reynolds
        corners = corners_in(*np.meshgrid(x, x, indexing="ij"), viscosity)
        coefficients, laplacian = _stream_function(viscosity, corners, b, w, laplacian)
    pressure = _pressure(viscosity, coefficients, corners_in, b, x, w)
    found = CavityFlow(viscosity, corners_in, coefficients, pressure)
    pressure[0, 0] -= found.at(np.full((1, 2), NEAR_ZERO))[0, 2]
    return found


def _stream_function(
    viscosity: float, corners: Flow, b: list[Array], w: Array, near: Array | None
) -> tuple[Array, Array]:
    """That beside the corners' one, and Δψ at the nodes; Newton's method begins ``near`` such Laplacians."""
    from scipy.sparse import csc_matrix, kron
    from scipy.sparse.linalg import LinearOperator, gmres, splu

    b0, b1, b2, _ = b
    modes = len(b0)
    area = np.outer(w, w)

    def inner(values: Array) -> Any:
        found = (values * w) @ values.T
        return csc_matrix(np.where(np.abs(found) < 1e-13 * np.abs(found).max(), 0.0, found))

    mass, stiff, bending = inner(b0), inner(b1), inner(b2)
    stokes = kron(bending, mass) + 2.0 * kron(stiff, stiff) + kron(mass, bending)
    solve = splu((viscosity * stokes).tocsc()).solve

    def slopes(c: Array) -> tuple[Array, Array, Array]:
        """d/dx, d/dy and Laplacian at the nodes."""
        return b1.T @ c @ b0, b0.T @ c @ b1, b2.T @ c @ b0 + b0.T @ c @ b2

    def tested(laplacian: Array, x: Array, y: Array) -> Array:
        """∫ laplacian Δχ + x χ_x + y χ_y for every χ."""
        a = area * laplacian
        return b2 @ a @ b0.T + b0 @ a @ b2.T + b1 @ (area * x) @ b0.T + b0 @ (area * y) @ b1.T

    at_corners = corners.xx + corners.yy
    c = np.zeros((modes, modes))
    if near is not None:
        none = np.zeros_like(near)
        c = solve(viscosity * tested(near - at_corners, none, none).ravel()).reshape(modes, modes)
    for _ in range(NEWTON_STEPS):
        s_x, s_y, s_h = slopes(c)
        x, y, h = corners.x + s_x, corners.y + s_y, at_corners + s_h

        def preconditioned(step: Array, x: Array = x, y: Array = y, h: Array = h) -> Array:
            d_x, d_y, d_h = slopes(step.reshape(modes, modes))
            found = tested(viscosity * d_h, d_h * y + h * d_y, -d_h * x - h * d_x)
            return np.asarray(solve(found.ravel()))

        # The Stokes flow's matrix makes the system one of few iterations.
        system = LinearOperator((modes**2, modes**2), matvec=preconditioned, dtype=np.float64)
        missed = solve(tested(viscosity * h, h * y, -h * x).ravel())
        step, _ = gmres(system, missed, rtol=1e-8, restart=MOST_ITERATIONS)
        c = c - step.reshape(modes, modes)
        if np.linalg.norm(step) < ENOUGH * np.linalg.norm(c):
            break
    return c, at_corners + slopes(c)[2]


def _pressure(
    viscosity: float, c: Array, corners_in: Corners, b: list[Array], x: Array, w: Array
) -> Array:
    """What is beside the corners' pressure, as Legendre coefficients (q, q + 1) in x and y."""
    b0, b1, b2, b3 = b
    corners = corners_in(*np.meshgrid(x, x, indexing="ij"), viscosity)
    psi_x, psi_y = corners.x + b1.T @ c @ b0, corners.y + b0.T @ c @ b1
    psi_xx, psi_xy = corners.xx + b2.T @ c @ b0, corners.xy + b1.T @ c @ b1
    h_x = corners.h_x + b3.T @ c @ b0 + b1.T @ c @ b2
    upwards = -viscosity * h_x + psi_y * psi_xx - psi_x * psi_xy - corners.p_y
    middle = np.full_like(x, 0.5)
    at = corners_in(x, middle, viscosity)
    m0, m1, m2, m3 = (f[:, 0] for f in basis(len(c), middle[:1], 3))
    at_x, at_y = at.x + b1.T @ c @ m0, at.y + b0.T @ c @ m1
    at_xy, at_yy = at.xy + b1.T @ c @ m1, at.yy + b0.T @ c @ m2
    at_hy = at.h_y + b0.T @ c @ m3 + b2.T @ c @ m1
    along = viscosity * at_hy - at_y * at_xy + at_x * at_yy - at.p_x
    count = len(x)
    values = legendre.legvander(2.0 * x - 1.0, count - 1)
    to_series = (values * w[:, None] * (2 * np.arange(count) + 1)).T
    on_line = legendre.legint(to_series @ along, scl=0.5)
    columns = legendre.legint(to_series @ upwards.T, scl=0.5)
    columns[0] += legendre.legval(2.0 * x - 1.0, on_line)
    found: Array = to_series @ columns.T
    return found
