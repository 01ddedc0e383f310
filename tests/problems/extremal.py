"""Errors that theorems of stability hardly overrate, in closed form."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import erfc

from hedge.problems import find_problem

Columns = Sequence[np.ndarray]
PI = math.pi


def sign(k: int) -> float:
    return (-1.0) ** (k // 2)


ODD = range(1, 30, 2)


def torsion(x: Columns, wavenumber: float = 1.0) -> np.ndarray:
    """−Δp − k²p = 1 on [−1, 1]², p = 0 on its edge."""
    total = (np.cos(wavenumber * x[0]) / math.cos(wavenumber) - 1.0) / wavenumber**2
    for k in ODD[:5]:  # the rest is within 1/100 of the whole
        rate = (k * PI / 2.0) ** 2 - wavenumber**2
        root = math.sqrt(rate)
        shape = np.cos(k * PI / 2.0 * x[0]) * np.cosh(root * x[1]) / math.cosh(root)
        total -= 4.0 * sign(k) / (k * PI * rate) * shape
    return total


def green(x: Columns, wavenumber: float = 1.0) -> np.ndarray:
    """−Δp − k²p = Green's function of the centre of [−1, 1]²."""
    rate = [[PI**2 / 4.0 * (m * m + n * n) - wavenumber**2 for n in ODD] for m in ODD]
    cosines = [np.array([np.cos(k * PI / 2.0 * c) for k in ODD]) for c in x]
    return np.einsum("mn,m...,n...->...", 1.0 / np.array(rate) ** 2, *cosines)


def about_the_middle(x: Columns) -> Columns:
    return [2.0 * c - 1.0 for c in x]


def heat_green(x: Columns) -> np.ndarray:
    """p_t − κ p_xx = G(x, ½, 1 − t), the heat kernel backwards from the end."""
    total = 0.0 * x[0]
    for k in range(1, 24, 2):
        rate = 0.1 * (k * PI) ** 2
        decay = (np.exp(-rate * (1.0 - x[1])) - np.exp(-rate * (1.0 + x[1]))) / (2.0 * rate)
        total += 2.0 * sign(k) * decay * np.sin(k * PI * x[0])
    return total


def resonance(x: Columns) -> np.ndarray:
    """p_tt − 4 p_xx = sin πx sin 2π(1 − t)."""
    w = 2.0 * PI
    in_time = x[1] * np.cos(w * x[1]) / (2.0 * w) - np.sin(w * x[1]) / (2.0 * w * w)
    return np.sin(PI * x[0]) * in_time


def struck(x: Columns) -> np.ndarray:
    """What a short blow at (½, 0.2) leaves of a string, by d'Alembert."""
    since = x[1] - 0.2
    total = 0.0 * x[0]
    for k in range(-3, 4):
        left, right = (np.tanh((x[0] - 0.5 - k + s * 2.0 * since) / 0.15) for s in (1.0, -1.0))
        total += (-1.0) ** k * (left - right)
    return total * (1.0 + np.tanh(since / 0.04))


def grown(x: Columns, centre: float) -> np.ndarray:
    return 1e-6 * np.expm1(15.0 * x[1]) * np.exp(-(((x[0] - centre) / 0.1) ** 2))


def burgers_at(x: np.ndarray, t: np.ndarray) -> np.ndarray:
    points = np.column_stack([x.ravel(), t.ravel()])
    return find_problem("burgers").reference(points).reshape(x.shape)


def moving(x: Columns) -> np.ndarray:
    """u = v + u*(x − vt, t), the same flow in a frame that moves: no residual."""
    v = 1e-3
    return v + burgers_at(x[0] - v * x[1], x[1]) - burgers_at(*x)


def ahead(x: Columns) -> np.ndarray:
    """u = u*(x, t + 0.001): neither a residual nor a mismatch at the ends."""
    return burgers_at(x[0], x[1] + 0.001) - burgers_at(*x)


def moved_at_its_ends(x: Columns) -> np.ndarray:
    """A string at rest whose ends are moved by −sin³ 2πt; at (½, 1) two waves and two echoes meet."""

    def come(path: np.ndarray) -> np.ndarray:
        return -(np.sin(2.0 * PI * np.maximum(x[1] - path / 2.0, 0.0)) ** 3)

    return come(x[0]) + come(1.0 - x[0]) - come(2.0 - x[0]) - come(1.0 + x[0])


def heated(x: Columns) -> np.ndarray:
    """Harmonic, with slopes of ± sin πx₁ where x₂ is 0 or 1."""
    return np.sin(PI * x[0]) * np.cosh(PI * (x[1] - 0.5))


def kernel_backwards(x: Columns) -> np.ndarray:
    """p_t − ν p_xx − 5p = e^5(1 − t) Γ(x − 1, 1 − t), the periodic heat kernel backwards."""
    total = np.sinh(5.0 * x[1]) / 10.0 * math.exp(5.0)
    for k in range(1, 100):
        rate = 5.0 - 1e-4 * (k * PI) ** 2
        in_time = math.exp(rate) * np.sinh(rate * x[1]) / rate
        total += in_time * np.cos(k * PI * (x[0] - 1.0))
    return total


def layer(s: np.ndarray, t: np.ndarray, order: int) -> np.ndarray:
    """A solution of F_t = 10⁻⁴ F_ss for s > 0, 0 at t = 0: (4νt)^(n/2) iⁿerfc, n = 2 or 3."""
    width = np.sqrt(np.maximum(4e-4 * t, 1e-300))
    z = np.minimum(s / width, 20.0)
    first = np.exp(-z * z) / math.sqrt(PI) - z * erfc(z)
    second = (erfc(z) - 2.0 * z * first) / 4.0
    found = second if order == 2 else (first - 2.0 * z * second) / 6.0
    return width**order * found
