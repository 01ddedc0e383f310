"""Guarded C gives NaN outside its domain, and nowhere else."""

from __future__ import annotations

import ctypes
from functools import cache

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hedge.errors import InputError, ModelError
from hedge.exporting import COptions, Guard, to_c
from hedge.exporting.compiling import compiler_here
from hedge.graph import split
from tests.conftest import random_mlp
from tests.exporting.c_compiler import needs_gcc

BOX = ((-1.0, 1.0), (0.1, 0.3), (1000.0, 1001.0))
ROWS = 2 * 16 + 3


def files(double: bool, guard: Guard | None, ram: int | None = None) -> dict[str, str]:
    parts = split(random_mlp([3, 6, 2], 0))
    options = COptions("net", double, ram=ram, jacobian=True, guard=guard)
    found = to_c(parts.skeleton, parts.matrices, options, "net")
    return {"net.c": found.source, "net.h": found.header}


@cache
def library(double: bool, guarded: bool = True, ram: int | None = None) -> ctypes.CDLL:
    lower, upper = zip(*BOX, strict=True)
    guard = Guard(lower, upper) if guarded else None
    return compiler_here(flags=("-std=c99", "-O3", "-march=native")).library(
        files(double, guard, ram)
    )


def run(net: ctypes.CDLL, x: np.ndarray) -> dict[str, np.ndarray]:
    """What all functions give for rows (n, 3)."""
    n = len(x)
    batch, row = (np.zeros((n, 2), x.dtype) for _ in range(2))
    beside, slopes = np.zeros((n, 2), x.dtype), np.zeros((n, 2, 3), x.dtype)
    net.net_eval_batch(ctypes.c_size_t(n), *(ctypes.c_void_p(a.ctypes.data) for a in (x, batch)))
    for i in range(n):
        net.net_eval(*(ctypes.c_void_p(a[i:].ctypes.data) for a in (x, row)))
        net.net_jacobian(*(ctypes.c_void_p(a[i:].ctypes.data) for a in (x, beside, slopes)))
    return {"batch": batch, "row": row, "beside": beside, "slopes": slopes}


def ends(interval: tuple[float, float], type: type) -> list[float]:
    """Around both ends, as the code's numbers."""
    found = []
    for end in interval:
        at = type(end)
        found += [np.nextafter(at, type(-np.inf)), at, np.nextafter(at, type(np.inf))]
    return [float(value) for value in found]


@needs_gcc
@pytest.mark.parametrize("ram", [None, 1024], ids=["tiles", "row by row"])
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
@settings(max_examples=30)  # of many rows each
@given(data=st.data())
def test_outside_is_nan_and_inside_is_as_without(
    double: bool, ram: int | None, data: st.DataObject
) -> None:
    type = np.float64 if double else np.float32
    odd = [float("nan"), float("inf"), -float("inf"), 0.0, -0.0]
    inside = [st.floats(*(float(type(end)) for end in ends)) for ends in BOX]
    number = [
        st.one_of(inside[i], inside[i], inside[i], st.sampled_from([*odd, *ends(BOX[i], type)]))
        for i in range(3)
    ]
    rows = data.draw(st.lists(st.tuples(*number), min_size=ROWS, max_size=ROWS))
    x = np.array(rows).astype(type)
    lower, upper = np.array(BOX).T.astype(type)
    is_inside = ((x >= lower) & (x <= upper)).all(axis=1)
    net, plain = library(double, ram=ram), library(double, guarded=False, ram=ram)
    asked = [net.net_inside(ctypes.c_void_p(np.ascontiguousarray(row).ctypes.data)) for row in x]
    np.testing.assert_array_equal(asked, is_inside.astype(int))
    found, expected = run(net, x), run(plain, x)
    for name, values in found.items():
        assert np.isnan(values[~is_inside]).all(), name
        np.testing.assert_array_equal(values[is_inside], expected[name][is_inside], err_msg=name)


@needs_gcc
@given(value=st.floats(width=32))
@example(value=float("nan"))
def test_no_flag_that_is_not_forbidden_changes_that(value: float) -> None:
    x = np.array([[value, 0.2, 1000.5]] * ROWS, np.float32)
    is_inside = bool(-1.0 <= np.float32(value) <= 1.0)
    for values in run(library(False), x).values():
        assert np.isnan(values).all() == (not is_inside)


@needs_gcc
def test_flags_that_do_away_with_nan_are_refused() -> None:
    for flag in ("-ffast-math", "-Ofast", "-ffinite-math-only"):
        with pytest.raises(ModelError, match="results are NaN: compile without -ffast-math"):
            compiler_here(flags=("-std=c99", flag)).shared(
                files(False, Guard(*zip(*BOX, strict=True)))
            )
        compiler_here(flags=("-std=c99", flag)).shared(files(False, None))


def test_the_constants_of_the_box_are_counted() -> None:
    parts = split(random_mlp([3, 6, 2], 0))
    guard = Guard((-1.0,) * 3, (1.0,) * 3)
    plain, guarded = (
        to_c(parts.skeleton, parts.matrices, COptions("net", guard=each), "net")
        for each in (None, guard)
    )
    assert guarded.flash_bytes - plain.flash_bytes == 2 * 3 * 4
    assert guarded.batch_stack_bytes - plain.batch_stack_bytes == 16 * 4
    assert guarded.stack_bytes == plain.stack_bytes


def test_a_domain_is_needed(tmp_path) -> None:
    import hedge

    (tmp_path / "m.onnx").write_bytes(random_mlp([3, 6, 2], 0).SerializeToString())
    with pytest.raises(InputError, match=r"^guard: the domain is not known; give --domain$"):
        hedge.export_c(tmp_path / "m.onnx", tmp_path / "m.c", guard=True)
    hedge.export_c(tmp_path / "m.onnx", tmp_path / "m.c", guard=True, domain="0:1", test=True)


def test_a_domain_of_one_number_is_refused(tmp_path) -> None:
    import hedge

    model = tmp_path / "m.onnx"
    model.write_bytes(random_mlp([3, 6, 2], 0).SerializeToString())
    box = "0:1,16777216:16777217,0:1"
    told = (
        r"^guard: 16777216:16777217, the domain of x\[1\], is one number in float32; give a wider"
    )
    with pytest.raises(InputError, match=told):
        hedge.export_c(model, tmp_path / "m.c", guard=True, domain=box)
    with pytest.raises(InputError, match=told):
        hedge.export(model, tmp_path / "g.onnx", guard=True, domain=box)
    hedge.export_c(model, tmp_path / "m.c", guard=True, domain=box, precision="double")
