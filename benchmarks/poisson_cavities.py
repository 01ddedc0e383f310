"""The reference of the problem poisson-cavities: finite volumes on a grid that the balls cut.

    python benchmarks/poisson_cavities.py    hedge/problems/poisson_cavities.npz anew, and how grids differ

Cells count by the part of them, and of their faces, that lies outside of the balls: no flux passes the
rest. Cells are small along y, where f has most waves. What is stored is extrapolated from two grids
(Richardson), where no ball is near, with values in the balls that go on smoothly.
"""

from __future__ import annotations

import numpy as np
from scipy import ndimage, sparse
from scipy.sparse.linalg import cg

from hedge.arrays import Array
from hedge.problems.poisson_cavities import BALLS, FILE, MIDDLE, SCREENING, source

CELLS = (32, 80, 48)  # along x, y and z, of the coarse grid; the fine one has twice as many
ROUNDS = 6  # in which values near spheres settle
PARTS = 4  # points along an edge of a cell, by which its parts are counted


def main() -> None:
    coarse, part = solved(CELLS)
    fine, fine_part = solved(tuple(2 * n for n in CELLS))
    halved = at_middles(mirrored(extended(fine, fine_part > 0.0)))
    is_open = part > 0.0
    off = np.linalg.norm((halved - coarse)[is_open]) / np.linalg.norm(halved[is_open])
    print(f"{CELLS} cells and twice as many each way differ by {off:.1e}")
    is_clear = ndimage.minimum_filter(part, 3, mode="nearest") == 1.0
    better = halved + np.where(is_clear, (halved - coarse) / 3.0, 0.0)
    values = mirrored(extended(better, is_open))
    rounding = np.abs(values).max() / 32_000.0
    np.savez_compressed(FILE, u=np.round(values / rounding).astype(np.int16), rounding=rounding)
    print(f"{FILE.name}: {FILE.stat().st_size:,} bytes")


def solved(cells: tuple[int, ...]) -> tuple[Array, Array]:
    """u at the middles of the cells, and which part of each is open."""
    middles = [(np.arange(n) + 0.5) / n for n in cells]
    inner = [(np.arange(n * PARTS) + 0.5) / (n * PARTS) for n in cells]
    part = blocks(open_at(*inner), (PARTS,) * 3)
    number = np.arange(part.size).reshape(cells)
    x, y, z = np.meshgrid(*middles, indexing="ij", sparse=True)
    diagonal = (part * np.where(z < MIDDLE, *SCREENING) ** 2).ravel()
    rows, columns, values = [], [], []
    for axis, n in enumerate(cells):
        lines, parts = list(inner), [PARTS] * 3
        lines[axis], parts[axis] = np.arange(1, n) / n, 1
        flow = blocks(open_at(*lines), tuple(parts)).ravel() * n**2
        low, high = (np.take(number, range(k, n - 1 + k), axis).ravel() for k in (0, 1))
        diagonal += np.bincount(low, flow, part.size) + np.bincount(high, flow, part.size)
        rows += [low, high]
        columns += [high, low]
        values += [-flow, -flow]
    diagonal = np.where(diagonal > 0.0, diagonal, 1.0)
    matrix = sparse.diags(diagonal) + sparse.coo_matrix(
        (np.concatenate(values), (np.concatenate(rows), np.concatenate(columns))), (part.size,) * 2
    )
    load = (part * source(x, y, z, np)).ravel()
    found, _ = cg(matrix.tocsr(), load, rtol=1e-8, M=sparse.diags(1.0 / diagonal))
    return found.reshape(cells), part


def blocks(values: Array, sizes: tuple[int, ...]) -> Array:
    """Means over blocks of these sizes."""
    (a, b, c), (p, q, r) = values.shape, sizes
    cut = values.reshape(a // p, p, b // q, q, c // r, r)
    return np.asarray(cut.mean(axis=(1, 3, 5)), dtype=np.float64)


def open_at(x: Array, y: Array, z: Array) -> Array:
    """Where a grid is outside of the balls, one or zero."""
    found = np.ones((len(x), len(y), len(z)), dtype=np.float32)
    for (a, b, c), radius in BALLS:
        square = (x[:, None, None] - a) ** 2 + (y[:, None] - b) ** 2 + (z - c) ** 2
        found *= square > radius**2
    return found


def at_middles(u: Array) -> Array:
    """Values between two cells and two, along each axis, by cubics; the walls mirror."""
    for axis in range(3):
        u = np.moveaxis(u, axis, 0)
        wide = np.concatenate([u[:1], u, u[-1:]])
        u = (9.0 * (wide[1:-1:2] + wide[2:-1:2]) - wide[:-2:2] - wide[3::2]) / 16.0
        u = np.moveaxis(u, 0, axis)
    return u


def mirrored(u: Array) -> Array:
    """The same with values in the balls from where they are mirrored at the spheres, which leaves no flux."""
    cells = np.array(u.shape)[:, None]
    at = (
        np.stack(np.meshgrid(*map(np.arange, u.shape), indexing="ij")).reshape(3, -1) + 0.5
    ) / cells
    for centre, radius in BALLS:
        away = at - np.array(centre)[:, None]
        depth = np.sqrt(np.sum(away**2, axis=0))
        is_in = depth < radius
        beyond = np.array(centre)[:, None] + away[:, is_in] * (2.0 * radius / depth[is_in] - 1.0)
        beyond = np.where(depth[is_in] > radius / 2.0, beyond, at[:, is_in])
        for _ in range(ROUNDS):
            read = ndimage.map_coordinates(u, beyond * cells - 0.5, order=3, mode="reflect")
            u = u.copy()
            u.reshape(-1)[is_in] = read
    return u


def extended(u: Array, known: Array) -> Array:
    """The same with means of neighbours where it is not known, layer by layer."""
    u = np.where(known, u, 0.0)
    while not known.all():
        counts = ndimage.uniform_filter(known.astype(float), 3)
        sums = ndimage.uniform_filter(np.where(known, u, 0.0), 3)
        is_next = ~known & (counts > 1e-3)
        u[is_next] = sums[is_next] / counts[is_next]
        known = known | is_next
    return u


if __name__ == "__main__":
    main()
