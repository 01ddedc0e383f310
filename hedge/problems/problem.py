"""What a problem is: a domain, a residual, hard constraints and a reference solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Protocol

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError, quoted
from hedge.problems.stability import Condition, Stability

# Inputs beyond this have squares that float32 can't hold.
LARGEST = 1e18
# More inputs than any layer may read; equal intervals up to so many in a row are written out.
MOST_INTERVALS, WRITTEN_OUT = 100_000, 4
RESIDUAL_POINTS = 4_000
# Step of the difference quotients, as a part of each input's interval: fourth-order quotients of a
# float64 evaluation are then good to about 1e-6 of a derivative even in the shock of Burgers.
STEP = 1e-4
Field = Any
"""Values of a function at n points, shape (n,): a numpy array, a torch tensor or a graph
expression. Problems are written once, with operators and a :class:`Math`, and read by all."""


class Solvable(Protocol):
    """A problem as commands see it, of points or an operator: rows of inputs to rows of outputs."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def title(self) -> str:
        """What it is, in one line."""

    @property
    def dimension(self) -> int:
        """Numbers in a row of inputs: coordinates, or sensors of a grid."""

    @property
    def outputs(self) -> int:
        """Numbers in a row of outputs."""

    @property
    def test_rows(self) -> int:
        """Rows that its error is measured on."""

    @property
    def reference(self) -> Callable[[Array], Array] | None:
        """Inputs (n, d) to the outputs of a solution (n, m), float64; None if nobody knows it."""

    def sample(self, count: int, seed: int) -> Array:
        """Independent random inputs (count, d), float64."""

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float | None:
        """Root mean square residual of ``solution``, (n, d) to (n, m), on random inputs.

        None where the equation says nothing of inputs and outputs alone.
        """


class Math(Protocol):
    """The functions beyond ``+ - * /`` that problems may use (numpy and torch have them)."""

    @property
    def sin(self) -> Callable[[Field], Field]:
        """sin x."""

    @property
    def cos(self) -> Callable[[Field], Field]:
        """cos x."""

    @property
    def exp(self) -> Callable[[Field], Field]:
        """eˣ."""

    @property
    def log(self) -> Callable[[Field], Field]:
        """Natural logarithm."""


@dataclass(frozen=True)
class Domain:
    """A box, one closed interval ``(lower, upper)`` per input.

    >>> Domain(((-1.0, 1.0), (0.0, 1.0))).sample(2, seed=0).shape
    (2, 2)
    """

    intervals: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        if not self.intervals:
            raise InputError("domain: no interval given; write one lower:upper per model input")
        for lower, upper in self.intervals:
            if not -LARGEST <= lower < upper <= LARGEST:
                raise InputError(
                    f"domain: interval {lower:g}:{upper:g} is empty or out of range; "
                    f"write lower:upper with lower < upper, within {LARGEST:g}"
                )

    @property
    def dimension(self) -> int:
        """The number d of inputs."""
        return len(self.intervals)

    @property
    def lower(self) -> Array:
        """Lower ends, (d,)."""
        return np.array([a for a, _ in self.intervals])

    @property
    def upper(self) -> Array:
        """Upper ends, (d,)."""
        return np.array([b for _, b in self.intervals])

    def sample(self, count: int, seed: int) -> Array:
        """Independent uniform points, shape (count, d), float64.

        Raises InputError for a negative seed.
        """
        if seed < 0:
            raise InputError(f"seed: {seed} is negative; give 0 or more")
        return np.random.default_rng(seed).uniform(self.lower, self.upper, (count, self.dimension))

    def __str__(self) -> str:
        # Every digit: it is read back.
        ends = ([repr(float(end)).removesuffix(".0") for end in pair] for pair in self.intervals)
        return shortened(",".join(":".join(pair) for pair in ends))


def shortened(domain: str) -> str:
    """The same text with more than WRITTEN_OUT equal intervals in a row as one of them and their number.

    >>> shortened(",".join(["0:1"] + ["-1:1"] * 400))
    '0:1,-1:1*400'
    """
    runs = [(part, len(list(run))) for part, run in groupby(domain.split(","))]
    return ",".join(
        f"{part}*{count}" if count > WRITTEN_OUT and "*" not in part else ",".join([part] * count)
        for part, count in runs
    )


def parse_domain(text: str, dimension: int | None = None) -> Domain:
    """Read ``"-1:1,0:1"``, or ``"-1:1*400"`` for many alike; one alone is that of all ``dimension`` inputs.

    Raises InputError if a part is not ``lower:upper``.

    >>> parse_domain("-1:1,0:1").dimension, parse_domain("-1:1,0:1*20").dimension
    (2, 21)
    >>> parse_domain("-1:1", 400).dimension
    400
    """
    intervals: list[tuple[float, float]] = []
    for part in text.split(","):
        interval, _, count = part.partition("*")
        try:
            lower, upper = (float(end) for end in interval.split(":"))
            times = int(count) if "*" in part else 1
        except ValueError:
            times = 0
        if not 1 <= times <= MOST_INTERVALS - len(intervals):
            raise InputError(
                f"domain: {quoted(part)} is not lower:upper; write for example -1:1,0:1, or -1:1*400 for "
                f"400 alike (up to {MOST_INTERVALS:,})"
            )
        intervals += [(lower, upper)] * times
    if len(intervals) == 1 and dimension is not None:
        intervals *= dimension
    return Domain(tuple(intervals))


@dataclass(frozen=True)
class Problem:
    """A partial differential equation with its conditions built into the solution's form.

    The network N enters as u(x) = offset(x) + distance(x) N(x), where ``distance`` vanishes
    wherever u is prescribed and ``offset`` takes the prescribed values there, so initial and
    boundary conditions hold exactly and only the residual is trained (Lagaris et al., 1998).

    inputs       one letter per input, in the model's order
    derivatives  what the residual needs: ``u`` and names such as ``u_t`` or ``u_xx``
    residual     (columns of x, derivatives by name, math) -> residual, each (n,); 0 for a solution
    offset, distance  (columns of x, math) -> (n,); an offset of None is zero
    reference    points (n, d) -> u (n, 1) in float64, accurate to 1e-10; None if nobody knows it
    features     (columns of x, math) -> what the network reads, each (n,) and of size about one, such
                 as cos πx for a periodic input; None stands for the inputs scaled to [−1, 1]
    """

    name: str
    title: str
    inputs: str
    domain: Domain
    derivatives: tuple[str, ...]
    residual: Callable[[Sequence[Field], Mapping[str, Field], Math], Field]
    offset: Callable[[Sequence[Field], Math], Field] | None
    distance: Callable[[Sequence[Field], Math], Field]
    reference: Callable[[Array], Array] | None = None
    features: Callable[[Sequence[Field], Math], Sequence[Field]] | None = None
    conditions: tuple[Condition, ...] = ()
    stability: tuple[Stability, ...] = ()

    def __post_init__(self) -> None:
        count, dimension = len(self.inputs), self.domain.dimension
        if count != dimension:
            raise InputError(
                f"problem {self.name!r}: inputs {self.inputs!r} has {count} letters, its domain "
                f"{dimension} intervals; give one letter for each"
            )
        if len(set(self.inputs)) != count:
            raise InputError(f"problem {self.name!r}: inputs {self.inputs!r} names a letter twice")
        for name in self.derivatives:
            self._check_derivative(name)
        for number, condition in enumerate(self.conditions, 1):
            self._check_condition(f"problem {self.name!r}: condition {number}", condition)
        theorems = [(each.kind, each.over, each.theorem) for each in self.stability]
        for kind, over, theorem in theorems:
            if not set(over) <= set(self.inputs) or len(set(over)) < len(over):
                raise InputError(
                    f"problem {self.name!r}: theorem {theorem!r} is over {over!r}; write letters of "
                    f"{self.inputs!r}, each once"
                )
            if theorems.count((kind, over, theorem)) > 1:
                raise InputError(f"problem {self.name!r}: has theorem {theorem!r} twice")

    def _check_derivative(self, name: str) -> None:
        function, _, letters = name.partition("_")
        if (
            function != "u"
            or name == "u_"
            or len(letters) > 2
            or not set(letters) <= set(self.inputs)
        ):
            raise InputError(
                f"problem {self.name!r}: derivative {name!r} is unknown; write u, or u_ and one "
                f"or two letters of {self.inputs!r} (first and second derivatives)"
            )

    def _check_condition(self, which: str, condition: Condition) -> None:
        if len(condition.letter) != 1 or condition.letter not in self.inputs:
            raise InputError(
                f"{which} is at ends of {condition.letter!r}, no letter of {self.inputs!r}"
            )
        if not condition.jump and tuple(condition.ends) not in ((0,), (1,), (0, 1), (1, 0)):
            raise InputError(f"{which} has the ends {condition.ends!r}; write (0,), (1,) or (0, 1)")
        for name in condition.derivatives:
            self._check_derivative(name)

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return self.domain.dimension

    @property
    def outputs(self) -> int:
        """Of the solution, at a point."""
        return 1

    @property
    def test_rows(self) -> int:
        """Points that an error is measured on."""
        return 20_000

    def sample(self, count: int, seed: int) -> Array:
        """Independent uniform points of the domain, (count, d)."""
        return self.domain.sample(count, seed)

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float:
        """Root mean square residual of a function (n, d) to (n, 1) at 4,000 uniform points.

        Derivatives are fourth-order central differences, so that it works for any function.
        """
        points = self.sample(RESIDUAL_POINTS, seed + 1)
        steps = STEP * (self.domain.upper - self.domain.lower)

        def derivative(x: Array, axes: tuple[int, ...]) -> Array:
            if not axes:
                return solution(x)[:, 0]
            move = np.zeros_like(steps)
            move[axes[0]] = h = steps[axes[0]]
            if axes[:2] == axes[:1] * 2:
                near = derivative(x + move, axes[2:]) + derivative(x - move, axes[2:])
                far = derivative(x + 2 * move, axes[2:]) + derivative(x - 2 * move, axes[2:])
                centre = derivative(x, axes[2:])
                return np.asarray((16.0 * near - far - 30.0 * centre) / (12.0 * h * h))
            near = derivative(x + move, axes[1:]) - derivative(x - move, axes[1:])
            far = derivative(x + 2 * move, axes[1:]) - derivative(x - 2 * move, axes[1:])
            return np.asarray((8.0 * near - far) / (12.0 * h))

        with np.errstate(over="ignore", invalid="ignore"):  # of outputs that overflowed
            named = {name: derivative(points, self.axes(name)) for name in self.derivatives}
            residual = np.asarray(self.residual(list(points.T), named, np))
            return float(np.sqrt(np.mean(residual**2)))

    def network_inputs(self, columns: Sequence[Field], math: Math) -> list[Field]:
        """What the network reads at points given by ``columns``, each (n,)."""
        if self.features is not None:
            return list(self.features(columns, math))
        lower, upper = self.domain.lower, self.domain.upper
        return [
            (x - float(a + b) / 2.0) / (float(b - a) / 2.0)
            for x, a, b in zip(columns, lower, upper, strict=True)
        ]

    def axes(self, derivative: str) -> tuple[int, ...]:
        """Input numbers a derivative's name stands for: ``u`` is (), ``u_xx`` is (0, 0)."""
        _, _, letters = derivative.partition("_")
        return tuple(self.inputs.index(letter) for letter in letters)
