"""Shared bases keep their budget, say their error, and win where clusters see the same."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import by_similarity, in_given_order, kd_tree, shared_bases
from tests.hmatrix.gallery import exact_rank, kinked, noise
from tests.hmatrix.test_multilevel import check, distances


@settings(max_examples=25)
@given(
    rows=st.integers(2, 50),
    columns=st.integers(2, 50),
    leaf_sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    share=st.floats(0.0, 1.3),
    seed=st.integers(0, 10**6),
)
def test_the_budget_is_kept_and_the_error_is_the_error(
    rows: int, columns: int, leaf_sizes: tuple[int, int], share: float, seed: int
) -> None:
    matrix = kinked(rows, columns) + 0.05 * noise(rows, columns, seed)
    budget = max(share * matrix.size, rows + columns + 1)
    trees = by_similarity(matrix, leaf_sizes[0]), in_given_order(columns, leaf_sizes[1])
    found = shared_bases(matrix, budget=budget, rows=trees[0], columns=trees[1])
    check(matrix, found, budget)
    x = noise(columns, 3, seed)
    np.testing.assert_allclose(found.matrix @ x, found.matrix.to_dense() @ x, atol=1e-10)
    y = noise(rows, 1, seed)[:, 0]
    np.testing.assert_allclose(found.matrix.T @ y, y @ found.matrix.to_dense(), atol=1e-10)


def test_a_matrix_of_shared_bases_is_recovered() -> None:
    """All 8 × 8 blocks of rank 2, in bases that their whole row and column share."""
    rng = np.random.default_rng(0)
    basis = [np.linalg.qr(rng.standard_normal((16, 2)))[0] for _ in range(8)]
    u = np.zeros((128, 16))
    for i, own in enumerate(basis):
        u[16 * i : 16 * i + 16, 2 * i : 2 * i + 2] = own
    matrix = u @ rng.standard_normal((16, 16)) @ u.T
    found = shared_bases(matrix, budget=2 * 128 * 2 + 16 * 16, leaf_size=16)
    assert found.error < 1e-12
    check(matrix, found, 768)


def test_distances_in_space_take_about_half_the_error_of_low_rank() -> None:
    points, matrix = distances(600, 3)
    budget = 2 * 600 * 20
    low_rank = np.linalg.norm(np.linalg.svd(matrix, compute_uv=False)[20:]) / np.linalg.norm(matrix)
    found = shared_bases(matrix, budget=budget, rows=kd_tree(points, 16))
    assert found.error < 0.55 * low_rank


def test_what_is_of_low_rank_as_a_whole_is_kept_exactly() -> None:
    matrix = exact_rank(40, 30, 2)
    assert shared_bases(matrix, budget=2 * 70 + 4, leaf_size=64).error < 1e-12


def test_what_cannot_be_fitted_is_one_line() -> None:
    with pytest.raises(InputError, match="budget: 3 pays for no rank"):
        shared_bases(np.eye(4), budget=3)
    with pytest.raises(InputError, match="budget"):
        shared_bases(np.eye(4), budget=-1)
    assert shared_bases(np.zeros((4, 3)), budget=10).error == 0.0
