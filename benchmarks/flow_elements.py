"""Navier–Stokes by finite elements on cells between lines: velocities quadratic, pressure linear each way.

What references of flows are computed with (Taylor and Hood, 1973). Where nothing is prescribed at the
boundary p = ν ∂u/∂n along the normal and ∂/∂n of the other velocity is zero.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import sparse
from scipy.sparse.linalg import splu

from hedge.arrays import Array
from hedge.problems.biquadratic import shares

Indices = NDArray[np.int64]
NEWTON_STEPS, ENOUGH = 30, 1e-11
# Gauss's points of a cell each way, and their weights.
AT = (np.array([-np.sqrt(0.6), 0.0, np.sqrt(0.6)]) + 1.0) / 2.0
WEIGHTS = np.array([5.0, 8.0, 5.0]) / 18.0


@dataclass(frozen=True, eq=False)
class Elements:
    """Cells between lines x (m,) and y (n,), of which some are ``open``, (m − 1, n − 1).

    nodes      (2m − 1, 2n − 1) numbers of the velocities' nodes in open cells, −1 elsewhere
    corners    (m, n) those of the pressure's
    of_cells   (c, 9) nodes, ``p_of_cells`` (c, 4) corners of the open cells
    shapes     (c, 9, 9) velocities' shapes at Gauss's points, and their slopes; of the pressure (9, 4)
    """

    x: Array
    y: Array
    nodes: Indices
    corners: Indices
    of_cells: Indices
    p_of_cells: Indices
    shapes: Array
    along: Array
    up: Array
    p_shapes: Array
    areas: Array

    @property
    def velocities(self) -> int:
        """Nodes."""
        return int(self.nodes.max()) + 1

    @property
    def size(self) -> int:
        """Of a vector of all u, then all v, then all p."""
        return 2 * self.velocities + int(self.corners.max()) + 1

    @property
    def places(self) -> Indices:
        """Of a cell's unknowns in that vector, (c, 22)."""
        n = self.velocities
        return np.hstack([self.of_cells, n + self.of_cells, 2 * n + self.p_of_cells])

    def coordinates(self) -> Array:
        """Of the velocities' nodes, (n, 2)."""
        full = [
            np.interp(np.arange(2 * len(t) - 1) / 2.0, np.arange(len(t)), t)
            for t in (self.x, self.y)
        ]
        both = np.stack(np.meshgrid(*full, indexing="ij"), axis=-1)
        return both[self.nodes >= 0][np.argsort(self.nodes[self.nodes >= 0])]

    def points(self) -> Array:
        """Gauss's points, (c, 9, 2)."""
        return np.einsum("qk,ckd->cqd", self.shapes, self.coordinates()[self.of_cells])

    def as_values(self, solution: Array) -> Array:
        """u, v and p at all nodes of the grid, (2m − 1, 2n − 1, 3), zero where no cell is open."""
        n = self.velocities
        found = np.zeros((*self.nodes.shape, 3))
        is_open = self.nodes >= 0
        for k in range(2):
            found[..., k][is_open] = solution[k * n : (k + 1) * n][self.nodes[is_open]]
        halves = np.array([[1.0, 0.0], [0.5, 0.5], [0.0, 1.0]])
        i, j = self.cells.T
        p = solution[2 * n :][self.p_of_cells].reshape(-1, 2, 2)
        at_nodes = np.einsum("ai,cij,bj->cab", halves, p, halves)
        for a in range(3):
            for b in range(3):
                found[2 * i + a, 2 * j + b, 2] = at_nodes[:, a, b]
        return found

    @property
    def cells(self) -> Indices:
        """Numbers of the open cells' lines, (c, 2)."""
        middles = self.nodes[1::2, 1::2]
        where = np.argwhere(middles >= 0)
        return where[np.argsort(middles[middles >= 0])]


def elements(x: Array, y: Array, is_open: NDArray[np.bool_]) -> Elements:
    """Those of the open cells between lines."""
    cells = np.argwhere(is_open)
    nodes = np.full((2 * len(x) - 1, 2 * len(y) - 1), -1, dtype=np.int64)
    corners = np.full((len(x), len(y)), -1, dtype=np.int64)
    near = 2 * cells[:, None, :] + np.stack(
        np.meshgrid(*2 * [np.arange(3)], indexing="ij"), -1
    ).reshape(9, 2)
    ends = cells[:, None, :] + np.stack(
        np.meshgrid(*2 * [np.arange(2)], indexing="ij"), -1
    ).reshape(4, 2)
    for grid, every in ((nodes, near), (corners, ends)):
        grid[every[..., 0], every[..., 1]] = 0
        grid[grid == 0] = np.arange(np.count_nonzero(grid == 0))
    # The order of middles is that of the cells.
    values = np.array(shares(AT)).T
    slopes = np.array([4.0 * AT - 3.0, 4.0 - 8.0 * AT, 4.0 * AT - 1.0]).T
    linear = np.array([1.0 - AT, AT]).T
    width, height = np.diff(x)[cells[:, 0]], np.diff(y)[cells[:, 1]]
    return Elements(
        x, y, nodes, corners,
        nodes[near[..., 0], near[..., 1]],
        corners[ends[..., 0], ends[..., 1]],
        np.kron(values, values),
        np.kron(slopes, values)[None] / width[:, None, None],
        np.kron(values, slopes)[None] / height[:, None, None],
        np.kron(linear, linear),
        np.kron(WEIGHTS, WEIGHTS)[None] * (width * height)[:, None],
    )  # fmt: skip


def newton(
    e: Elements,
    viscosity: float,
    start: Array,
    fixed: Indices,
    inertia: float = 0.0,
    before: Array | None = None,
    force: Array | None = None,
    steps: int = NEWTON_STEPS,
) -> Array:
    """u, v and p, whose parts ``fixed`` stay as in ``start``: inertia · (u, v) + (u, v) · ∇(u, v) + ∇p =
    Δ(u, v) viscosity + before + force, both of the right at Gauss's points (c, 9, 2), by as many of Newton's
    steps.
    """
    free = np.setdiff1d(np.arange(e.size), fixed)
    solution = start.copy()
    for _ in range(steps):
        matrix, missed = _linearised(e, viscosity, solution, inertia, before, force)
        step = splu(matrix[free][:, free].tocsc()).solve(missed[free])
        solution[free] -= step
        if np.linalg.norm(step) < ENOUGH * np.linalg.norm(solution):
            break
    return solution


def _linearised(
    e: Elements,
    viscosity: float,
    solution: Array,
    inertia: float,
    before: Array | None,
    force: Array | None,
) -> tuple[Any, Array]:
    u, v = (solution[k * e.velocities :][e.of_cells] for k in range(2))
    p = solution[2 * e.velocities :][e.p_of_cells] @ e.p_shapes.T
    here = [w @ e.shapes.T for w in (u, v)]
    slopes = [[np.einsum("ck,cqk->cq", w, d) for d in (e.along, e.up)] for w in (u, v)]
    w = e.areas
    carried = here[0][..., None] * e.along + here[1][..., None] * e.up + inertia * e.shapes
    stiff = np.einsum("cq,cqi,cqj->cij", viscosity * w, e.along, e.along, optimize=True)
    stiff += np.einsum("cq,cqi,cqj->cij", viscosity * w, e.up, e.up, optimize=True)
    blocks = np.zeros((len(w), 22, 22))
    both = np.einsum("cq,qi,cqj->cij", w, e.shapes, carried, optimize=True) + stiff
    missed = np.zeros((len(w), 22))
    for k in range(2):
        rows = slice(9 * k, 9 * k + 9)
        blocks[:, rows, rows] += both
        for m in range(2):
            blocks[:, rows, 9 * m : 9 * m + 9] += np.einsum(
                "cq,qi,qj->cij", w * slopes[k][m], e.shapes, e.shapes, optimize=True
            )
        d = (e.along, e.up)[k]
        pressed = -np.einsum("cq,cqi,qj->cij", w, d, e.p_shapes, optimize=True)
        blocks[:, rows, 18:] = pressed
        blocks[:, 18:, rows] = pressed.transpose(0, 2, 1)
        acting = inertia * here[k] + here[0] * slopes[k][0] + here[1] * slopes[k][1]
        for known in (before, force):
            if known is not None:
                acting = acting - known[..., k]
        missed[:, rows] = (w * acting) @ e.shapes + np.einsum("cij,cj->ci", stiff, (u, v)[k])
        missed[:, rows] -= np.einsum("cq,cqi->ci", w * p, d)
    missed[:, 18:] = -(w * (slopes[0][0] + slopes[1][1])) @ e.p_shapes
    places = e.places
    rows, columns = np.repeat(places, 22, axis=1).ravel(), np.tile(places, (1, 22)).ravel()
    matrix = sparse.coo_matrix((blocks.ravel(), (rows, columns)), shape=(e.size, e.size)).tocsr()
    return matrix, np.bincount(places.ravel(), weights=missed.ravel(), minlength=e.size)
