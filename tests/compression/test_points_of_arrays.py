"""Samples of an .npz: an array for each input, functions and points of a product grid by themselves."""

from __future__ import annotations

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from hedge.compression import check_functions_differ, points_of_arrays
from hedge.errors import InputError
from hedge.graph import Grid

WIDTHS = {"y": 1, "f": 3}  # the points' columns come first
GRID = Grid(("f",), ("y",))
F = np.random.default_rng(0).standard_normal((400, 3))
Y = np.linspace(0, 1, 50)


def saved(path: Path, **arrays: NDArray[Any]) -> Path:
    np.savez(path / "s.npz", **arrays)
    return path / "s.npz"


def functions_of(pairs: NDArray[Any]) -> set[tuple[float, ...]]:
    return set(map(tuple, pairs[:, 1:]))


def test_no_function_that_certifies_was_seen_before(tmp_path: Path) -> None:
    sets = points_of_arrays(saved(tmp_path, f=F, y=Y), WIDTHS, GRID, 64, 0)
    parts = [sets.fit, sets.validation, sets.judge(), *map(sets.fresh, range(sets.attempts))]
    seen = [functions_of(part) for part in parts]
    assert len(set().union(*seen)) == sum(map(len, seen)) == 400
    assert all(np.isin(part[:, 0], Y).all() for part in parts)
    for part, functions in zip(parts[2:], seen[2:], strict=True):
        assert len(part) == len(functions)  # each once, so that pairs are independent
    assert len(sets.fit) == 2048
    assert functions_of(sets.practice(5000)) == seen[0]
    assert sets.origin == "400 functions at 50 points of s.npz"


def test_rows_of_all_inputs_belong_together(tmp_path: Path) -> None:
    y = F[:, :1] ** 2
    sets = points_of_arrays(saved(tmp_path, f=F, y=y), WIDTHS, None, 64, 0)
    np.testing.assert_array_equal(sets.fit[:, 0], sets.fit[:, 1] ** 2)


BAD: dict[str, tuple[dict[str, NDArray[Any]], str]] = {
    "an input is missing": ({"f": F}, r"has no 'y'; the model needs y \(n, 1\), f \(n, 3\)"),
    "too few columns": ({"f": F[:, :2], "y": Y}, r"'f' has shape \(400, 2\)"),
    "no rows": ({"f": F, "y": Y[:0]}, r"'y' has shape \(0, 1\)"),
    "NaN": ({"f": F, "y": np.full(3, np.nan)}, r"'y' holds NaN"),
    "few functions": ({"f": F[:200], "y": Y}, r"has 200 different functions; give at least 256"),
    "words": ({"f": F, "y": np.array(["a"] * 9)}, r"'y' holds <U1, no real numbers"),
    "objects": ({"f": F, "y": np.array([None] * 9)}, r"s.npz: is not an .npz file of arrays"),
}


@pytest.mark.parametrize("kind", BAD)
def test_bad_arrays_are_named(kind: str, tmp_path: Path) -> None:
    arrays, message = BAD[kind]
    with pytest.raises(InputError, match=message):
        points_of_arrays(saved(tmp_path, **arrays), WIDTHS, GRID, 64, 0)


def test_rows_that_belong_together_are_as_many(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"other numbers of rows \(y 50, f 400\)"):
        points_of_arrays(saved(tmp_path, f=F, y=Y), WIDTHS, None, 64, 0)


def test_a_header_that_claims_more_than_there_is(tmp_path: Path) -> None:
    path = tmp_path / "s.npz"
    with zipfile.ZipFile(path, "w") as archive:
        header = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000, 3), }"
        text = header.ljust(117) + b"\n"
        archive.writestr("f.npy", b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text)
    with pytest.raises(InputError, match=r"is not an .npz file of arrays"):
        points_of_arrays(path, WIDTHS, GRID, 64, 0)


def test_another_file_is_no_npz(tmp_path: Path) -> None:
    (tmp_path / "s.npz").write_text("f, y")
    with pytest.raises(InputError, match=r"s.npz: is not an .npz file of arrays"):
        points_of_arrays(tmp_path / "s.npz", WIDTHS, GRID, 64, 0)


def test_rows_in_which_functions_recur_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "s.npy"
    np.save(path, np.hstack([np.tile(Y[:, None], (8, 1)), np.repeat(F[:8], 50, axis=0)]))
    with pytest.raises(InputError, match=r"s.npy: has 8 different functions in 400 rows, .*savez"):
        check_functions_differ(path, WIDTHS, GRID)
    np.save(path, np.hstack([np.tile(Y[:, None], (8, 1)), F]))
    check_functions_differ(path, WIDTHS, GRID)
