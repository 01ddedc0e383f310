"""Multilevel sums keep their budget, say their error, and win where they should."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    Fit,
    HMatrix,
    by_similarity,
    fit,
    in_given_order,
    kd_tree,
    most_accurate,
    multilevel,
    shared_bases,
)
from tests.hmatrix.gallery import GALLERY, Array, coverage, exact_rank, kinked, noise, smooth


def distances(size: int, dimension: int) -> tuple[Array, Array]:
    points = np.random.default_rng(0).random((size, dimension))
    return points, np.linalg.norm(points[:, None] - points, axis=2)


def check(matrix: Array, found: Fit, budget: float) -> None:
    assert found.matrix.shape == matrix.shape
    assert found.matrix.numbers <= budget
    norm = float(np.linalg.norm(matrix))
    error = float(np.linalg.norm(matrix - found.matrix.to_dense()))
    assert error == pytest.approx(found.error * norm, rel=1e-6, abs=1e-12 * norm)
    assert found.error <= 1 + 1e-12


@settings(max_examples=25)
@given(
    rows=st.integers(2, 50),
    columns=st.integers(2, 50),
    leaf_sizes=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    share=st.floats(0.0, 1.3),
    sweeps=st.integers(1, 5),
    seed=st.integers(0, 10**6),
)
def test_the_budget_is_kept_and_the_error_is_the_error(
    rows: int, columns: int, leaf_sizes: tuple[int, int], share: float, sweeps: int, seed: int
) -> None:
    matrix = kinked(rows, columns) + 0.05 * noise(rows, columns, seed)
    budget = max(share * matrix.size, rows + columns)
    found = multilevel(
        matrix,
        budget=budget,
        rows=by_similarity(matrix, leaf_sizes[0]),
        columns=in_given_order(columns, leaf_sizes[1]),
        sweeps=sweeps,
        seed=seed,
    )
    check(matrix, found, budget)
    assert found.matrix.overlapping
    assert all(not leaf.is_dense for leaf in found.matrix.leaves)


@pytest.mark.parametrize("name", GALLERY)
def test_the_best_of_all_is_taken_on_the_whole_gallery(name: str) -> None:
    matrix = GALLERY[name]
    budget = max(matrix.size / 4, sum(matrix.shape))
    norm = max(float(np.linalg.norm(matrix)), 1e-300)
    found = fit(matrix, budget=budget, leaf_size=9)
    tiled = most_accurate(matrix, budget=budget, leaf_size=9).error / norm
    summed = multilevel(matrix, budget=budget, leaf_size=9)
    check(matrix, found, budget)
    check(matrix, summed, budget)
    errors = [tiled, summed.error]
    if budget > sum(matrix.shape):
        errors.append(shared_bases(matrix, budget=budget, leaf_size=9).error)
    assert found.error == min(errors)


def test_a_sum_beats_every_tiling_of_distances_in_space() -> None:
    points, matrix = distances(200, 3)
    tree = kd_tree(points, 16)
    budget = 0.2 * matrix.size
    tiled = most_accurate(matrix, budget=budget, rows=tree)
    summed = multilevel(matrix, budget=budget, rows=tree)
    assert tiled.exact
    assert summed.error < 0.8 * tiled.error / np.linalg.norm(matrix)
    assert coverage(summed.matrix).max() > 2


def test_a_tiling_is_taken_where_it_is_better() -> None:
    matrix = np.kron(np.array([[0.0, 1.0], [1.0, 0.0]]), noise(16, 16))
    found = fit(matrix, budget=512, leaf_size=16)
    assert isinstance(found.matrix, HMatrix)
    assert not found.matrix.overlapping
    assert found.error == 0.0


def test_low_rank_plus_blocks_on_the_diagonal_is_recovered() -> None:
    matrix = exact_rank(64, 64, 2) + np.kron(np.eye(4), exact_rank(16, 16, 1, 5))
    found = multilevel(matrix, budget=2 * 128 + 4 * 32, leaf_size=16, sweeps=80)
    assert found.error < 1e-3
    assert {leaf.shape for leaf in found.matrix.leaves} == {(64, 64), (16, 16)}


def test_more_sweeps_and_more_budget_never_hurt() -> None:
    _, matrix = distances(90, 3)
    errors = [multilevel(matrix, budget=2500, leaf_size=12, sweeps=s).error for s in (1, 3, 9, 27)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < errors[0]
    assert multilevel(matrix, budget=4000, leaf_size=12).error < errors[-1]


def test_the_same_seed_gives_the_same_fit() -> None:
    matrix = smooth(450, 420) + 0.01 * noise(450, 420)  # large enough for random projections
    first, again = (
        multilevel(matrix, budget=9000, leaf_size=250, sweeps=3, seed=4) for _ in range(2)
    )
    check(matrix, first, 9000)
    np.testing.assert_array_equal(first.matrix.to_dense(), again.matrix.to_dense())
    best = np.linalg.svd(matrix, compute_uv=False)[10:]
    assert first.error <= 1.05 * np.linalg.norm(best) / np.linalg.norm(matrix)


def test_a_budget_below_a_rank_of_the_whole_goes_to_the_small_blocks() -> None:
    matrix = np.zeros((32, 32))
    matrix[24:, 24:] = 1.0
    found = multilevel(matrix, budget=16, leaf_size=8)
    assert found.matrix.numbers == 16
    assert found.error < 1e-12
    (leaf,) = found.matrix.leaves
    assert (leaf.top, leaf.start) == (24, 24)


@pytest.mark.parametrize("function", [fit, multilevel])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"budget": 0.0}, "budget: 0.0 is not a positive number"),
        ({"budget": float("nan")}, "budget"),
        ({"budget": 3.0}, "budget: 3 pays for no rank of any block"),
        ({"matrix": np.zeros((0, 4))}, "not empty"),
        ({"matrix": [[np.nan]]}, "NaN"),
        ({"matrix": [[1j]]}, "complex"),
        ({"leaf_size": 0}, "leaf_size"),
        ({"rows": in_given_order(7)}, "rows"),
    ],
)
def test_bad_arguments_are_refused(function: Any, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        function(**{"matrix": noise(8, 8), "budget": 40.0, "leaf_size": 4, **options})
    assert "\n" not in str(caught.value)


def test_sweeps_must_be_positive() -> None:
    with pytest.raises(InputError, match="sweeps"):
        multilevel(noise(8, 8), budget=40.0, sweeps=0)
