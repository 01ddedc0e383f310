"""The reference of the problem back-step: finite elements on lines that crowd at the step's corner.

python benchmarks/back_step.py            writes hedge/problems/back_step.npz
python benchmarks/back_step.py --check    by how much half as many lines change it
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from benchmarks.flow_elements import Elements, elements, newton
from hedge.arrays import Array
from hedge.problems.back_step import FILE, HIGH, LONG, REYNOLDS, STEP
from hedge.problems.biquadratic import Biquadratic

CELLS, FEWER = 20, 10
CROWDING = 2


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    is_check = parser.parse_args().check
    start = time.process_time()
    flow = back_step(CELLS)
    print(f"{flow.values.shape} nodes: {time.process_time() - start:.0f} s of the processor")
    if is_check:
        x = np.random.default_rng(0).random((20_000, 2)) * (LONG, HIGH)
        x = x[(x[:, 0] > STEP[0]) | (x[:, 1] < STEP[1])]
        fine, coarse = flow.at(x), back_step(FEWER).at(x)
        off = np.linalg.norm(coarse - fine, axis=0) / np.linalg.norm(fine, axis=0)
        print(f"{FEWER} cells are off by", ", ".join(f"{each:.1e}" for each in off), "in u, v, p")
    else:
        np.savez_compressed(FILE, x=flow.x, y=flow.y, values=flow.values.astype(np.float32))
        print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB")


def back_step(cells: int) -> Biquadratic:
    """The flow with so many cells to a length of one, about."""
    x, y = (
        np.append(
            _crowded(0.0, at, round(cells * at)),
            _crowded(end, at, round(cells * (end - at)))[-2::-1],
        )
        for at, end in zip(STEP, (LONG, HIGH), strict=True)
    )
    is_open = (x[1:, None] > STEP[0] + 1e-9) | (y[None, 1:] < STEP[1] + 1e-9)
    e = elements(x, y, is_open)
    start, fixed = _prescribed(e)
    flow = newton(e, 10.0 / REYNOLDS, start, fixed)
    return Biquadratic(x, y, e.as_values(newton(e, 1.0 / REYNOLDS, flow, fixed)))


def _crowded(start: float, at: float, cells: int) -> Array:
    """Lines from ``start`` to ``at`` where they crowd."""
    far = 1.0 - np.arange(cells + 1) / cells
    return np.asarray(at + (start - at) * far**CROWDING)


def _prescribed(e: Elements) -> tuple[Array, np.ndarray]:
    """A vector with the velocities of walls, inlet and outlet, and which parts of it those are."""
    x, y = e.coordinates().T
    n = e.velocities
    inlet = x < 1e-12
    walls = (y < 1e-12) | (y > HIGH - 1e-12)
    walls |= (x < STEP[0] + 1e-12) & (y > STEP[1] - 1e-12)
    start = np.zeros(e.size)
    start[:n][inlet] = 4.0 * y[inlet] * (1.0 - y[inlet])
    return start, np.concatenate([np.flatnonzero(walls | inlet), n + np.flatnonzero(walls | inlet)])


if __name__ == "__main__":
    main()
