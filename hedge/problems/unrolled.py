"""Maps composed of a few steps that share one trained matrix, of arrays and of graphs alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from hedge.arrays import Array

Rows = Any
"""An array (count, n), or what stands for one in a graph. Constants are arrays (1, n) or numbers."""

Numbers = tuple[tuple[float, ...], ...]
"""What a step has beside the matrix, by step."""


class Calculus(Protocol):
    """What steps are made of; numbers are computed, or nodes written."""

    def layer(self, rows: Rows) -> Rows:
        """S r for every row r."""

    def add(self, a: Rows, b: Rows) -> Rows:
        """a + b."""

    def subtract(self, a: Rows, b: Rows) -> Rows:
        """a − b."""

    def multiply(self, a: Rows, b: Rows) -> Rows:
        """Number by number."""

    def rolled(self, rows: Rows, steps: Sequence[int]) -> list[Rows]:
        """For each step s the rows whose number i is number i + s, modulo n."""


class Unrolled(Protocol):
    """A map of sources that applies the trained matrix in several steps."""

    @property
    def vectors(self) -> int:
        """About how many vectors of n numbers it makes of one source on its way."""

    def settle(self, layer: Callable[[Array], Array]) -> Numbers:
        """The numbers of the steps for a layer, rows (count, n) -> (count, n); no solution is used."""

    def __call__(self, calculus: Calculus, sources: Rows, numbers: Numbers) -> Rows:
        """The outputs for ``sources``."""


@dataclass(frozen=True)
class OnArrays:
    """Steps computed in numpy, with ``layer`` rows (count, n) -> (count, n).

    >>> OnArrays(lambda rows: 2.0 * rows).rolled(np.array([[1.0, 2.0, 3.0]]), [1, -1])
    [array([[2., 3., 1.]]), array([[3., 1., 2.]])]
    """

    layer: Callable[[Array], Array]

    def add(self, a: Rows, b: Rows) -> Rows:
        """a + b."""
        return a + b

    def subtract(self, a: Rows, b: Rows) -> Rows:
        """a − b."""
        return a - b

    def multiply(self, a: Rows, b: Rows) -> Rows:
        """Number by number."""
        return a * b

    def rolled(self, rows: Rows, steps: Sequence[int]) -> list[Rows]:
        """Rows whose number i is number i + s, for each s of ``steps``."""
        return [np.roll(rows, -step, axis=1) for step in steps]


@dataclass(frozen=True)
class CubicSteps:
    """So many steps u <- S (f − u³), the first from u = 0."""

    count: int

    @property
    def vectors(self) -> int:
        """Four a step: the square, the cube, what is left of the source, the solution."""
        return 4 * self.count

    def settle(self, layer: Callable[[Array], Array]) -> Numbers:
        """None beside the matrix."""
        return ()

    def __call__(self, calculus: Calculus, sources: Rows, numbers: Numbers) -> Rows:
        """The solutions for sources."""
        u = calculus.layer(sources)
        for _ in range(self.count - 1):
            cube = calculus.multiply(calculus.multiply(u, u), u)
            u = calculus.layer(calculus.subtract(sources, cube))
        return u
