"""docs/extending.md: what is added in one place is known everywhere."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge import methods
from hedge.compression import Case, parameter_count
from hedge.devices import find_profile, predicted_seconds
from hedge.errors import InputError
from hedge.graph import (
    SiteMatrix,
    assemble,
    graph_work,
    neuron_groups,
    probed_ops,
    run_float32,
    split,
)
from hedge.graph.reverse import site_gradients, trace
from hedge.hmatrix import plain_spectrum
from hedge.methods import METHODS, Candidate, Method
from hedge.methods.bisection import coarsest_within
from hedge.ops import OPS, Op
from tests.architectures import plain
from tests.conftest import make_model
from tests.exporting.c_compiler import needs_gcc

POINTS = np.random.default_rng(0).uniform(-1.0, 1.0, (200, 2))
# softshrink, which hedge reads and knows nothing of: x − bias beyond lambd, x + bias below −lambd, else 0.
SHRINK = Op(
    "unary",
    derivative=lambda x, y: (y != 0.0).astype(np.float64),
    c="shrink({0}, {1}, {2})",
    function=(
        "{real} shrink({real} x, {real} b, {real} l) "
        "{{ return x < -l ? x + b : x > l ? x - b : 0; }}"
    ),
    attributes={"bias": 0.0, "lambd": 0.5},
    cost="Neg",
)


@pytest.fixture
def net() -> ModelProto:
    """Two layers with softshrink between them, of 12 neurons in pairs of twins."""
    rng = np.random.default_rng(1)
    weights = {
        "w0": np.repeat(rng.standard_normal((6, 2)), 2, axis=0), "b0": rng.standard_normal(12),
        "w1": rng.standard_normal((1, 12)), "b1": np.ones(1),
    }  # fmt: skip
    weights["b0"][1::2] = weights["b0"][::2]
    nodes = [
        helper.make_node("Gemm", ["x", "w0", "b0"], ["z"], transB=1),
        helper.make_node("Shrink", ["z"], ["a"], bias=0.5, lambd=0.5),
        helper.make_node("Gemm", ["a", "w1", "b1"], ["u"], transB=1),
    ]
    return make_model(nodes, weights, inputs=2)


@needs_gcc
def test_an_activation_is_one_entry(
    net: ModelProto, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = split(net)
    assert not neuron_groups(parts).groups
    assert probed_ops(parts) == ("Shrink",)
    probed = site_gradients(trace(parts, POINTS), np.ones((200, 1)))

    monkeypatch.setitem(OPS, "Shrink", SHRINK)  # type: ignore[arg-type]
    assert [group.width for group in neuron_groups(parts).groups] == [12]
    assert not probed_ops(parts)
    exact = site_gradients(trace(parts, POINTS), np.ones((200, 1)))
    np.testing.assert_allclose(exact["site0"], probed["site0"], atol=1e-6)

    path, out = tmp_path / "net.onnx", tmp_path / "net.hedge.safetensors"
    path.write_bytes(net.SerializeToString())
    small = hedge.compress(
        path, device="laptop-x86", domain="-1:1,-1:1", tolerance=1e-4, objective="size", out=out
    )
    assert small.plan.sites[0].outputs <= 6
    device = find_profile("laptop-x86")
    assert predicted_seconds(device, graph_work(net, 1000)) > 0.0

    hedge.export_c(out, tmp_path / "net.c")
    main = tmp_path / "main.c"
    main.write_text(
        '#include <stdio.h>\n#include "net.h"\nint main(void) { float x[2], u[1];\n'
        'while (scanf("%f %f", x, x + 1) == 2) { net_eval(x, u); printf("%.9g\\n", u[0]); } }\n'
    )
    program = tmp_path / "program"
    sources = [str(tmp_path / "net.c"), str(main)]
    subprocess.run(["gcc", "-o", str(program), *sources, "-lm"], check=True)
    rows = "\n".join(f"{a:.9g} {b:.9g}" for a, b in POINTS.astype(np.float32))
    run = subprocess.run([str(program)], input=rows, capture_output=True, text=True, check=True)
    found = np.array(run.stdout.split(), dtype=float)
    np.testing.assert_allclose(found, run_float32(small.to_onnx(), POINTS)[:, 0], atol=1e-5)


def without_small_weights(case: Case) -> Candidate:
    """A method: weights below a thousandth of the largest become zero."""
    matrices = {
        name: type(m)((np.where(np.abs(m.dense()) < 1e-3, 0.0, m.dense()),), m.bias)
        for name, m in case.split.matrices.items()
    }
    return Candidate(assemble(case.split.skeleton, matrices), parameter_count(matrices), 0)


def test_a_method_is_a_function_of_a_case(monkeypatch: pytest.MonkeyPatch) -> None:
    methods = {"dense": METHODS["dense"], "without small weights": Method(without_small_weights)}
    monkeypatch.setattr("hedge.api.measuring.METHODS", methods)
    seen: list[str] = []
    table = hedge.compare_methods(
        hedge.reference_models()["heat"], device="laptop-x86", batches=(1,),
        effort=hedge.benching.Effort(warm_up_s=0.0, timed_s=0.01), on_progress=seen.append,
    )  # fmt: skip
    assert [row.method for row in table.rows] == ["dense", "without small weights"]
    assert "searching without small weights" in seen


def leading_ranks(case: Case, aim: float | None = None) -> Candidate:
    """A method whose matrices a plan can hold: the same rank everywhere, the least that is good enough."""
    rank, matrices = coarsest_within(
        case, lambda rank: truncated_to(case, round(rank)), 64.0, 1.0, aim
    )
    model = assemble(case.split.skeleton, matrices)
    return Candidate(model, parameter_count(matrices), 0, f"rank {rank:.0f}", matrices)


def truncated_to(case: Case, rank: int) -> dict[str, SiteMatrix]:
    return {
        name: SiteMatrix(plain_spectrum(m.dense()).truncate(rank), m.bias)
        if rank < min(m.shape) // 2
        else m
        for name, m in case.split.matrices.items()
    }


def test_a_method_with_matrices_is_one_of_compress_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    method = methods._certified("ranks", leading_ranks)
    monkeypatch.setitem(methods.COMPRESSING, "ranks", method.compress)
    path, out = tmp_path / "net.onnx", tmp_path / "small.hedge.safetensors"
    path.write_bytes(plain("Tanh").SerializeToString())  # its neurons are copies of a few
    small = hedge.compress(
        path, device="laptop-x86", tolerance=1e-2, objective="size", method="ranks",
        domain="-1:1,-1:1", out=out,
    )  # fmt: skip
    assert small.plan.method == hedge.load(out).plan.method == "ranks"
    assert small.plan.gains
    assert small.plan.relative_error <= 1e-2
    assert small.plan.parameters < 0.7 * small.plan.dense_parameters
    with pytest.raises(InputError, match="one of hierarchical"):
        hedge.compress(hedge.reference_models()["heat"], device="laptop-x86", method="unknown")
