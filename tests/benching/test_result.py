"""The result file: there and back, older ones, and damaged ones of every kind."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hedge.benching import BenchResult, Effort, bench, read_result
from hedge.devices import find_profile
from hedge.errors import InputError

# As the version before windows, intervals and backends wrote it.
SCHEMA_1: dict[str, Any] = {
    "hedge_bench": 1,
    "device": "laptop-x86",
    "threads": 2,
    "machine": {
        "processor": "AMD EPYC", "system": "Linux x86_64", "cores": 2,
        "load_average": [0.5, 0.25, 0.1], "python": "3.11.7", "onnxruntime": "1.22.0",
        "hedge": "0.1.0",
    },
    "models": [
        {
            "path": "heat.onnx", "batch": 4, "parameters": 8577, "median_s": 2e-5, "p90_s": 3e-5,
            "p99_s": 3e-5, "spread": 0.05, "speedup": 1.0, "paper_bound_s": 1e-6,
            "bound_holds": False, "roofline_s": 1e-7, "predicted_s": 1.5e-5, "energy_j": 1e-4,
            "times_s": [1e-5, 2e-5, 3e-5],
        }
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def result(heat_path: Path) -> BenchResult:
    effort = Effort(warm_up_s=0.01, timed_s=0.02)
    return bench([heat_path], find_profile("laptop-x86"), batches=[1, 8], effort=effort)


def test_a_result_reads_back_as_it_was(result: BenchResult, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_text(json.dumps(result.to_json(), allow_nan=False))
    back = read_result(path)
    for was, read in zip(result.models, back.models, strict=True):
        # Raw times are kept to the nanosecond, all else to the last digit.
        np.testing.assert_allclose(read.windows, was.windows, atol=0.51e-9, rtol=0)
        assert read.model_copy(update={"times_s": was.times_s}) == was
    assert back.model_copy(update={"models": result.models}) == result
    assert json.loads(path.read_text())["hedge_bench"] == 2


def test_a_result_of_schema_1_is_read(tmp_path: Path) -> None:
    path = tmp_path / "old.json"
    path.write_text(json.dumps(SCHEMA_1))
    old = read_result(path)
    assert old.hedge_bench == 2
    assert old.runtime == "onnxruntime 1.22.0"
    assert old.threads == 2
    (heat,) = old.models
    np.testing.assert_array_equal(heat.windows, [[1e-5], [2e-5], [3e-5]])
    assert heat.median_s == 2e-5
    assert heat.rows_per_s == pytest.approx(4 / 2e-5)
    assert heat.speedup_interval is heat.memory_bytes is heat.unstable is None
    path.write_text(json.dumps(first_model(SCHEMA_1, spread=0.5)))
    assert read_result(path).models[0].unstable == "quartiles 50% of the median apart"


def without(document: dict[str, Any], key: str) -> dict[str, Any]:
    return {name: value for name, value in document.items() if name != key}


def first_model(document: dict[str, Any], **changed: object) -> dict[str, Any]:
    return {**document, "models": [{**document["models"][0], **changed}]}


DAMAGED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "no JSON": (lambda new: "{", "is not JSON"),
    "deep": (lambda new: "[" * 10**5, "is not JSON"),
    "a list": (lambda new: [new], "is not a result"),
    "another document": (lambda new: {"hedge_compare": 1}, "is not a result"),
    "a schema that equals 1": (lambda new: {**new, "hedge_bench": True}, "schema True"),
    "a machine that is not finite": (
        lambda new: {**new, "machine": {**new["machine"], "load_average": [float("nan")]}},
        "'machine.load_average.0'",
    ),
    "no time at all": (lambda new: first_model(new, times_s=[[0.0]]), "'models.0.times_s.0.0'"),
    "a newer schema": (lambda new: {**new, "hedge_bench": 3}, "schema 3"),
    "a key missing": (lambda new: without(new, "threads"), "'threads'"),
    "a key too many": (lambda new: {**new, "thread": 1}, "'thread'"),
    "a text for a number": (lambda new: first_model(new, median_s="fast"), "'models.0.median_s'"),
    "not finite": (lambda new: first_model(new, spread=float("inf")), "'models.0.spread'"),
    "no times": (lambda new: first_model(new, times_s=[]), "'models.0.times_s'"),
    "windows of no times": (lambda new: first_model(new, times_s=[[], []]), "'models.0.times_s'"),
    "ragged windows": (lambda new: first_model(new, times_s=[[1.0], [1.0, 2.0]]), "as many times"),
    "old, a key missing": (lambda new: without(SCHEMA_1, "device"), "'device'"),
    "old, no machine": (lambda new: without(SCHEMA_1, "machine"), "damaged"),
    "old, no times": (lambda new: first_model(SCHEMA_1, times_s=None), "damaged"),
    "old, empty times": (lambda new: first_model(SCHEMA_1, times_s=[]), "damaged"),
    "old, no time at all": (lambda new: first_model(SCHEMA_1, times_s=[0.0]), "damaged"),
    "old, a huge number": (lambda new: first_model(SCHEMA_1, batch=10**400), "damaged"),
    "old, models a text": (lambda new: {**SCHEMA_1, "models": "none"}, "damaged"),
}


@pytest.mark.parametrize("kind", DAMAGED)
def test_a_damaged_result_is_refused_by_file_and_key(
    kind: str, result: BenchResult, tmp_path: Path
) -> None:
    damage, named = DAMAGED[kind]
    damaged = damage(result.to_json())
    path = tmp_path / "bad.json"
    path.write_text(damaged if isinstance(damaged, str) else json.dumps(damaged))
    with pytest.raises(InputError) as refused:
        read_result(path)
    assert str(refused.value).startswith(str(path))
    assert named in str(refused.value)
    assert "\n" not in str(refused.value)


def test_bytes_that_are_no_text_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match="is not JSON"):
        read_result(path)
    with pytest.raises(InputError, match="no such file"):
        read_result(tmp_path / "gone.json")
