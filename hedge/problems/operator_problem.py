"""A map between functions on a grid, to be learnt from its equation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems.domain import LARGEST
from hedge.problems.five_point import FivePoint
from hedge.problems.random_sources import random_sources
from hedge.problems.tridiagonal import Tridiagonal
from hedge.problems.unrolled import Unrolled

LEAST_SENSORS, MOST_SENSORS = 2, 16_384
# Training takes a whole matrix and minutes at this size, sixteen times as long at four times as many.
MOST_TRAINED = 4096
TEST_SOURCES = 1024


@dataclass(frozen=True)
class OperatorProblem:
    """A map from n values on the grid to n values, to be learnt from its equation alone.

    The trained part is one matrix S (n, n). It minimises the energy E[½ uᵀ B u − fᵀ u], u = S f, over
    random sources f; where these span all of Rⁿ, the least energy is at S = B⁻¹ and nowhere else.
    From S the map is composed:

    series      None: the layer itself, S f. Else c_0 … c_m, the map Σ c_k T_k(2 S − 1) f with the
                Chebyshev polynomials T_k: m linear layers that share S
    unrolled    None, or steps that share S, of a map that is not linear

    layer       B, symmetric positive definite
    amplitude   the factor on :func:`random_sources`
    inputs      (count, seed) -> (count, n), what the map reads if that is no source of the layer's equation
    solver      inputs (count, n) -> solutions (count, n) by other means, the reference
    residual    (solutions, inputs) -> (count, n), zero for exact solutions; None where the equation
                says nothing of input and output alone
    """

    name: str
    title: str
    layer: Tridiagonal | FivePoint
    solver: Callable[[Array], Array]
    residual: Callable[[Array, Array], Array] | None
    series: tuple[float, ...] | None = None
    unrolled: Unrolled | None = None
    amplitude: float = 1.0
    inputs: Callable[[int, int], Array] | None = None

    @property
    def sensors(self) -> int:
        """The number n of nodes."""
        return self.layer.size

    @property
    def dimension(self) -> int:
        """Numbers of a source."""
        return self.sensors

    @property
    def outputs(self) -> int:
        """Numbers of a solution."""
        return self.sensors

    @property
    def fields(self) -> tuple[str, ...]:
        """One function, on the whole grid."""
        return ("u",)

    @property
    def reads(self) -> str:
        """What the map reads, in a word and a letter."""
        return "source f" if self.inputs is None else "coefficient a"

    @property
    def test_rows(self) -> int:
        """Sources that an error is measured on."""
        return TEST_SOURCES

    @property
    def grid(self) -> Array:
        """The nodes along one side (m,), of an interval all there are."""
        side = self.layer.sides[0]
        return np.arange(1, side + 1) / (side + 1)

    @property
    def middle(self) -> slice:
        """Of the nodes, those along one side through the middle; of an interval all."""
        side = self.layer.sides[0]
        start = (self.sensors // side // 2) * side
        return slice(start, start + side)

    @property
    def vectors(self) -> int:
        """About how many vectors of n numbers a model makes of one input on its way."""
        return 1 if self.unrolled is None else self.unrolled.vectors

    @property
    def linear(self) -> bool:
        """Whether the map is one matrix."""
        return self.unrolled is None

    def sample(self, count: int, seed: int) -> Array:
        """Independent random inputs of the map (count, n), float64: its ``inputs``, or sources.

        Raises InputError for a count below 1 or a negative seed.
        """
        _check_sample(count, seed)
        return self.sources(count, seed) if self.inputs is None else self.inputs(count, seed)

    def sources(self, count: int, seed: int) -> Array:
        """Independent random sources of the layer's equation (count, n): smooth, white noise and point loads.

        Raises InputError for a count below 1 or a negative seed.
        """
        _check_sample(count, seed)
        return self.amplitude * random_sources(self.layer.sides, count, seed)

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float | None:
        """That of the discrete equation on 1,024 random inputs, in parts of what u = 0 leaves.

        Differences at the grid's spacing weigh 4 / h² in the residual of −u″: weights rounded to
        float32 alone leave a residual of about 6e-9 · n^1.5, however small the error.
        """
        if self.residual is None:
            return None
        sources = self.sample(TEST_SOURCES, seed)
        with np.errstate(over="ignore", invalid="ignore"):  # of outputs that overflowed
            residual = self.residual(solution(sources), sources)
            nothing = self.residual(np.zeros_like(sources), sources)
            return float(np.linalg.norm(residual) / np.linalg.norm(nothing))

    def reference(self, sources: Array) -> Array:
        """The solutions (count, n) of the discrete problem for ``sources`` (count, n), in float64.

        Accurate to 1e-9 of each solution. Raises InputError for sources of another shape or with
        values that are not finite, ToleranceError if the nonlinear solver does not converge.
        """
        if sources.ndim != 2 or sources.shape[1] != self.sensors:
            raise InputError(
                f"sources: have shape {sources.shape}; {self.name} on {self.sensors} sensors needs "
                f"(count, {self.sensors})"
            )
        if not (np.abs(sources) <= LARGEST).all():
            raise InputError(f"sources: hold NaN, Inf or values beyond {LARGEST:g}")
        return self.solver(np.asarray(sources, dtype=np.float64))


def _check_sample(count: int, seed: int) -> None:
    if count < 1:
        raise InputError(f"sources: {count} is too few; at least 1")
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give 0 or more")
