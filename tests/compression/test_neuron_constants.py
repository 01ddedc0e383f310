"""Learnt slopes, scales and shifts per neuron: layers take them in, or they are cut with the neurons."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import hedge
from hedge.compression import Network, compress, load_compressed, save_compressed
from hedge.graph import assemble, load_model, neuron_groups, run_float32, split, with_kept_neurons
from hedge.recovery.cut_and_fit import case_of
from tests.architectures import ARCHITECTURES, NARROW, POINTS, WIDE, Net, worst_error
from tests.recovery.cases import case_of as prepare_model

Activation = Callable[[Net, str, str], str]
"""The net, z, and the name of a slope per neuron -> what the next layer reads."""
Save = Callable[[ModelProto], Path]
TOLERANCE = 1e-3


def network(activation: Activation, *, shared: bool = False) -> ModelProto:
    net, h = Net(), "x"
    net.weights |= {"one": np.array(1.0), "ten": np.array(10.0), "a": np.array(0.13)}
    for number, width in enumerate((2, WIDE)):
        if number == 0 or not shared:
            slope = net.constant(f"slope{number}")
        h = activation(net, net.dense(h, f"z{number}", width), slope)
    net.dense(h, "u", WIDE, 1)
    return net.model()


def op(net: Net, name: str, *operands: str) -> str:
    return net.op(name, list(operands), f"{name}.{len(net.nodes)}")


def swish(net: Net, z: str, slope: str) -> str:
    return op(net, "Mul", z, op(net, "Sigmoid", op(net, "Mul", slope, z)))


def clipped(net: Net, z: str, slope: str) -> str:
    return op(net, "Min", op(net, "Max", z, op(net, "Neg", slope)), slope)


def leaky(net: Net, z: str, slope: str) -> str:
    net.weights["zero"] = np.array(0.0)
    return op(net, "Where", op(net, "Greater", z, "zero"), z, op(net, "Mul", slope, z))


def gated_norm(net: Net, z: str, slope: str) -> str:
    parts = [op(net, "Tanh", z), slope, slope, slope, slope]
    y = net.op("BatchNormalization", parts, f"norm.{z}", epsilon=1e-3)
    return op(net, "Mul", y, op(net, "Sigmoid", y))


FOLDED: dict[str, Activation] = {
    "tanh(a z)": lambda net, z, a: op(net, "Tanh", op(net, "Mul", a, z)),
    "tanh(n a z)": lambda net, z, a: op(net, "Tanh", op(net, "Mul", op(net, "Mul", "ten", a), z)),
    "tanh(n a z) of one a": lambda net, z, a: op(
        net, "Tanh", op(net, "Mul", op(net, "Mul", "ten", "a"), z)
    ),
    "tanh(softplus(a) z)": lambda net, z, a: op(
        net, "Tanh", op(net, "Mul", op(net, "Softplus", a), z)
    ),
    "sin(a z + a)": lambda net, z, a: op(net, "Sin", op(net, "Add", op(net, "Mul", z, a), a)),
    "a sin(z / a) - one": lambda net, z, a: op(
        net, "Sub", op(net, "Mul", a, op(net, "Sin", op(net, "Div", z, a))), "one"
    ),
}
CUT: dict[str, Activation] = {
    "z sigmoid(a z)": swish,
    "tanh(z) (1 + a z)": lambda net, z, a: op(
        net, "Mul", op(net, "Tanh", z), op(net, "Add", "one", op(net, "Mul", z, a))
    ),
    "z where it is above 0, else a z": leaky,
    "PReLU": lambda net, z, a: op(net, "PRelu", z, a),
    "z / (1 + |z / a|)": lambda net, z, a: op(
        net, "Div", z, op(net, "Add", op(net, "Abs", op(net, "Div", z, a)), "one")
    ),
    "from -a to a": clipped,
    "|z|^a": lambda net, z, a: op(net, "Pow", op(net, "Abs", z), a),
    "a norm that two nodes read": gated_norm,
}  # fmt: skip


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("kind", FOLDED)
def test_what_stands_beside_a_layer_is_folded_into_it(kind: str, *, shared: bool) -> None:
    model = network(FOLDED[kind], shared=shared)
    parts = split(model)
    activation = "Sin" if "sin" in kind else "Tanh"
    assert [n.op_type for n in parts.skeleton.graph.node if not n.domain] == 2 * [activation]
    assert not parts.skeleton.graph.initializer
    exact = run_float32(model, POINTS)
    folded = run_float32(assemble(parts.skeleton, parts.matrices), POINTS)
    assert np.abs(folded - exact).max() < 1e-5 * np.abs(exact).max()


@pytest.mark.parametrize("shared", [False, True], ids=["own", "shared"])
@pytest.mark.parametrize("kind", CUT)
def test_what_stands_inside_an_activation_is_cut_with_the_neurons(
    kind: str, saved: Save, tmp_path: Path, *, shared: bool
) -> None:
    path = saved(network(CUT[kind], shared=shared))
    compressed = tmp_path / "m.hedge.safetensors"
    small = hedge.compress(
        path, device="laptop-x86", domain="-1:1,-1:1", tolerance=TOLERANCE, objective="size",
        recover=None, out=compressed,
    )  # fmt: skip
    first, second, _ = (matrix.shape[0] for matrix in small.matrices.values())
    assert max(first, second) <= NARROW
    exported = hedge.export(compressed, tmp_path / "small.onnx")
    assert worst_error(exported, load_model(path)) < TOLERANCE
    rows = [(t.dims or [1])[-1] for t in exported.graph.initializer if ".weight" not in t.name]
    assert max(rows) <= NARROW


def test_a_slope_that_two_layers_share_is_cut_for_each_by_itself() -> None:
    parts = split(network(swish, shared=True))
    first, second = neuron_groups(parts).groups
    kept = {first.producers[0]: np.arange(3)}
    skeleton = with_kept_neurons(parts, [first, second], kept).skeleton
    widths = {t.name: t.dims[-1] for t in skeleton.graph.initializer}
    assert [widths[name] for name in (*first.constants, *second.constants)] == [3, WIDE]


def test_what_was_cut_is_read_and_judged_again(tmp_path: Path) -> None:
    case = prepare_model(ARCHITECTURES["slopes per neuron"](), TOLERANCE)
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(compress(case), path)
    again = load_compressed(path)
    here = case_of(case, again)
    assert here is not case
    assert here.validation_error(again.matrices) < TOLERANCE
    assert Network(here, again.matrices).here.groups[0].width <= NARROW


def test_a_scale_that_float32_could_not_hold_in_the_weights_stays() -> None:
    def tiny_and_back(net: Net, z: str, slope: str) -> str:
        net.weights |= {"tiny": np.array(1e-38), "huge": np.array(1e38)}
        return op(net, "Tanh", op(net, "Mul", op(net, "Mul", z, "tiny"), "huge"))

    parts = split(network(tiny_and_back))
    assert [n.op_type for n in parts.skeleton.graph.node if not n.domain] == 2 * [
        "Mul",
        "Mul",
        "Tanh",
    ]
