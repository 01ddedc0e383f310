"""The Jacobian in C: outputs and derivatives in one go, against automatic differentiation in float64."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.errors import ModelError, RoomError
from hedge.exporting import COptions, to_c
from hedge.exporting.c99.export import CALL_BYTES
from hedge.graph import Evaluator, Precision, SiteMatrix, assemble, split, stored_as, with_jacobian
from tests.architectures import ARCHITECTURES, Net
from tests.conftest import random_mlp
from tests.exporting.c_compiler import SANITIZERS, Model, gcc, needs_gcc, run_all
from tests.exporting.c_models import MATRICES, flat_input, movements, parted, shipped, with_matrix
from tests.exporting.conftest import MATRICES as RANDOM
from tests.exporting.conftest import Make
from tests.exporting.test_c99 import frames_of
from tests.graph.test_slopes import models_of_operators
from tests.graph.torch_graph import derivatives

JACOBIAN = COptions("net", jacobian=True)
KINDS = [*((label, p) for label in MATRICES for p in ("float32", "int8")), ("rank 5", "float16")]
STORED = {f"{a}, {b}": with_matrix(stored_as(MATRICES[a], b)) for a, b in KINDS}


def _constant() -> Model:
    """What is the same everywhere, beside what varies with one column alone."""
    net = Net()
    net.weights |= {"w": np.array([[3.0, -2.0], [1.0, 0.0]]), "sizes": np.array([1, 1])}
    net.op("Gemm", ["x", "w"], "flat", transB=1)
    net.nodes.append(helper.make_node("Split", ["x", "sizes"], ["left", "right"], axis=1))
    net.op("Mul", ["right", "right"], "square")
    return parted(net.model(outputs={"flat": 2, "square": 1}))


MODELS = {
    **{name: parted(build()) for name, build in ARCHITECTURES.items()},
    **STORED,
    **{name: model for name, model in shipped().items() if name.startswith("burgers")},
    "hardly any": _constant(),
    "input [n]": flat_input(),
}
IN_DOUBLE = [
    "Gelu of opset 20",
    "two inputs",
    "two outputs",
    "hardly any",
    "leaves, int8",
    "burgers-nu",
]


def _dense(model: Model) -> ModelProto:
    dense = {n: SiteMatrix((m.dense(),), m.bias) for n, m in model.matrices.items()}
    return assemble(model.skeleton, dense)


def _expected(model: Model) -> np.ndarray:
    """J by rows, (n, m d), by automatic differentiation of the dense graph."""
    whole = _dense(model)
    columns = range(model.points.shape[1])
    wanted = [(value.name, [c]) for c in columns for value in whole.graph.output]
    return _by_rows(np.hstack(derivatives(whole, model.points, wanted)), len(columns))


def _slopes(model: ModelProto, points: np.ndarray, axes: list[int]) -> np.ndarray:
    """Of the derivative of u in these columns, by rows, (n, m d)."""
    columns = range(points.shape[1])
    found = derivatives(model, points, [("u", [*axes, c]) for c in columns])
    return _by_rows(np.hstack(found), len(columns))


def _expected_in_double(model: Model) -> np.ndarray:
    """The same by hedge's own graph, whose matrices are as they are stored."""
    whole = with_jacobian(assemble(model.skeleton, model.matrices), np.float64)
    found = Evaluator(whole)(model.points)
    return _by_rows(found[:, model.expected.shape[1] :], model.points.shape[1])


def _by_rows(slopes: np.ndarray, columns: int) -> np.ndarray:
    by_column = slopes.reshape(len(slopes), columns, -1)
    return np.swapaxes(by_column, 1, 2).reshape(len(slopes), -1)


@needs_gcc
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
def test_a_row_and_its_derivatives(tmp_path: Path, double: bool) -> None:
    models = {label: MODELS[label] for label in IN_DOUBLE} if double else MODELS
    flags = ("-O0", *(SANITIZERS if double else ()))  # the loops are the same
    found = run_all(tmp_path, models, double=double, jacobian=True, flags=flags)
    for label, results in found.items():
        expected = (_expected_in_double if double else _expected)(models[label])
        allowed = (1e-12 if double else 1e-5) * np.abs(expected).max()
        np.testing.assert_allclose(results.slopes, expected, rtol=0, atol=allowed, err_msg=label)
        rounding = (1e-12 if double else 1e-5) * np.abs(results.single).max()
        np.testing.assert_allclose(
            results.beside, results.single, rtol=0, atol=rounding, err_msg=label
        )


def test_constants_of_doubles_are_not_rounded() -> None:
    model = MODELS["Gelu of opset 20"]
    exact = np.asarray(_expected_in_double(model))
    np.testing.assert_allclose(exact, _expected(model), rtol=0, atol=1e-13)


@needs_gcc
@pytest.mark.parametrize(
    ("kind", "precision"),
    [("dense", "int8"), ("low rank", "float16"), ("blocks", "float32"), ("leaves", "int8")],
)
def test_doubles_are_those_of_the_factors(
    tmp_path: Path, made: Make, kind: str, precision: Precision
) -> None:
    """Slopes of first layers, which no step computes, and reference values, too."""
    model = made(random_mlp([2, 16, 16, 1], 3, "Tanh"), kind, precision)
    hedge.export_c(model, tmp_path / "net.c", precision="double", jacobian=True, test=True)
    gcc(tmp_path, "-O1", "net.c", "net_test.c", "-o", "net", "-lm")
    run = subprocess.run(["./net"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stdout


@needs_gcc
def test_no_compiler_loses_sums(tmp_path: Path) -> None:
    """As gcc 12 does at -O3 for AVX-512 where it inlines products of narrow weights into doubles."""
    parts, rng = split(random_mlp([3, 17, 20, 6, 9], 15)), np.random.default_rng(0)
    kinds = (
        ("dense", "float32"),
        ("leaves", "float16"),
        ("blocks", "bfloat16"),
        ("low rank", "float16"),
    )
    matrices = {
        name: stored_as(RANDOM[kind](rng, *matrix.shape), precision)
        for (name, matrix), (kind, precision) in zip(parts.matrices.items(), kinds, strict=True)
    }
    model = {"": Model(parts.skeleton, matrices)}
    fast = ("-O3", "-march=native", "-Wno-psabi")
    found, right = (
        run_all(tmp_path, model, double=True, jacobian=True, flags=flags)[""].slopes
        for flags in (fast, ("-O0",))
    )
    np.testing.assert_allclose(found, right, rtol=0, atol=1e-12 * np.abs(right).max())


@needs_gcc
def test_numbers_that_are_moved_have_their_derivatives(tmp_path: Path) -> None:
    model = movements()
    columns, value = 2, Evaluator(assemble(model.skeleton, model.matrices))
    steps = 1e-3 * np.eye(columns)
    slopes = [(value(model.points + h) - value(model.points - h)) / 2e-3 for h in steps]
    expected = np.stack(slopes, axis=2).reshape(len(model.points), -1)
    found = run_all(tmp_path, {"": model}, jacobian=True)[""].slopes
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max())


@needs_gcc
def test_every_operator_has_its_derivative_in_c(tmp_path: Path) -> None:
    models = {label: parted(model, 0.1, 0.9) for label, model in models_of_operators().items()}
    found = run_all(tmp_path, models, jacobian=True, flags=("-O0",))
    for label, model in models.items():
        expected = _expected_in_double(model)
        allowed = 1e-5 * np.abs(expected).max()
        slopes = found[label].slopes
        np.testing.assert_allclose(slopes, expected, rtol=0, atol=allowed, err_msg=label)


OUTPUTS = ("u", "u_x", "u_xy")
OF_OUTPUTS = COptions("net", jacobian=True, outputs=OUTPUTS, letters="xy")


@needs_gcc
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
def test_outputs_that_are_derivatives_have_theirs(tmp_path: Path, double: bool) -> None:
    models = {label: STORED[label] for label in ("dense, float32", "leaves, int8")}
    found = run_all(tmp_path, models, double=double, jacobian=True, outputs=OUTPUTS, letters="xy")
    for label, model in models.items():
        whole = _dense(model)
        wanted = [("u", axes) for axes in ([], [0], [0, 1])]
        values = np.hstack(derivatives(whole, model.points, wanted))
        expected = np.hstack([_slopes(whole, model.points, axes) for _, axes in wanted])
        results = found[label]
        # Automatic differentiation has float32 of what is int8 times its scale, and doubles keep all.
        allowed = 1e-12 if double and label == "dense, float32" else 1e-5
        for own, right in (
            (results.single, values),
            (results.batched, values),
            (results.beside, values),
            (results.slopes, expected),
        ):
            np.testing.assert_allclose(
                own, right, rtol=0, atol=allowed * np.abs(right).max(), err_msg=label
            )


@needs_gcc
@pytest.mark.parametrize("double", [False, True], ids=["float", "double"])
def test_second_derivatives(tmp_path: Path, double: bool) -> None:
    """Of the model's own outputs, each a symmetric matrix, and in the order that the header says."""
    models = {label: MODELS[label] for label in ("two inputs", "leaves, int8", "burgers-nu")}
    found = run_all(tmp_path, models, double=double, jacobian=True, hessian=True)
    for label, model in models.items():
        whole, columns = _dense(model), range(model.points.shape[1])
        wanted = [
            (value.name, [j, k]) for value in whole.graph.output for j in columns for k in columns
        ]
        by_pair = derivatives(whole, model.points, wanted)
        by_output = [
            by_pair[i : i + len(columns) ** 2] for i in range(0, len(by_pair), len(columns) ** 2)
        ]
        expected = np.hstack(
            [np.stack(pairs, axis=2).reshape(len(model.points), -1) for pairs in by_output]
        )
        allowed = 2e-5 * np.abs(expected).max()
        np.testing.assert_allclose(
            found[label].bends, expected, rtol=0, atol=allowed, err_msg=label
        )


def test_hessians_of_many_columns_are_refused() -> None:
    model = parted(random_mlp([17, 2, 1]))
    with pytest.raises(ModelError, match=r"has 17 input columns.* Hessian .*up to 16"):
        to_c(model.skeleton, model.matrices, COptions("net", hessian=True), "net")


def test_outputs_and_their_derivatives_are_of_one_pass_over_each_matrix() -> None:
    model = parted(random_mlp([2, 7, 6, 5, 1]))
    files = to_c(model.skeleton, model.matrices, OF_OUTPUTS, "net")
    body = files.source[files.source.index("void net_jacobian") :]
    times = re.findall(r"multiply(\w*)\((\d), (\d), w\d", body)
    # u, u_x, u_y, u_xx, u_xy, u_xxy and u_xyy; what is within needs its derivative yy, too.
    assert times == [
        ("", "2", "7"),
        ("_4", "7", "6"),
        ("_4", "6", "5"),
        ("_4", "5", "1"),
        ("_3", "5", "1"),
    ]
    assert body.count("i < 2; ++i) multiply_4(") == 2
    alone = to_c(model.skeleton, model.matrices, COptions("net"), "net")
    assert files.parameters == alone.parameters


def test_slopes_of_slopes_behind_a_kink_are_refused() -> None:
    model = parted(random_mlp([2, 4, 1], activation="Relu"))
    with pytest.raises(ModelError, match="kink"):
        to_c(model.skeleton, model.matrices, OF_OUTPUTS, "net")


@pytest.mark.parametrize("label", STORED)
def test_both_functions_read_the_same_constants(label: str) -> None:
    model = STORED[label]
    alone, both = (
        to_c(model.skeleton, model.matrices, options, "net")
        for options in (COptions("net"), JACOBIAN)
    )
    assert both.parameters == alone.parameters
    assert both.flash_bytes == alone.flash_bytes
    assert both.source.count("static const") == alone.source.count("static const")


def test_value_and_derivatives_are_multiplied_in_one_step() -> None:
    model = parted(random_mlp([2, 7, 6, 5, 1]))
    source = to_c(model.skeleton, model.matrices, JACOBIAN, "net").source
    body = source[source.index("void net_jacobian") :]
    times = re.findall(r"multiply(\w*)\((\d), (\d), w\d", body)
    assert times == [("", "2", "7"), ("_3", "7", "6"), ("_3", "6", "5"), ("_3", "5", "1")]
    assert body.count("tanh(") == 3
    assert not re.search(
        r"\bs\[[^]]*\] = s\[[^]]*\];$", body, flags=re.MULTILINE
    )  # nothing is copied


@needs_gcc
def test_its_stack_is_what_the_compiler_takes(tmp_path: Path) -> None:
    model = STORED["leaves, int8"]
    files = to_c(model.skeleton, model.matrices, JACOBIAN, "net")
    (tmp_path / "net.c").write_text(files.source)
    (tmp_path / "net.h").write_text(files.header)
    assert f"#define NET_JACOBIAN_STACK_BYTES {files.jacobian_stack_bytes}\n" in files.header
    frames = frames_of(tmp_path, "-Os")
    others = frames.keys() - {"evaluate_tile", "net_eval_batch", "net_eval"}
    assert files.jacobian_stack_bytes is not None
    taken = sum(frames[name] for name in others)
    assert files.jacobian_stack_bytes <= taken <= files.jacobian_stack_bytes + CALL_BYTES


def test_a_stack_that_is_too_short_is_refused_with_the_excess() -> None:
    model = MODELS["two outputs"]
    needed = to_c(model.skeleton, model.matrices, JACOBIAN, "net").jacobian_stack_bytes
    assert needed is not None
    enough = COptions("net", jacobian=True, ram=needed + CALL_BYTES)
    assert to_c(model.skeleton, model.matrices, enough, "net").jacobian_stack_bytes == needed
    short = COptions("net", jacobian=True, ram=needed + CALL_BYTES - 1)
    with pytest.raises(RoomError, match=f"a Jacobian takes {needed} bytes .* 1 more than"):
        to_c(model.skeleton, model.matrices, short, "net")


@needs_gcc
def test_the_header_is_one_for_cpp_and_says_the_shapes(tmp_path: Path) -> None:
    model = MODELS["two outputs"]
    files = to_c(model.skeleton, model.matrices, JACOBIAN, "net")
    told = "J[i * NET_INPUTS + j] is that of u[i] by x[j]"
    assert told in files.header
    assert f"J has {model.expected.shape[1]} x 2 numbers" in files.header
    (tmp_path / "net.h").write_text(files.header)
    (tmp_path / "a.cpp").write_text(
        '#include "net.h"\nvoid (*f)(const float *, float *, float *) = net_jacobian;\n'
    )
    gcc(tmp_path, "-x", "c++", "-Wall", "-Wextra", "-pedantic", "-Werror", "-c", "a.cpp")


def test_more_columns_than_a_pass_each_is_worth_are_refused() -> None:
    with pytest.raises(ModelError, match=r"has 65 input columns.*up to 64"):
        with_jacobian(random_mlp([65, 2, 1]))
