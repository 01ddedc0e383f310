"""Files of what has been measured, CSV or ``.npy``."""

from __future__ import annotations

import csv
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from hedge.array_files import read_array
from hedge.arrays import Array
from hedge.documents import read_text
from hedge.errors import InputError, quoted
from hedge.problems.measurements import Measurements

OF_DEVIATIONS = "_deviation"
"""Behind the name of a column: the standard deviations of its errors."""


def read_measurements(
    path: Path | str, inputs: str, columns: Sequence[str] | None = None
) -> tuple[Measurements, ...]:
    """What has been measured, from a CSV file whose first line names the columns, or a ``.npy`` file (n, c).

    Columns are the inputs, by their letters, and fields or derivatives such as ``u`` or ``p_x``;
    ``u_deviation`` is the standard deviation of the errors of ``u``. A cell may be empty, or NaN, where
    something was not measured. Of a ``.npy`` file ``columns`` are the names.

    Raises InputError, with the file and the line, for what can't be read.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "sensors.csv"
    ...     _ = file.write_text("x,t,u,u_deviation\\n0.1,0.5,1.25,0.01\\n0.2,0.5,1.5,0.01\\n")
    ...     [data] = read_measurements(file, "xt")
    >>> data.values, data.of
    (array([1.25, 1.5 ]), 'u')
    """
    path, letters = Path(path), tuple(inputs)
    table = _of_array(path, columns) if path.suffix == ".npy" else _of_csv(path)
    _check_names(table, letters)
    measured = [n for n in table.names if n not in letters and not n.endswith(OF_DEVIATIONS)]
    points = np.column_stack([table[letter] for letter in letters])
    known = np.isfinite(points).all(axis=1)
    if not known.all():
        line = table.lines[int(np.argmin(known))]
        raise InputError(
            f"{path}: line {line} does not say where it was measured; fill in {', '.join(inputs)}"
        )
    return tuple(_of_column(table, name, points) for name in measured)


def _of_column(table: _Table, name: str, points: Array) -> Measurements:
    there = np.isfinite(table[name])
    if not there.any():
        raise InputError(f"{table.path}: the column {quoted(name)} is empty; leave it out")
    of = name + OF_DEVIATIONS
    deviations = table[of][there] if of in table.names else None
    if deviations is not None and deviations.any() and not (deviations > 0.0).all():
        row = int(np.flatnonzero(there)[np.argmin(deviations > 0.0)])
        raise InputError(
            f"{table.path}: line {table.lines[row]} has no positive {quoted(of)} for its {quoted(name)}; "
            "give one for each (or 0 for all, if there are no errors), or leave the column out"
        )
    title = f"{name} of {table.path.name}"
    return Measurements(points[there], table[name][there], deviations, name, name=title)


def _check_names(table: _Table, inputs: Sequence[str]) -> None:
    path, names = table.path, table.names
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None or "" in names:
        raise InputError(
            f"{path}: the column {quoted(twice or '')} is there twice, or without a name"
        )
    missing = next((letter for letter in inputs if letter not in names), None)
    if missing is not None:
        raise InputError(
            f"{path}: has no column {quoted(missing)}; name its columns in the first line, here "
            f"{','.join(inputs)} and what was measured"
        )
    measured = {name for name in names if name not in inputs and not name.endswith(OF_DEVIATIONS)}
    if not measured:
        raise InputError(f"{path}: has no column of what was measured, such as u")
    stray = next(
        (
            n
            for n in names
            if n.endswith(OF_DEVIATIONS) and n.removesuffix(OF_DEVIATIONS) not in measured
        ),
        None,
    )
    if stray is not None:
        raise InputError(
            f"{path}: {quoted(stray)} is of no column that was measured; name it after one"
        )


@dataclass(frozen=True, eq=False)
class _Table:
    """Columns by name; numbers (n, c), NaN where a cell is empty, and the lines of the file they stand on."""

    path: Path
    names: list[str]
    numbers: Array
    lines: list[int]

    def __getitem__(self, name: str) -> Array:
        return self.numbers[:, self.names.index(name)]


def _of_array(path: Path, columns: Sequence[str] | None) -> _Table:
    values = read_array(path)
    if (
        columns is None
        or values.ndim != 2
        or values.shape[1] != len(columns)
        or values.dtype.kind not in "fiu"
        or not all(isinstance(name, str) for name in columns)
    ):
        raise InputError(
            f"{path}: holds {values.dtype!s:.60} {values.shape}; name its columns, one each: "
            'read_measurements(path, inputs, ("x", "t", "u"))'
        )
    numbers = values.astype(np.float64)
    if np.isinf(numbers).any():
        raise InputError(f"{path}: holds numbers that are infinite; mend it")
    return _Table(path, list(columns), numbers, list(range(1, len(numbers) + 1)))


def _of_csv(path: Path) -> _Table:
    try:
        lines = list(csv.reader(read_text(path).splitlines(), skipinitialspace=True))
    except csv.Error as error:
        raise InputError(
            f"{path}: is no CSV ({error}); write numbers with commas between"
        ) from error
    names = [name.strip() for name in lines[0]] if lines else []
    if len(names) == 1 and any(mark in names[0] for mark in ";\t"):
        raise InputError(
            f"{path}: has no commas between its columns; write x,t,u and numbers such as 0.5 with a point"
        )
    if not names:
        raise InputError(f"{path}: is empty; its first line names the columns, such as x,t,u")
    filled = [
        (number, cells)
        for number, cells in enumerate(lines[1:], 2)
        if any(cell.strip() for cell in cells)
    ]
    if not filled:
        raise InputError(f"{path}: has no line of numbers below the names")
    for number, cells in filled:
        if len(cells) != len(names):
            raise InputError(
                f"{path}: line {number} has {len(cells)} cells, the first line {len(names)}; mend it"
            )
    rows = [[_number(path, number, cell) for cell in cells] for number, cells in filled]
    return _Table(path, names, np.array(rows), [number for number, _ in filled])


def _number(path: Path, line: int, cell: str) -> float:
    """That in a cell; NaN, as some programs write, stands for an empty one."""
    try:
        value = float(cell.strip() or math.nan) if "_" not in cell else math.inf
    except ValueError:
        value = math.inf
    if math.isinf(value):
        raise InputError(
            f"{path}: line {line}: {quoted(cell)} is no finite number; leave it empty, or mend it"
        )
    return value
