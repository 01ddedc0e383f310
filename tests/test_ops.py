"""The table of operators: every column of every op is filled, and true, or there is a reason."""

from __future__ import annotations

import numpy as np
import onnx.defs
import pytest
from onnx import helper

from hedge.benching.calibration.probes import PASSES
from hedge.benching.calibration.tables import ROW_PASSES
from hedge.errors import once
from hedge.exporting.c99.operations import functions
from hedge.graph.nodes import run_node
from hedge.ops import OPS, Op, op_of

OPSET = 24
UNARY = sorted(name for name, op in OPS.items() if op.kind == "unary")
# Of two operands, with gradients.
JOINING = sorted(name for name, op in OPS.items() if op.kind == "joining" and op.gradients)
MEASURED = {*PASSES, *ROW_PASSES}

# Column by column, the elementwise ops that leave it empty.
NO_C = {"Cast": "hands on what it reads", "Identity": "hands on what it reads"}
NO_VALUE = {"Cast": "hangs on its attribute"}
NO_COST_MEASURED = {
    "HardSigmoid": "fused, or rare", "HardSwish": "rare", "Softsign": "fused, or rare",
    "ThresholdedRelu": "rare", "Elu": "fused, or rare", "Identity": "onnxruntime removes it",
}  # fmt: skip


def values_of(name: str, *operands: np.ndarray) -> np.ndarray:
    names = [f"x{i}" for i in range(len(operands))]
    node = helper.make_node(name, names, ["y"], **({"to": 11} if name == "Cast" else {}))
    return np.asarray(run_node(node, OPSET, dict(zip(names, operands, strict=True)))[0])


def test_every_operator_is_one_of_onnx() -> None:
    known = {schema.name for schema in onnx.defs.get_all_schemas() if not schema.domain}
    assert set(OPS) <= known


def test_what_networks_are_made_of_can_be_evaluated_and_differentiated_in_numpy() -> None:
    exact = {name for name, op in OPS.items() if op.elementwise and op.exact}
    assert {name for name, op in OPS.items() if op.value} == exact - set(NO_VALUE)


@pytest.mark.parametrize("name", [name for name, op in OPS.items() if op.value])
def test_values_are_those_of_the_operator(name: str) -> None:
    value = OPS[name].value
    assert value is not None
    x = np.linspace(-30.0, 30.0, 42)
    operands = (x,) if OPS[name].kind == "unary" else (np.abs(x), np.linspace(-2.0, 2.0, 42))
    np.testing.assert_allclose(value(*operands), values_of(name, *operands), rtol=1e-13, atol=1e-16)


@pytest.mark.parametrize("name", [name for name in UNARY if OPS[name].derivative])
def test_derivatives_are_those_of_the_operator(name: str) -> None:
    derivative = OPS[name].derivative
    assert derivative is not None
    x = np.linspace(-2.0, 2.0, 42) + 1e-3  # not at a kink
    step = 1e-6
    slope = (values_of(name, x + step) - values_of(name, x - step)) / (2.0 * step)
    np.testing.assert_allclose(derivative(x, values_of(name, x)), slope, rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("name", [*JOINING, "MatMul"])
def test_gradients_are_those_of_the_operator(name: str) -> None:
    gradients = OPS[name].gradients
    assert gradients is not None
    rng = np.random.default_rng(0)
    a, b, g = rng.uniform(0.5, 2.0, (3, 4, 4))
    step = 1e-6
    for position, found in enumerate(gradients(g, a, b)):
        for i, j in np.ndindex(4, 4):
            sides = []
            for sign in (1.0, -1.0):
                operands = [a.copy(), b.copy()]
                operands[position][i, j] += sign * step
                sides.append(float((g * values_of(name, *operands)).sum()))
            assert found[i, j] == pytest.approx((sides[0] - sides[1]) / (2.0 * step), rel=1e-6)


def test_every_elementwise_operator_can_be_written_in_c_or_needs_nothing_written() -> None:
    assert {name for name, op in OPS.items() if op.elementwise and not op.c} == set(NO_C)


@pytest.mark.parametrize("name", sorted(name for name, op in OPS.items() if op.function))
def test_functions_of_c_are_called_as_they_are_named(name: str) -> None:
    op = OPS[name]
    called, _, operands = op.c.partition("(")
    assert f"{{real}} {called}({{real}} " in op.function
    parameters = op.function[: op.function.index(")")].count("{real} ") - 1
    assert operands.count("{") == parameters == 1 + len(op.attributes) + (op.kind == "joining")


def test_an_operator_that_is_listed_twice_is_an_error() -> None:
    with pytest.raises(ValueError, match="key 'Shrink' stands more than once"):
        once(OPS.items(), [("Shrink", Op("unary"))])


def test_two_functions_of_c_have_two_names(monkeypatch: pytest.MonkeyPatch) -> None:
    other = Op("unary", c="relu({0})", function="{real} relu({real} x) {{ return x; }}")
    monkeypatch.setitem(OPS, "Shrink", other)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="key 'relu' stands more than once"):
        functions()


def test_every_elementwise_operator_costs_like_a_measured_pass() -> None:
    costed = {name for name, op in OPS.items() if op.elementwise and (op.cost or name) in MEASURED}
    assert {name for name, op in OPS.items() if op.elementwise} - costed == set(NO_COST_MEASURED)


@pytest.mark.parametrize("name", sorted(OPS))
def test_costs_are_told_by_what_is_measured(name: str) -> None:
    op = OPS[name]
    assert op.cost in {"", *MEASURED}
    assert op.fused in {"", *(other for other, known in OPS.items() if known.fused == other)}


@pytest.mark.parametrize("name", [name for name in UNARY if OPS[name].torch])
def test_names_of_torch_are_of_the_same_function(name: str) -> None:
    torch = pytest.importorskip("torch")
    x = np.linspace(0.1, 0.9, 9)
    expected = getattr(torch, OPS[name].torch)(torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(values_of(name, x), expected, rtol=1e-12)


def test_of_other_names_nothing_is_known() -> None:
    assert op_of("NoSuchOp").kind == "other"
    assert not op_of("NoSuchOp").exact
    assert op_of("QuickGelu").transcendental
