"""The reference of the problem channel-swing: finite elements, and backward differences of second order.

    python benchmarks/channel_swing.py            writes hedge/problems/channel_swing.npz
    python benchmarks/channel_swing.py --check    by how much half as fine a computation differs from it

The flows of all times are kept as sums of a few (singular value decomposition).
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np

from benchmarks.flow_elements import Elements, elements, newton
from hedge.arrays import Array
from hedge.problems.channel_swing import END, FILE, LONG, VISCOSITY, Swing, channel_flow, inflow

CELLS, STEPS, KEPT = 16, 2000, 10
MODES = 30


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    is_check = parser.parse_args().check
    start = time.process_time()
    if is_check:
        x = np.random.default_rng(0).random((20_000, 3)) * (LONG, 1.0, END)
        stored, coarse = channel_flow().at(x), swing(CELLS // 2, STEPS // 2, KEPT // 2).at(x)
        off = np.linalg.norm(coarse - stored, axis=0) / np.linalg.norm(stored, axis=0)
        print("half as fine it is off by", ", ".join(f"{each:.1e}" for each in off), "in u, v, p")
    else:
        flow = swing(CELLS, STEPS, KEPT)
        np.savez_compressed(
            FILE, x=flow.x, y=flow.y, modes=flow.modes.astype(np.float32), counts=flow.counts
        )
        print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB")
    print(f"{time.process_time() - start:.0f} s of the processor")


def swing(cells: int, steps: int, kept: int) -> Swing:
    """The flow with so many cells from wall to wall and steps, of which every ``kept``-th is kept."""
    x, y = LONG * _crowded(2 * cells), _crowded(cells)
    e = elements(x, y, np.ones((2 * cells, cells), dtype=np.bool_))
    at = e.points()
    bump = np.sin(math.pi * at[..., 0]) * np.sin(math.pi * at[..., 1])
    prescribed, fixed = _prescribed(e)
    h = END / steps
    past, now = np.zeros(e.size), np.zeros(e.size)
    found = [e.as_values(now)]
    for n in range(1, steps + 1):
        start = 2.0 * now - past if n > 1 else now.copy()
        start[fixed] = prescribed * inflow(n * h, np)
        inertia, a, b = (1.5, 2.0, -0.5) if n > 1 else (1.0, 1.0, 0.0)
        before = _at_points(e, (a * now + b * past) / h)
        force = np.zeros_like(before)
        force[..., 1] = -bump * math.sin(math.pi * n * h)
        past, now = now, newton(
            e, VISCOSITY, start, fixed, inertia / h, before, force, steps=4 if n < 3 else 1
        )  # fmt: skip
        if n % kept == 0:
            found.append(e.as_values(now))
    found[0][..., 2] = 2.0 * found[1][..., 2] - found[2][..., 2]  # of the start nothing tells it
    every = np.array(found)
    left, sizes, right = np.linalg.svd(every.reshape(len(every), -1), full_matrices=False)
    print(f"of singular values the first {MODES} are kept: {sizes[MODES] / sizes[0]:.1e} is next")
    modes = right[:MODES].reshape(MODES, *every.shape[1:]).transpose(1, 2, 0, 3)
    return Swing(x, y, modes, left[:, :MODES] * sizes[:MODES])


def _crowded(cells: int) -> Array:
    """Lines from 0 to 1 that crowd at both ends."""
    even = np.arange(cells + 1) / cells
    return np.asarray(even - 0.8 * np.sin(2.0 * math.pi * even) / (2.0 * math.pi))


def _prescribed(e: Elements) -> tuple[Array, np.ndarray]:
    """What velocities are prescribed at inlet, walls and outlet, per inflow, and which those are."""
    x, y = e.coordinates().T
    walls = (y < 1e-12) | (y > 1.0 - 1e-12)
    ends = x < 1e-12, x > LONG - 1e-12
    of_u, of_v = np.flatnonzero(walls | ends[0]), np.flatnonzero(walls | ends[0] | ends[1])
    profile = np.where(ends[0] & ~walls, np.sin(math.pi * y), 0.0)
    return np.append(profile[of_u], np.zeros(len(of_v))), np.append(of_u, e.velocities + of_v)


def _at_points(e: Elements, solution: Array) -> Array:
    """u and v at Gauss's points, (c, 9, 2)."""
    both = solution[: 2 * e.velocities].reshape(2, -1)[:, e.of_cells]
    return np.einsum("qk,dck->cqd", e.shapes, both)


if __name__ == "__main__":
    main()
