"""What a solution meets at some place, where something vanishes: initial, boundary and other conditions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from hedge.arrays import Array
from hedge.errors import InputError


@dataclass(frozen=True)
class Faces:
    """Where the input ``letter`` is at ``ends`` of its interval: 0 the lower, 1 the upper one."""

    letter: str
    ends: tuple[Literal[0, 1], ...] = (0, 1)

    def __str__(self) -> str:
        return f"{' and '.join(('lower', 'upper')[end] for end in self.ends)} end of {self.letter}"


@dataclass(frozen=True)
class Period:
    """From the lower end of ``letter`` to its upper one: what counts is the mismatch of the derivatives'
    differences between them. The mismatch is linear in the derivatives, and reads no ``letter``.
    """

    letter: str

    def __str__(self) -> str:
        return f"period of {self.letter}"


@dataclass(frozen=True)
class Piece:
    """A named piece of the boundary of the domain's shape, "boundary" for all of it.

    There the mismatch may read ``d["normal_x"]``, the outward unit normal, by the inputs' letters.
    """

    name: str

    def __str__(self) -> str:
        return f"piece {self.name}"


@dataclass(frozen=True, eq=False)
class At:
    """Given points (n, d), float64, such as those of an interface or the one where a pressure is fixed."""

    points: Array

    def __str__(self) -> str:
        return f"{len(self.points)} given point(s)"


@dataclass(frozen=True)
class Inside:
    """The whole domain."""

    def __str__(self) -> str:
        return "domain"


Place = Faces | Period | Piece | At | Inside


@dataclass(frozen=True)
class Condition:
    """What a solution meets at a place: there ``mismatch`` is 0.

    on           where that is
    mismatch     (columns of x, derivatives by name, math) -> what u misses the condition by, each (n,)
    derivatives  what the mismatch needs: ``u`` and names such as ``u_t``
    mean         True where it is only the mean of the mismatch over the place that is 0; letters such as
                 ``"xy"`` where it is its mean over these inputs, at each value of the others

    >>> flow_rate = Condition(Faces("x", (0,)), lambda x, d, math: d["u"] - 1.0, mean="y")  # at all times
    """

    on: Place
    mismatch: Callable[[Sequence[Any], Mapping[str, Any], Any], Any]
    derivatives: tuple[str, ...] = ("u",)
    mean: bool | str = False

    def title(self, number: int) -> str:
        """What messages call it, if it is the one with this number, from 0."""
        return f"condition {number + 1} ({self.on})"

    @property
    def face(self) -> Faces | Period:
        """Where it is, if that is at ends of an input; raises InputError for other places, and for means."""
        if self.mean or not isinstance(self.on, Faces | Period):
            raise InputError(
                f"a condition {'on the mean ' if self.mean else ''}over the {self.on}: conditions are "
                "certified at ends of an input only"
            )
        return self.on


def vanishes(derivative: str, letter: str, *ends: Literal[0, 1]) -> Condition:
    """``derivative`` is 0 where ``letter`` is at these ends.

    >>> vanishes("u_x", "x", 0, 1).derivatives
    ('u_x',)
    """
    return Condition(Faces(letter, ends), lambda x, d, math: d[derivative], (derivative,))
