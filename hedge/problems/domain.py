"""Where the inputs of a problem or a network lie: a box, or a shape times intervals."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.errors import InputError, quoted
from hedge.geometry import BOUNDARY, Shape, parse_shape, sobol

# Inputs beyond this have squares that float32 can't hold.
LARGEST = 1e18
# More inputs than any layer may read; equal intervals up to so many in a row are written out.
MOST_INTERVALS, WRITTEN_OUT = 100_000, 4
# Points of the box around a shape that are drawn at once.
_AT_LEAST = 1024
# So many times as many points are drawn where some are too near to the boundary.
_TRIED = (2, 8, 64)
# Of its size, how far off the box around a shape may be given.
_SAME = 1e-12
# A shape that fills less of the box around it is too thin to draw points of.
_THINNEST = 1e-4


@dataclass(frozen=True)
class Domain:
    """A box, one closed interval ``(lower, upper)`` per input; or what of it lies in a ``shape``.

    The shape is over the first inputs, whose intervals are then the box around it; the other inputs, such as
    time and parameters, take all of theirs. :meth:`over` makes one.

    >>> Domain(((-1.0, 1.0), (0.0, 1.0))).sample(2, seed=0).shape
    (2, 2)
    >>> from hedge.geometry import Disc, Rectangle
    >>> print(Domain.over(Rectangle((0, 0), (2, 1)) - Disc((0.5, 0.5), 0.2, "hole"), (0.0, 1.0)))
    rectangle(0 0, 2 1) - disc(0.5 0.5, 0.2, hole),0:1
    """

    intervals: tuple[tuple[float, float], ...]
    shape: Shape | None = None

    def __post_init__(self) -> None:
        if not self.intervals:
            raise InputError("domain: no interval given; write one lower:upper per model input")
        for lower, upper in self.intervals:
            if not -LARGEST <= lower < upper <= LARGEST:
                raise InputError(
                    f"domain: interval {lower:g}:{upper:g} is empty or out of range; "
                    f"write lower:upper with lower < upper, within {LARGEST:g}"
                )
        if self.shape is None:
            return
        if not isinstance(self.shape, Shape):
            raise InputError(
                f"domain: {self.shape!r:.60} is no shape; see hedge.geometry for what there is"
            )
        if not _are_around(self.intervals[: self.shape.dimension], self.shape):
            raise InputError(
                f"domain: its intervals are not the box around {self.shape!s:.200}; write "
                "Domain.over(shape, and the intervals of the other inputs)"
            )
        if self.volume < _THINNEST * self.box.volume:
            raise InputError(
                f"domain: {self.shape!s:.200} fills next to nothing of the box around it; turn it along the "
                "axes, or make it thicker"
            )

    @classmethod
    def over(cls, shape: Shape, *intervals: tuple[float, float]) -> Domain:
        """A shape of the first inputs, times an interval for each further one."""
        return cls((*_box_around(shape), *intervals), shape)

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

    @property
    def of_shape(self) -> range:
        """Numbers of the inputs that the shape is of."""
        return range(0 if self.shape is None else self.shape.dimension)

    @property
    def pieces(self) -> tuple[str, ...]:
        """Names of the pieces of the shape's boundary, and that of all of it."""
        return () if self.shape is None else (*self.shape.pieces, BOUNDARY)

    @property
    def box(self) -> Domain:
        """The box around it."""
        return Domain(self.intervals)

    @property
    def volume(self) -> float:
        """Of a shape in space, where no formula tells its own, within 1 %."""
        if self.shape is None:
            return float(np.prod(self.upper - self.lower))
        rest = slice(self.shape.dimension, None)
        return self.shape.volume * float(np.prod((self.upper - self.lower)[rest]))

    def contains(self, points: Array) -> NDArray[np.bool_]:
        """Whether points (n, d) are in it, (n,)."""
        inside = np.asarray(((points >= self.lower) & (points <= self.upper)).all(axis=1))
        return inside if self.shape is None else inside & self._in_shape(points)

    def excludes(self, lower: Array, upper: Array) -> NDArray[np.bool_]:
        """Which boxes from lower to upper (b, d), parts of the box around it, surely have no point of it."""
        if self.shape is None:
            return np.zeros(len(lower), dtype=bool)
        return self.shape.excludes(*self._of_shape(lower, upper))

    def fills(self, lower: Array, upper: Array) -> NDArray[np.bool_]:
        """Which boxes (b, d), parts of the box around it, surely lie in it."""
        if self.shape is None:
            return np.ones(len(lower), dtype=bool)
        return self.shape.fills(*self._of_shape(lower, upper))

    def is_within(self, other: Domain) -> bool:
        """Whether it surely lies in another one; of a shape that is not the other's, by the box around it."""
        is_same = self.shape is not None and self.shape == other.shape
        rest = slice(self.shape.dimension if self.shape is not None and is_same else 0, None)
        beyond = (self.lower < other.lower) | (self.upper > other.upper)
        if beyond[rest].any():
            return False
        return is_same or bool(other.fills(self.lower[None], self.upper[None])[0])

    def sample(self, count: int, seed: int) -> Array:
        """Independent uniform points, shape (count, d), float64.

        Raises InputError for a negative seed.
        """
        if seed < 0:
            raise InputError(f"seed: {seed} is negative; give 0 or more")
        rng = np.random.default_rng(seed)
        if self.shape is None:
            return rng.uniform(self.lower, self.upper, (count, self.dimension))
        found: list[Array] = []
        while sum(len(each) for each in found) < count:
            drawn = rng.uniform(self.lower, self.upper, (max(count, _AT_LEAST), self.dimension))
            found.append(drawn[self._in_shape(drawn)])
        return np.concatenate([*found, np.zeros((0, self.dimension))])[:count]

    def sample_away(self, count: int, seed: int, away: Array) -> Array:
        """As :meth:`sample`, but so far from the boundary: by these parts of the intervals, (d,).

        Raises InputError for a shape with next to no such points.
        """
        widths = self.upper - self.lower
        middle = self.lower + widths / 2.0
        if self.shape is None:
            return np.asarray(middle + (self.sample(count, seed) - middle) * (1.0 - 2.0 * away))
        shrunk = np.where(np.arange(self.dimension) < self.shape.dimension, 1.0, 1.0 - 2.0 * away)
        for times in _TRIED:
            points = middle + (self.sample(times * count, seed) - middle) * shrunk
            clear = points[self.fills(points - away * widths, points + away * widths)]
            if len(clear) >= count:
                return np.asarray(clear[:count])
        raise InputError(
            f"domain: {self.shape!s:.200} is too thin for difference quotients, which reach "
            f"{away.max():.1%} of its width"
        )

    def spread(self, count: int, seed: int) -> Array:
        """Scrambled points of Sobol's sequence (Owen, 1998), shape (count, d), float64."""
        found = np.zeros((0, self.dimension))
        for unit in sobol(self.dimension, count, seed):
            points = unit * (self.upper - self.lower) + self.lower
            inside = points if self.shape is None else points[self._in_shape(points)]
            found = np.concatenate([found, inside])
            if len(found) >= count:
                break
        return found[:count]

    def sample_piece(self, piece: str, count: int, seed: int) -> tuple[Array, Array]:
        """Points spread evenly over a piece of the shape's boundary, times all other intervals.

        Returns them and the outward unit normals there, (count, d) each, zero along the other inputs:
        scrambled Sobol points. Raises InputError if there is no such piece.
        """
        if self.shape is None:
            raise InputError(
                f"domain: {self} is a box without named pieces, so without {quoted(piece)}; give it a shape "
                "(Domain.over)"
            )
        space = self.shape.dimension
        points, normals = (np.zeros((0, self.dimension)) for _ in range(2))
        for unit in sobol(self.dimension - 1, count, seed):
            on, ways = self.shape.on_piece(piece, unit[:, : space - 1])
            rest = self.lower[space:] + unit[:, space - 1 :] * (self.upper - self.lower)[space:]
            kept = self.shape.kept(on, ways)
            more = np.clip(np.hstack([on, rest]), self.lower, self.upper)
            points = np.concatenate([points, more[kept]])
            normals = np.concatenate([normals, np.hstack([ways, np.zeros_like(rest)])[kept]])
            if len(points) >= count:
                break
        return points[:count], normals[:count]

    def _in_shape(self, points: Array) -> NDArray[np.bool_]:
        assert self.shape is not None
        return self.shape.contains(points[:, : self.shape.dimension])

    def _of_shape(self, *corners: Array) -> list[Array]:
        """What of corners (b, d) is the shape's."""
        assert self.shape is not None
        return [each[:, : self.shape.dimension] for each in corners]

    def __str__(self) -> str:
        # Every digit: it is read back.
        intervals = self.intervals if self.shape is None else self.intervals[self.shape.dimension :]
        ends = ([repr(float(end)).removesuffix(".0") for end in pair] for pair in intervals)
        rest = shortened(",".join(":".join(pair) for pair in ends))
        return ",".join(part for part in (str(self.shape or ""), rest) if part)


def _are_around(intervals: tuple[tuple[float, float], ...], shape: Shape) -> bool:
    """Whether they are, but for what the sines of another machine may be off by."""
    if len(intervals) < shape.dimension:
        return False
    given, own = np.array(intervals), np.array(_box_around(shape))
    return bool((np.abs(given - own) <= _SAME * np.abs(own).max()).all())


def _box_around(shape: Shape) -> tuple[tuple[float, float], ...]:
    lower, upper = shape.bounds
    return tuple(zip(lower.tolist(), upper.tolist(), strict=True))


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

    The first inputs may be in a shape: ``"rectangle(0 0, 2 1) - disc(0.5 0.5, 0.2), 0:1"``, see
    :func:`hedge.geometry.parse_shape`.

    Raises InputError if a part is neither.

    >>> parse_domain("-1:1,0:1").dimension, parse_domain("-1:1,0:1*20").dimension
    (2, 21)
    >>> parse_domain("-1:1", 400).dimension
    400
    >>> parse_domain("disc(0 0, 2), 0:1").intervals
    ((-2.0, 2.0), (-2.0, 2.0), (0.0, 1.0))
    """
    if "(" in text:
        shape, rest = _shape_and_rest(text)
        return Domain.over(shape, *([] if rest is None else _intervals(rest)))
    intervals = _intervals(text)
    if len(intervals) == 1 and dimension is not None:
        intervals *= dimension
    return Domain(tuple(intervals))


def _shape_and_rest(text: str) -> tuple[Shape, str | None]:
    """The shape that a domain begins with, and its intervals: cut at the comma after the last parenthesis."""
    head, parenthesis, tail = text.rpartition(")")
    more, comma, rest = tail.partition(",")
    return parse_shape(
        (head + parenthesis + more) if parenthesis else text
    ), rest if comma else None


def _intervals(text: str) -> list[tuple[float, float]]:
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
                f"400 alike (up to {MOST_INTERVALS:,}), or a shape for the first: disc(0 0, 1),0:1"
            )
        intervals += [(lower, upper)] * times
    return intervals
