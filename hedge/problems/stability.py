"""From a residual to an error: what is proved of a problem's solutions (docs/mathematics.md)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

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
