"""Graphs that give all rows of a branch net at all rows of a trunk net, as pairs and as the grid again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import ModelProto, helper

import hedge
from hedge.benching.backends import compiled_run
from hedge.benching.protocol import bound_run
from hedge.errors import InputError, ModelError
from hedge.graph import (
    Grid,
    SiteMatrix,
    as_grid,
    as_pairs,
    assemble,
    graph_work,
    grid_of,
    load_model,
    neuron_groups,
    run_float32,
    split,
    with_kept_neurons,
)
from tests.conftest import make_model

Save = Callable[[ModelProto], Path]

SENSORS, POINTS, LATENT = 6, 2, 8
RNG = np.random.default_rng(3)
F = RNG.uniform(-1, 1, (4, SENSORS)).astype(np.float32)
Y = RNG.uniform(-1, 1, (7, POINTS)).astype(np.float32)


def node(op: str, inputs: list[str], output: str, **attributes: Any) -> onnx.NodeProto:
    return helper.make_node(op, inputs, [output], name=output, **attributes)


def nets(suffix: str = "") -> tuple[list[onnx.NodeProto], dict[str, np.ndarray]]:
    """Branch b [b, LATENT] of f, and trunk t [n, LATENT] of y."""
    rng = np.random.default_rng(len(suffix))
    sizes = {"A": (9, SENSORS), "B": (LATENT, 9), "C": (10, POINTS), "D": (LATENT, 10)}
    weights = {f"{k}{suffix}": rng.standard_normal(size) / 2 for k, size in sizes.items()}
    weights |= {f"{k.lower()}{suffix}": rng.standard_normal(size[0]) for k, size in sizes.items()}

    def layer(source: str, name: str, target: str) -> onnx.NodeProto:
        return node(
            "Gemm", [source, f"{name}{suffix}", f"{name.lower()}{suffix}"], target, transB=1
        )

    nodes = [
        layer("f", "A", f"zb{suffix}"),
        node("Tanh", [f"zb{suffix}"], f"hb{suffix}"),
        layer(f"hb{suffix}", "B", f"branch{suffix}"),
        layer("y", "C", f"zt{suffix}"),
        node("Tanh", [f"zt{suffix}"], f"ht{suffix}"),
        layer(f"ht{suffix}", "D", f"lt{suffix}"),
        node("Tanh", [f"lt{suffix}"], f"trunk{suffix}"),
    ]
    return nodes, weights


def operator(*products: onnx.NodeProto, **weights: NDArray[Any]) -> ModelProto:
    """The two nets, and what makes u of them; both axes are free."""
    nodes, own = nets()
    others, more = nets("2") if any("branch2" in n.input for n in products) else ([], {})
    built = make_model(
        [*nodes, *others, *products], {**own, **more, **weights},
        inputs={"f": SENSORS, "y": POINTS}, outputs={"u": 1},
    )  # fmt: skip
    for value, names in zip(built.graph.input, ("b", "n"), strict=True):
        value.type.tensor_type.shape.dim[0].dim_param = names
    sizes = ["b", "n", 2] if others else ["b", "n"]
    built.graph.output[0].CopyFrom(
        helper.make_tensor_value_info("u", onnx.TensorProto.FLOAT, sizes)
    )
    return built


TURNED = node("Transpose", ["trunk"], "columns", perm=[1, 0])
GRIDS: dict[str, ModelProto] = {
    "einsum": operator(node("Einsum", ["branch", "trunk"], "u", equation="bi,ni->bn")),
    "einsum, trunk first": operator(node("Einsum", ["trunk", "branch"], "u", equation="n i, b i -> b n")),
    "matmul": operator(TURNED, node("MatMul", ["branch", "columns"], "u")),
    "gemm": operator(
        node("Gemm", ["branch", "trunk", "shift"], "u", transB=1, alpha=0.5, beta=2.0),
        shift=np.array([[0.3]])
    ),
    "bias": operator(
        node("Einsum", ["branch", "trunk"], "p", equation="bi,ni->bn"), node("Add", ["p", "shift"], "u"),
        shift=np.array(0.3),
    ),
    "a condition in the form": operator(
        TURNED, node("MatMul", ["branch", "columns"], "p"),
        node("Gather", ["y", "first"], "y0", axis=1), node("Transpose", ["y0"], "row", perm=[1, 0]),
        node("Mul", ["p", "row"], "u"), first=np.array([0]),
    ),
    "a slice of one net as wide as the other": operator(
        node("Shape", ["branch"], "sizes"), node("Slice", ["sizes", "first", "second"], "width"),
        node("Slice", ["trunk", "zero", "width", "first"], "part"),
        node("Einsum", ["branch", "part"], "u", equation="bi,ni->bn"),
        first=np.array([1]), second=np.array([2]), zero=np.array([0]),
    ),
    "two outputs": operator(
        node("Einsum", ["branch", "trunk"], "p", equation="bi,ni->bn"),
        node("Einsum", ["branch2", "trunk2"], "q", equation="bi,ni->bn"),
        node("Unsqueeze", ["p", "behind"], "p3"), node("Unsqueeze", ["q", "behind"], "q3"),
        node("Concat", ["p3", "q3"], "u", axis=2), behind=np.array([2]),
    ),
}  # fmt: skip


def run(model: ModelProto, f: NDArray[Any], y: NDArray[Any]) -> NDArray[Any]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), providers=["CPUExecutionProvider"]
    )
    return np.asarray(session.run(None, {"f": f, "y": y})[0])


@pytest.mark.parametrize("form", GRIDS)
def test_a_grid_is_read_as_its_pairs(form: str, saved: Save) -> None:
    built = GRIDS[form]
    model = load_model(saved(built))
    assert grid_of(model) == Grid(("f",), ("y",))
    wanted = run(built, F, Y)
    rows, columns = np.divmod(np.arange(28), 7)
    found = run_float32(model, np.hstack([F[rows], Y[columns]]))
    np.testing.assert_allclose(found, wanted[rows, columns].reshape(28, -1), rtol=0, atol=3e-6)


@pytest.mark.parametrize("form", GRIDS)
def test_what_is_deployed_of_pairs_is_the_grid(form: str, saved: Save) -> None:
    parts = split(load_model(saved(GRIDS[form])))
    if "slice" not in form:  # whose width onnx does not tell
        assert any(
            site.matrix.shape == (1, LATENT) for site in parts.sites
        )  # the sum over products
    grid = as_grid(assemble(parts.skeleton, parts.matrices))
    onnx.checker.check_model(grid, full_check=True)
    np.testing.assert_allclose(run(grid, F, Y), run(GRIDS[form], F, Y), rtol=0, atol=3e-6)
    again = load_model(saved(grid))
    assert grid_of(again) == Grid(("f",), ("y",))


def test_latent_neurons_go_from_both_nets(saved: Save) -> None:
    """Those that are kept, with other weights, give Σ w b t over them."""
    parts = split(load_model(saved(GRIDS["bias"])))
    groups = neuron_groups(parts).groups
    latent = next(group for group in groups if group.width == LATENT)
    assert len(latent.producers) == 2
    kept = np.array([1, 4, 6])
    weights = np.array([[0.5, -2.0, 1.5]])
    matrices = {
        site.name: SiteMatrix((site.matrix.dense()[kept],), site.matrix.bias[kept])
        if site.name in latent.producers
        else SiteMatrix((weights,), site.matrix.bias)
        if site.name in latent.consumers
        else site.matrix
        for site in parts.sites
    }
    small = with_kept_neurons(parts, groups, dict.fromkeys(latent.producers, kept))
    grid = as_grid(assemble(small.skeleton, matrices))
    own = operator(TURNED)
    own.graph.output[0].name = "branch"
    own.graph.output.append(onnx.ValueInfoProto(name="trunk"))
    session = onnxruntime.InferenceSession(own.SerializeToString())
    branch, trunk = session.run(["branch", "trunk"], {"f": F, "y": Y})
    wanted = (branch[:, kept] * weights) @ trunk[:, kept].T + 0.3
    np.testing.assert_allclose(run(grid, F, Y), wanted, rtol=0, atol=3e-6)
    assert [n.op_type for n in grid.graph.node].count("Mul") == 0  # the weights are in the branch


def test_weights_in_more_than_one_node_are_still_those_of_a_grid(saved: Save) -> None:
    """As a method writes them that factorizes a row, too."""
    parts = split(load_model(saved(GRIDS["bias"])))
    last = parts.sites[-1].matrix
    two = SiteMatrix((np.array([[2.0]]), 1.5 * last.dense()), last.bias)
    pairs = assemble(parts.skeleton, {**parts.matrices, parts.sites[-1].name: two})
    found = run(as_grid(pairs), F, Y)
    np.testing.assert_allclose(
        found, 3.0 * (run(GRIDS["bias"], F, Y) - 0.3) + 0.3, rtol=0, atol=1e-5
    )


def test_an_onnx_of_a_grid_stays_one_whatever_is_told_of_it(saved: Save, tmp_path: Path) -> None:
    hedge.export(saved(GRIDS["bias"]), tmp_path / "u.onnx", units="u=K")
    found = run(onnx.load(tmp_path / "u.onnx"), F, Y)
    np.testing.assert_allclose(found, run(GRIDS["bias"], F, Y), rtol=0, atol=3e-6)
    with pytest.raises(ModelError, match=r"makes no product grid of f and y any more; leave out"):
        hedge.export(saved(GRIDS["bias"]), tmp_path / "v.onnx", domain="-1:1", guard=True)
    assert not (tmp_path / "v.onnx").exists()


def test_a_grid_of_fixed_sizes_is_freed(saved: Save) -> None:
    built = operator(node("Einsum", ["branch", "trunk"], "u", equation="bi,ni->bn"))
    for value, size in zip(built.graph.input, (4, 7), strict=True):
        value.type.tensor_type.shape.dim[0].dim_value = size
    model = load_model(saved(built))
    assert run_float32(model, np.hstack([F, Y[:4]])).shape == (4, 1)


def test_a_deeponet_is_compressed_and_exported_as_the_grid(saved: Save, tmp_path: Path) -> None:
    """Half of the latent neurons are copies of others."""
    built = operator(node("Einsum", ["branch", "trunk"], "u", equation="bi,ni->bn"))
    for tensor in built.graph.initializer:
        if tensor.name in ("B", "b", "D", "d"):
            values = onnx.numpy_helper.to_array(tensor).copy()
            values[4:] = values[:4]
            tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    small = hedge.compress(
        saved(built), device="laptop-x86", domain="-1:1", tolerance=1e-3, recover=None
    )
    assert small.matrices["site4"].shape == (1, 4)
    hedge.export(small, tmp_path / "u.onnx")
    wanted = run(built, F, Y)
    found = run(onnx.load(tmp_path / "u.onnx"), F, Y)
    assert np.linalg.norm(found - wanted) <= 1e-3 * np.linalg.norm(wanted)


def test_functions_are_asked_for(saved: Save) -> None:
    with pytest.raises(
        InputError, match=r"samples: .* --samples FILE.npz with f \(n, 6\), y \(n, 2\)"
    ):
        hedge.compress(saved(GRIDS["einsum"]), device="laptop-x86")


def test_a_product_that_is_no_grid_is_told_to_mix_rows_not_to_have_wrong_samples(
    saved: Save, tmp_path: Path
) -> None:
    product = node("Einsum", ["branch", "trunk"], "p", equation="bi,ni->bn")
    near = operator(product, node("Softmax", ["p"], "u", axis=1))
    np.savez(tmp_path / "s.npz", y=np.ones((30, POINTS)), f=np.ones((2000, SENSORS)))
    with pytest.raises(ModelError, match=r"mixes the rows .* Einsum 'p' multiplies all"):
        hedge.compress(saved(near), device="laptop-x86", samples=tmp_path / "s.npz")


def test_functions_and_points_come_by_their_names(saved: Save, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    np.savez(tmp_path / "s.npz", y=rng.random((30, POINTS)), f=rng.random((2000, SENSORS)))
    small = hedge.compress(
        saved(GRIDS["einsum"]), device="laptop-x86", samples=tmp_path / "s.npz", tolerance=1e-2,
        recover=None,
    )  # fmt: skip
    assert small.plan.points == "2000 functions at 30 points of s.npz"
    hedge.export(small, tmp_path / "u.onnx")
    fresh, points = (
        rng.random((n, d)).astype(np.float32) for n, d in ((50, SENSORS), (40, POINTS))
    )
    wanted = run(GRIDS["einsum"], fresh, points)
    found = run(onnx.load(tmp_path / "u.onnx"), fresh, points)
    assert np.linalg.norm(found - wanted) <= 1.5e-2 * np.linalg.norm(wanted)


def test_a_product_of_rows_with_themselves_is_no_grid(saved: Save) -> None:
    nodes = [*nets()[0], TURNED, node("MatMul", ["trunk", "columns"], "u")]
    built = make_model(nodes, nets()[1], inputs={"f": SENSORS, "y": POINTS}, outputs={"u": 1})
    assert grid_of(load_model(saved(built))) is None


def test_the_work_of_a_grid_is_that_of_both_axes(saved: Save) -> None:
    work = graph_work(load_model(saved(GRIDS["bias"])), 16)
    last = work.products[-1]
    assert (last.rows, last.columns, last.depth, last.packed) == (16, 16, LATENT, False)
    assert work.passes[-1].length * work.passes[-1].spans == 256  # the bias


def test_a_grid_is_timed_as_a_grid_and_not_in_c(saved: Save) -> None:
    model = load_model(saved(GRIDS["einsum"]))
    bound_run(model, 5, 1)()
    compiled_run(model, 1, 1)()
    with pytest.raises(InputError, match=r"C takes a product grid pair by pair"):
        compiled_run(model, 5, 1)


DAMAGED = ("", "[", "7", "[[], []]", '[["f"], ["z"]]', '[["f", "y"], []]', '{"f": 1}', "[" * 10_000)


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_word_on_the_grid_is_told(saved: Save, text: str) -> None:
    model = load_model(saved(GRIDS["einsum"]))
    helper.set_model_props(model, {"hedge.grid": text})
    with pytest.raises(ModelError, match=r"'hedge.grid' is damaged"):
        grid_of(model)


@pytest.mark.parametrize("equation", ["ii,ni->nn", "bi,bi->bi", "bi,ni->b", "bi,ni", "bi,nk->bn"])
def test_other_products_are_no_grid(equation: str) -> None:
    built = operator(node("Einsum", ["branch", "trunk"], "u", equation=equation))
    assert as_pairs(built) is built
    assert grid_of(built) is None
