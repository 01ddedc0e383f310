"""Points from an ``.npz`` of an array for each input: rows side by side, or a grid's functions and points."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hedge.array_files import read_array, read_arrays
from hedge.arrays import Array
from hedge.compression.points import (
    LEAST_FIT_POINTS,
    VALIDATION_POINTS,
    PointSets,
    fit_points,
    parted,
    points_of_rows,
    real_numbers,
)
from hedge.errors import InputError, quoted
from hedge.graph import Grid


def points_of_arrays(
    path: Path, widths: Mapping[str, int], grid: Grid | None, widest: int, seed: int
) -> PointSets:
    """A user's own samples, an array (n, width) for each input by its name.

    Rows of all inputs belong together. Of a product grid those of each side do: what gives the rows of the
    grid (functions) is parted as :func:`hedge.compression.points.points_of_file` says, so that no function
    that certifies was seen before, and is paired at random with what gives its columns (points), which are
    all used everywhere. A set that certifies has every one of its functions once, for its pairs to be
    independent. Layers are up to ``widest``.

    Raises InputError if an array is missing, of another shape, or has too few rows or NaN in it.
    """
    found = read_arrays(path)
    needed = ", ".join(f"{name} (n, {width})" for name, width in widths.items())
    values: dict[str, Array] = {}
    for name, width in widths.items():
        if name not in found:
            raise InputError(f"{path}: has no {quoted(name)}; the model needs {needed}")
        array = found[name]
        array = array[:, None] if array.ndim == 1 and width == 1 else array
        if array.ndim != 2 or array.shape[1] != width or not len(array):
            raise InputError(
                f"{path}: {quoted(name)} has shape {array.shape}; the model needs {needed}"
            )
        values[name] = real_numbers(path, array, name)
    if grid is None:
        _check_equal(path, {name: len(array) for name, array in values.items()}, "of every input")
        return points_of_rows(path, np.hstack(list(values.values())), seed)
    for side in (grid.rows, grid.columns):
        _check_equal(path, {name: len(values[name]) for name in side}, "of inputs that go together")
    return _Pairs(path, values, grid, seed).sets(fit_points(widest))


def check_functions_differ(path: Path, widths: Mapping[str, int], grid: Grid) -> None:
    """Raise InputError for rows of a product grid in which functions recur.

    Those that certify would have been fitted, too.
    """
    rows = read_array(path)
    if rows.ndim != 2 or rows.shape[1] != sum(widths.values()):
        return  # which is told elsewhere
    ends = np.cumsum(list(widths.values()))[:-1]
    parts = dict(zip(widths, np.split(rows, ends, axis=1), strict=True))
    functions = np.hstack([parts[name] for name in grid.rows])
    different, all_rows = len(np.unique(functions, axis=0)), len(np.unique(rows, axis=0))
    if different < all_rows:
        arrays = ", ".join(f"{name}=…" for name in widths)
        raise InputError(
            f"{path}: has {different} different functions in {all_rows} rows, so that those which certify "
            "would have been fitted, too; give functions and points by themselves: "
            f"numpy.savez('s.npz', {arrays})"
        )


def _check_equal(path: Path, rows: Mapping[str, int], which: str) -> None:
    if len(set(rows.values())) > 1:
        counts = ", ".join(f"{name} {count}" for name, count in rows.items())
        raise InputError(f"{path}: gives other numbers of rows ({counts}); give as many {which}")


class _Pairs:
    """Rows of a product grid, parted, and its columns."""

    def __init__(self, path: Path, values: Mapping[str, Array], grid: Grid, seed: int) -> None:
        self._path, self._seed = path, seed
        self._functions = np.hstack([values[name] for name in grid.rows])
        self._points = np.unique(np.hstack([values[name] for name in grid.columns]), axis=0)
        # Where the inputs, in the graph's order, find their columns behind functions and points.
        starts, start = {}, 0
        for name in (*grid.rows, *grid.columns):
            starts[name] = np.arange(start, start + values[name].shape[1])
            start += values[name].shape[1]
        self._order = np.concatenate([starts[name] for name in values])

    def sets(self, fitting: int) -> PointSets:
        fit, validation, (*fresh, judge) = parted(
            self._path, self._functions, "functions", self._seed
        )
        count = sum(map(len, (fit, validation, *fresh, judge)))
        return PointSets(
            self._paired(fit, max(fitting, LEAST_FIT_POINTS, len(fit)), 0),
            self._paired(validation, max(VALIDATION_POINTS, len(validation)), 1),
            practice=lambda count: self._paired(fit, min(count, len(fit) * len(self._points)), 2),
            fresh=lambda attempt, times=1: self._paired(
                fresh[attempt], len(fresh[attempt]), 4 + attempt
            ),
            judge=lambda: self._paired(judge, len(judge), 3),
            attempts=len(fresh),
            origin=f"{count} functions at {len(self._points)} points of {self._path.name}",
        )

    def _paired(self, functions: Array, count: int, stream: int) -> Array:
        """So many pairs, (count, d), of the functions in turn and of random points."""
        rng = np.random.default_rng([self._seed, stream])
        of_function: NDArray[np.int64] = np.arange(count) % len(functions)
        of_point = rng.integers(0, len(self._points), count)
        pairs = np.hstack([functions[of_function], self._points[of_point]])
        return np.ascontiguousarray(pairs[:, self._order])
