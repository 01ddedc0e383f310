"""Solving and determinants with HODLR matrices, against numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    Entries,
    HMatrix,
    Leaf,
    build,
    factorize,
    in_given_order,
    kd_tree,
    multilevel,
    strong,
    truncated_svd,
    weak,
)
from tests.hmatrix.gallery import Array, exact_rank, kinked, line, noise, smooth


def hodlr(matrix: Array, leaf_size: int, tolerance: float = 1e-13) -> HMatrix:
    return build(
        matrix,
        tolerance=tolerance,
        rows=in_given_order(len(matrix), leaf_size),
        admissible=weak,
        compressor=truncated_svd,
        coarsen=False,
    )


def check(h: HMatrix) -> None:
    """The factorization is that of H itself, whatever H approximates."""
    dense = h.to_dense()
    found = factorize(h)
    sign, log_determinant = np.linalg.slogdet(dense)
    assert found.sign == sign
    assert found.log_determinant == pytest.approx(log_determinant, rel=1e-9, abs=1e-8)
    assert 0 < found.reciprocal_condition <= 1 + 1e-12
    for shape in ((), (1,), (4,), (0,)):
        b = np.random.default_rng(1).standard_normal((len(dense), *shape))
        before = b.copy()
        x = found.solve(b)
        assert x.shape == b.shape
        np.testing.assert_array_equal(b, before)
        np.testing.assert_allclose(dense @ x, b, atol=1e-8)


@pytest.mark.parametrize("size", [1, 2, 3, 16, 17, 33, 64, 97, 150])
@pytest.mark.parametrize("leaf_size", [8, 16, 200])
def test_a_kernel_with_a_shift(size: int, leaf_size: int) -> None:
    x = np.random.default_rng(0).random((size, 1))
    matrix = np.exp(-3.0 * abs(x - x.T)) + 0.5 * np.eye(size)
    tree = kd_tree(x, leaf_size)
    check(build(matrix, tolerance=1e-9, rows=tree, admissible=weak, coarsen=False))
    check(hodlr(smooth(size, size) + 0.5 * np.eye(size), leaf_size, 1e-2))


def test_a_large_one_from_its_entries_alone() -> None:
    x = np.sort(np.random.default_rng(0).random(700))

    def oracle(i: np.ndarray, j: np.ndarray) -> Array:
        kernel = 1.0 / (1.0 + (x[i, None] - x[j]) ** 2)
        return np.asarray(kernel + (i[:, None] == j))

    h = build(Entries((700, 700), oracle), tolerance=1e-8, admissible=weak, coarsen=False)
    found = factorize(h)
    everything = np.arange(700)
    dense = oracle(everything, everything)
    solution = np.linalg.solve(dense, x)
    assert np.linalg.norm(found.solve(x) - solution) <= 1e-5 * np.linalg.norm(solution)
    assert found.log_determinant == pytest.approx(np.linalg.slogdet(dense)[1], rel=1e-6)


@settings(max_examples=40)
@given(
    size=st.integers(1, 60),
    leaf_size=st.integers(2, 20),
    rank=st.integers(0, 1),
    negative=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_unsymmetric_matrices_of_either_sign(
    size: int, leaf_size: int, rank: int, negative: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = exact_rank(size, size, rank, seed) / size
    diagonal = rng.uniform(1.0, 3.0, size) * rng.choice([-1.0, 1.0], size)
    diagonal[0] = abs(diagonal[0]) * (-1 if negative == (np.prod(np.sign(diagonal[1:])) > 0) else 1)
    matrix[np.arange(size), np.arange(size)] = diagonal * (1 + abs(matrix).sum(axis=1))
    h = hodlr(matrix, leaf_size)
    np.testing.assert_allclose(h.to_dense(), matrix, atol=1e-10)
    check(h)
    assert factorize(h).sign == (-1.0 if negative else 1.0)


@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_sign_of_the_determinant(sign: float) -> None:
    matrix = np.diag([sign * 2.0, *np.full(30, 3.0)])
    matrix[[3, 4]] = matrix[[4, 3]]  # an odd number of row swaps
    h = hodlr(matrix, 8)
    found = factorize(h)
    assert found.sign == -sign
    assert found.log_determinant == pytest.approx(np.log(2.0) + 30 * np.log(3.0))


def test_blocks_of_rank_zero_beside_the_diagonal() -> None:
    matrix = np.kron(np.eye(4), noise(8, 8) + 8 * np.eye(8))
    h = hodlr(matrix, 8)
    assert {leaf.rank for leaf in h.leaves if leaf.top != leaf.start} == {0}
    check(h)
    matrix[8:16, :8] = 1.0  # on one side of the diagonal only
    check(hodlr(matrix, 8))


@pytest.mark.parametrize("size", [14, 15])
def test_dense_blocks_beside_the_diagonal(size: int) -> None:
    h = hodlr(noise(size, size) + 3.0 * size * np.eye(size), 8)
    assert all(leaf.is_dense for leaf in h.leaves)
    assert len(h.leaves) == 4
    check(h)


def test_dense_or_low_rank_on_the_diagonal() -> None:
    left, right = noise(6, 6), noise(6, 6, 1)
    leaves = (
        Leaf(0, 6, 0, 6, (left, right)),
        Leaf(0, 6, 6, 9, (noise(6, 1), noise(1, 3))),
        Leaf(6, 9, 0, 6, (noise(3, 6) / 9,), "dense"),
        Leaf(6, 9, 6, 9, (3 * np.eye(3),), "dense"),
    )
    order = np.random.default_rng(0).permutation(9)
    check(HMatrix(order, order, leaves))


def test_the_solution_is_in_the_original_order() -> None:
    x = np.random.default_rng(3).random((80, 1))
    tree = kd_tree(x, 10)
    assert not np.array_equal(tree.order, np.arange(80))
    matrix = np.exp(-abs(x - x.T)) + np.eye(80)
    h = build(matrix, tolerance=1e-12, rows=tree, admissible=weak, coarsen=False)
    b = np.linspace(0, 1, 80)
    np.testing.assert_allclose(factorize(h).solve(b), np.linalg.solve(matrix, b), atol=1e-9)
    np.testing.assert_allclose(
        factorize(h).solve(b.tolist()), np.linalg.solve(matrix, b), atol=1e-9
    )


def test_a_shifted_and_a_float32_matrix() -> None:
    h = hodlr(kinked(64, 64), 16, 1e-2)
    check(h.shifted(2.0))
    single = factorize(h.shifted(2.0).astype(np.float32))
    b = np.ones(64)
    np.testing.assert_allclose(
        single.solve(b), np.linalg.solve(h.shifted(2.0).to_dense(), b), rtol=1e-3
    )


@pytest.mark.parametrize("scale", [1e-40, 1e-8, 1e10, 1e100])
def test_no_scale_makes_a_matrix_singular_or_overflow(scale: float) -> None:
    matrix = np.eye(60) + smooth(60, 60)
    h = hodlr(matrix, 10, 1e-9)
    assert any(leaf.is_dense for leaf in h.leaves if leaf.top != leaf.start)
    plain = factorize(h)
    for scaled in (scale * h, (scale * h).T):
        found = factorize(scaled)
        assert found.log_determinant == pytest.approx(plain.log_determinant + 60 * np.log(scale))
        assert found.reciprocal_condition == pytest.approx(plain.reciprocal_condition, rel=0.9)
        b = np.linspace(1.0, 2.0, 60)
        np.testing.assert_allclose(scale * (h @ found.solve(b)), b, rtol=1e-9)


def test_bad_scaling_of_rows_or_columns_costs_no_digits() -> None:
    scales = np.where(np.arange(60) < 30, 1e-6, 1e6)
    ones = np.ones(60)
    matrix = np.eye(60) + smooth(60, 60)
    for rows, columns in ((ones, scales), (scales, ones)):
        h = hodlr(rows[:, None] * matrix * columns, 30, 1e-15)
        found = factorize(h)
        well_scaled = h.to_dense() / rows[:, None] / columns
        expected = np.linalg.solve(well_scaled, 1 / rows) / columns
        np.testing.assert_allclose(found.solve(ones), expected, rtol=1e-9)
        assert found.reciprocal_condition > 1e-3


def test_the_condition_warns() -> None:
    well = factorize(hodlr(np.eye(32), 8))
    ill = factorize(hodlr(np.diag(np.geomspace(1, 1e-10, 32)), 8))
    assert well.reciprocal_condition == pytest.approx(1.0)
    assert ill.reciprocal_condition < 1e-2


@pytest.mark.parametrize(
    "matrix",
    [
        np.zeros((20, 20)),
        np.ones((20, 20)),
        np.diag([*np.ones(19), 0.0]),
        np.kron(np.array([[1.0, 1.0], [1.0, 1.0]]), np.eye(10)[::-1] + 0.2),
        np.kron(np.array([[0.0, 1.0], [1.0, 0.0]]), np.full((10, 10), 2.0)),
        np.diag([*np.ones(19), 1e-17]),
    ],
    ids=["zero", "ones", "one zero", "Schur complement", "diagonal blocks", "nearly"],
)
def test_a_singular_matrix_is_refused(matrix: Array) -> None:
    with pytest.raises(InputError, match="singular to working precision; shift it") as caught:
        factorize(hodlr(matrix, 10))
    assert "\n" not in str(caught.value)


def one_row_twice(size: int) -> Array:
    rows = np.eye(size) + 1e-2
    rows[-1] = rows[0]
    return rows


def one_eigenvalue(least: float) -> Array:
    q = np.linalg.qr(np.random.default_rng(2).standard_normal((60, 60)))[0]
    return np.asarray((q * np.append(least, np.ones(59))) @ q.T)


NEARLY_SINGULAR = {
    "one row twice": one_row_twice(400),
    "one column twice": one_row_twice(100).T,
    "rank 5": noise(60, 5) @ noise(60, 5).T,
    **{
        f"one eigenvalue {least:g}": one_eigenvalue(least)
        for least in (1e-17, 1e-15, 3e-16, -1e-16)
    },
}


@pytest.mark.parametrize("name", NEARLY_SINGULAR)
@pytest.mark.parametrize("leaf_size", [8, 64])
def test_a_nearly_singular_system_is_never_answered_with_garbage(name: str, leaf_size: int) -> None:
    matrix = NEARLY_SINGULAR[name]
    for seed in range(3):
        b = np.random.default_rng(seed).standard_normal((len(matrix), 2))
        with pytest.raises(InputError, match=r"singular to working precision.*; shift it"):
            factorize(hodlr(matrix, leaf_size)).solve(b)


def test_one_right_side_of_many_that_is_answered_with_garbage_is_enough() -> None:
    matrix = one_eigenvalue(3e-15)
    found, good = (
        factorize(hodlr(matrix, 8)),
        matrix[:, :1],
    )  # a solution of it is known to be (1, 0, …)
    np.testing.assert_allclose(matrix @ found.solve(good), good, atol=1e-8)
    with pytest.raises(InputError, match="singular to working precision for this right side"):
        found.solve(np.hstack([good, noise(60, 1)]))


@pytest.mark.parametrize("least", [1e-6, 1e-9, 1e-12])
def test_an_ill_conditioned_system_is_answered(least: float) -> None:
    matrix = one_eigenvalue(least)
    b = noise(60, 1)[:, 0]
    x, exact = factorize(hodlr(matrix, 8, 1e-15)).solve(b), np.linalg.solve(matrix, b)
    assert np.linalg.norm(x - exact) < 1e-15 / least * 1e2 * np.linalg.norm(exact)


def other_structures() -> dict[str, HMatrix]:
    tree = in_given_order(40, 5)
    return {
        "strong": build(kinked(40, 40), tolerance=1e-6, rows=kd_tree(line(40), 5),
                        admissible=strong(), coarsen=False),
        "ranks above the limit": build(
            kinked(40, 40), tolerance=1e-6, rows=tree, admissible=weak, coarsen=False, rank_limit=1
        ),
        "two orders": build(kinked(40, 40), tolerance=0.1, rows=kd_tree(noise(40, 1), 5),
                            columns=tree, admissible=weak, coarsen=False),
        "rectangular": build(kinked(40, 30), tolerance=0.1),
        "overlapping": multilevel(kinked(40, 40), budget=800).matrix,
    }  # fmt: skip


@pytest.mark.parametrize("name", other_structures())
def test_other_structures_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="factorize") as caught:
        factorize(other_structures()[name])
    assert "singular" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "right_side",
    [np.ones(7), np.ones((7, 8)), np.ones((8, 2, 2)), 1.0, [1j] * 8, [np.nan] * 8, "b", [[1], [1, 2]]],
)  # fmt: skip
def test_wrong_right_sides_are_refused(right_side: Any) -> None:
    found = factorize(hodlr(np.eye(8), 4))
    with pytest.raises(InputError, match="right side"):
        found.solve(right_side)
