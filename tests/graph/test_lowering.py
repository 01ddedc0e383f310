"""Lowerings: in whatever form, onnxruntime computes the dense H-matrix's product."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto

from hedge.arrays import Array
from hedge.devices import Device, predicted_seconds
from hedge.errors import InputError
from hedge.graph import (
    Hierarchy,
    HierarchyMatrix,
    LeafMatrix,
    Matrix,
    Precision,
    SiteMatrix,
    as_order,
    assemble,
    best_forms,
    builder,
    forms_of,
    graph_work,
    hmatrix_model,
    outline,
    run_float32,
    split,
    stored_as,
    with_hmatrices,
)
from hedge.graph.structures import weights
from hedge.graph.structures.levels import levels_of
from hedge.hmatrix import (
    HMatrix,
    Leaf,
    bisect_geometrically,
    build,
    kd_tree,
    multilevel,
    strong,
    weak,
)
from tests.conftest import random_mlp
from tests.graph.test_blocks import LAYOUTS, random_blocks
from tests.hmatrix.gallery import GALLERY, line


def leaf_matrix(leaves: list[Leaf], outputs: int, inputs: int, seed: int = 0) -> LeafMatrix:
    bias = np.random.default_rng(seed).standard_normal(outputs)
    return LeafMatrix(tuple(leaves), bias, inputs)


def random_leaf(
    rng: np.random.Generator, top: int, bottom: int, start: int, stop: int, rank: int | None
) -> Leaf:
    m, n = bottom - top, stop - start
    if rank is None or rank >= min(m, n):
        factors: tuple[Array, ...] = (rng.standard_normal((m, n)),)
    else:
        factors = (rng.standard_normal((m, rank)), rng.standard_normal((rank, n)))
    return Leaf(top, bottom, start, stop, factors)


def hodlr(size: int, rank: int, leaf: int, seed: int = 0) -> LeafMatrix:
    rng = np.random.default_rng(seed)

    def leaves(start: int, stop: int) -> Iterator[Leaf]:
        if stop - start <= leaf:
            yield random_leaf(rng, start, stop, start, stop, None)
            return
        middle = (start + stop) // 2
        yield random_leaf(rng, start, middle, middle, stop, rank)
        yield random_leaf(rng, middle, stop, start, middle, rank)
        yield from leaves(start, middle)
        yield from leaves(middle, stop)

    return leaf_matrix(list(leaves(0, size)), size, size, seed)


def built(name: str, **options: object) -> LeafMatrix:
    """An H-matrix of the gallery, in the order of its own clusters."""
    m, n = GALLERY[name].shape
    rows = bisect_geometrically(line(m), leaf_size=16)
    columns = rows if m == n else bisect_geometrically(line(n), leaf_size=16)
    h = build(GALLERY[name], tolerance=1e-6, rows=rows, columns=columns, **options)  # type: ignore[arg-type]
    return leaf_matrix(list(h.leaves), *h.shape)


def ordered(matrix: LeafMatrix, *, columns: bool = True) -> HierarchyMatrix:
    """The same leaves of shuffled rows and columns."""
    rng = np.random.default_rng(7)
    outputs, inputs = matrix.shape
    beside = as_order(rng.permutation(inputs)) if columns else ()
    above = as_order(rng.permutation(outputs))
    return HierarchyMatrix(matrix.leaves, matrix.bias, inputs, above, beside)


STRUCTURES: dict[str, Matrix] = {
    "dense": SiteMatrix((np.arange(12.0).reshape(3, 4),), np.arange(3.0)),
    "two factors": SiteMatrix((np.ones((5, 2)), np.arange(12.0).reshape(2, 6)), np.ones(5)),
    "HODLR": hodlr(64, 2, 8),
    "HODLR of odd size": hodlr(107, 3, 9),
    "one low-rank leaf": leaf_matrix([random_leaf(np.random.default_rng(0), 0, 9, 0, 7, 2)], 9, 7),
    "dense leaves only": leaf_matrix(
        [random_leaf(np.random.default_rng(i), *place, None) for i, place in enumerate(
            [(0, 5, 0, 4), (0, 5, 4, 8), (5, 10, 0, 4), (5, 10, 4, 8)])], 10, 8),
    "strong": built("kinked", admissible=strong(1.0), coarsen=False),
    "weak": built("kinked", admissible=weak, coarsen=False),
    "oblong": built("odd sizes"),
    "in another order": ordered(hodlr(107, 3, 9)),
    "rows alone in another order": ordered(built("odd sizes"), columns=False),
    "zero": built("zero"),
    "noise": built("noise"),
    "one row": built("single row"),
    "one column": built("single column"),
    "separate parts": built("separate parts"),
    **{f"shared bases {layout}": random_blocks(layout) for layout in LAYOUTS},
}  # fmt: skip


def in_form(matrix: Matrix, form: str) -> ModelProto:
    parts = split(random_mlp([matrix.shape[1], matrix.shape[0]]))
    model = assemble(parts.skeleton, {"site0": matrix}, forms={"site0": form})
    onnx.checker.check_model(model, full_check=True)
    return model


def assert_computes(model: ModelProto, matrix: Matrix, rows: int = 5) -> None:
    x = np.random.default_rng(1).standard_normal((rows, matrix.shape[1]))
    expected = x @ matrix.dense().T + matrix.bias
    # Rounding errors are as large as what is added up, whatever the sum.
    summed = abs(x) @ abs(matrix.dense()).T + abs(matrix.bias)
    assert (abs(run_float32(model, x) - expected) <= 3e-6 * summed.max()).all()


@pytest.mark.parametrize("name", STRUCTURES)
def test_every_form_computes_the_dense_matrix(name: str) -> None:
    matrix = STRUCTURES[name]
    for form in forms_of(matrix):
        for rows in (1, 5):
            assert_computes(in_form(matrix, form), matrix, rows)


def test_an_order_moves_rows_and_columns_and_costs_no_node_in_levels() -> None:
    inner, outer = hodlr(107, 3, 9), ordered(hodlr(107, 3, 9))
    rows, columns = (np.array(o) for o in (outer.row_order, outer.column_order))
    np.testing.assert_array_equal(outer.dense()[np.ix_(rows, columns)], inner.dense())
    np.testing.assert_array_equal(outer.structure.arranged(outer.dense()), inner.dense())
    x = np.random.default_rng(0).standard_normal((4, 107))
    np.testing.assert_allclose(outer.times(x), x @ outer.dense().T, atol=1e-12)
    nodes = [len(in_form(matrix, "levels").graph.node) for matrix in (inner, outer)]
    assert nodes[0] == nodes[1]
    assert "Gather" in {node.op_type for node in in_form(inner, "levels").graph.node}


def test_the_work_of_a_hierarchy_is_that_of_its_graph(laptop: Device) -> None:
    """To some parts in a hundred: what it is chosen by is what it is predicted by."""
    matrix = ordered(hodlr(1024, 8, 64))
    for batch in (1, 100):
        counted = predicted_seconds(laptop, graph_work(in_form(matrix, "levels"), batch))
        chosen_by = predicted_seconds(laptop, matrix.structure.work(batch))
        assert chosen_by == pytest.approx(counted, rel=0.05)


@pytest.mark.parametrize("order", [(0, 1, 1), (0, 1), (0, 1, 3)])
def test_an_order_has_each_row_once(order: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="an order of its 3 rows or columns"):
        Hierarchy(3, 3, ((0, 3, 0, 3, None),), order, ()).check()


def test_regular_trees_have_levels_and_ragged_ones_do_not() -> None:
    assert {"panels", "levels", "dense"} == set(forms_of(STRUCTURES["HODLR of odd size"]))
    rng = np.random.default_rng(0)
    corner = [(0, 1, 0, 1), (0, 1, 1, 40), (1, 40, 0, 40)]
    ragged = leaf_matrix([random_leaf(rng, *place, 1) for place in corner], 40, 40)
    assert "levels" not in forms_of(ragged)


def test_levels_of_a_hodlr_matrix_hold_its_numbers_and_little_more() -> None:
    matrix = hodlr(256, 4, 16)
    levels = levels_of(matrix.leaves)
    assert levels is not None
    own = sum(leaf.numbers for leaf in matrix.leaves)
    assert levels.slots == 4  # one a level
    assert levels.numbers == own + levels.coupling.size
    assert len(in_form(matrix, "levels").graph.node) <= 15


@st.composite
def tilings(draw: st.DrawFn) -> LeafMatrix:
    """Any quadtree over any sizes, with leaves of any rank."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    outputs, inputs = draw(st.integers(1, 24)), draw(st.integers(1, 24))

    def leaves(top: int, bottom: int, start: int, stop: int, depth: int) -> list[Leaf]:
        m, n = bottom - top, stop - start
        if depth == 0 or min(m, n) < 2 or not draw(st.booleans()):
            rank = draw(st.one_of(st.none(), st.integers(1, 3)))
            return [random_leaf(rng, top, bottom, start, stop, rank)]
        row, column = draw(st.integers(top + 1, bottom - 1)), draw(st.integers(start + 1, stop - 1))
        return [
            leaf
            for a, b in ((top, row), (row, bottom))
            for c, d in ((start, column), (column, stop))
            for leaf in leaves(a, b, c, d, depth - 1)
        ]

    return leaf_matrix(leaves(0, outputs, 0, inputs, 3), outputs, inputs)


@settings(max_examples=60)
@given(tilings())
def test_any_tiling_computes_in_every_form(matrix: LeafMatrix) -> None:
    for form in forms_of(matrix):
        assert_computes(in_form(matrix, form), matrix)


@pytest.mark.parametrize("precision", ["float16", "bfloat16", "int8"])
def test_narrow_numbers_keep_their_leaves_and_their_values(precision: Precision) -> None:
    matrix = stored_as(hodlr(64, 2, 8), precision)
    forms = forms_of(matrix)
    assert forms == (("panels",) if precision == "int8" else ("panels", "levels"))
    for form in forms:
        assert_computes(in_form(matrix, form), matrix)


def test_the_form_chosen_is_predicted_to_be_the_fastest_of_all(laptop: Device) -> None:
    """Against brute force over all combinations of two sites."""
    rng = np.random.default_rng(0)
    parts = split(random_mlp([64, 256, 64]))
    matrices: dict[str, Matrix] = {
        "site0": SiteMatrix((rng.standard_normal((256, 30)), rng.standard_normal((30, 64))), np.ones(256)),
        "site1": SiteMatrix((rng.standard_normal((64, 2)), rng.standard_normal((2, 256))), np.ones(64)),
    }  # fmt: skip
    for batch in (1, 1024):
        times = {
            (a, b): predicted_seconds(
                laptop,
                graph_work(
                    assemble(parts.skeleton, matrices, forms={"site0": a, "site1": b}), batch
                ),
            )
            for a in forms_of(matrices["site0"])
            for b in forms_of(matrices["site1"])
        }
        chosen = best_forms(parts.skeleton, matrices, laptop, batch)
        usual = times["factors", "factors"]
        best = min(times.values())
        expected = best if best < 0.95 * usual else usual
        assert times[chosen["site0"], chosen["site1"]] == pytest.approx(expected)


def network_with(h1: HMatrix, h2: HMatrix | None = None) -> tuple[ModelProto, dict[str, Matrix]]:
    """3 -> 60 -> 60 -> 60 -> 1 with H-matrices at the inner sites."""
    parts = split(random_mlp([3, 60, 60, 60, 1]))
    found = {"site1": h1} if h2 is None else {"site1": h1, "site2": h2}
    return with_hmatrices(parts, found)


def shuffled(seed: int) -> HMatrix:
    """An H-matrix whose clusters are not those of the given order."""
    points = np.random.default_rng(seed).uniform(size=(60, 2))
    kernel = np.exp(-np.linalg.norm(points[:, None] - points, axis=2))
    tree = kd_tree(points, leaf_size=15)
    return build(kernel, tolerance=1e-4, rows=tree, columns=tree)


def dense_twin(h1: HMatrix, h2: HMatrix | None) -> ModelProto:
    parts = split(random_mlp([3, 60, 60, 60, 1]))
    replaced = {"site1": h1, **({} if h2 is None else {"site2": h2})}
    matrices = {
        name: SiteMatrix((replaced[name].to_dense(),), matrix.bias) if name in replaced else matrix
        for name, matrix in parts.matrices.items()
    }
    return assemble(parts.skeleton, matrices)


@pytest.mark.parametrize(("second", "gathers"), [(None, 0), (0, 0), (1, 1)])
def test_orders_are_folded_into_the_sites_around(second: int | None, gathers: int) -> None:
    """Only between two H-matrices of different orders is there something left to do at run time."""
    h1, h2 = shuffled(0), None if second is None else shuffled(second)
    assert not np.array_equal(h1.row_order, np.arange(60))
    model = assemble(*network_with(h1, h2))
    assert sum(node.op_type == "Gather" for node in model.graph.node) == gathers
    x = np.random.default_rng(0).uniform(size=(7, 3))
    np.testing.assert_allclose(
        run_float32(model, x), run_float32(dense_twin(h1, h2), x), rtol=1e-4, atol=1e-5
    )


def test_at_inputs_and_outputs_gathers_reorder() -> None:
    h = shuffled(0)
    skeleton, matrices = hmatrix_model(h)
    for form in forms_of(matrices["hmatrix"]):
        model = assemble(skeleton, matrices, forms={"hmatrix": form})
        x = np.random.default_rng(0).standard_normal((4, 60))
        np.testing.assert_allclose(run_float32(model, x), (h @ x.T).T, rtol=1e-4, atol=1e-4)


def test_what_is_no_site_or_does_not_fit_is_named() -> None:
    parts = split(random_mlp([3, 60, 1]))
    h = shuffled(0)
    with pytest.raises(InputError, match="'site7' is not known"):
        with_hmatrices(parts, {"site7": h})
    with pytest.raises(InputError, match=r"'site0': is \(60, 3\)"):
        with_hmatrices(parts, {"site0": h})
    square = split(random_mlp([60, 60]))
    with pytest.raises(InputError, match="leaves overlap"):
        with_hmatrices(square, {"site0": multilevel(h.to_dense(), budget=500).matrix})


def test_names_are_those_of_the_site() -> None:
    """Files name weights and nodes after their sites: docs/exporting.md calls the names stable."""
    model = in_form(STRUCTURES["two factors"], "factors")
    assert [node.name for node in model.graph.node] == ["site0.hidden0.gemm", "site0.gemm"]
    assert [node.output[0] for node in model.graph.node] == ["site0.hidden0", "u"]
    weights = [f"site0.{label}" for label in ("factor0", "factor1", "bias")]
    assert [tensor.name for tensor in model.graph.initializer] == weights


@pytest.mark.parametrize("name", STRUCTURES)
def test_an_outline_costs_what_the_graph_does(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = STRUCTURES[name]
    parts = split(random_mlp([matrix.shape[1], matrix.shape[0]]))
    whole = {f: assemble(parts.skeleton, {"site0": matrix}, {"site0": f}) for f in forms_of(matrix)}
    monkeypatch.setattr(builder, "LARGE", 64)
    monkeypatch.setattr(weights, "LARGE", 64)
    for form, model in whole.items():
        light = outline(parts.skeleton, {"site0": matrix}, {"site0": form})
        assert [node.op_type for node in light.graph.node] == [n.op_type for n in model.graph.node]
        held = [tensor for tensor in light.graph.initializer if tensor.raw_data]
        assert all(np.prod(tensor.dims) <= 64 for tensor in held)
        assert graph_work(light, 32) == graph_work(model, 32)
