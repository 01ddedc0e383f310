"""The variables of an FMU: a network's input columns, then its output columns."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import numpy as np

from hedge.errors import InputError, quoted
from hedge.exporting.datasheet import Datasheet, InputColumn, OutputColumn
from hedge.exporting.units import BaseUnit, base_unit

# What no XML attribute and no line of a log can hold.
UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff\ufffe\uffff]")
TIME = "time"
OTHERWISE = {
    "input": "name the input columns by --inputs",
    "output": "name the outputs of the model otherwise",
}


@dataclass(frozen=True)
class Variable:
    """A column; its place among all is its value reference.

    base_unit is what its unit comes to, if it has one; start, of inputs, the middle of the domain where that
    is bounded, or another point of it where that is in a hole, else the number in it next to 0.
    """

    name: str
    causality: Literal["input", "output"]
    unit: str
    base_unit: BaseUnit | None
    description: str = ""
    lower: float | None = None
    upper: float | None = None
    start: float | None = None


def variables(sheet: Datasheet) -> tuple[Variable, ...]:
    """The columns of a network as variables, in the order of their value references.

    Raises InputError for names that FMI forbids, or that two columns have, and units that it can't write.
    """
    inputs = map(_input, sheet.inputs, _starts(sheet))
    found = (*inputs, *map(_output, sheet.outputs))
    for variable in found:
        _check_name(variable)
    name, count = Counter(variable.name for variable in found).most_common(1)[0]
    if count > 1:
        raise InputError(
            f"{quoted(name)}: is the name of {count} columns, and FMI needs others; {OTHERWISE['input']}"
        )
    return found


def _input(column: InputColumn, start: float) -> Variable:
    base = _base(column.unit)
    return Variable(column.name, "input", column.unit, base, "", column.lower, column.upper, start)


def _output(column: OutputColumn) -> Variable:
    return Variable(column.name, "output", column.unit, _base(column.unit), _told(column))


def _base(unit: str) -> BaseUnit | None:
    return base_unit(unit) if unit else None


def _told(column: OutputColumn) -> str:
    """How exact it is, as far as that was measured."""
    if column.relative_l2 is None:
        return ""
    largest = "" if column.largest is None else f", largest error {column.largest:.2e} of its size"
    of = "" if column.errors_of is None else f", of {column.errors_of}"
    return f"relative L2 error {column.relative_l2:.2e}{largest}{of}"


def _starts(sheet: Datasheet) -> list[float]:
    """Of each input, together a point of the domain."""
    middle = [_start(column.lower, column.upper) for column in sheet.inputs]
    if sheet.shape is None or sheet.domain is None or sheet.domain.contains(np.array([middle]))[0]:
        return middle
    return [float(x) for x in sheet.domain.spread(1, seed=0)[0]]


def _start(lower: float | None, upper: float | None) -> float:
    if lower is not None and upper is not None:
        return lower + (upper - lower) / 2
    return max(0.0, lower) if lower is not None else min(0.0, upper) if upper is not None else 0.0


def _check_name(variable: Variable) -> None:
    name = variable.name
    wrong = (
        "is empty"
        if not name.strip()
        else "begins or ends with a space"
        if name != name.strip()
        else "holds a line break or another character that can't be printed"
        if UNPRINTABLE.search(name)
        else "is what FMI calls the simulation's own time"
        if name == TIME
        else "looks like a derivative by time"
        if name.startswith("der(")
        else ""
    )
    if wrong:
        raise InputError(f"{quoted(name)}: {wrong}; {OTHERWISE[variable.causality]}")
