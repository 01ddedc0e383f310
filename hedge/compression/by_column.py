"""Errors by what they are errors of: the columns of outputs, and the inputs of derivatives."""

from __future__ import annotations

from collections.abc import Sequence

from hedge.compression.case import Case
from hedge.compression.measure import MOST_APART, ErrorEstimate, fields_of
from hedge.compression.plan import ColumnError, SlopeError, Spread
from hedge.graph import column_names

# A spread below this part of the size is told of: there the error relative to the size says little.
SMALL_SPREAD = 0.1


Place = tuple[str, int | None]
"""An output and its column, None where all of the output is one field."""


def places_of(names: Sequence[str], widths: Sequence[int], joint: bool | None) -> list[Place]:
    """Of every field of outputs of these names and widths, as of :func:`fields_of`."""
    places: list[Place] = []
    for name, width in zip(names, widths, strict=True):
        apart = fields_of([width], joint=joint)
        places += [
            (name, column if len(apart) > 1 or width == 1 else None) for column in range(len(apart))
        ]
    return places


def _places(case: Case) -> list[Place]:
    names = [value.name for value in case.split.skeleton.graph.output]
    return places_of(names, case.widths, case.joint)


def small_spread(case: Case, error: ErrorEstimate) -> Spread | None:
    """Of the fields that vary little the one with the largest error relative to that."""
    few = [i for i, part in enumerate(error.spreads.tolist()) if part < SMALL_SPREAD]
    if not few or not error.relatives.any():
        return None

    def to_spread(i: int) -> float:
        return float(error.relatives[i] / error.spreads[i]) if error.spreads[i] > 0.0 else 0.0

    worst = max(few, key=to_spread)
    output, column = _places(case)[worst]
    part = float(error.spreads[worst])
    return Spread(output=output, column=column, part=part, error=to_spread(worst) if part else None)


def by_column(case: Case, error: ErrorEstimate) -> tuple[ColumnError, ...]:
    """The errors of all fields by name, where there are several; of many the worst."""
    return errors_at(_places(case), error)


def errors_at(places: Sequence[Place], error: ErrorEstimate) -> tuple[ColumnError, ...]:
    """The same of fields in these places."""
    found = [
        ColumnError(output=name, column=column, relative_error=relative, max_error=largest)
        for (name, column), relative, largest in zip(
            places, error.relatives.tolist(), error.largests.tolist(), strict=True
        )
    ]
    if len(found) == 1:
        return ()
    worst = sorted(found, key=lambda one: -one.relative_error)[:MOST_APART]
    return tuple(one for one in found if one in worst)


def slope_errors(case: Case, error: ErrorEstimate) -> tuple[SlopeError, ...]:
    """The errors of the derivatives of all fields by all inputs."""
    inputs = column_names(case.split.skeleton)
    found = error.relatives.reshape(len(inputs), -1)
    return tuple(
        SlopeError(output=name, column=column, by=by, relative_error=relative)
        for by, relatives in zip(inputs, found.tolist(), strict=True)
        for (name, column), relative in zip(_places(case), relatives, strict=True)
    )
