"""Constants of an equation that nobody knows, and that training finds beside the solution."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    StringConstraints,
    ValidationError,
)

from hedge.documents import LARGEST, Number
from hedge.errors import InputError, quoted

LONGEST_NAME = 40
ROUNDING = 1e-6
"""A value that was found may be such a part of its bounds beyond them."""
UNKNOWNS_KEY = "hedge.unknowns"
"""In a model file's metadata: what was found of the problem's unknowns."""


@dataclass(frozen=True)
class Unknown:
    """A constant that a problem's functions read as ``d[name]``, somewhere between ``lower`` and ``upper``.

    Where both bounds are positive it is looked for in its logarithm. ``value`` is what it is where that is
    known by now; training begins there, instead of in the middle.

    Raises InputError for a name that is none, bounds that hold nothing, or a value that they don't hold.

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
        bounds = (self.lower, self.upper)
        if not (all(map(_is_number, bounds)) and self.lower < self.upper):
            raise InputError(
                f"unknown {self.name!r}: the bounds {self.lower!r:.60} and {self.upper!r:.60} hold nothing; "
                "write a lower and a larger upper one"
            )
        value = self.value
        if value is not None and not (_is_number(value) and self._holds(value)):
            raise InputError(
                f"unknown {self.name!r}: its value {value!r:.60} is not between its bounds {self.lower:g} "
                f"and {self.upper:g}; widen them, or leave it out"
            )

    def _holds(self, value: float) -> bool:
        """Whether it is between the bounds, to rounding."""
        if self.in_log:
            return self.lower / (1.0 + ROUNDING) <= value <= self.upper * (1.0 + ROUNDING)
        slack = ROUNDING * (self.upper - self.lower)
        return self.lower - slack <= value <= self.upper + slack

    @property
    def in_log(self) -> bool:
        """Whether it is looked for in its logarithm."""
        return self.lower > 0.0


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and abs(value) <= LARGEST


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
        fault = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise InputError(
            f"the model's metadata {UNKNOWNS_KEY!r} can't be read ({quoted(where)}: {fault['msg']:.100}); "
            "train it anew"
        ) from error
