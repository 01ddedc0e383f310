"""Poisson's equation in 5 × 5 areas: −∇·(a ∇u) = f, a from 0.1 to 100, another constant in each.

"Poisson 2d-MA" in PINNacle (Hao et al., 2024): areas of 4 × 4, f = b + c sin πs sin πt in each, s and t from
0 to 1 across it, ∂u/∂n = −u on the outer sides. Theirs reads the constants from files; these are of the same
kind (log a, b and c uniform), by a seed. u and a ∂u/∂n are the same on both sides of a line between areas,
where slopes jump. So that every function is smooth, the plane is folded along these lines onto one area: its
fields ua to uy are u in the areas, row by row from below, all of them functions of the same x and y, which
run from 0 to 1, forth in the first, third and fifth column or row, and back in the others.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from string import ascii_lowercase
from typing import Any, Literal

import numpy as np

from hedge.arrays import Array
from hedge.problems.biquadratic import Biquadratic, shares
from hedge.problems.conditions import Condition, Faces
from hedge.problems.domain import Domain
from hedge.problems.equations import Field, Math
from hedge.problems.problem import Problem

SEED, AREAS, SIZE = 0, 5, 4.0
FIELDS = tuple(f"u{letter}" for letter in ascii_lowercase[: AREAS * AREAS])
CELLS, CROWDING = 12, 2.0
ENDS: tuple[Literal[0, 1], ...] = (0, 1)
TINY = 1e-30  # keeps the slope of a root finite


def _constants() -> tuple[Array, Array, Array]:
    """a, b and c of the areas, (5, 5) each, by column and row."""
    uniform = np.random.default_rng(SEED).random((3, AREAS, AREAS))
    return 10.0 ** (3.0 * uniform[0] - 1.0), 2.0 * uniform[1] - 1.0, 2.0 * uniform[2] - 1.0


CONDUCTIVITY, EVEN, BUMP = _constants()


@functools.cache
def areas(cells: int = CELLS) -> Biquadratic:
    """u in the plane's coordinates, 0 to 20 each way, by so many quadratic elements across an area."""
    from scipy import sparse
    from scipy.sparse.linalg import splu

    half = 0.5 * (np.arange(cells // 2 + 1) / (cells // 2)) ** CROWDING
    across = np.append(half, 1.0 - half[-2::-1])
    lines = np.unique((SIZE * (np.arange(AREAS)[:, None] + across)).round(12))
    stiff, mass, even, bump = (
        [_on_line(lines, cells, area)[k] for area in range(AREAS)] for k in range(4)
    )
    n = 2 * len(lines) - 1
    ends = [sparse.csr_matrix(([1.0], ([k], [k])), shape=(n, n)) for k in (0, n - 1)]
    matrix, load = sparse.csr_matrix((n * n, n * n)), np.zeros((n, n))
    for i in range(AREAS):
        for j in range(AREAS):
            x, y = stiff[i], stiff[j]
            for end, area in zip(ends, (0, AREAS - 1), strict=True):
                x, y = x + (i == area) * end, y + (j == area) * end
            part = sparse.kron(x, mass[j]) + sparse.kron(mass[i], y)
            matrix = matrix + CONDUCTIVITY[i, j] * part
            load += EVEN[i, j] * np.outer(even[i], even[j]) + BUMP[i, j] * np.outer(
                bump[i], bump[j]
            )
    u = splu(matrix.tocsc()).solve(load.ravel()).reshape(n, n, 1)
    return Biquadratic(lines, lines, u)


def _on_line(lines: Array, cells: int, area: int) -> tuple[Any, Any, Array, Array]:
    """∫ f'g', ∫ f g, ∫ f and ∫ f sin πs of the quadratic elements over an area."""
    from scipy import sparse

    n = 2 * len(lines) - 1
    at, weights = np.polynomial.legendre.leggauss(4)
    t = (at + 1.0) / 2.0
    values = np.array(shares(t))
    slopes = np.array([4.0 * t - 3.0, 4.0 - 8.0 * t, 4.0 * t - 1.0])
    first = cells * area + np.arange(cells)
    width = np.diff(lines)[first]
    nodes = 2 * first[:, None] + np.arange(3)
    sines = np.sin(math.pi * (lines[first, None] + width[:, None] * t - SIZE * area) / SIZE)
    share = weights / 2.0

    def matrix(block: Array, by: Array) -> Any:
        rows, columns = np.repeat(nodes, 3, axis=1).ravel(), np.tile(nodes, (1, 3)).ravel()
        return sparse.csr_matrix(
            ((by[:, None] * block.ravel()).ravel(), (rows, columns)), shape=(n, n)
        )

    def vector(parts: Array) -> Array:
        return np.asarray(np.bincount(nodes.ravel(), weights=parts.ravel(), minlength=n))

    return (
        matrix((slopes * share) @ slopes.T, 1.0 / width),
        matrix((values * share) @ values.T, width),
        vector(width[:, None] * (values @ share)),
        vector(width[:, None] * ((sines * share) @ values.T)),
    )


def _places() -> list[tuple[int, int]]:
    """Column and row of each field's area."""
    return [(k % AREAS, k // AREAS) for k in range(AREAS * AREAS)]


def _reference(points: Array) -> Array:
    found = []
    for place in _places():
        folded = [t if k % 2 == 0 else 1.0 - t for k, t in zip(place, points.T, strict=True)]
        found.append(areas().at(SIZE * (np.array(place) + np.column_stack(folded))))
    return np.hstack(found)


def _size(parts: Sequence[Field], math_: Math) -> Field:
    """The root of a sum of squares: what is minimised is the mean of its square, as of so many equations."""
    return math_.sqrt(sum((part * part for part in parts), TINY))


def _residual(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
    """Over a: u is large where that is small."""
    bump = math_.sin(math.pi * x[0]) * math_.sin(math.pi * x[1])
    missed = [
        (d[f"{name}_xx"] + d[f"{name}_yy"])
        + SIZE**2 * (float(EVEN[place]) + float(BUMP[place]) * bump) / float(CONDUCTIVITY[place])
        for name, place in zip(FIELDS, _places(), strict=True)
    ]
    return _size(missed, math_)


def _distance(x: Sequence[Field], math_: Math) -> tuple[Field, ...]:
    """How large u is, about: much where little is conducted."""
    return tuple(1.0 + 1.0 / float(CONDUCTIVITY[place]) for place in _places())


def _side(letter: str, end: Literal[0, 1]) -> Condition:
    """What holds where ``letter`` is at an end: between areas that meet there, and on outer sides."""
    axis = "xy".index(letter)
    lines: list[tuple[str, str | None, float, float]] = []
    for name, place in zip(FIELDS, _places(), strict=True):
        # The line that this area has at that end, forth in even columns and back in odd ones.
        is_ahead = (end == 1) == (place[axis] % 2 == 0)
        ahead = tuple(k + (axis == n) for n, k in enumerate(place))
        mine = float(CONDUCTIVITY[place])
        if is_ahead and place[axis] + 1 < AREAS:
            other = float(CONDUCTIVITY[ahead])
            lines.append((name, FIELDS[ahead[0] + AREAS * ahead[1]], mine, other))
        elif is_ahead or place[axis] == 0:
            lines.append((name, None, mine, mine))
    sign = 1.0 if end == 1 else -1.0

    def missed(x: Sequence[Field], d: Mapping[str, Field], math_: Math) -> Field:
        found: list[Field] = []
        for name, other, a, b in lines:
            slope = d[f"{name}_{letter}"]
            if other is None:
                found.append(sign * slope + SIZE * d[name])
            else:
                # Both run towards the line: their fluxes cancel.
                found.append((a * slope + b * d[f"{other}_{letter}"]) * (1.0 / (a + b)))
                found.append(d[name] - d[other])
        return _size(found, math_)

    read = [name for line in lines for name in line[:2] if name is not None]
    return Condition(Faces(letter, (end,)), missed, (*read, *(f"{name}_{letter}" for name in read)))


poisson_areas = Problem(
    name="poisson-areas",
    title="Poisson equation in 5 x 5 areas, each with another conductivity, folded onto one",
    inputs="xy",
    domain=Domain(((0.0, 1.0), (0.0, 1.0))),
    fields=FIELDS,
    derivatives=tuple(f"{name}_{second}" for name in FIELDS for second in ("xx", "yy")),
    residual=_residual,
    distance=_distance,
    reference=_reference,
    conditions=tuple(_side(letter, end) for letter in "xy" for end in ENDS),
)
