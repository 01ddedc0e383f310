"""Backends run the model they are given, and a fresh process tells what starting it takes."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path

import numpy as np
import openvino
import pytest

from hedge.benching import Effort, backends, bench, find_backend
from hedge.benching.backends import compiled_run
from hedge.benching.cold_start import cold_start
from hedge.benching.protocol import Repeated, random_feeds
from hedge.devices import Device
from hedge.errors import InputError, ModelError
from hedge.exporting.compiling import compiler_here
from hedge.graph import load_model, run_float32
from tests.conftest import random_mlp


@pytest.mark.parametrize("name", ["openvin", "", "C"])
def test_an_unknown_backend_is_refused_with_those_there_are(name: str) -> None:
    with pytest.raises(InputError, match="use one of onnxruntime, openvino, c"):
        find_backend(name)


def test_a_backend_that_is_not_installed_says_how_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(backends.BACKENDS, "not-there", backends.openvino_run)
    with pytest.raises(InputError, match=r"not-there is not installed; run: pip install"):
        find_backend("not-there")


def test_openvino_gives_times_in_the_same_table(heat_path: Path, laptop: Device) -> None:
    effort = Effort(warm_up_s=0.01, timed_s=0.02)
    chosen = find_backend("openvino")
    result = bench([heat_path, heat_path], laptop, batches=[1, 64], effort=effort, backend=chosen)
    assert result.backend == "openvino"
    assert result.runtime == f"openvino {chosen.version}"
    assert len(result.models) == 4
    assert all(m.median_s > 0 and m.start_s is None for m in result.models)


def test_openvino_runs_the_model_on_the_rows_it_is_given(
    heat_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = load_model(heat_path)
    requests = []
    original = openvino.CompiledModel.create_infer_request

    def watched(compiled: openvino.CompiledModel) -> openvino.InferRequest:
        requests.append(original(compiled))
        return requests[-1]

    monkeypatch.setattr(openvino.CompiledModel, "create_infer_request", watched)
    backends.openvino_run(model, 5, 1)()
    (rows,) = random_feeds(model, 5).values()
    found = requests[0].get_output_tensor(0).data
    np.testing.assert_allclose(found, run_float32(model, rows), rtol=1e-4, atol=1e-5)


def test_a_model_that_openvino_refuses_is_an_error_of_ours() -> None:
    model = random_mlp([2, 4, 1])
    model.graph.node[0].op_type = "NobodyKnowsThis"
    with pytest.raises(ModelError, match="openvino can't run it at batch 1"):
        backends.openvino_run(model, 1, 1)


needs_gcc = pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")


@needs_gcc
@pytest.mark.parametrize("batch", [1, 37])
def test_the_c_export_is_a_backend(heat_path: Path, laptop: Device, batch: int) -> None:
    """Its runs write what onnxruntime computes; the table names compiler and flags."""
    model = load_model(heat_path)
    run = compiled_run(model, batch, 1)
    assert isinstance(run, Repeated) == (batch == 1)
    function = run.run if isinstance(run, Repeated) else run
    ((_, results),) = function.__defaults__ or ()
    results[:] = 0.0
    run()
    (rows,) = random_feeds(model, batch).values()
    np.testing.assert_allclose(results, run_float32(model, rows), rtol=1e-4, atol=1e-5)
    effort = Effort(warm_up_s=0.01, timed_s=0.02)
    result = bench([heat_path], laptop, batches=[batch], effort=effort, backend=find_backend("c"))
    assert "-O3" in result.runtime
    assert result.models[0].median_s > 0


@needs_gcc
def test_compiled_c_leaves_the_arithmetic_of_this_process_alone() -> None:
    compiled_run(random_mlp([2, 4, 1]), 1, 1)()
    assert np.float64(sys.float_info.min) / 2.0 > 0.0  # not flushed to zero


def test_what_c_can_not_do_is_one_line() -> None:
    with pytest.raises(InputError, match="threads: the C export runs on one, not 2"):
        compiled_run(random_mlp([2, 4, 1]), 1, 2)
    unknown = random_mlp([2, 4, 1])
    unknown.graph.node[1].op_type = "NobodyKnowsThis"
    with pytest.raises(ModelError, match="NobodyKnowsThis"):
        compiled_run(unknown, 1, 1)


def test_without_a_compiler_c_is_no_backend(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "gcc -O1")
    with pytest.raises(
        InputError, match=r"CC names 'gcc -O1', which is no program; .* without flags"
    ):
        find_backend("c")
    monkeypatch.setenv("CC", "")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(InputError, match="c needs a C compiler; install gcc"):
        find_backend("c")


@needs_gcc
def test_what_a_compiler_refuses_is_its_first_error() -> None:
    files = {"model.h": "#error what is wrong\n", "model.c": '#include "model.h"\n'}
    with pytest.raises(ModelError, match=r"does not compile here .*error: #error what is wrong"):
        compiler_here().library(files)


def test_a_program_that_compiles_nothing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "true")
    with pytest.raises(InputError, match="true compiles nothing; name a C compiler in CC"):
        compiled_run(random_mlp([2, 4, 1]), 1, 1)


def test_a_fresh_process_tells_times_and_memory() -> None:
    small, large = (
        cold_start(random_mlp([2, width, width, 1]).SerializeToString(), 4, 1)
        for width in (8, 2048)
    )
    assert 0 < small.start_s < 60
    assert 0 < small.first_run_s < 60
    if sys.platform == "linux":
        assert small.memory_bytes is not None
        assert large.memory_bytes is not None
        weights = 4 * 2048**2
        assert large.memory_bytes - small.memory_bytes > 0.9 * weights


def test_a_process_that_fails_says_why() -> None:
    with pytest.raises(
        ModelError, match=r"batch 1 .* fresh process .*exit code 1, .*INVALID_PROTOBUF"
    ):
        cold_start(b"no model", 1, 1)
