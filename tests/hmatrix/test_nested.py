"""H²-matrices keep their tolerance, and their products are those of the dense matrix."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.arrays import Array
from hedge.errors import InputError, ToleranceError
from hedge.hmatrix import (
    Entries,
    H2Matrix,
    HMatrix,
    NestedBasis,
    aca,
    anywhere,
    build,
    build_nested,
    in_given_order,
    kd_tree,
    kernel,
    multilevel,
    recompress,
    sampled_error,
    smallest,
    strong,
    truncated_svd,
    weak,
)
from tests.hmatrix.gallery import GALLERY, coverage, exact_rank, kinked, line, noise

LEAF = 9
PLANE_LEAF = 25
POINTS = np.random.default_rng(3).random((500, 2))


def exponential(x: Array, y: Array) -> Array:
    return np.asarray(np.exp(-3.0 * np.sqrt(((x - y) ** 2).sum(axis=0))))


PLANE = kernel(exponential, POINTS, symmetric=True)


@cache
def plane(tolerance: float = 1e-4) -> H2Matrix:
    tree = kd_tree(POINTS, PLANE_LEAF)
    return build_nested(PLANE, tolerance=tolerance, rows=tree, admissible=strong())


def check(matrix: Array, h: H2Matrix, tolerance: float) -> None:
    norm = float(np.linalg.norm(matrix))
    dense = h.to_dense()
    assert h.shape == matrix.shape == dense.shape
    assert np.linalg.norm(matrix - dense) <= tolerance * norm * (1 + 1e-9)
    assert h.frobenius_norm() == pytest.approx(np.linalg.norm(dense), rel=1e-9)
    np.testing.assert_array_equal(coverage(h.to_hmatrix()), 1)
    rng = np.random.default_rng(0)
    for right in (rng.standard_normal(matrix.shape[1]), rng.standard_normal((matrix.shape[1], 3))):
        np.testing.assert_allclose(h @ right, dense @ right, atol=1e-12 * norm)
    for left in (rng.standard_normal(matrix.shape[0]), rng.standard_normal((2, matrix.shape[0]))):
        np.testing.assert_allclose(left @ h, left @ dense, atol=1e-12 * norm)
    some = rng.integers(0, matrix.shape[0], 4)
    np.testing.assert_allclose(h.rows(some), dense[some], atol=1e-12 * norm)
    for basis in (h.row_basis, h.column_basis):
        check_orthonormal(basis)


def check_orthonormal(basis: NestedBasis) -> None:
    for at, cluster in enumerate(basis.clusters):
        whole = basis.whole(at)
        assert whole.shape == (cluster.size, basis.ranks[at])
        np.testing.assert_allclose(whole.T @ whole, np.eye(whole.shape[1]), atol=1e-12)


@pytest.mark.parametrize("admissible", [weak, anywhere], ids=["weak", "anywhere"])
@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("tolerance", [1e-2, 1e-9])
def test_tolerance_and_products(name: str, admissible: object, tolerance: float) -> None:
    matrix = GALLERY[name]
    rows, columns = (in_given_order(size, LEAF) for size in matrix.shape)
    h = build_nested(
        matrix,
        tolerance=tolerance,
        rows=rows,
        columns=columns,
        admissible=admissible,  # type: ignore[arg-type]
        compressor=truncated_svd,
    )
    check(matrix, h, tolerance)


@settings(max_examples=12, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.integers(1, 30),
    st.integers(1, 30),
    st.floats(1e-8, 0.9),
)
def test_any_shape_and_trees(m: int, n: int, a: int, b: int, tolerance: float) -> None:
    matrix = kinked(m, n) + 0.01 * noise(m, n)
    h = build_nested(
        matrix,
        tolerance=tolerance,
        rows=kd_tree(line(m), a),
        columns=kd_tree(line(n), b),
        admissible=strong(),
        compressor=truncated_svd,
    )
    check(matrix, h, tolerance)


def test_symmetric_kernels_have_one_basis_and_are_their_own_transpose() -> None:
    h = plane()
    assert h.symmetric
    assert h.row_basis is h.column_basis
    assert h.T is h
    check(PLANE.whole(), h, 1e-4)
    dense = h.to_dense()
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)


def test_takes_fewer_numbers_than_an_h_matrix() -> None:
    points = np.random.default_rng(5).random((1500, 2))
    entries, tree = kernel(exponential, points, symmetric=True), kd_tree(points)
    h = build(entries, tolerance=1e-3, rows=tree, admissible=strong())
    nested = build_nested(entries, tolerance=1e-3, rows=tree, admissible=strong())
    assert nested.numbers < 0.6 * h.numbers
    assert sampled_error(entries, nested, samples=1500) <= 1e-3


def test_smallest_is_low_rank_dense_or_nested_as_the_matrix_is() -> None:
    low_rank = smallest(exact_rank(90, 80), tolerance=1e-9)
    assert isinstance(low_rank, HMatrix)
    assert low_rank.numbers == 3 * (90 + 80)
    dense = smallest(noise(90, 80), tolerance=1e-9)
    assert isinstance(dense, HMatrix)
    assert dense.numbers == 90 * 80
    tree = kd_tree(POINTS, PLANE_LEAF)
    shared = smallest(PLANE, tolerance=1e-3, rows=tree, admissible=strong())
    assert isinstance(shared, H2Matrix)
    assert shared.numbers == plane(1e-3).numbers


def test_same_points_on_one_side_only() -> None:
    others = np.random.default_rng(4).random((350, 2))
    entries = kernel(exponential, POINTS, others)
    h = build_nested(
        entries,
        tolerance=1e-4,
        rows=kd_tree(POINTS, PLANE_LEAF),
        columns=kd_tree(others, 30),
        admissible=strong(),
    )
    check(entries.whole(), h, 1e-4)
    assert h.T.T.numbers == h.T.numbers == h.numbers
    np.testing.assert_allclose(h.T.to_dense(), h.to_dense().T, atol=1e-14)
    assert sampled_error(entries, h) < 1e-4


def test_a_square_matrix_that_is_not_symmetric_keeps_two_bases() -> None:
    matrix = kinked(80, 80) * np.linspace(1, 5, 80)
    h = build_nested(matrix, tolerance=1e-4, rows=in_given_order(80, LEAF), admissible=weak)
    assert not h.symmetric
    check(matrix, h, 1e-4)


def test_from_an_h_matrix_and_back() -> None:
    tree = kd_tree(POINTS, PLANE_LEAF)
    h = build(PLANE, tolerance=1e-8, rows=tree, admissible=strong())
    nested = build_nested(h, tolerance=1e-3, rows=tree)
    check(h.to_dense(), nested, 1e-3)
    back = nested.to_hmatrix()
    np.testing.assert_allclose(back.to_dense(), nested.to_dense(), atol=1e-12)
    np.testing.assert_allclose(back @ np.ones(500), nested @ np.ones(500), atol=1e-9)


def test_recompression_states_its_error() -> None:
    h = plane(1e-6)
    smaller, error = recompress(h, tolerance=1e-2)
    off = float(np.linalg.norm(h.to_dense() - smaller.to_dense())) / h.frobenius_norm()
    assert off <= error * (1 + 1e-9) <= 1e-2
    assert off >= 0.5 * error
    single, _ = recompress(h.astype("float32"), tolerance=1e-2)
    assert single.dtype == np.float32
    assert single.numbers == pytest.approx(smaller.numbers, rel=0.1)
    assert smaller.numbers < h.numbers
    check(h.to_dense(), smaller, 1e-2)


def test_float32_and_the_view_for_scipy() -> None:
    h = plane()
    single = h.astype("float32")
    assert single.dtype == np.float32
    assert single.nbytes == h.nbytes // 2
    x = np.random.default_rng(0).standard_normal(500)
    assert (single @ x).dtype == np.float32
    np.testing.assert_allclose(single @ x, h @ x, rtol=0, atol=1e-5 * np.linalg.norm(h @ x))
    operator = h.as_linear_operator()
    np.testing.assert_array_equal(operator @ x, h @ x)
    np.testing.assert_array_equal(operator.rmatvec(x), x @ h)
    np.testing.assert_array_equal(operator @ np.eye(500)[:, :4], h @ np.eye(500)[:, :4])


def test_tells_what_it_holds() -> None:
    text = repr(plane())
    assert text.startswith("H2Matrix 500 × 500 float64")
    assert [line.split()[0] for line in text.splitlines()[2:]] == ["bases", "couplings", "dense"]


@pytest.mark.parametrize("points", [np.zeros((50, 2)), np.zeros((1, 2))], ids=["equal", "one"])
def test_points_that_are_all_one(points: Array) -> None:
    entries = kernel(exponential, points, symmetric=True)
    h = build_nested(entries, tolerance=1e-3, rows=kd_tree(points, LEAF), admissible=strong())
    check(entries.whole(), h, 1e-3)


def test_bad_input_is_named() -> None:
    matrix = kinked(40, 40)
    tree = in_given_order(40, LEAF)
    h = build(matrix, tolerance=1e-3, rows=tree)
    with pytest.raises(InputError, match="rows: the H-matrix has another order"):
        build_nested(h, tolerance=1e-3, rows=kd_tree(noise(40, 2), LEAF))
    finer = build(noise(40, 40), tolerance=1e-3, rows=tree)
    with pytest.raises(InputError, match="rows: a leaf of the H-matrix is no block of the trees"):
        build_nested(finer, tolerance=1e-3, rows=in_given_order(40, 40))
    with pytest.raises(InputError, match="leaves add up"):
        build_nested(multilevel(matrix, budget=800, rows=tree).matrix, tolerance=1e-3, rows=tree)
    with pytest.raises(InputError, match="tolerance"):
        build_nested(matrix, tolerance=0.0)
    with pytest.raises(InputError, match="no coordinates"):
        build_nested(matrix, tolerance=1e-3, admissible=strong())
    with pytest.raises(InputError, match="NaN"):
        build_nested(np.full((3, 3), np.nan), tolerance=1e-3)
    nested = build_nested(matrix, tolerance=1e-3, rows=tree)
    with pytest.raises(InputError, match=r"vector: has shape \(39,\)"):
        nested @ np.ones(39)
    with pytest.raises(InputError, match="vector"):
        np.ones((2, 39)) @ nested
    with pytest.raises(InputError, match="dtype"):
        nested.astype("int8")


def test_entries_that_samples_miss_are_refused() -> None:
    rng = np.random.default_rng(0)
    matrix = 1e3 * noise(500, 500) * (rng.random((500, 500)) > 0.999) + kinked(500, 500)
    entries = Entries(matrix.shape, lambda i, j: matrix[np.ix_(i, j)])
    with pytest.raises(ToleranceError):
        build_nested(entries, tolerance=1e-3, compressor=aca)


def test_only_nested_bases_are_recompressed() -> None:
    with pytest.raises(InputError, match="h: is a HMatrix, not an H2Matrix"):
        recompress(build(np.eye(4), tolerance=0.1), tolerance=0.1)  # type: ignore[arg-type]


def test_a_kernel_that_answers_a_number_is_told() -> None:
    with pytest.raises(InputError, match=r"oracle: answered shape \(\)"):
        build(kernel(lambda x, y: 1.0, np.zeros((5, 2))), tolerance=0.1)


def test_an_h_matrix_in_place_of_an_array_is_told() -> None:
    h2 = build_nested(line(64), tolerance=1e-3)
    for matrix in (h2, build(line(64), tolerance=1e-3)):
        with pytest.raises(
            InputError, match=rf"matrix: is of type {type(matrix).__name__}, no array"
        ):
            build(matrix, tolerance=1e-3)  # type: ignore[arg-type]
