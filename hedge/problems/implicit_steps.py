"""The exponential of a diffusion, composed of implicit steps that share one matrix."""

from __future__ import annotations

import numpy as np
from numpy.polynomial import Chebyshev

from hedge.arrays import Array

# The heat operator's DIFFUSIVITY · FINAL_TIME = 1e-3: a point load spreads to a bump 0.1 wide.
DIFFUSIVITY, FINAL_TIME = 0.1, 0.01
# exp(−x) is a polynomial of this degree in 1 / (1 + x / POLE) to 7e-8, for all x ≥ 0 at once.
DEGREE, POLE = 16, 11.52
STEP = DIFFUSIVITY * FINAL_TIME / POLE


def exponential_series() -> tuple[float, ...]:
    """c with exp(−x) ≈ Σ c_k T_k(2 s − 1), s = 1 / (1 + x / POLE) in (0, 1]."""

    def exponential(y: Array) -> Array:
        with np.errstate(divide="ignore"):  # x = ∞ at y = −1, where the exponential is zero
            return np.exp(-POLE * (2.0 / (y + 1.0) - 1.0))

    return tuple(float(c) for c in Chebyshev.interpolate(exponential, DEGREE).coef)
