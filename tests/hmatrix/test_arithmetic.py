"""H-matrices as values: every operation against the same one on the dense matrix."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.sparse.linalg import cg, eigsh, svds

from hedge.errors import InputError
from hedge.hmatrix import (
    HMatrix,
    Leaf,
    add,
    build,
    by_similarity,
    in_given_order,
    kd_tree,
    multilevel,
    truncate,
    weak,
)
from tests.hmatrix.gallery import Array, coverage, exact_rank, kinked, line, noise, smooth


def shuffled(size: int, seed: int = 0) -> Array:
    return np.random.default_rng(seed).permutation(line(size))


def tiled(m: int, n: int, *, tolerance: float = 1e-2) -> HMatrix:
    """Low-rank and dense leaves, rows and columns in orders of their own."""
    matrix = 1.0 / (1.0 + 20.0 * abs(shuffled(m) - shuffled(n, 1).T))
    return build(
        matrix,
        tolerance=tolerance,
        rows=kd_tree(shuffled(m), 7),
        columns=kd_tree(shuffled(n, 1), 5),
    )


def hodlr(size: int) -> HMatrix:
    tree = kd_tree(shuffled(size), 9)
    matrix = 1.0 / (1.0 + 20.0 * abs(shuffled(size) - shuffled(size).T))
    return build(matrix, tolerance=1e-3, rows=tree, admissible=weak, coarsen=False)


def overlapping(m: int, n: int) -> HMatrix:
    matrix = 1.0 / (1.0 + 20.0 * abs(shuffled(m) - shuffled(n, 1).T))
    rows, columns = by_similarity(matrix, 12), by_similarity(matrix.T, 12)
    return multilevel(matrix, budget=m * n / 2.0, rows=rows, columns=columns, sweeps=4).matrix


def one_leaf(matrix: Array) -> HMatrix:
    m, n = matrix.shape
    return HMatrix(np.arange(m), np.arange(n), (Leaf(0, m, 0, n, (matrix,), "given"),))


MATRICES: dict[str, HMatrix] = {
    "square": tiled(60, 60),
    "tall": tiled(80, 37),
    "wide": tiled(37, 91),
    "hodlr": hodlr(50),
    "overlapping": overlapping(64, 64),
    "overlapping wide": overlapping(40, 70),
    "single row": build(noise(1, 30), tolerance=0.1),
    "single column": build(noise(30, 1), tolerance=0.1),
    "1 × 1": build([[-3.0]], tolerance=0.1),
    "zero": build(np.zeros((20, 30)), tolerance=0.1),
    "dense": one_leaf(noise(12, 15)),
}
every = pytest.mark.parametrize("h", MATRICES.values(), ids=list(MATRICES))


def test_rows_are_those_of_the_dense_matrix() -> None:
    points = np.random.default_rng(0).random((150, 2))
    matrix = np.exp(-np.linalg.norm(points[:, None] - points, axis=2))[:, :120]
    h = build(matrix, tolerance=1e-3, rows=kd_tree(points, 12), columns=kd_tree(points[:120], 9))
    for asked in (np.array([7, 149, 0, 7]), np.arange(150), np.zeros(0, dtype=np.intp)):
        np.testing.assert_allclose(h.rows(asked), h.to_dense()[asked], atol=1e-14)


def test_the_examples_cover_what_they_should() -> None:
    for name in ("square", "tall", "wide", "hodlr"):
        kinds = {leaf.is_dense for leaf in MATRICES[name].leaves}
        assert kinds == {True, False}
        assert not np.array_equal(MATRICES[name].row_order, np.arange(MATRICES[name].shape[0]))
    for name in ("overlapping", "overlapping wide"):
        assert MATRICES[name].overlapping
        assert coverage(MATRICES[name]).max() > 1
    assert not np.array_equal(MATRICES["square"].row_order, MATRICES["square"].column_order)


@every
def test_products_are_those_of_the_dense_matrix(h: HMatrix) -> None:
    rng = np.random.default_rng(0)
    dense = h.to_dense()
    m, n = h.shape
    for tail in ((), (1,), (5,), (0,)):
        x, y = rng.standard_normal((n, *tail)), rng.standard_normal((m, *tail))
        np.testing.assert_allclose(h @ x, dense @ x, atol=1e-11)
        np.testing.assert_allclose(y.T @ h, y.T @ dense, atol=1e-11)
        np.testing.assert_allclose(h.T @ y, dense.T @ y, atol=1e-11)
        assert (h @ x).dtype == (y.T @ h).dtype == np.float64
    x = rng.integers(-9, 9, n)
    np.testing.assert_allclose(h @ x, dense @ x, atol=1e-11)
    np.testing.assert_allclose(h @ x.tolist(), dense @ x, atol=1e-11)
    np.testing.assert_allclose(list(range(m)) @ h, np.arange(m) @ dense, atol=1e-10)


@every
def test_a_product_leaves_its_vector_alone(h: HMatrix) -> None:
    x, y = np.ones((h.shape[1], 2)), np.ones((3, h.shape[0]))
    h @ x
    y @ h
    assert (x == 1.0).all()
    assert (y == 1.0).all()


@every
def test_the_transpose_is_the_transpose(h: HMatrix) -> None:
    assert h.T.shape == h.shape[::-1]
    np.testing.assert_allclose(h.T.to_dense(), h.to_dense().T, atol=1e-14)
    np.testing.assert_array_equal(h.T.T.to_dense(), h.to_dense())
    assert h.T.numbers == h.numbers


@every
def test_multiples_and_the_negative(h: HMatrix) -> None:
    dense = h.to_dense()
    for factor in (2, -0.5, np.float64(3.0), np.float32(0.25), 0):
        np.testing.assert_allclose((h * factor).to_dense(), dense * float(factor), atol=1e-13)
        np.testing.assert_allclose((factor * h).to_dense(), dense * float(factor), atol=1e-13)
    np.testing.assert_array_equal((-h).to_dense(), -dense)
    assert (2 * h).overlapping == h.overlapping
    assert (2 * h.astype(np.float32)).dtype == np.float32


@pytest.mark.parametrize(
    "factor", [np.ones(60), np.ones((1, 1)), "2", 1j, float("nan"), None, MATRICES["square"]]
)
def test_only_a_number_multiplies(factor: Any) -> None:
    with pytest.raises(InputError, match="factor"):
        MATRICES["square"] * factor


@every
def test_float32_halves_the_bytes(h: HMatrix) -> None:
    single = h.astype(np.float32)
    assert single.dtype == np.float32
    assert single.numbers == h.numbers
    assert h.nbytes == 8 * h.numbers == 2 * single.nbytes
    x = np.random.default_rng(0).standard_normal(h.shape[1])
    product = single @ x
    assert product.dtype == np.float32
    assert single.to_dense().dtype == single.diagonal().dtype == np.float32
    np.testing.assert_allclose(product, h @ x, atol=1e-4)
    assert single.astype("float64").dtype == np.float64


@pytest.mark.parametrize("dtype", [int, complex, np.float16, "int8", object])
def test_other_types_are_refused(dtype: Any) -> None:
    with pytest.raises(InputError, match="float32 or float64"):
        MATRICES["square"].astype(dtype)


@every
def test_the_linear_operator_does_all_that_scipy_asks(h: HMatrix) -> None:
    rng = np.random.default_rng(1)
    dense, operator = h.to_dense(), h.as_linear_operator()
    m, n = h.shape
    assert operator.shape == (m, n)
    assert operator.dtype == np.float64
    pairs: list[tuple[Callable[[Array], Array], Array, Array]] = [
        (operator.matvec, dense, rng.standard_normal(n)),
        (operator.matvec, dense, rng.standard_normal((n, 1))),
        (operator.rmatvec, dense.T, rng.standard_normal(m)),
        (operator.matmat, dense, rng.standard_normal((n, 3))),
        (operator.rmatmat, dense.T, rng.standard_normal((m, 3))),
        (operator.matvec, dense, rng.integers(-9, 9, n)),
        (operator.rmatvec, dense.T, rng.integers(-9, 9, m)),
        (operator.matvec, dense, rng.standard_normal(n).astype(np.float32)),
        (operator.matvec, dense, rng.standard_normal(n) * 1j),
        (operator.rmatmat, dense.T, rng.standard_normal((m, 2)) * (1 - 1j)),
        (operator.H.matvec, dense.T, rng.standard_normal(m)),
        ((2 * operator).matvec, 2 * dense, rng.standard_normal(n)),
    ]
    for function, matrix, x in pairs:
        np.testing.assert_allclose(function(x), matrix @ x, atol=1e-9)


def test_scipys_solvers_take_it() -> None:
    matrix = kinked(90, 90)
    h = build(matrix, tolerance=1e-11, rows=in_given_order(90, 15))
    operator = h.as_linear_operator()
    largest = eigsh(operator, k=3, return_eigenvectors=False, v0=np.ones(90))
    np.testing.assert_allclose(np.sort(largest), np.linalg.eigvalsh(matrix)[-3:], rtol=1e-8)
    values = svds(MATRICES["wide"].as_linear_operator(), k=2, return_singular_vectors=False,
                  v0=np.ones(37))  # fmt: skip
    exact = np.linalg.svd(MATRICES["wide"].to_dense(), compute_uv=False)
    np.testing.assert_allclose(np.sort(values), exact[1::-1], rtol=1e-8)
    solution, information = cg(h.shifted(1.0).as_linear_operator(), np.ones(90))
    assert information == 0
    assert np.linalg.norm(matrix @ solution + solution - 1.0) <= 1e-4 * np.sqrt(90)


@every
def test_the_diagonal(h: HMatrix) -> None:
    np.testing.assert_allclose(h.diagonal(), np.diag(h.to_dense()), atol=1e-13)


@every
def test_the_norms(h: HMatrix) -> None:
    dense = h.to_dense()
    assert h.frobenius_norm() == pytest.approx(float(np.linalg.norm(dense)), rel=1e-12)
    exact = float(np.linalg.norm(dense, 2))
    assert h.spectral_norm() == pytest.approx(exact, rel=1e-5)
    assert h.spectral_norm(tolerance=1e-10) == pytest.approx(exact, rel=1e-8)
    assert h.astype(np.float32).spectral_norm() == pytest.approx(exact, rel=1e-4)


def test_the_frobenius_norm_sees_through_leaves_that_cancel() -> None:
    matrix = exact_rank(20, 20)
    u, s, vt = np.linalg.svd(matrix)
    parts = (
        Leaf(0, 20, 0, 20, (u[:, :3] * s[:3], vt[:3])),
        Leaf(0, 10, 0, 10, (-matrix[:10, :10],), "dense"),
        Leaf(5, 20, 5, 20, (u[5:, :2] * s[:2], vt[:2, 5:])),
        Leaf(0, 4, 0, 20, (noise(4, 20),), "dense"),
    )
    h = HMatrix(np.arange(20), np.arange(20), parts, overlapping=True)
    assert h.frobenius_norm() == pytest.approx(float(np.linalg.norm(h.to_dense())), rel=1e-12)


def test_storage_is_counted_leaf_by_leaf() -> None:
    left, right, dense = np.ones((4, 2)), np.ones((2, 6)), np.ones((3, 6))
    h = HMatrix(
        np.arange(7), np.arange(6), (Leaf(0, 4, 0, 6, (left, right)), Leaf(4, 7, 0, 6, (dense,)))
    )
    assert h.numbers == 8 + 12 + 18
    assert h.nbytes == 8 * 38
    assert h.compression == pytest.approx(42 / 38)
    assert [leaf.rank for leaf in h.leaves] == [2, 3]
    shown = repr(h)
    assert "7 × 6 float64, 304 bytes" in shown
    low, full = shown.splitlines()[-2:]
    assert low.split()[:5] == ["low", "rank", "1", "2–2", "20"]
    assert full.split()[:4] == ["dense", "1", "–", "18"]
    assert low.endswith("57.1%")
    assert full.endswith("42.9%")


@every
def test_the_representation_counts_the_leaves(h: HMatrix) -> None:
    lines = repr(h).splitlines()
    assert f"{h.shape[0]} × {h.shape[1]}" in lines[0]
    low = [leaf for leaf in h.leaves if not leaf.is_dense]
    assert int(lines[2].split()[2]) == len(low)
    assert int(lines[3].split()[1]) == len(h.leaves) - len(low)
    numbers = sum(int(row.split()[-2].replace(",", "")) for row in lines[2:])
    assert numbers == h.numbers


def test_a_shift_goes_onto_the_diagonal() -> None:
    for h in (MATRICES["hodlr"], build(np.ones((40, 40)), tolerance=1e-9), one_leaf(noise(9, 9))):
        size = h.shape[0]
        np.testing.assert_allclose(
            h.shifted(0.7).to_dense(), h.to_dense() + 0.7 * np.eye(size), atol=1e-12
        )
        before = h.to_dense()
        h.shifted(100.0)
        np.testing.assert_array_equal(h.to_dense(), before)
        assert all(leaf.reason for leaf in h.shifted(1.0).leaves if leaf.is_dense)


@pytest.mark.parametrize("name", ["square", "wide", "overlapping"])
def test_a_shift_needs_one_order_for_both_sides(name: str) -> None:
    with pytest.raises(InputError, match="shift"):
        MATRICES[name].shifted(1.0)


@pytest.mark.parametrize("shift", [float("nan"), np.ones(50), "1"])
def test_a_shift_is_a_number(shift: Any) -> None:
    with pytest.raises(InputError, match="shift"):
        MATRICES["hodlr"].shifted(shift)


@pytest.mark.parametrize(
    "vectors",
    [
        np.ones(5), np.ones((5, 37)), np.ones((37, 2, 2)), np.ones(0), 1.0, None, "x", [[1], [1, 2]],
        np.full(37, np.nan), np.full(37, 1j),
    ],
)  # fmt: skip
def test_wrong_vectors_are_refused(vectors: Any) -> None:
    h = MATRICES["tall"]
    with pytest.raises(InputError, match="vector") as caught:
        h @ vectors
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="vector"):
        vectors @ h


def test_two_h_matrices_are_not_multiplied() -> None:
    with pytest.raises(InputError, match="vector"):
        MATRICES["square"] @ MATRICES["square"]


sizes = st.integers(1, 50)


@settings(max_examples=40)
@given(
    rows=sizes,
    columns=sizes,
    tolerance=st.sampled_from([1.5, 0.2, 1e-3, 1e-9]),
    same=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_a_sum_keeps_its_tolerance(
    rows: int, columns: int, tolerance: float, same: bool, seed: int
) -> None:
    trees = in_given_order(rows, 5), in_given_order(columns, 4)
    a = build(kinked(rows, columns), tolerance=0.1, rows=trees[0], columns=trees[1])
    second = noise(rows, columns, seed) if same else exact_rank(rows, columns, 2, seed)
    b = build(second, tolerance=0.5, rows=trees[0], columns=trees[1])
    exact = a.to_dense() + b.to_dense()
    total = add(a, b, tolerance=tolerance)
    error = float(np.linalg.norm(exact - total.to_dense()))
    assert error <= tolerance * np.linalg.norm(exact) * (1 + 1e-6)
    np.testing.assert_array_equal(coverage(total), 1)
    assert total.numbers <= total.shape[0] * total.shape[1]


def test_equal_leaves_stay_and_different_ones_are_refined() -> None:
    tree = in_given_order(40, 10)
    a = build(kinked(40, 40), tolerance=0.05, rows=tree, admissible=weak, coarsen=False)
    b = build(exact_rank(40, 40), tolerance=1e-9, rows=tree)
    assert len(b.leaves) == 1

    def places(h: HMatrix) -> set[tuple[int, int, int, int]]:
        return {(leaf.top, leaf.bottom, leaf.start, leaf.stop) for leaf in h.leaves}

    assert places(add(a, a, tolerance=1e-9)) == places(a)
    assert places(add(a, b, tolerance=1e-9)) == places(add(b, a, tolerance=1e-9)) == places(a)


def test_a_sum_with_its_negative_is_zero_and_twice_itself_has_the_same_ranks() -> None:
    h = MATRICES["hodlr"]
    assert add(h, -h, tolerance=1e-3).frobenius_norm() <= 1e-13 * h.frobenius_norm()
    assert add(h, h, tolerance=1e-10).numbers <= h.numbers
    zero = build(np.zeros((20, 30)), tolerance=0.1)
    assert add(zero, zero, tolerance=1e-3).numbers == 0


def test_sums_need_the_same_orders_and_leaves_that_tile() -> None:
    square = MATRICES["square"]
    for other in (MATRICES["tall"], hodlr(60), square.T):
        with pytest.raises(InputError, match="differ in shape or order"):
            add(square, other, tolerance=0.1)
    summed = MATRICES["overlapping"]
    with pytest.raises(InputError, match="overlap"):
        add(summed, summed, tolerance=0.1)
    with pytest.raises(InputError, match="tolerance"):
        add(square, square, tolerance=0.0)


@settings(max_examples=30)
@given(
    tolerance=st.sampled_from([2.0, 0.5, 0.1, 1e-2, 1e-4, 1e-14]),
    name=st.sampled_from([n for n in MATRICES if "overlapping" not in n]),
)
def test_truncation_keeps_its_tolerance_and_never_costs_more(tolerance: float, name: str) -> None:
    h = MATRICES[name]
    cut = truncate(h, tolerance=tolerance)
    error = float(np.linalg.norm(h.to_dense() - cut.to_dense()))
    assert error <= tolerance * h.frobenius_norm() * (1 + 1e-6) + 1e-14 * h.frobenius_norm()
    assert cut.numbers <= h.numbers
    assert len(cut.leaves) == len(h.leaves)
    np.testing.assert_array_equal(coverage(cut), 1)
    if tolerance > 1:
        assert cut.numbers == 0


def test_truncation_takes_the_fewest_numbers() -> None:
    blocks = [np.diag([4.0, 2.0, 1.0, 0.5, 0.1, 0.1]), np.diag([3.0, 0.2, 0.1, 0.1, 0.1, 0.1])]
    leaves = tuple(
        Leaf(0, 6, 6 * i, 6 * i + 6, (block[:, :5], np.eye(6)[:5]))
        for i, block in enumerate(blocks)
    )
    h = HMatrix(np.arange(6), np.arange(12), leaves)
    squares = [np.diag(block)[:5] ** 2 for block in blocks]
    for tolerance in (0.05, 0.1, 0.2, 0.4, 0.7):
        limit = tolerance**2 * float(np.sum(squares))
        best = min(
            i + j
            for i in range(6)
            for j in range(6)
            if squares[0][i:].sum() + squares[1][j:].sum() <= limit
        )
        assert truncate(h, tolerance=tolerance).numbers == 12 * best


def test_spare_rank_goes_even_where_low_rank_did_not_pay() -> None:
    matrix = exact_rank(20, 20, 2)
    twice = Leaf(0, 20, 0, 20, (np.hstack((matrix, matrix)), np.vstack((np.eye(20), np.eye(20)))))
    h = HMatrix(np.arange(20), np.arange(20), (twice,))
    for full in (h, one_leaf(matrix)):
        (leaf,) = truncate(full, tolerance=1e-10).leaves
        assert leaf.rank == 2
        assert not leaf.reason


def test_truncation_refuses_overlapping_leaves_and_bad_tolerances() -> None:
    with pytest.raises(InputError, match="overlap"):
        truncate(MATRICES["overlapping"], tolerance=0.1)
    for tolerance in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="tolerance"):
            truncate(MATRICES["square"], tolerance=tolerance)


def test_truncation_of_float32_stays_float32() -> None:
    h = build(smooth(64, 64), tolerance=1e-5, rows=in_given_order(64, 8)).astype(np.float32)
    cut = truncate(h, tolerance=1e-2)
    assert cut.dtype == np.float32
    assert np.linalg.norm(cut.to_dense() - h.to_dense()) <= 1.01e-2 * h.frobenius_norm()
