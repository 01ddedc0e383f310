"""What comes of reproducing an item of the paper: claims beside ours, numbers, pictures."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from hedge.paper import Bound

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hedge.reproducing.materials import Materials

Value = float | str | None


@dataclass(frozen=True)
class Claim:
    """What the paper says and what hedge finds, both in ``unit``; None where one is silent.

    agrees is None where the two can't be compared; why says in a sentence what they differ by. A claim
    that is ``timed`` rests on a clock, and differs from run to run.
    """

    what: str
    paper: Value
    hedge: Value
    agrees: bool | None
    why: str = ""
    unit: str = ""
    timed: bool = False


@dataclass(frozen=True, eq=False)
class Picture:
    """A figure: what it shows in words, what draws it, inches."""

    alt: str
    draw: Callable[[Figure], None]
    size: tuple[float, float] = (6.4, 4.2)


@dataclass(frozen=True, eq=False)
class Item:
    """An item of the paper, reproduced; :class:`Items` names it.

    numbers are JSON values, the same for the same seed; timings are those that a clock gave.
    """

    claims: tuple[Claim, ...]
    numbers: Mapping[str, Any] = field(default_factory=dict)
    timings: Mapping[str, Any] = field(default_factory=dict)
    picture: Picture | None = None
    id: str = ""
    title: str = ""

    @property
    def files(self) -> dict[str, Picture]:
        """The picture by the names of the files to draw it into."""
        found = self.picture
        return {} if found is None else {f"{self.id}.{ending}": found for ending in ("png", "svg")}

    def to_json(self) -> dict[str, Any]:
        """The item as plain JSON values; numbers that are not finite become None."""
        return {
            "id": self.id,
            "title": self.title,
            "claims": [_plain(vars(claim)) for claim in self.claims],
            "numbers": _plain(self.numbers),
            "timings": _plain(self.timings),
            "figures": [{"file": name, "alt": p.alt} for name, p in self.files.items()],
        }


class Items(dict[str, Callable[["Materials"], Item]]):
    """What makes items, by their ids; ``@ITEMS(id, title)`` takes a function in."""

    def __call__(self, id: str, title: str) -> Callable[[Callable[[Materials], Item]], None]:
        """Call the result of the function by these."""

        def take(make: Callable[[Materials], Item]) -> None:
            self[id] = lambda m: replace(make(m), id=id, title=title)

        return take


def _plain(value: Any) -> Any:
    """Arrays, tuples and numpy scalars as JSON has them; infinity and NaN as None.

    >>> _plain({"a": np.array([1.0, np.inf]), "b": (True, np.int64(2))})
    {'a': [1.0, None], 'b': [True, 2]}
    """
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, np.ndarray):
        return _plain(value.tolist())
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        return _plain(value.item())
    return None if isinstance(value, float) and not math.isfinite(value) else value


def claims_of(bounds: Iterable[Bound]) -> tuple[Claim, ...]:
    """Inequalities as claims: the paper's side is the right one, ours the left as measured.

    The letter agrees where it holds. The paper says nothing of the sound forms, which hedge adds.
    """
    return tuple(_claim_of(bound) for bound in bounds)


def _claim_of(bound: Bound) -> Claim:
    right = f"≤ {bound.right:.4g}" if math.isfinite(bound.right) else "no bound"
    if "-" in bound.item:
        return Claim(
            f"sound form: {bound.claim}", None, f"{bound.left:.4g} {right}", None, bound.reason
        )
    left = bound.left if math.isfinite(bound.left) else "infinite"
    if not bound.applies:
        return Claim(bound.claim, right, left, None, f"does not apply: {bound.reason}")
    holds = f"holds here, but {bound.reason}" if bound.reason else ""
    return Claim(bound.claim, right, left, bound.holds, holds if bound.holds else bound.reason)


def sides(bounds: Iterable[Bound]) -> list[dict[str, Any]]:
    """Both sides of inequalities, for an item's numbers."""
    return [{**vars(bound), "holds": bound.holds} for bound in bounds]


def agree(paper: float, hedge: float) -> bool:
    """Whether two figures are the same within 5 %.

    >>> agree(0.15, 0.2)
    False
    """
    return bool(abs(hedge - paper) <= 0.05 * abs(paper))
