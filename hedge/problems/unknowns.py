"""Constants of an equation that nobody knows, and that training finds beside the solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationError,
)

from hedge.documents import Number
from hedge.errors import InputError, first_line

LONGEST_NAME = 40
UNKNOWNS_KEY = "hedge.unknowns"
"""In a model file's metadata: what was found of the problem's unknowns."""


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
        text = self.name if isinstance(self.name, str) else ""
        if not (text.isascii() and text.isidentifier() and len(text) <= LONGEST_NAME):
            raise InputError(
                f"unknown {self.name!r:.60}: is no name; write up to {LONGEST_NAME} letters and digits, such "
                "as kappa"
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


class Found(BaseModel):
    """What training found of an unknown: its value, and the standard deviation of that where it is known.

    at_bound tells that a bound of what it may be stopped it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    value: Number
    deviation: Number | None = Field(default=None, ge=0.0)
    at_bound: bool = False

    def __str__(self) -> str:
        if self.at_bound:
            return f"{self.value:.6g}, at its bound"
        return f"{self.value:.6g}" + (
            f" ± {self.deviation:.2g}" if self.deviation is not None else ""
        )


_Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,39}$")]


class _AllFound(RootModel[dict[_Name, Found]]):
    """Of all unknowns, by name."""


def as_text(found: Mapping[str, Found]) -> str:
    """For a file's metadata, as JSON."""
    return _AllFound(dict(found)).model_dump_json(exclude_none=True)


def found_told(metadata: Mapping[str, str]) -> str:
    """The same in a line of ASCII; nothing where nothing was found, or it can't be read."""
    try:
        found = found_in(metadata)
    except InputError:
        return ""
    return ", ".join(f"{name} {each}" for name, each in found.items()).replace("±", "+/-")


def found_in(metadata: Mapping[str, str]) -> dict[str, Found]:
    """What a file's metadata says was found; nothing if it says nothing.

    Raises InputError if it can't be read.
    """
    try:
        return _AllFound.model_validate_json(metadata.get(UNKNOWNS_KEY, "{}")).root
    except ValidationError as error:
        raise InputError(
            f"its metadata {UNKNOWNS_KEY!r} can't be read ({first_line(error)}); train it anew"
        ) from error
