"""Where the inputs of a problem or a network lie: a box."""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError, quoted

# Inputs beyond this have squares that float32 can't hold.
LARGEST = 1e18
# More inputs than any layer may read; equal intervals up to so many in a row are written out.
MOST_INTERVALS, WRITTEN_OUT = 100_000, 4


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

    def spread(self, count: int, seed: int) -> Array:
        """Scrambled points of Sobol's sequence (Owen, 1998), shape (count, d), float64."""
        from scipy.stats import qmc  # half a second that nothing else of a problem needs

        sequence = qmc.Sobol(self.dimension, seed=seed)
        unit = sequence.random_base2(math.ceil(math.log2(max(count, 2))))[:count]
        points: Array = qmc.scale(unit, self.lower, self.upper)
        return points

    def sample_piece(self, name: str, count: int, seed: int) -> tuple[Array, Array]:
        """Points (count, d) of a named piece of the boundary, and outward unit normals."""
        raise InputError(f"domain: {self} is a box without named pieces, so without {name!r}")

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
