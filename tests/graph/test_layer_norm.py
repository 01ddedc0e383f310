"""LayerNorm as one node and as nine: one network, one result, also in C."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto

import hedge
from hedge.graph import load_model, neuron_groups, run_float32, split
from hedge.graph.layer_norm import with_layer_norms_written_out
from tests.architectures import WIDE, Net
from tests.conftest import make_model

POINTS = np.random.default_rng(1).uniform(-1, 1, (50, 2)).astype(np.float32)
# What stands between a layer and its activation.
FORMS = ("whole", "node by node", "by Mul", "without scale", "without bias", "of opset 18")


def normalised(form: str, epsilon: float = 1e-5, divisor: str = "root") -> ModelProto:
    """tanh(LayerNorm(z)) between two layers; ``divisor`` names what the centred z is divided by."""
    net = Net()
    net.weights |= {"two": np.array(2.0), "epsilon": np.array(epsilon)}
    scale = net.rng.uniform(0.5, 1.5, WIDE) if form != "without scale" else np.ones(WIDE)
    bias = net.rng.uniform(-0.5, 0.5, WIDE) if form != "without bias" else np.zeros(WIDE)
    net.weights |= {"scale": scale, "bias": bias}
    z = net.dense("x", "z", 2)
    if form == "whole":
        net.op("LayerNormalization", [z, "scale", "bias"], "normal", axis=-1, epsilon=epsilon)
    else:
        net.weights |= {"axes": np.array([-1])} if form == "of opset 18" else {}
        over = (["axes"], {}) if form == "of opset 18" else ([], {"axes": [-1]})
        net.op("ReduceMean", [z, *over[0]], "mean", **over[1])
        net.op("Sub", [z, "mean"], "centred")
        net.op(
            *(("Mul", ["centred"] * 2) if form == "by Mul" else ("Pow", ["centred", "two"])),
            "square",
        )
        net.op("ReduceMean", ["square", *over[0]], "variance", **over[1])
        net.op("Add", ["variance", "epsilon"], "shifted")
        net.op("Sqrt", ["shifted"], "root")
        last = net.op("Div", ["centred", divisor], "quotient")
        if form != "without scale":
            last = net.op("Mul", [last, "scale"], "scaled")
        net.op(
            *(("Identity", [last]) if form == "without bias" else ("Add", [last, "bias"])), "normal"
        )
    net.dense(net.op("Tanh", ["normal"], "h"), "u", WIDE, 1)
    weights = {k: v for k, v in net.weights.items() if any(k in n.input for n in net.nodes)}
    opset = 18 if form == "of opset 18" else 17
    return make_model(net.nodes, weights, inputs=2, opset=opset)


@pytest.mark.parametrize("form", FORMS)
def test_the_forms_are_one_network(form: str, tmp_path: Path) -> None:
    path = tmp_path / "m.onnx"
    onnx.save(normalised(form), path)
    model = load_model(path)
    parts = split(model)
    ops = [node.op_type for node in parts.skeleton.graph.node if not node.domain]
    assert [op for op in ops if op != "Identity"] == ["LayerNormalization", "Tanh"]
    small = hedge.compress(
        path,
        device="laptop-x86",
        domain="-1:1,-1:1",
        tolerance=1e-3,
        objective="size",
        recover=None,
    )
    exact = run_float32(model, POINTS)
    assert np.abs(run_float32(small.to_onnx(), POINTS) - exact).max() < 1e-2 * np.abs(exact).max()
    reasons = neuron_groups(parts).reasons
    assert "LayerNormalization" in reasons["site0"]
    assert "reads them" in reasons["site0"]


@pytest.mark.parametrize("form", ["whole", "of opset 18"])
def test_it_is_written_in_c(form: str, tmp_path: Path) -> None:
    onnx.save(normalised(form), tmp_path / "m.onnx")
    hedge.export_c(tmp_path / "m.onnx", tmp_path / "m.c", test=True)
    run = subprocess.run(
        ["make", "-f", "m.mk", "test"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_written_out_it_is_the_same_function() -> None:
    model = normalised("whole", epsilon=0.1)
    written = with_layer_norms_written_out(model)
    assert "LayerNormalization" not in {node.op_type for node in written.graph.node}
    off = run_float32(written, POINTS) - run_float32(model, POINTS)
    assert np.abs(off).max() < 1e-5


def test_what_only_looks_like_it_stays() -> None:
    """Divided by the variance, not by its root."""
    parts = split(normalised("node by node", divisor="shifted"))
    ops = [node.op_type for node in parts.skeleton.graph.node]
    assert "LayerNormalization" not in ops
