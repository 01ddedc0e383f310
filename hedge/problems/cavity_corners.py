"""The flow in the corners where a moving lid meets a wall at rest: what polynomials resolve badly.

In the frame of such a corner x is the distance from the wall and y that from the lid, which moves towards
growing x with speed one; y points down, so velocities are (−ψ_y, ψ_x). To leading order the stream function
is Taylor's (1962), r f(θ), with a velocity that has no limit at the corner and a pressure like 1/r;
inertia adds r² F(θ) and a pressure like log r (Botella and Peyret, 1998, subtract the same two). Where the
lid's speed is x itself, the stream function is r² F(θ) and the pressure like log r from the first.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.polynomial import Legendre, Polynomial

from hedge.arrays import Array

QUARTER = math.pi / 2.0
# f(θ) = LIFT sin θ + θ (ALONG cos θ + ACROSS sin θ)
ALONG = 4.0 / (math.pi**2 - 4.0)
ACROSS = ALONG * QUARTER
LIFT = -ALONG * QUARTER**2
DEGREE = 32
TINY = 1e-30  # keeps quotients finite in the corner itself


@dataclass(frozen=True)
class Flow:
    """Stream function ψ, its Laplacian h, pressure p and their derivatives, each of the points' shape.

    x, y, xx, xy and yy are those of ψ. Velocities in the cavity are (ψ_y, −ψ_x).
    """

    psi: Array
    x: Array
    y: Array
    xx: Array
    xy: Array
    yy: Array
    h_x: Array
    h_y: Array
    p: Array
    p_x: Array
    p_y: Array

    def __add__(self, other: Flow) -> Flow:
        return Flow(**{name: value + vars(other)[name] for name, value in vars(self).items()})

    def times(self, signs: dict[str, int]) -> Flow:
        """With some of the parts times a sign."""
        return Flow(**{name: signs.get(name, 1) * value for name, value in vars(self).items()})

    def scaled(self, by: float) -> Flow:
        """With all of the parts times a number."""
        return Flow(**{name: by * value for name, value in vars(self).items()})


@dataclass(frozen=True)
class Inertia:
    """F(θ) with its first three derivatives, times the viscosity; and the factor of log r in the pressure."""

    derivatives: tuple[Legendre, Legendre, Legendre, Legendre]
    pressure: float


@functools.cache
def inertia() -> Inertia:
    """The second order: F'''' + 4 F'' = (f (f + f''))', F = F' = 0 at lid and wall, by collocation."""
    theta = QUARTER * (np.polynomial.legendre.leggauss(DEGREE - 3)[0] + 1.0) / 2.0
    every = [Legendre.basis(k, domain=[0.0, QUARTER]) for k in range(DEGREE + 1)]
    ends = np.array([0.0, QUARTER])
    rows = [
        np.array([b.deriv(4)(theta) + 4.0 * b.deriv(2)(theta) for b in every]).T,
        np.array([b(ends) for b in every]).T,
        np.array([b.deriv(1)(ends) for b in every]).T,
    ]
    f = LIFT * np.sin(theta) + theta * (ALONG * np.cos(theta) + ACROSS * np.sin(theta))
    slope = (
        LIFT * np.cos(theta)
        + ALONG * np.cos(theta)
        + ACROSS * np.sin(theta)
        + theta * (ACROSS * np.cos(theta) - ALONG * np.sin(theta))
    )
    g = 2.0 * (ACROSS * np.cos(theta) - ALONG * np.sin(theta))
    g_slope = -2.0 * (ACROSS * np.sin(theta) + ALONG * np.cos(theta))
    found = np.linalg.solve(np.vstack(rows), np.append(slope * g + f * g_slope, np.zeros(4)))
    series = Legendre(found, domain=[0.0, QUARTER])
    derivatives = (series, series.deriv(1), series.deriv(2), series.deriv(3))
    # At the lid, where f = 0; it is the same for every θ.
    factor = -float(derivatives[3](0.0) + 4.0 * derivatives[1](0.0))
    return Inertia(derivatives, factor)


def leading(x: Array, y: Array, viscosity: float) -> Flow:
    """Taylor's flow at distances x from the wall and y from the lid."""
    square = x * x + y * y + TINY
    theta, line = np.arctan2(y, x), ALONG * x + ACROSS * y
    t_x, t_y = -y / square, x / square
    t_xx, t_xy = 2.0 * x * y / square**2, (y * y - x * x) / square**2
    h, g = 2.0 * (ACROSS * x - ALONG * y) / square, -2.0 * line / square
    return Flow(
        psi=LIFT * y + theta * line,
        x=t_x * line + ALONG * theta,
        y=LIFT + t_y * line + ACROSS * theta,
        xx=t_xx * line + 2.0 * ALONG * t_x,
        xy=t_xy * line + ACROSS * t_x + ALONG * t_y,
        yy=-t_xx * line + 2.0 * ACROSS * t_y,
        h_x=2.0 * (ACROSS - x * h) / square,
        h_y=-2.0 * (ALONG + y * h) / square,
        p=viscosity * g,
        p_x=-2.0 * viscosity * (ALONG + x * g) / square,
        p_y=-2.0 * viscosity * (ACROSS + y * g) / square,
    )


def following(x: Array, y: Array, viscosity: float) -> Flow:
    """What inertia adds to it: the next order."""
    square, theta = x * x + y * y + TINY, np.arctan2(y, x)
    f, f1, f2, f3 = (d(theta) / viscosity for d in inertia().derivatives)
    h1 = 4.0 * f1 + f3
    log = inertia().pressure
    return Flow(
        psi=square * f,
        x=2.0 * x * f - y * f1,
        y=2.0 * y * f + x * f1,
        xx=2.0 * f + (y * y * f2 - 2.0 * x * y * f1) / square,
        xy=((x * x - y * y) * f1 - x * y * f2) / square,
        yy=2.0 * f + (x * x * f2 + 2.0 * x * y * f1) / square,
        h_x=-h1 * y / square,
        h_y=h1 * x / square,
        p=0.5 * log * np.log(square),
        p_x=log * x / square,
        p_y=log * y / square,
    )


def growing(x: Array, y: Array, viscosity: float) -> Flow:
    """The flow where the lid moves with speed x: ψ = −(θ r² + xy − π y² / 2) / 2."""
    square, theta = x * x + y * y + TINY, np.arctan2(y, x)
    mixed = x * y / square
    return Flow(
        psi=-0.5 * (theta * square + x * y - QUARTER * y * y),
        x=-x * theta,
        y=-x - y * (theta - QUARTER),
        xx=mixed - theta,
        xy=-x * x / square,
        yy=QUARTER - theta - mixed,
        h_x=2.0 * y / square,
        h_y=-2.0 * x / square,
        p=viscosity * np.log(square),
        p_x=2.0 * viscosity * x / square,
        p_y=2.0 * viscosity * y / square,
    )


def in_cavity(x: Array, y: Array, viscosity: float) -> Flow:
    """A flow in the unit square with both corners at the top in it, and all its conditions met.

    u is 1 on the lid y = 1, all other velocities at the walls are 0: the corners are faded out by cubics
    whose sum is one.
    """

    def corner(x: Array, y: Array, sign: int) -> Flow:
        # What is odd in the lid's speed is reversed where that is; so is the pressure of what is even.
        odd = leading(x, y, viscosity).times(dict.fromkeys(("p", "p_x", "p_y"), sign))
        even = following(x, y, viscosity)
        return odd + even.times(
            dict.fromkeys(("psi", "x", "y", "xx", "xy", "yy", "h_x", "h_y"), sign)
        )

    return _in_both_corners(corner, x, y)


def below_parabola(x: Array, y: Array, viscosity: float) -> Flow:
    """The same where u is 4x(1 − x) on the lid."""

    def corner(x: Array, y: Array, sign: int) -> Flow:
        flow = growing(x, y, viscosity)
        return flow.times(dict.fromkeys(("p", "p_x", "p_y"), sign)).scaled(4.0)

    return _in_both_corners(corner, x, y) + _lifted(x, y)


def _in_both_corners(corner: Callable[[Array, Array, int], Flow], x: Array, y: Array) -> Flow:
    """A corner's flow on the left, and on the right, where the lid moves towards the wall."""
    left = _faded(corner(x, 1.0 - y, 1), x, 1.0 - y)
    right = _faded(corner(1.0 - x, 1.0 - y, -1), 1.0 - x, 1.0 - y)
    upside_down = dict.fromkeys(("y", "xy", "h_y", "p_y"), -1)
    mirrored = dict.fromkeys(("x", "h_x", "p_x", "y", "h_y", "p_y"), -1)
    return left.times(upside_down) + right.times(mirrored)


def _lifted(x: Array, y: Array) -> Flow:
    """What both faded corners leave of the speed 4x(1 − x) of the lid: −16 x² (1 − x)² (y³ − y²)."""
    g, up = Polynomial([0.0, 0.0, -16.0, 32.0, -16.0]), Polynomial([0.0, 0.0, -1.0, 1.0])
    g0, g1, g2, g3 = (g.deriv(k)(x) if k else g(x) for k in range(4))
    u0, u1, u2, u3 = (up.deriv(k)(y) if k else up(y) for k in range(4))
    nothing = np.zeros_like(x)
    return Flow(
        psi=g0 * u0, x=g1 * u0, y=g0 * u1, xx=g2 * u0, xy=g1 * u1, yy=g0 * u2,
        h_x=g3 * u0 + g1 * u2, h_y=g2 * u1 + g0 * u3, p=nothing, p_x=nothing, p_y=nothing,
    )  # fmt: skip


def _faded(flow: Flow, x: Array, y: Array) -> Flow:
    """A corner's flow times cubics that are 1 in it and 0 at the two other walls, with slopes of zero."""
    a, a1, a2 = _cubic(x)
    b, b1, b2 = _cubic(y)
    q, q_x, q_y, q_xx, q_xy, q_yy = a * b, a1 * b, a * b1, a2 * b, a1 * b1, a * b2
    h, q_h = flow.xx + flow.yy, q_xx + q_yy
    q_hx, q_hy = 12.0 * b + a1 * b2, a2 * b1 + 12.0 * a
    along_x = q_xx * flow.x + q_x * flow.xx + q_xy * flow.y + q_y * flow.xy
    along_y = q_xy * flow.x + q_x * flow.xy + q_yy * flow.y + q_y * flow.yy
    return Flow(
        psi=q * flow.psi,
        x=q * flow.x + q_x * flow.psi,
        y=q * flow.y + q_y * flow.psi,
        xx=q * flow.xx + 2.0 * q_x * flow.x + q_xx * flow.psi,
        xy=q * flow.xy + q_x * flow.y + q_y * flow.x + q_xy * flow.psi,
        yy=q * flow.yy + 2.0 * q_y * flow.y + q_yy * flow.psi,
        h_x=q * flow.h_x + q_x * h + 2.0 * along_x + q_h * flow.x + q_hx * flow.psi,
        h_y=q * flow.h_y + q_y * h + 2.0 * along_y + q_h * flow.y + q_hy * flow.psi,
        p=q * flow.p,
        p_x=q * flow.p_x + q_x * flow.p,
        p_y=q * flow.p_y + q_y * flow.p,
    )


def _cubic(t: Array) -> tuple[Array, Array, Array]:
    """(1 − t)² (1 + 2t) and its first two derivatives; the third is 12."""
    return (1.0 - t) ** 2 * (1.0 + 2.0 * t), -6.0 * t * (1.0 - t), 12.0 * t - 6.0
