"""Derivatives as outputs: as deployed, in float32, against automatic differentiation in float64."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.errors import InputError, ModelError
from hedge.exporting import COptions, to_c
from hedge.graph import (
    Evaluator,
    SiteMatrix,
    assemble,
    column_names,
    forms_of,
    load_model,
    metadata,
    run_float32,
    split,
    split_with_derivatives,
    stored_as,
    with_derivatives,
)
from hedge.graph.derivatives import Derivatives
from hedge.problems import GALLERY
from tests.architectures import ARCHITECTURES, Net
from tests.exporting.c_compiler import Model, needs_gcc, run_all
from tests.exporting.c_models import MATRICES, mixing, movements, with_matrix
from tests.graph.torch_graph import derivatives

LETTERS = "xyzt"
ORDERS = ("", "x", "y", "xx", "xy", "yy")
KINKED = ("Abs", "Celu", "Elu", "LeakyRelu", "Relu", "Selu")
SMOOTH = ("Atan", "Cosh", "Gelu", "Mish", "Sinh", "Softmax", "Swish")


def _network(op: str, **attributes: object) -> ModelProto:
    """A layer, the function, a layer; opset 24 has all functions."""
    net = Net()
    net.op(op, [net.dense("x", "z", 2)], "a", **attributes)
    net.dense("a", "u", 16, 1)
    return net.model(opset=24 if op == "Swish" else 22)


def _normed() -> ModelProto:
    net = Net()
    z = net.dense("x", "z", 2)
    scale, bias = net.constant("scale"), net.constant("bias")
    net.op("LayerNormalization", [z, scale, bias], "a")
    net.dense(net.activation("Tanh", "a", "b"), "u", 16, 1)
    return net.model()


MODELS: dict[str, Callable[[], ModelProto]] = {
    **ARCHITECTURES,
    **{op: (lambda op=op: _network(op)) for op in (*KINKED, *SMOOTH)},
    "Gelu by tanh": lambda: _network("Gelu", approximate="tanh"),
    "Elu, alpha 0.3": lambda: _network("Elu", alpha=0.3),
    "Celu, alpha 0.3": lambda: _network("Celu", alpha=0.3),
    "Swish, alpha 1.5": lambda: _network("Swish", alpha=1.5),
    "layer norm": _normed,
    **{
        name: (lambda path=path: load_model(path))
        for name, path in hedge.reference_models().items()
        if not name.endswith("operator")
    },
}
NOT_IN_RUNTIME = {"Swish", "Swish, alpha 1.5"}
POINTS = np.random.default_rng(4).uniform(0.1, 0.9, (11, 2)).astype(np.float32)
FIRST_ONLY = [name for name in MODELS if name.split(",")[0] in (*KINKED, "ReLU")]


@cache
def _case(label: str) -> tuple[ModelProto, list[tuple[str, list[int]]], list[str]]:
    """The model, what is wanted of it, and the outputs' names."""
    model = MODELS[label]()
    letters = LETTERS[: len(column_names(model))]
    orders = [o for o in ORDERS if len(o) < 2 or label not in FIRST_ONLY]
    wanted = [
        (value.name, [letters.index(letter) for letter in order])
        for value in model.graph.output
        for order in orders
    ]
    names = [name + "_" * bool(each) + "".join(letters[i] for i in each) for name, each in wanted]
    return model, wanted, names


def _letters(model: ModelProto) -> str:
    return LETTERS[: len(column_names(model))]


def _points(model: ModelProto, count: int = 37) -> np.ndarray:
    points = np.random.default_rng(3).uniform(0.1, 1.0, (count, len(column_names(model))))
    return points.astype(np.float32).astype(np.float64)


@cache
def _sizes(label: str) -> list[float]:
    """The largest of each over domain and points: a shock's derivatives are what they are relative to."""
    model, wanted, _ = _case(label)
    problem = GALLERY.get(metadata(model).get("hedge.problem", ""))
    points = _points(model)
    if problem is not None:
        points = np.vstack([points, problem.sample(500, 1)])
    return [float(np.abs(each).max()) for each in derivatives(model, points, wanted)]


def _assert_agree(label: str, found: np.ndarray, points: np.ndarray) -> None:
    model, wanted, names = _case(label)
    expected = derivatives(model, points, wanted)
    assert found.shape == (len(points), sum(values.shape[1] for values in expected))
    start = 0
    for name, size, values in zip(names, _sizes(label), expected, strict=True):
        own = found[:, start : start + values.shape[1]]
        start += values.shape[1]
        np.testing.assert_allclose(own, values, rtol=0, atol=1e-5 * size, err_msg=name)


@pytest.mark.parametrize("label", MODELS)
def test_runtime_gives_the_derivatives_of_automatic_differentiation(label: str) -> None:
    model, _, names = _case(label)
    made = with_derivatives(model, names, _letters(model))
    assert [value.name for value in made.graph.output] == names
    points = _points(model)
    if label in NOT_IN_RUNTIME:
        _assert_agree(label, Evaluator(made)(points), points)
    else:
        _assert_agree(label, run_float32(made, points), points)


@needs_gcc
def test_c_gives_the_derivatives_of_automatic_differentiation(tmp_path: Path) -> None:
    models = {}
    for label in MODELS:
        model, _, names = _case(label)
        if label != "Softmax":  # no C has it
            of = split(model)
            both = split_with_derivatives(of.skeleton, of.matrices, names, _letters(model))
            models[label] = Model(*both, 0.1, 1.0)
    for label, results in run_all(tmp_path, models, flags=("-O0",)).items():
        _assert_agree(label, results.single, models[label].points)
        _assert_agree(label, results.batched, models[label].points)


STRUCTURES = [(label, precision) for label in MATRICES for precision in ("float32", "int8")]
OF_THREE = ["u", "u_x", "u_y", "u_xy"]


@needs_gcc
def test_structures_and_what_is_stored_in_few_bytes_keep_both(tmp_path: Path) -> None:
    plain = {f"{a}, {b}": with_matrix(stored_as(MATRICES[a], b)) for a, b in STRUCTURES}
    models = {
        label: Model(*split_with_derivatives(m.skeleton, m.matrices, OF_THREE, "xy"))
        for label, m in plain.items()
    }
    results = run_all(tmp_path, models, flags=("-O0",))
    for label, model in plain.items():
        dense = {n: SiteMatrix((m.dense(),), m.bias) for n, m in model.matrices.items()}
        wanted = [("u", []), ("u", [0]), ("u", [1]), ("u", [0, 1])]
        expected = np.hstack(derivatives(assemble(model.skeleton, dense), model.points, wanted))
        found = [results[label].single, results[label].batched]
        for form in forms_of(model.matrices["site1"]):
            whole = assemble(model.skeleton, model.matrices, forms={"site1": form})
            found.append(run_float32(with_derivatives(whole, OF_THREE, "xy"), model.points))
        for values in found:
            allowed = 1e-5 * np.abs(expected).max()
            np.testing.assert_allclose(values, expected, rtol=0, atol=allowed, err_msg=label)
        before, after = (
            to_c(m.skeleton, m.matrices, COptions("n"), "n") for m in (model, models[label])
        )
        assert after.parameters == before.parameters  # stored once
        assert after.flash_bytes < before.flash_bytes + 2000


def test_nothing_is_computed_twice_and_no_constant_at_run_time() -> None:
    made = with_derivatives(
        load_model(hedge.reference_models()["burgers"]), ["u", "u_x", "u_t", "u_xx"], "xt"
    )
    counts = Counter(node.op_type for node in made.graph.node)
    assert counts["Gemm"] == 5 + 3 * 4  # the first layer's derivatives are rows of its weights
    assert counts["Tanh"] == 4
    assert not {"Expand", "Shape"} & set(counts)
    keys = [(n.op_type, *n.input) for n in made.graph.node]
    assert len(set(keys)) == len(keys)


def test_a_derivative_that_does_not_vary_has_all_rows() -> None:
    net = Net()
    net.weights |= {"w": np.array([[3.0, -2.0]])}
    net.op("Gemm", ["x", "w"], "u", transB=1)
    made = with_derivatives(net.model(), ["u_x", "u_y", "u_xy", "u"], "xy")
    found = run_float32(made, POINTS)
    np.testing.assert_array_equal(found[:, :3], np.tile([3.0, -2.0, 0.0], (len(POINTS), 1)))
    np.testing.assert_array_equal(found[:, 3:], run_float32(net.model(), POINTS))


def test_what_is_the_same_in_all_columns_still_fills_them() -> None:
    """sin x − (2y, 2y, 2y), and its product with the like: constants alike in columns that others lack."""
    net = Net()
    net.weights |= {"ones": np.full((1, 3), 2.0), "sizes": np.array([1, 1])}
    split_up = helper.make_node("Split", ["x", "sizes"], ["left", "right"], axis=1)
    net.nodes.append(split_up)
    net.op("Sin", ["left"], "wave")
    net.op("Sub", ["wave", net.op("Mul", ["x", "x"], "square")], "unread")
    net.op("Sub", ["wave", net.op("MatMul", ["right", "ones"], "wide")], "difference")
    net.op("Mul", ["wave", "wide"], "product")
    net.op("Add", ["difference", "product"], "u")
    model = net.model(outputs={"u": 3})
    names = ["u_x", "u_y", "u_xy"]
    found = run_float32(with_derivatives(model, names, "xy"), POINTS)
    expected = derivatives(model, POINTS.astype(float), [("u", [0]), ("u", [1]), ("u", [0, 1])])
    np.testing.assert_allclose(found, np.hstack(expected), rtol=0, atol=1e-5)


def test_a_derivative_beyond_float32_is_refused() -> None:
    net = Net()
    net.weights |= {"large": np.array(1e30)}
    net.op("Mul", [net.op("Mul", ["x", "large"], "far"), "large"], "u")
    with pytest.raises(ModelError, match="too large for float32"):
        with_derivatives(net.model(outputs={"u": 2}), ["u_x"], "xy")


def test_derivatives_can_be_differentiated_again() -> None:
    model = load_model(hedge.reference_models()["heat"])
    first = with_derivatives(model, ["u_x"], "xt")
    again = with_derivatives(first, ["u_x_t"], "xt")
    at_once = with_derivatives(model, ["u_xt"], "xt")
    np.testing.assert_allclose(run_float32(again, POINTS), run_float32(at_once, POINTS), atol=1e-3)


@pytest.mark.parametrize("kind", KINKED)
def test_kinks_have_no_second_derivative(kind: str) -> None:
    model = _network(kind)
    with pytest.raises(ModelError, match=f"^{kind} 'a' has a kink, and so no second derivative$"):
        with_derivatives(model, ["u_xx"], "xy")
    with pytest.raises(ModelError, match=f"{kind} 'a' .* it has a kink"):
        Derivatives(model).of("u", [0])  # as proofs take them


@pytest.mark.parametrize(
    ("outputs", "letters", "says"),
    [
        (["u_z"], "xy", "'u_z' is unknown"),
        (["u_xxy"], "xy", "'u_xxy' is unknown"),
        (["v"], "xy", "'v' is unknown"),
        (["u_"], "xy", "'u_' is unknown"),
        ([""], "xy", "'' is unknown"),
        (["u", "u_x", "u_x"], "xy", "'u_x' is named twice"),
        (["u_x"], "", "letters are not known"),
        (["u_x"], "x", "names 1"),
        (["u_x"], "xx", "none of them twice"),
        (["u_x"], "x1", "must be letters"),
        (["q"], "xy", "'q' is unknown"),
        (["p_x"], "xy", "of its own"),
    ],
)  # fmt: skip
def test_what_can_not_be_had_is_refused(outputs: list[str], letters: str, says: str) -> None:
    net = Net()
    net.dense(net.op("Tanh", [net.dense("x", "p_x", 2)], "q"), "p", 16, 1)
    net.op("Neg", ["p"], "u")
    model = net.model(outputs={"u": 1, "p": 1})
    with pytest.raises(InputError, match=says):
        with_derivatives(model, outputs, letters)


def test_letters_are_the_inputs_own_names_where_they_are_letters() -> None:
    model = ARCHITECTURES["two inputs"]()
    assert with_derivatives(model, ["u_xt"]).graph.output[0].name == "u_xt"


def test_an_operator_without_a_derivative_is_named() -> None:
    with pytest.raises(ModelError, match=r"^Floor 'a' has no derivative .*: it jumps$"):
        with_derivatives(_network("Floor"), ["u_x"], "xy")
    with pytest.raises(
        ModelError, match=r"^LogSoftmax 'a' has no derivative .* differentiated are Abs, "
    ):
        with_derivatives(_network("LogSoftmax"), ["u_x"], "xy")


def test_numbers_that_are_moved_have_their_derivatives() -> None:
    moved = movements()
    model = assemble(moved.skeleton, moved.matrices)
    found = Evaluator(with_derivatives(model, ["u_x", "u_y", "u_xy"], "xy"))(POINTS)
    step, value = 1e-3 * np.eye(2), Evaluator(model)
    expected = [(value(POINTS + h) - value(POINTS - h)) / 2e-3 for h in step]
    corners = [a * b * value(POINTS + a * step[0] + b * step[1]) for a in (1, -1) for b in (1, -1)]
    expected.append(np.sum(corners, axis=0) / 4e-6)
    np.testing.assert_allclose(found, np.hstack(expected), rtol=0, atol=1e-6)


@pytest.mark.parametrize("kind", ["rows", "all"])
def test_rows_that_read_each_other_are_refused(kind: str) -> None:
    with pytest.raises(ModelError, match="mixes the rows of a batch"):
        with_derivatives(mixing(kind), ["u_x"], "xy")
