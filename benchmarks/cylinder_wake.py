"""The flow behind a cylinder at Re 100 in hedge/problems/cylinder_wake.npz: a period of the vortex street.

    python benchmarks/cylinder_wake.py OUT.npz                    ten minutes on one thread
    python benchmarks/cylinder_wake.py OUT.npz --coarser            with less of everything, to compare

Stream function and vorticity in polar coordinates around a cylinder of diameter 1 in a stream of speed 1:
Fourier series in the angle, Chebyshev polynomials in log r, steps of third order (SBDF3) with the wall's
vorticity from an influence matrix. From r = 10 on viscosity grows, so that no vortex reaches the outer
boundary at r = 16.
"""

from __future__ import annotations

import argparse
import math
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hedge.problems.cylinder_wake import DOMAIN, READINGS, VISCOSITY, Wake

Array = NDArray[np.float64]
Waves = NDArray[np.complex128]

RADIUS, OUTER = 0.5, 16.0
SPONGE_FROM, SPONGE_TO, SPONGE = 10.0, 14.0, 50.0
WINDOW = ((1.0, 8.0), (-2.0, 2.0))
PROBE = (2.0, 0.0)
SNAPSHOTS_EVERY = 0.1
HARMONICS, NODES = 18, (72, 64)
ROUNDING = 1e-7  # of the coefficients that are kept
# Of SBDF1, 2 and 3: the newest value's weight, those of the earlier ones, those of their slopes.
SCHEMES = (
    (1.0, (1.0,), (1.0,)),
    (1.5, (2.0, -0.5), (2.0, -1.0)),
    (11.0 / 6.0, (3.0, -1.5, 1.0 / 3.0), (3.0, -3.0, 1.0)),
)


@dataclass(frozen=True)
class Resolution:
    radial: int = 180
    angles: int = 256
    step: float = 0.0025
    develop: float = 120.0
    record: float = 18.0


@dataclass(frozen=True, eq=False)
class Grid:
    """Chebyshev nodes in ξ = log(r / RADIUS) from the wall outwards, and waves k = 0 … K of the angle."""

    xi: Array
    slope: Array
    angles: int

    @property
    def waves(self) -> int:
        return self.angles // 3 + 1

    @property
    def r(self) -> Array:
        return RADIUS * np.exp(self.xi)

    def values(self, waves: Waves) -> Array:
        """On the grid (radial, angles) from waves (k, radial)."""
        padded = np.zeros((len(self.xi), self.angles // 2 + 1), dtype=complex)
        padded[:, : self.waves] = waves.T
        return np.fft.irfft(padded, self.angles, axis=1) * self.angles

    def transformed(self, values: Array) -> Waves:
        return (np.fft.rfft(values, axis=1)[:, : self.waves] / self.angles).T


def grid_of(resolution: Resolution) -> Grid:
    count = resolution.radial
    angle = math.pi * np.arange(count) / (count - 1)
    length = math.log(OUTER / RADIUS)
    x = np.cos(angle)
    ends = np.where((np.arange(count) == 0) | (np.arange(count) == count - 1), 2.0, 1.0)
    weights = ends * (-1.0) ** np.arange(count)
    gaps = x[:, None] - x + np.eye(count)
    slope = weights[:, None] / weights / gaps
    slope -= np.diag(slope.sum(axis=1))
    # ξ grows from the wall, x falls.
    return Grid(length * (1.0 - x) / 2.0, -2.0 / length * slope, resolution.angles)


class Solver:
    """Steps of the vorticity; its matrices are inverted once for a step."""

    def __init__(self, grid: Grid, step: float, scheme: int) -> None:
        self.grid, self.step = grid, step
        self.newest, self.earlier, self.slopes = SCHEMES[scheme]
        d, r = grid.slope, grid.r
        rise = np.clip((r - SPONGE_FROM) / (SPONGE_TO - SPONGE_FROM), 0.0, 1.0)
        viscosity = VISCOSITY * (
            1.0 + SPONGE * rise**4 * (35 - 84 * rise + 70 * rise**2 - 20 * rise**3)
        )
        self.load = r**2 / viscosity
        second, unit = d @ d, np.eye(len(r))
        k = np.arange(grid.waves)
        vorticity = np.tile(np.diag(self.newest / step * self.load) - second, (len(k), 1, 1))
        vorticity += k[:, None, None] ** 2 * unit
        vorticity[:, -1], vorticity[:, 0] = unit[-1], unit[0]
        # No net flux of vorticity from the wall, or the pressure would have no single value.
        vorticity[0, 0] = d[0]
        stream = second - k[:, None, None] ** 2 * unit
        stream[:, 0] = unit[0]
        stream[:, -1] = d[-1] + k[:, None] * unit[-1]
        stream[0, -1] = d[0]
        self.vorticity, self.stream = np.linalg.inv(vorticity), np.linalg.inv(stream)
        at_wall = np.zeros((len(k), len(r), 1))
        at_wall[1:, 0] = 1.0
        self.wall = (self.vorticity @ at_wall)[..., 0].astype(complex)
        load = -(r**2) * self.wall
        load[:, [0, -1]] = 0.0
        self.wall_stream = self.applied(self.stream, load)
        self.response = self.wall_stream @ d[0]
        self.response[0] = 1.0

    @staticmethod
    def applied(matrices: Array, waves: Waves) -> Waves:
        both = np.stack([waves.real, waves.imag], axis=2)
        found = matrices @ both
        return found[..., 0] + 1j * found[..., 1]

    def stream_function(self, vorticity: Waves) -> Waves:
        """What is beside the uniform stream r sin θ, which it cancels at the wall."""
        load = -(self.grid.r**2) * vorticity
        load[:, [0, -1]] = 0.0
        load[1, 0] = 0.5j * RADIUS
        return self.applied(self.stream, load)

    def advanced(self, history: list[Waves], slopes: list[Waves]) -> tuple[Waves, Waves]:
        """ω and ψ a step later."""
        total = sum(a * w for a, w in zip(self.earlier, history, strict=True)) / self.step
        total = total + sum(b * n for b, n in zip(self.slopes, slopes, strict=True))
        load = self.load * total
        load[:, [0, -1]] = 0.0
        vorticity = self.applied(self.vorticity, load)
        stream = self.stream_function(vorticity)
        wanted = np.zeros(len(stream), dtype=complex)
        wanted[1] = 0.5j * RADIUS
        missing = (wanted - stream @ self.grid.slope[0]) / self.response
        missing[0] = 0.0
        return (
            vorticity + missing[:, None] * self.wall,
            stream + missing[:, None] * self.wall_stream,
        )


def nonlinear(grid: Grid, vorticity: Waves, stream: Waves) -> Waves:
    """−u · ∇ω."""
    full = stream.copy()
    full[1] += -0.5j * grid.r
    k = 1j * np.arange(grid.waves)[:, None]
    psi_a, psi_x = grid.values(k * full), grid.values(full @ grid.slope.T)
    omega_a, omega_x = grid.values(k * vorticity), grid.values(vorticity @ grid.slope.T)
    return grid.transformed((psi_x * omega_a - psi_a * omega_x) / grid.r[:, None] ** 2)


class Probe:
    """u and v at points (n, 2), from ψ."""

    def __init__(self, grid: Grid, points: Array) -> None:
        self.grid = grid
        self.radius = np.hypot(*points.T)
        self.angle = np.arctan2(points[:, 1], points[:, 0])
        xi = np.log(self.radius / RADIUS)
        weights = (-1.0) ** np.arange(len(grid.xi))
        weights[[0, -1]] *= 0.5
        gaps = xi[:, None] - grid.xi
        gaps[gaps == 0.0] = 1e-300
        terms = weights / gaps
        self.interpolation = terms / terms.sum(axis=1, keepdims=True)
        self.phases = np.exp(1j * np.outer(self.angle, np.arange(grid.waves)))
        self.phases[:, 1:] *= 2.0

    def velocity(self, stream: Waves) -> tuple[Array, Array]:
        along = self.interpolation @ (stream @ self.grid.slope.T).T
        around = self.interpolation @ (1j * np.arange(self.grid.waves)[:, None] * stream).T
        radial = np.sum(around * self.phases, axis=1).real / self.radius
        turning = -np.sum(along * self.phases, axis=1).real / self.radius
        c, s = np.cos(self.angle), np.sin(self.angle)
        return 1.0 + radial * c - turning * s, radial * s + turning * c


def chebyshev(interval: tuple[float, float], count: int) -> Array:
    a, b = interval
    return a + (b - a) * (1.0 - np.cos(math.pi * (np.arange(count) + 0.5) / count)) / 2.0


def simulate(resolution: Resolution, nodes: tuple[int, int]) -> dict[str, Array]:
    """Velocities in the window, (times, x, y), and v at the probe at every step."""
    grid = grid_of(resolution)
    x, y = (chebyshev(side, count) for side, count in zip(WINDOW, nodes, strict=True))
    points = np.column_stack([m.ravel() for m in np.meshgrid(x, y, indexing="ij")])
    window, probe = Probe(grid, points), Probe(grid, np.array([PROBE]))
    # A vortex above the axis starts the street.
    blob = np.exp(
        -4.0
        * (
            (
                grid.r[:, None]
                * np.cos(angles := 2 * math.pi * np.arange(grid.angles) / grid.angles)
                - 1.2
            )
            ** 2
            + (grid.r[:, None] * np.sin(angles) - 0.5) ** 2
        )
    )
    vorticity = grid.transformed(blob)
    solvers = [Solver(grid, resolution.step, scheme) for scheme in range(3)]
    stream = solvers[0].stream_function(vorticity)
    history: list[Waves] = []
    slopes: list[Waves] = []
    steps = round((resolution.develop + resolution.record) / resolution.step)
    every = round(SNAPSHOTS_EVERY / resolution.step)
    found: dict[str, list[object]] = {"t": [], "u": [], "v": [], "probe": []}
    started = time.perf_counter()
    for step in range(1, steps + 1):
        history = [vorticity, *history][:3]
        slopes = [nonlinear(grid, vorticity, stream), *slopes][:3]
        vorticity, stream = solvers[len(history) - 1].advanced(history, slopes)
        now = step * resolution.step
        found["probe"].append(probe.velocity(stream)[1][0])
        if step % 1000 == 0:
            print(
                f"{now:6.1f}  v {found['probe'][-1]:.6f}  {time.perf_counter() - started:.0f} s",
                flush=True,
            )
            if not np.isfinite(vorticity).all():
                raise SystemExit("the step is too long")
        if now > resolution.develop and step % every == 0:
            u, v = window.velocity(stream)
            found["t"].append(now)
            found["u"].append(u.reshape(nodes))
            found["v"].append(v.reshape(nodes))
    return {name: np.array(values) for name, values in found.items()}


@dataclass(frozen=True, eq=False)
class Window:
    """Fourier series in time of a period, and tensors of Chebyshev polynomials in the window."""

    period: float
    harmonics: int
    nodes: tuple[int, int]

    def waves(self, phase: Array, order: int = 0) -> Array:
        """1, cos kφ, sin kφ at phases (n,), (n, 2H + 1), or their slopes in time."""
        k = np.arange(1, self.harmonics + 1)
        rate = 2.0 * math.pi / self.period * k
        angle = np.outer(phase, k)
        cos, sin = np.cos(angle), np.sin(angle)
        if order:
            cos, sin = -rate * sin, rate * cos
        both = np.stack([cos, sin], axis=2).reshape(len(phase), -1)
        return np.column_stack([np.full(len(phase), 1.0 - order), both])

    def coefficients(self, values: Array) -> Array:
        """From values at the nodes (…, x, y)."""
        x, y = (np.linalg.inv(polynomials(count)) for count in self.nodes)
        return np.einsum("ix,...xy,jy->...ij", x, values, y, optimize=True)

    def values(self, coefficients: Array) -> Array:
        x, y = (
            polynomials(count, used)
            for count, used in zip(self.nodes, coefficients.shape[-2:], strict=True)
        )
        return np.einsum("...ij,xi,yj->...xy", coefficients, x, y, optimize=True)

    @staticmethod
    def slope(coefficients: Array, axis: int) -> Array:
        low, high = WINDOW[axis]
        return np.polynomial.chebyshev.chebder(coefficients, axis=axis - 2) * (2.0 / (high - low))

    @staticmethod
    def mean(coefficients: Array) -> Array:
        """Over the window, (…): of T_k over −1 to 1 it is 1 / (1 − k²) for even k, else 0."""
        along, across = (np.arange(count) for count in coefficients.shape[-2:])
        of_x, of_y = (np.where(k % 2, 0.0, 1.0 / (1.0 - k**2 + k % 2)) for k in (along, across))
        return np.einsum("...ij,i,j->...", coefficients, of_x, of_y)

    @staticmethod
    def integral(coefficients: Array, axis: int, start: float) -> Array:
        """From ``start``, in −1 to 1."""
        low, high = WINDOW[axis]
        found = np.polynomial.chebyshev.chebint(coefficients, axis=axis - 2, lbnd=start)
        return found * ((high - low) / 2.0)


def polynomials(count: int, used: int | None = None) -> Array:
    nodes = 2.0 * chebyshev((0.0, 1.0), count) - 1.0
    return np.polynomial.chebyshev.chebvander(nodes, (used or count) - 1)


def last_period(probe: Array, step: float) -> tuple[float, float]:
    """When v at the probe last rose through zero, and how long after the time before."""
    rises = []
    for i in np.flatnonzero((probe[:-1] < 0) & (probe[1:] >= 0))[-2:]:
        near = np.arange(i - 2, i + 4)
        fitted = np.polyfit(probe[near], near - i, 5)
        rises.append((i + 1 + fitted[-1]) * step)
    return rises[1], rises[1] - rises[0]


def pressure(window: Window, u: Array, v: Array) -> Array:
    """Coefficients (2H + 1, x, y) of p, whose mean over the window is zero at all times.

    Integrated from the momentum equations along the axis, and from there up and down.
    """
    phase = 2.0 * math.pi * np.arange(4 * window.harmonics) / (4 * window.harmonics)
    now, moving = window.waves(phase), window.waves(phase, 1)
    at = {
        name: window.values(np.tensordot(now, part, 1))
        for name, part in (
            ("u", u), ("v", v), ("u_x", window.slope(u, 0)), ("u_y", window.slope(u, 1)),
            ("v_x", window.slope(v, 0)), ("v_y", window.slope(v, 1)),
        )
    }  # fmt: skip

    def force(field: Array, name: str) -> Array:
        diffused = sum(
            window.values(np.tensordot(now, window.slope(window.slope(field, axis), axis), 1))
            for axis in (0, 1)
        )
        moved = window.values(np.tensordot(moving, field, 1))
        carried = at["u"] * at[f"{name}_x"] + at["v"] * at[f"{name}_y"]
        return window.coefficients(VISCOSITY * diffused - moved - carried)

    along, across = force(u, "u"), force(v, "v")
    middle = np.polynomial.chebyshev.chebvander(np.zeros(1), window.nodes[1] - 1)[0]
    on_axis = window.integral((along @ middle)[..., None], 0, 1.0)
    columns = window.integral(across, 1, 0.0)
    p = window.values(columns) + window.values(on_axis)[:, :, :1]
    found = window.coefficients(np.einsum("ht,txy->hxy", np.linalg.pinv(now), p))
    found[:, 0, 0] -= window.mean(found)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--coarser", action="store_true")
    arguments = parser.parse_args()
    resolution = Resolution(144, 192, 0.005) if arguments.coarser else Resolution()
    found = simulate(resolution, NODES)
    rise, period = last_period(found["probe"], resolution.step)
    window = Window(period, HARMONICS, NODES)
    waves = window.waves(2.0 * math.pi * (found["t"] - rise) / period)
    u, v = (
        window.coefficients(np.einsum("ht,txy->hxy", np.linalg.pinv(waves), found[name]))
        for name in ("u", "v")
    )
    parts = {"u": u, "v": v, "p": pressure(window, u, v)}
    print(f"Strouhal number {1.0 / period:.6f}")
    whole = {name: np.round(part / ROUNDING).astype(np.int32) for name, part in parts.items()}
    flow = Wake(np.stack(list(whole.values())) * ROUNDING)
    readings = flow.at(DOMAIN.sample(READINGS, 0))[:, :2].T.astype(np.float32)
    np.savez_compressed(arguments.out, period=period, rounding=ROUNDING, readings=readings, **whole)
    print(f"{arguments.out}: {arguments.out.stat().st_size} bytes")


if __name__ == "__main__":
    main()
