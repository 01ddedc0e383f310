"""The reference of the problem burgers-2d: waves in x and y, ETDRK4 in time.

    python benchmarks/burgers_2d.py            writes hedge/problems/burgers_2d.npz
    python benchmarks/burgers_2d.py --check    how far a coarser computation, and what is read between the
                                               points that are kept, are from it

The mean velocity at the start is left out: it carries all else along.
"""

from __future__ import annotations

import argparse
import math
import time

import numpy as np
import scipy

from hedge.arrays import Array
from hedge.problems.burgers_2d import (
    END,
    FILE,
    MEANS,
    STARTS,
    VISCOSITY,
    Evolution,
    evolution,
    packed,
)
from hedge.problems.etdrk4 import at_times
from hedge.problems.periodic import Waves

ACROSS, STEPS = 384, 800
COARSER = 256, 500
KEPT_ACROSS, KEPT_TIMES = 128, 50


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="compare; write nothing")
    is_check = parser.parse_args().check
    start = time.process_time()
    if is_check:
        check()
    else:
        values = changes(ACROSS, STEPS, KEPT_TIMES)[
            ..., :: ACROSS // KEPT_ACROSS, :: ACROSS // KEPT_ACROSS
        ]
        np.savez_compressed(FILE, packed=packed(values))
        print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB")
    print(f"{time.process_time() - start:.0f} s of the processor")


def check() -> None:
    """Relative L2 errors, at times and points of which half or more are not kept."""
    finest = changes(ACROSS, STEPS, 2 * KEPT_TIMES)
    t, i, j = np.random.default_rng(0).integers(0, finest[:, 0].shape, (40_000, 3)).T
    at = np.column_stack([i, j]) / ACROSS
    now = t / (2 * KEPT_TIMES) * END
    x = np.column_stack([at + now[:, None] * MEANS, now])
    true = finest[t, :, i, j] + start_on(ACROSS)[:, i, j].T + MEANS
    coarser = Evolution(changes(*COARSER, 2 * KEPT_TIMES))
    for what, found in (("a coarser computation", coarser), ("what is read", evolution())):
        off = [np.linalg.norm(found.at(x) - true, axis=0) / np.linalg.norm(true, axis=0)]
        print(f"{what} is off by", ", ".join(f"{each:.1e}" for each in off[0]), "in u, v")


def changes(across: int, steps: int, count: int) -> Array:
    """What u and v have changed by since the start at even times, (count + 1, 2, across, across)."""
    start = start_on(across)
    return np.array(evolved(start, VISCOSITY, np.linspace(0.0, END, count + 1), steps)) - start


def start_on(across: int) -> Array:
    """u and v less their means on a grid of a period, (2, across, across)."""
    line = np.arange(across) / across
    return np.stack([start.change(line[:, None], line[None, :], np) for start in STARTS])


def evolved(start: Array, viscosity: float, times: Array, steps: int) -> list[Array]:
    """u and v (2, n, n) of period 1 at the times, from those at the first, by n/3 waves each way."""
    across = start.shape[-1]
    numbers = np.fft.fftfreq(across, 1.0 / across)
    along, up = numbers[:, None], np.abs(numbers[: across // 2 + 1])
    shape = (across, across // 2 + 1)
    is_kept = (np.abs(along) <= across / 3.0) & (up <= across / 3.0)
    slopes = (2j * math.pi * along, 2j * math.pi * up)
    rates = -viscosity * (2.0 * math.pi) ** 2 * (along**2 + up**2)

    def values(w: Waves) -> Array:
        return np.asarray(scipy.fft.irfft2(w, (across, across)))

    def rest(w: Waves, t: float) -> Waves:
        """(u, v) · ∇(u, v) is the slope of (u² + v²)/2 and v_x − u_y times (−v, u)."""
        both = w.reshape(2, *shape)
        u, v = values(both)
        turning = values(slopes[0] * both[1] - slopes[1] * both[0])
        energy, of_u, of_v = scipy.fft.rfft2(
            np.stack([(u * u + v * v) / 2.0, v * turning, -u * turning])
        )
        found: Waves = np.stack([of_u - slopes[0] * energy, of_v - slopes[1] * energy])
        return (found * is_kept).ravel()

    linear = np.tile(rates.ravel(), 2).astype(np.complex128)
    first: Waves = (scipy.fft.rfft2(start) * is_kept).ravel()
    return [values(w.reshape(2, *shape)) for w in at_times(first, times, linear, rest, steps)]


if __name__ == "__main__":
    main()
