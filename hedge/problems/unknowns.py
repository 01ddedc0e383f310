"""Constants of an equation that nobody knows, and that training finds beside the solution."""

from __future__ import annotations

from dataclasses import dataclass
from math import isfinite

from hedge.errors import InputError


@dataclass(frozen=True)
class Unknown:
    """A constant that a problem's functions read as ``d[name]``, somewhere between ``lower`` and ``upper``.

    Where both bounds are positive it is looked for in its logarithm. ``value`` is what it is where that is
    known by now; the bounds then play no part.

    Raises InputError for a name that is none, or bounds that hold nothing.

    >>> Unknown("kappa", 0.01, 1.0).in_log
    True
    """

    name: str
    lower: float
    upper: float
    value: float | None = None

    def __post_init__(self) -> None:
        if not (isinstance(self.name, str) and self.name.isascii() and self.name.isidentifier()):
            raise InputError(
                f"unknown {self.name!r}: is no name; write letters and digits, such as kappa"
            )
        if not (isfinite(self.lower) and isfinite(self.upper) and self.lower < self.upper):
            raise InputError(
                f"unknown {self.name!r}: the bounds {self.lower:g} and {self.upper:g} hold nothing; write "
                "a lower and a larger upper one"
            )

    @property
    def in_log(self) -> bool:
        """Whether it is looked for in its logarithm."""
        return self.lower > 0.0
