"""ETDRK4: steps in time for equations w_t = L w + N(w, t) with a stiff and diagonal L.

Exponential time differencing of fourth order (Cox and Matthews, 2002), with coefficients as Kassam and
Trefethen (2005) compute them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array

Coefficients = TypeVar("Coefficients", Array, NDArray[np.complex128])
CIRCLE = 16  # points on half of it
LEAST_STEPS = 4  # from one time to the next


def at_times(
    start: Coefficients,
    times: Sequence[float] | Array,
    linear: Coefficients,
    rest: Callable[[Coefficients, float], Coefficients],
    steps: int,
) -> list[Coefficients]:
    """w (k,) at each of the times, of which the first is that of ``start``.

    linear (k,) is the diagonal of L, rest is N(w, t); ``steps`` is for a unit of time, at the least.
    """
    w, found, h_before = start, [start], 0.0
    for begin, end in pairwise(times):
        count = max(LEAST_STEPS, math.ceil((end - begin) * steps))
        h = (end - begin) / count
        if not math.isclose(h, h_before, rel_tol=1e-12):
            h_before = h
            decay, decay_half = np.exp(h * linear), np.exp(h * linear / 2.0)
            half, first, middle, last = _weights(h, linear)
        for step in range(count):
            t = begin + step * h
            n_w = rest(w, t)
            a = decay_half * w + half * n_w
            n_a = rest(a, t + h / 2.0)
            b = decay_half * w + half * n_a
            n_b = rest(b, t + h / 2.0)
            c = decay_half * a + half * (2.0 * n_b - n_w)
            n_c = rest(c, t + h)
            w = decay * w + first * n_w + middle * (n_a + n_b) + last * n_c
        found.append(w)
    return found


def _weights(h: float, linear: NDArray[Any]) -> tuple[Any, ...]:
    """Weights of ETDRK4 for a step h: of the half step, and of its first, middle and last stages.

    Their formulas cancel near 0, so each is the mean over a circle around h·linear; where that is real,
    its upper half is enough by symmetry.
    """
    is_real = not np.iscomplexobj(linear)
    angles = np.arange(CIRCLE if is_real else 2 * CIRCLE) + 0.5
    z = h * linear[:, None] + np.exp(1j * math.pi * angles / CIRCLE)
    e = np.exp(z)
    half = (np.exp(z / 2.0) - 1.0) / z
    first = (-4.0 - z + e * (4.0 - 3.0 * z + z * z)) / z**3
    middle = 2.0 * (2.0 + z + e * (z - 2.0)) / z**3
    last = (-4.0 - 3.0 * z - z * z + e * (4.0 - z)) / z**3
    means = [h * f.mean(axis=1) for f in (half, first, middle, last)]
    return tuple(mean.real if is_real else mean for mean in means)
