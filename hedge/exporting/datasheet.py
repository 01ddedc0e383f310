"""What travels with an exported network: its columns, their units and domain, and its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from hedge.documents import Figure, Number
from hedge.errors import InputError
from hedge.exporting.units import ascii_unit
from hedge.geometry import parse_shape
from hedge.problems import Domain
from hedge.version import __version__

WRITTEN_OUT = 16  # columns; of more the lines for people say how many there are


@dataclass(frozen=True)
class InputColumn:
    """A number that goes in; lower and upper are the ends of the domain, None where it is not known."""

    name: str
    unit: str = ""
    lower: Number | None = None
    upper: Number | None = None


@dataclass(frozen=True)
class OutputColumn:
    """A number that comes out, with its relative L2 error, and its largest error over its largest size.

    Both are None where nobody measured them. errors_of says of what they are where not of this column:
    of all columns of its output together, of which one may be further off, or of the worst, which is.
    """

    name: str
    unit: str = ""
    relative_l2: Figure | None = None
    largest: Figure | None = None
    errors_of: str | None = None

    @property
    def errors(self) -> str | None:
        """Its errors in words, and of what they are where not of this column; None where there are none."""
        if self.relative_l2 is None:
            return None
        largest = "" if self.largest is None else f" (largest {self.largest:.2e})"
        return f"{self.errors_of or self.name} {self.relative_l2:.2e}{largest}"


@dataclass(frozen=True)
class Bound:
    """Proved: ``what`` of the outputs ``of``, the worst column, is ``value`` at most over a box."""

    what: str
    value: Figure
    of: str
    over: str


@dataclass(frozen=True)
class Datasheet:
    """What whoever uses an exported network has to know of it.

    errors says what the errors are of and where they were measured, bounds what a certificate proves; origin
    are lines on where the network comes from. Of a guarded one all results outside the domain are NaN. Where
    a shape is named, the domain is what of the box lies in it.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[OutputColumn, ...]
    errors: str
    bounds: tuple[Bound, ...]
    origin: tuple[str, ...]
    guarded: bool = False
    shape: str | None = None

    @property
    def domain(self) -> Domain | None:
        """Where the inputs lie, if it is known; raises InputError for a shape that is none of that box."""
        pairs = [(c.lower, c.upper) for c in self.inputs]
        known = tuple((a, b) for a, b in pairs if a is not None and b is not None)
        if len(known) < len(pairs):
            return None
        return Domain(known, None if self.shape is None else parse_shape(self.shape))

    def domain_to_guard(self, real: type[np.floating[Any]] = np.float32) -> Domain:
        """The box of the inputs.

        Raises InputError if it is not known, one number wide in ``real``, or if the domain is a shape in it.
        """
        if self.domain is None:
            raise InputError("guard: the domain is not known; give --domain")
        if self.shape is not None:
            raise InputError(
                f"guard: the domain is {self.domain}, and only boxes are guarded; give a box within it "
                "(--domain)"
            )
        for column, (lower, upper) in zip(self.inputs, self.domain.intervals, strict=True):
            if real(lower) == real(upper):
                raise InputError(
                    f"guard: {_exact(lower)}:{_exact(upper)}, the domain of {column.name}, is one number in "
                    f"{real.__name__}; give a wider --domain"
                )
        return self.domain

    @property
    def summary(self) -> str:
        """Errors and bounds in a line; empty where there is neither."""
        return "; ".join([*_told_errors(self), *_told_bounds(self)])

    def lines(self) -> list[str]:
        """Text for people: origin, columns with units and domain, errors, bounds."""
        return [
            *self.origin,
            f"Inputs: {listed([_told_input(column) for column in self.inputs])}.",
            *(
                []
                if self.shape is None
                else [f"They lie in {self.shape}; nothing is known outside."]
            ),
            f"Outputs: {listed([_told_output(column) for column in self.outputs])}.",
            *(f"{told}." for told in (*_told_errors(self), *_told_bounds(self))),
        ]

    def as_json(self) -> str:
        """The same as a JSON object; what is not known is left out."""
        document = {"hedge_datasheet": 1, "made_with": f"hedge {__version__}", **asdict(self)}
        return json.dumps(_without_unknown(document), indent=1, allow_nan=False) + "\n"


def _told_input(column: InputColumn) -> str:
    unit = ascii_unit(column.unit)
    if column.lower is None or column.upper is None:
        return f"{column.name} ({unit})" if unit else column.name
    return f"{column.name} in [{_exact(column.lower)}, {_exact(column.upper)}] {unit}".rstrip()


def _exact(end: float) -> str:
    """With every digit: where a guard ends must not be rounded."""
    return repr(float(end)).removesuffix(".0")


def _told_output(column: OutputColumn) -> str:
    return f"{column.name} ({ascii_unit(column.unit)})" if column.unit else column.name


def _told_errors(sheet: Datasheet) -> list[str]:
    each = dict.fromkeys(column.errors for column in sheet.outputs if column.errors)
    return [f"Relative L2 error {sheet.errors}: {listed(list(each))}"] if each else []


def _told_bounds(sheet: Datasheet) -> list[str]:
    places = dict.fromkeys((bound.of, bound.over) for bound in sheet.bounds)
    return [
        f"Proved of {of} over {over}: "
        + ", ".join(
            f"{bound.what} at most {bound.value:.2e}"
            for bound in sheet.bounds
            if (bound.of, bound.over) == (of, over)
        )
        for of, over in places
    ]


def listed(items: Sequence[str]) -> str:
    """Few in full, of many the first and the last.

    >>> listed([f"x[{i}]" for i in range(99)])
    'x[0] to x[98], 99 in all'
    """
    if len(items) <= WRITTEN_OUT:
        return ", ".join(items)
    return f"{items[0]} to {items[-1]}, {len(items)} in all"


def _without_unknown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_unknown(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_without_unknown(each) for each in value]
    return value
