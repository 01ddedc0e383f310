"""The tolerance holds for every column of every output, whatever its size; joint where they are one field."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, numpy_helper

import hedge
from hedge.cli.plan_table import print_plan
from hedge.compression import CompressedModel, Request, Source, compress, points_of_domain, prepare
from hedge.compression.measure import MOST_APART, fields_of, measure
from hedge.devices import find_profile
from hedge.errors import ModelError
from hedge.graph import load_model, run_float32, split
from hedge.problems import Domain, poisson_operator
from tests.compression.promises import head
from tests.conftest import random_mlp

SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
TOLERANCE = 1e-2
LAPTOP = find_profile("laptop-x86")


def small_of(model: ModelProto, columns: str | None = None, **request: object) -> CompressedModel:
    points = points_of_domain(SQUARE, 2, 24, seed=0)
    request = Request(TOLERANCE, "size", columns=columns, **request)  # type: ignore[arg-type, assignment]
    return compress(prepare(model, LAPTOP, points, request, Source("m", "")))


def errors_of(small: CompressedModel, dense: ModelProto) -> np.ndarray:
    """By column, on points of our own."""
    points = SQUARE.sample(20_000, seed=987)
    wanted = run_float32(dense, points)
    found = run_float32(small.to_onnx(), points)
    return np.asarray(np.linalg.norm(found - wanted, axis=0) / np.linalg.norm(wanted, axis=0))


@given(st.lists(st.floats(-3.0, 6.0), min_size=2, max_size=4), st.sampled_from([0.0, 3.0]))
@settings(deadline=None, max_examples=12)
def test_every_column_keeps_the_tolerance_whatever_its_scale(
    decades: list[float], offset: float
) -> None:
    dense = head(*(10.0**decade for decade in decades), offset=offset)
    small = small_of(dense)
    assert errors_of(small, dense).max() < TOLERANCE
    said = [error.relative_error for error in small.plan.errors]
    assert small.plan.columns == "each"
    assert max(said) == small.plan.relative_error <= TOLERANCE
    np.testing.assert_allclose(said, errors_of(small, dense), rtol=0.2, atol=1e-7)


def test_scales_of_columns_change_nothing() -> None:
    """All errors are relative: what is found for 1, 0.1 and 1e5 is what is found for equal scales."""
    uneven, even = small_of(head(1.0, 0.1, 1e5)), small_of(head(1.0, 1.0, 1.0))
    assert uneven.plan.gains
    assert uneven.plan.parameters <= 1.5 * even.plan.parameters


def test_joint_columns_may_hide_behind_a_large_one_and_the_plan_says_that_they_are_joint() -> None:
    dense = head(1.0, 1e-4)
    small = small_of(dense, "joint")
    assert small.plan.columns == "joint"
    assert not small.plan.errors
    assert errors_of(small, dense)[0] < TOLERANCE < errors_of(small, dense)[1]
    assert small.plan.parameters < small_of(dense).plan.parameters


def test_columns_of_an_operator_and_of_wide_outputs_are_one_field() -> None:
    assert fields_of([MOST_APART, MOST_APART + 1]) == (*[1] * MOST_APART, MOST_APART + 1)
    model = random_mlp([16, 24, 16], seed=1)
    points = points_of_domain(Domain(((-1.0, 1.0),) * 16), 16, 24, seed=0)
    operator = poisson_operator(16)
    case = prepare(model, LAPTOP, points, Request(TOLERANCE), Source("m", ""), problem=operator)
    assert case.fields == (16,)
    asked = Request(TOLERANCE, columns="each")
    case = prepare(model, LAPTOP, points, asked, Source("m", ""), problem=operator)
    assert case.fields == (1,) * 16


def test_a_column_of_zeros_is_measured_by_the_others() -> None:
    dense = head(1.0, 0.0)
    small = small_of(dense)
    found = run_float32(small.to_onnx(), SQUARE.sample(1000, seed=1))
    assert small.plan.gains
    assert np.abs(found[:, 1]).max() < TOLERANCE


def test_sensitivities_are_relative_to_each_column() -> None:
    points = SQUARE.sample(500, 0)
    small, large = (
        measure(split(head(1.0, scale)), points, 0).sensitivities for scale in (1e-6, 1e6)
    )
    for name in ("site0", "site1"):
        np.testing.assert_allclose(small[name], large[name], rtol=1e-4)


def test_not_a_number_in_one_column_is_refused() -> None:
    model = head(1.0, 3e38)
    with pytest.raises(ModelError, match="not finite"):
        small_of(model)


def test_what_is_written_and_printed_names_the_column(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path, out = tmp_path / "m.onnx", tmp_path / "m.hedge.safetensors"
    path.write_bytes(head(1.0, 10.0).SerializeToString())
    hedge.compress(
        path, device="laptop-x86", tolerance=TOLERANCE, domain="-1:1,-1:1", out=out, recover=None
    )
    plan = hedge.load(out).plan
    assert [(error.output, error.column) for error in plan.errors] == [("u", 0), ("u", 1)]
    print_plan(str(out), plan)
    printed = capsys.readouterr().out
    worst = int(np.argmax([error.relative_error for error in plan.errors]))
    assert f"of the worst, u[{worst}]," in printed
    assert "errors by column" in printed
    assert load_model(path).graph.output[0].name == "u"


@pytest.mark.parametrize("offset", [120.0, 1000.0])
def test_a_small_spread_is_told_of_and_can_be_the_promise(offset: float) -> None:
    """A temperature in kelvin: an error of 1e-2 relative to its size may be all that it varies by."""
    dense = head(3.0, offset=offset)
    points = SQUARE.sample(20_000, seed=987)
    wanted = run_float32(dense, points)
    spread = np.linalg.norm(wanted - wanted.mean())

    def off(small: CompressedModel) -> float:
        return float(np.linalg.norm(run_float32(small.to_onnx(), points) - wanted) / spread)

    small = small_of(dense)
    told = small.plan.small_spread
    assert told is not None
    assert off(small) > 10 * TOLERANCE
    assert told.part == pytest.approx(spread / np.linalg.norm(wanted), rel=0.1)
    assert told.error == pytest.approx(off(small), rel=0.1)
    kept = small_of(dense, relative_to="spread")
    assert kept.plan.small_spread is None
    assert off(kept) < TOLERANCE
    assert kept.plan.relative_error == pytest.approx(off(kept), rel=0.2)


def test_a_constant_has_no_spread() -> None:
    model = head(1.0)
    for tensor in model.graph.initializer[-2:]:
        values = numpy_helper.to_array(tensor) * 0.0 + (tensor.dims[0] == len(tensor.dims))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    with pytest.raises(ModelError, match="constant on the domain"):
        small_of(model, relative_to="spread")
