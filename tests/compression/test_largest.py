"""``--norm max``: the largest error keeps the tolerance, and is searched for around the worst points."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.cli.plan_table import print_plan
from hedge.compression import (
    Request,
    Source,
    certified,
    certifying_points,
    compress,
    points_of_domain,
    prepare,
)
from hedge.compression.confidence import risk_of, unseen_part
from hedge.compression.measure import output_error
from hedge.compression.worst import largest_nearby
from hedge.devices import find_profile
from hedge.errors import InputError
from hedge.graph import run_float32
from hedge.problems import Domain
from tests.conftest import random_mlp

SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
LAPTOP = find_profile("laptop-x86")
DENSE = random_mlp([2, 24, 24, 2], seed=1)
TOLERANCE = 1e-2


def case_of(norm: str = "max", tolerance: float = TOLERANCE):  # type: ignore[no-untyped-def]
    request = Request(tolerance, "size", norm=norm)  # type: ignore[arg-type]
    points = points_of_domain(SQUARE, 2, 24, 0, certifying_points(request))
    return prepare(DENSE, LAPTOP, points, request, Source("m", ""))


def largest(model: hedge.compression.CompressedModel) -> float:
    """Of the worst column, on points of our own."""
    points = SQUARE.sample(200_000, seed=987)
    wanted = run_float32(DENSE, points)
    missed = np.abs(run_float32(model.to_onnx(), points) - wanted).max(axis=0)
    return float((missed / np.abs(wanted).max(axis=0)).max())


def test_the_largest_error_is_the_promise() -> None:
    small, other = compress(case_of()), compress(case_of("l2"))
    assert small.plan.gains
    assert largest(small) <= TOLERANCE < largest(other)
    assert small.plan.max_error == small.plan.promised_error
    assert largest(small) <= small.plan.max_error * 1.02 <= TOLERANCE * 1.02
    assert other.plan.promised_error == other.plan.relative_error
    assert small.plan.unseen_part == unseen_part(131_072, risk_of(small.plan.attempts - 1))
    assert other.plan.unseen_part is None


def test_a_peak_beside_the_points_is_found() -> None:
    def hill(x: np.ndarray) -> np.ndarray:
        return np.exp(-np.sum((x - 0.313) ** 2, axis=1) / 2e-4)

    points = SQUARE.sample(2000, seed=3)
    sampled = hill(points).max()
    assert sampled < 0.9
    assert largest_nearby(hill, points, SQUARE, seed=0) > 0.999


def test_the_search_stays_in_the_box() -> None:
    seen = []

    def rising(x: np.ndarray) -> np.ndarray:
        seen.append(x)
        return np.asarray(x.sum(axis=1))

    assert largest_nearby(rising, SQUARE.sample(100, seed=0), SQUARE, seed=0) == 2.0
    assert np.abs(np.concatenate(seen)).max() <= 1.0


def test_what_the_search_finds_can_refuse_a_candidate(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of()
    small = compress(case)
    assert certified(case, small.matrices, 1) is not None
    monkeypatch.setattr(
        "hedge.compression.case.largest_nearby", lambda *_: TOLERANCE * (1.0 + 1e-9)
    )
    assert certified(case, small.matrices, 1) is None


def test_one_point_beyond_the_limit_is_one_too_many() -> None:
    targets = np.ones((1000, 1))
    outputs = targets.copy()
    outputs[7] += 0.011
    assert output_error(outputs, targets).surely_within(1e-2)
    assert not output_error(outputs, targets, norm="max").surely_within(1e-2)
    assert output_error(outputs, targets, norm="max").surely_within(1.2e-2)


def test_with_samples_alone_largest_is_over_those_that_certify(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, samples = tmp_path / "m.onnx", tmp_path / "x.npy"
    model.write_bytes(DENSE.SerializeToString())
    np.save(samples, SQUARE.sample(4000, seed=1))
    plan = hedge.compress(
        model, device="laptop-x86", objective="size", samples=samples, tolerance=TOLERANCE,
        norm="max", recover=None,
    ).plan  # fmt: skip
    assert plan.fresh_points == 250
    assert plan.unseen_part == pytest.approx(-np.log(risk_of(plan.attempts - 1)) / 250, rel=0.05)
    assert "--norm max" in plan.command
    print_plan("m", plan)
    printed = " ".join(capsys.readouterr().out.split())
    assert "which is the promise; at most" in printed
    assert "of the domain exceeds it" in printed


def test_it_is_relative_to_the_largest_output_alone() -> None:
    with pytest.raises(InputError, match="leave out --relative-to spread"):
        replace(Request(1e-2, norm="max"), relative_to="spread")
