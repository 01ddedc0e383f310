"""Derivatives of every elementwise operator, against differences in float64, or why there is none."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from onnx import ModelProto, TensorProto

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.exporting.c99.rows import supported
from hedge.graph import Evaluator, with_derivatives
from hedge.graph.derivatives import Derivatives, differentiated
from hedge.graph.kinks import BENT, CONDITIONS
from hedge.graph.slopes import KINKED
from hedge.ops import OPS
from tests.architectures import Net

NONE = {
    "Ceil": "jumps", "Floor": "jumps", "Round": "jumps", "Sign": "jumps", "ThresholdedRelu": "jumps",
    "Equal": "no number", "Greater": "no number", "GreaterOrEqual": "no number", "Less": "no number",
    "LessOrEqual": "no number",
}  # fmt: skip
UNARY = sorted(name for name, op in OPS.items() if op.kind == "unary" and name not in NONE)
# What has to be as large as that; others take both signs.
SHIFTED = {"Acosh": 1.0, "Log": 0.0, "Reciprocal": 0.5, "Sqrt": 0.0}
POINTS = np.random.default_rng(5).uniform(0.1, 0.9, (9, 2))
STEPS = 1e-5 * np.eye(2)
Build = Callable[[Net], object]


def _model(build: Build) -> ModelProto:
    net = Net()
    net.weights |= {
        "w": np.array([[0.5, -0.8], [0.7, 0.4], [-0.3, 0.6]]), "v": np.array([[0.3, -0.2]]),
        "p": np.array([[0.5, 0.1], [0.2, 0.4], [0.3, 0.3]]), "row": np.array([[0.2, 0.1, 0.3]]),
        "low": np.array(-0.02), "high": np.array(0.3), "scale": np.array([0.5, 2.0, 1.5]),
        "mixed": np.array([[0.2, -0.4, -0.3]]),
    }  # fmt: skip
    net.op("Gemm", ["x", "w"], "z", transB=1)
    net.op("Gemm", ["x", "v"], "column", transB=1)
    net.op("Gemm", ["x", "p"], "positive", transB=1)
    build(net)
    return net.model(opset=24, outputs={"u": 3})


def _unary(op: str) -> Build:
    def build(net: Net) -> None:
        net.weights["shift"] = np.array(SHIFTED.get(op, 0.0))
        source = net.op("Add", ["positive", "shift"], "moved") if op in SHIFTED else "z"
        inputs = [source, "low", "high"] if op == "Clip" else [source]
        net.op(op, inputs, "u", **({"to": TensorProto.FLOAT} if op == "Cast" else {}))

    return build


def _of(op: str, *inputs: str, **attributes: object) -> Build:
    return lambda net: net.op(op, list(inputs), "u", **attributes)


def _where(net: Net) -> None:
    chosen = net.op("Less", ["z", "column"], "below")
    net.op("Where", [chosen, net.op("Sin", ["z"], "wave"), "row"], "u")


def _narrow(net: Net) -> None:
    """A condition and what it chooses of one column, beside what has more of them."""
    chosen = net.op("Less", ["column", "low"], "below")
    net.op("Where", [chosen, net.op("Sin", ["column"], "wave"), "row"], "u")


def _combined(net: Net) -> None:
    net.op("Greater", ["z", "column"], "above")
    net.op("And", ["above", net.op("Less", ["z", "high"], "less")], "between")
    chosen = net.op("Identity", [net.op("Not", ["between"], "outside")], "same")
    net.op("Where", [chosen, net.op("Sin", ["z"], "wave"), "column"], "u")


NOT_IN_C = ("BatchNormalization", "Where, combined")
KINKS: dict[str, Build] = {
    **{op: _unary(op) for op in UNARY if op in {*KINKED, *BENT}},
    **{f"{op} of two": _of(op, "z", "column") for op in ("Max", "Min", "PRelu")},
    **{f"{op} and a constant": _of(op, "z", "row") for op in ("Max", "Min", "PRelu")},
    **{f"a constant and {op}": _of(op, "row", "z") for op in ("Max", "Min")},
    **{f"{op} of four": _of(op, "column", "low", "z", "row") for op in ("Max", "Min")},
    "Clip from below": _of("Clip", "z", "low"),
    "Clip from above": _of("Clip", "z", "", "high"),
    "HardSigmoid, steep": _of("HardSigmoid", "z", alpha=2.0, beta=0.4),
    "Where": _where,
    "Where, of few columns": _narrow,
    "Where, combined": _combined,
}
SMOOTH: dict[str, Build] = {
    **{op: _unary(op) for op in UNARY if op not in KINKS},
    "a constant and PRelu": _of("PRelu", "mixed", "z"),
    "Pow of a row": _of("Pow", "positive", "row"),
    "Pow of two": _of("Pow", "positive", "column"),
    "Pow of a constant": _of("Pow", "row", "z"),
    "BatchNormalization": _of("BatchNormalization", "z", *["scale"] * 4),
}


def models_of_operators() -> dict[str, ModelProto]:
    """All that C can do."""
    builds = {**KINKS, **SMOOTH}
    return {label: _model(builds[label]) for label in builds if label not in NOT_IN_C}


def _differences(model: ModelProto) -> Array:
    """Of all outputs in both columns, (n, 2 m)."""
    value = Evaluator(model)
    return np.hstack([(value(POINTS + h) - value(POINTS - h)) / 2e-5 for h in STEPS])


@pytest.mark.parametrize("label", [*KINKS, *SMOOTH])
def test_first_derivatives_are_those_of_differences(label: str) -> None:
    model = _model({**KINKS, **SMOOTH}[label])
    found = Evaluator(with_derivatives(model, ["u_x", "u_y"], "xy", np.float64))(POINTS)
    np.testing.assert_allclose(found, _differences(model), rtol=1e-7, atol=1e-8)
    if label in KINKS:
        with pytest.raises(ModelError, match=r"^[A-Z].* has a kink, and so no second derivative$"):
            with_derivatives(model, ["u_xy"], "xy")
        with pytest.raises(ModelError, match="has no derivative that is known here: it has a kink"):
            Derivatives(model).of("u", [0])


@pytest.mark.parametrize("label", SMOOTH)
def test_second_derivatives_are_those_of_differences(label: str) -> None:
    model = _model(SMOOTH[label])
    first = with_derivatives(model, ["u_x", "u_y"], "xy", np.float64)
    names = ["u_xx", "u_xy", "u_xy", "u_yy"]
    second = [with_derivatives(model, [name], "xy", np.float64) for name in names]
    found = np.hstack([Evaluator(each)(POINTS) for each in second])
    order = found.reshape(len(POINTS), 2, 2, 3).swapaxes(1, 2).reshape(len(POINTS), -1)
    np.testing.assert_allclose(order, _differences(first), rtol=1e-6, atol=1e-7)


def test_every_elementwise_operator_has_a_derivative_or_a_reason() -> None:
    elementwise = {name for name in supported() if OPS[name].elementwise}
    known = differentiated(almost_everywhere=True)
    assert elementwise - known == NONE.keys()
    assert not NONE.keys() & known
    assert {name for name, why in NONE.items() if why == "no number"} < CONDITIONS
    tried = {
        label.split(",")[0].split(" ")[-1 if label.startswith("a ") else 0]
        for label in (*KINKS, *SMOOTH)
    }
    others = {"Add", "Div", "Mul", "Sub", "Sum"}  # with broadcasting: test_derivatives.py
    assert elementwise - NONE.keys() - others <= tried


@pytest.mark.parametrize("op", [name for name, why in NONE.items() if why == "jumps"])
def test_what_jumps_is_refused(op: str) -> None:
    with pytest.raises(ModelError, match=f"^{op} 'u' has no derivative .*: it jumps$"):
        with_derivatives(_model(_unary(op)), ["u_x"], "xy")


def _heaviside(net: Net) -> None:
    above = net.op("Greater", ["z", "row"], "above")
    net.op("Cast", [net.op("Identity", [above], "same")], "u", to=TensorProto.FLOAT)


def _step(net: Net) -> None:
    net.op("Where", [net.op("Greater", ["z", "row"], "above"), "row", "low"], "u")


@pytest.mark.parametrize("build", [_heaviside, _step])
def test_conditions_taken_for_numbers_jump(build: Build) -> None:
    with pytest.raises(ModelError, match="'u' has no derivative that is known here: it jumps"):
        with_derivatives(_model(build), ["u_x"], "xy")


def test_what_is_chosen_by_another_column_has_second_derivatives() -> None:
    net = Net()
    net.weights |= {"ones": np.ones((1, 3)), "high": np.array(0.3)}
    above = net.op("Greater", ["y", "high"], "above")
    wide = net.op("MatMul", ["x", "ones"], "wide")
    net.op("Where", [above, net.op("Exp", [wide], "a"), net.op("Sin", [wide], "b")], "u")
    model = net.model(inputs={"x": 1, "y": 1}, outputs={"u": 3})
    found = Evaluator(with_derivatives(model, ["u_xx"], "xy"))(POINTS)
    expected = np.where(
        POINTS[:, 1:] > np.float32(0.3), np.exp(POINTS[:, :1]), -np.sin(POINTS[:, :1])
    )
    np.testing.assert_allclose(found, np.repeat(expected, 3, axis=1), rtol=1e-6)


@pytest.mark.parametrize(
    ("op", "inputs", "left"),
    [
        ("Max", ["x", "zero"], 0.0), ("Max", ["zero", "x"], 0.0), ("Min", ["x", "zero"], 1.0),
        ("Min", ["zero", "x"], 1.0), ("Clip", ["x", "zero"], 0.0), ("Clip", ["x", "", "zero"], 1.0),
        ("PRelu", ["x", "half"], 0.5), ("Relu", ["x"], 0.0), ("HardSwish", ["x"], 0.5),
    ],
)  # fmt: skip
def test_at_a_kink_it_is_the_derivative_from_the_left(
    op: str, inputs: list[str], left: float
) -> None:
    net = Net()
    net.weights |= {"zero": np.array(0.0), "half": np.array([0.5])}
    net.op(op, inputs, "u")
    made = with_derivatives(net.model(inputs={"x": 1}), ["u_x"], "x")
    assert Evaluator(made)(np.zeros((1, 1)))[0, 0] == pytest.approx(left, abs=1e-7)
