"""The external function of CasADi: values and derivatives through CasADi, and problems solved with it."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import casadi as ca
import numpy as np
import onnx
import pytest

import hedge
from hedge.errors import InputError, ModelError, OutputError
from hedge.exporting.casadi_external import check_casadi_name
from hedge.graph import Evaluator, with_derivatives
from tests.conftest import random_mlp
from tests.exporting.c_compiler import WARNINGS, gcc, needs_gcc
from tests.exporting.golden import tiny

pytestmark = needs_gcc
POINTS = np.random.default_rng(0).uniform(-1.0, 1.0, (5, 3))
LETTERS = "xyz"
NET = random_mlp([3, 9, 8, 2], 4)
"""Two outputs, of three inputs."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("casadi")


@pytest.fixture(scope="module")
def net(folder: Path) -> ca.Function:
    return loaded(folder / "net", NET)


def loaded(out: Path, model: onnx.ModelProto, **choices: Any) -> ca.Function:
    path = out.with_suffix(".onnx")
    onnx.save(model, path)
    hedge.export_casadi(path, out, **choices)
    return ca.external(out.name, str(out / f"{out.name}.so"))


def of_graph(model: onnx.ModelProto, outputs: list[str], letters: str = LETTERS) -> np.ndarray:
    """These outputs at all points, (n, width), in float64."""
    graph = with_derivatives(model, outputs, letters, np.float64)
    return Evaluator(graph)(POINTS[:, : len(letters)])


def slopes(model: onnx.ModelProto, output: str, order: int, letters: str = LETTERS) -> np.ndarray:
    """All derivatives of one output of one order, (n, d) or (n, d², by rows)."""
    every = ["".join(each) for each in itertools.product(letters, repeat=order)]
    wanted = [f"{output}_{''.join(sorted(each))}" for each in every]
    unique = sorted(set(wanted))
    found = of_graph(model, unique, letters)
    return np.column_stack([found[:, unique.index(name)] for name in wanted])


def at_points(function: ca.Function, columns: int = 3) -> np.ndarray:
    """Its result at all points, each by rows, (n, …)."""
    return np.stack([np.array(function(x[:columns])) for x in POINTS])


def test_value_and_derivatives_are_those_of_the_graph(folder: Path) -> None:
    model = random_mlp([3, 9, 8, 1], 4)
    one = loaded(folder / "one", model, outputs="u,u_x", inputs="x,y,z")
    x = ca.MX.sym("x", 3)
    np.testing.assert_allclose(
        at_points(one)[:, :, 0], of_graph(model, ["u", "u_x"]), rtol=0, atol=1e-13
    )
    J = at_points(ca.Function("J", [x], [ca.jacobian(one(x), x)]))
    second = slopes(model, "u", 2)
    np.testing.assert_allclose(J[:, 0], slopes(model, "u", 1), rtol=0, atol=1e-13)
    np.testing.assert_allclose(J[:, 1], second[:, :3], rtol=0, atol=1e-13)
    H = at_points(ca.Function("H", [x], [ca.hessian(one(x)[0], x)[0]]))
    np.testing.assert_allclose(H.reshape(-1, 9), second, rtol=0, atol=1e-12)
    # Of u_x the Hessian is of third order: against differences of the second one.
    h = 1e-4
    third = ca.Function("third", [x], [ca.hessian(one(x)[1], x)[0]])
    for j, step in enumerate(h * np.eye(3)):
        near = [np.array(one.jacobian()(POINTS[0] + s * step, 0))[1] for s in (-1.0, 1.0)]
        slope = (near[1] - near[0]) / (2.0 * h)
        np.testing.assert_allclose(np.array(third(POINTS[0]))[:, j], slope, rtol=0, atol=1e-6)


def test_outputs_are_not_mixed_up(net: ca.Function) -> None:
    """Their number is not that of the inputs, and Jacobians and Hessians are no squares."""
    expected = Evaluator(NET)
    assert net.size_in(0) == (3, 1)
    assert net.size_out(0) == (2, 1)
    assert (net.name_in(), net.name_out()) == (["x"], ["u"])
    np.testing.assert_allclose(at_points(net)[:, :, 0], expected(POINTS), rtol=0, atol=1e-13)
    x, h = ca.MX.sym("x", 3), 1e-5
    J = at_points(ca.Function("J", [x], [ca.jacobian(net(x), x)]))
    by_differences = [
        (expected(POINTS + s) - expected(POINTS - s)) / (2 * h) for s in h * np.eye(3)
    ]
    np.testing.assert_allclose(J, np.stack(by_differences, axis=2), rtol=0, atol=1e-8)
    seed = ca.DM([0.3, -2.0])
    H = at_points(ca.Function("H", [x], [ca.hessian(ca.dot(seed, net(x)), x)[0]]))
    slope = ca.Function("slope", [x], [ca.gradient(ca.dot(seed, net(x)), x)])
    moved = [
        np.stack([np.array(slope(p + s) - slope(p - s))[:, 0] / (2 * h) for p in POINTS])
        for s in h * np.eye(3)
    ]
    np.testing.assert_allclose(H, np.stack(moved, axis=2), rtol=0, atol=1e-8)


def test_a_compressed_model_of_narrow_weights(folder: Path) -> None:
    model = tiny()
    written = hedge.export_casadi(model, folder / "tiny")
    function = ca.external("tiny", str(written.library))
    expected = Evaluator(written.network.model)(POINTS[:, :2])
    np.testing.assert_allclose(at_points(function, 2)[:, :, 0], expected, rtol=0, atol=1e-14)


def test_it_works_in_expressions_of_scalars_and_is_mapped(net: ca.Function) -> None:
    x = ca.SX.sym("x", 3)
    scalar = ca.Function("scalar", [x], [2.0 * net(x)])
    np.testing.assert_array_equal(at_points(scalar), 2.0 * at_points(net))
    for mapped in (net.map(5), net.map(5, "thread", 2)):
        np.testing.assert_array_equal(np.array(mapped(POINTS.T)).T, at_points(net)[:, :, 0])


@pytest.mark.parametrize("hessian", ["exact", "limited-memory"])
def test_the_nearest_point_of_a_level_is_found(net: ca.Function, hessian: str) -> None:
    """Of all x where the network has a value, that nearest to the origin: its offset is along the slopes."""
    x, level = ca.MX.sym("x", 3), Evaluator(NET)(np.array([[0.4, -0.3, 0.5]]))[0]
    options = {
        "print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes", "ipopt.tol": 1e-10,
        "ipopt.hessian_approximation": hessian,
    }  # fmt: skip
    nlp = {"x": x, "f": ca.sumsqr(x), "g": net(x)}
    solver = ca.nlpsol("nearest", "ipopt", nlp, options)
    found = solver(x0=[0.1, 0.1, 0.1], lbg=level, ubg=level)
    assert solver.stats()["success"]
    point = np.array(found["x"]).ravel()
    np.testing.assert_allclose(Evaluator(NET)(point[None])[0], level, rtol=0, atol=1e-9)
    J = np.array(net.jacobian()(point, 0))
    multipliers = np.array(found["lam_g"]).ravel()
    np.testing.assert_allclose(2.0 * point + J.T @ multipliers, 0.0, atol=1e-8)


def test_where_there_are_no_second_derivatives_there_are_first_ones(folder: Path) -> None:
    path, model = folder / "kinked.onnx", random_mlp([3, 6, 1], activation="Relu")
    onnx.save(model, path)
    written = hedge.export_casadi(path, folder / "kinked")
    assert "kink" in written.without_second
    function = ca.external("kinked", str(written.library))
    J = np.array([np.array(function.jacobian()(x, 0)) for x in POINTS])[:, 0]
    np.testing.assert_allclose(J, slopes(model, "u", 1), rtol=0, atol=1e-13)
    assert "jac_jac_" not in (folder / "kinked" / "kinked_casadi.c").read_text()


def test_outside_a_guarded_domain_all_is_nan(folder: Path) -> None:
    function = loaded(folder / "guarded", NET, domain="-1:1", guard=True)
    assert np.isfinite(np.array(function([0.5, 0.5, 0.5]))).all()
    assert np.isnan(np.array(function([0.5, 1.5, 0.5]))).all()
    assert np.isnan(np.array(function.jacobian()([0.5, 1.5, 0.5], 0))).all()


def test_the_sources_compile_without_a_warning(folder: Path, net: ca.Function) -> None:
    out = folder / "net"
    names = {path.name for path in out.iterdir()}
    assert names == {"net.c", "net.h", "net_casadi.c", "net.so", "datasheet.json"}
    gcc(out, *WARNINGS, "-fsyntax-only", "net.c", "net_casadi.c")


def test_a_file_of_another_export_is_refused_by_the_compiler(
    folder: Path, net: ca.Function, tmp_path: Path
) -> None:
    header = (folder / "net" / "net.h").read_text()
    (tmp_path / "net.h").write_text(header.replace("_EXPORT 0x", "_EXPORT 1 + 0x"))
    (tmp_path / "net_casadi.c").write_text((folder / "net" / "net_casadi.c").read_text())
    with pytest.raises(AssertionError, match="of two exports"):
        gcc(tmp_path, "-c", "net_casadi.c")


def test_names_are_those_that_casadi_takes() -> None:
    words = ["".join(each) for n in range(1, 5) for each in itertools.product("aZ1_", repeat=n)]
    for name in [*words, "null", "jac", "hess", "jac_a", "Null", "int", "é", "a b", ""]:
        if ca.Function.check_name(name):
            check_casadi_name(name)
        else:
            with pytest.raises(InputError, match="name: CasADi takes no function called"):
                check_casadi_name(name)


@pytest.mark.parametrize(
    "name", ["x", "u", "J", "w", "d", "m", "i", "net", "int_", "a_eval", "res"]
)
def test_no_name_is_taken_twice(tmp_path: Path, name: str) -> None:
    onnx.save(NET, tmp_path / "given.onnx")
    out = tmp_path / "out"
    hedge.export_casadi(tmp_path / "given.onnx", out, name=name, flags="-std=c99 -O0")
    function = ca.external(name, str(out / f"{name}.so"))
    np.testing.assert_allclose(at_points(function)[:, :, 0], Evaluator(NET)(POINTS), atol=1e-13)


@pytest.mark.parametrize("name", ["sin", "tanhf", "main", "memcpy"])
def test_functions_of_c_are_not_replaced(name: str) -> None:
    with pytest.raises(InputError, match=f"name: '{name}' is a function of C's own"):
        check_casadi_name(name)


def test_floats_and_what_has_no_derivatives_are_refused(tmp_path: Path) -> None:
    onnx.save(NET, tmp_path / "net.onnx")
    with pytest.raises(InputError, match=r"precision: .* in double"):
        hedge.export_casadi(tmp_path / "net.onnx", tmp_path / "net", precision="float")
    onnx.save(random_mlp([65, 2, 1]), tmp_path / "wide.onnx")
    with pytest.raises(ModelError, match="65 input columns"):
        hedge.export_casadi(tmp_path / "wide.onnx", tmp_path / "wide")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "mine").touch()
    with pytest.raises(OutputError, match="is not empty"):
        hedge.export_casadi(tmp_path / "net.onnx", tmp_path / "there")
    assert not (tmp_path / "net").exists()
