"""From a residual to an error: what is proved of a problem's solutions (docs/mathematics.md)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

Kind = Literal["max", "L1", "L2"]


class Norms(Protocol):
    """Upper bounds of norms of a function on a problem's domain, each proved."""

    def of(self, kind: Kind, over: str) -> float:
        """The norm over these inputs, the largest over all others.

        ``of("L1", "xt")`` is ∫∫|r| dx dt, for the worst n if there is an input n; max is over all inputs,
        whatever ``over``.
        """

    def of_largest(self, letter: str, rate: float = 0.0) -> float:
        """∫ e^(rate (T − t)) max|r(t)| dt over the input ``letter``, which ends at T; max over the others."""


@dataclass(frozen=True)
class Condition:
    """What a solution meets on faces of the domain: there ``mismatch`` is 0.

    letter       the input that is at an end of its interval on the face
    ends         which ones: 0 the lower, 1 the upper one
    derivatives  what the mismatch needs: ``u`` and names such as ``u_t``
    mismatch     (columns of x, derivatives by name, math) -> what u misses the condition by, each (n,)
    jump         of a period: what counts is the mismatch at the upper end minus that at the lower one, which
                 is that of the derivatives' differences (the mismatch is linear, and reads no ``letter``)
    """

    letter: str
    ends: tuple[Literal[0, 1], ...]
    mismatch: Callable[[Sequence[Any], Mapping[str, Any], Any], Any]
    derivatives: tuple[str, ...] = ("u",)
    jump: bool = False


def vanishes(derivative: str, letter: str, *ends: Literal[0, 1]) -> Condition:
    """``derivative`` is 0 where ``letter`` is at these ends.

    >>> vanishes("u_x", "x", 0, 1).derivatives
    ('u_x',)
    """
    return Condition(letter, ends, lambda x, d, math: d[derivative], (derivative,))


@dataclass(frozen=True)
class Evidence:
    """What is proved of a function u: bounds of its residual and of itself, and by how much, at most, it
    misses each of the problem's conditions, in their order."""

    residual: Norms
    mismatch: Sequence[float]
    largest: float


@dataclass(frozen=True)
class Stability:
    """A theorem: how far from the solution a function is, at most, for all that is proved of it.

    kind, over   the norm of the error e that is bounded: over these inputs, the largest over all others
    needs        the norm of the residual that the bound grows with
    bound        evidence -> ‖e‖
    theorem      the heading of its proof in docs/mathematics.md
    """

    kind: Kind
    over: str
    needs: Kind
    bound: Callable[[Evidence], float]
    theorem: str
