"""Solutions that are periodic in x: Fourier series whose coefficients are polynomials in t."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.problems.etdrk4 import at_times

Waves = NDArray[np.complex128]
CHUNK = 2048


@dataclass(frozen=True, eq=False)
class Periodic:
    """h(x, t) for x of an interval and t from 0 to ``end``, complex.

    coefficients (nodes + 1, modes) are those of T_j(2t/end − 1) exp(i k (x − lower)), wavenumbers k (modes,).
    """

    interval: tuple[float, float]
    end: float
    wavenumbers: Array
    coefficients: Waves

    def at(self, points: Array) -> Waves:
        """h at points (n, 2) = (x, t): (n,)."""
        found = np.empty(len(points), dtype=np.complex128)
        angle = np.arccos(np.clip(2.0 * points[:, 1:] / self.end - 1.0, -1.0, 1.0))
        nodes = np.arange(len(self.coefficients))
        for start in range(0, len(points), CHUNK):
            part = slice(start, start + CHUNK)
            in_time = np.cos(angle[part] * nodes) @ self.coefficients
            phases = (points[part, :1] - self.interval[0]) * self.wavenumbers
            found[part] = (in_time * np.exp(1j * phases)).sum(axis=1)
        return found


def evolved(
    interval: tuple[float, float],
    end: float,
    initial: Callable[[Array], Array],
    linear: Callable[[Array], NDArray[Any]],
    rest: Callable[[Waves, Array], Waves],
    *,
    modes: int,
    nodes: int,
    steps: int,
) -> Periodic:
    """The solution of ĥ_t = linear(k) ĥ + F[rest] for each wavenumber k, from the values of ``initial``.

    rest(h, k) gives the transform of the nonlinear terms from h on the grid of as many points as ``modes``;
    times are Chebyshev nodes, between which ETDRK4 takes ``steps`` for a unit of time at the least.
    """
    from scipy.fft import dct, fft, fftfreq, ifft

    lower, upper = interval
    grid = lower + (upper - lower) * np.arange(modes) / modes
    wavenumbers = 2.0 * math.pi / (upper - lower) * modes * fftfreq(modes)

    def nonlinear(waves: Waves, t: float) -> Waves:
        return rest(ifft(waves), wavenumbers)

    rates = linear(wavenumbers).astype(np.complex128)
    times = end * (1.0 - np.cos(math.pi * np.arange(nodes + 1) / nodes)) / 2.0
    start = fft(initial(grid).astype(np.complex128))
    found = np.array(at_times(start, times, rates, nonlinear, steps)) / modes
    # T_j is a cosine of the angle that runs from π at t = 0 to 0 at the end.
    coefficients = dct(found[::-1], 1, axis=0) / nodes
    coefficients[[0, -1]] /= 2.0
    return Periodic(interval, end, wavenumbers, coefficients)
