"""Algorithms 1 to 4 of the paper, on examples computed by hand and in general."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    HMatrix,
    Leaf,
    by_similarity,
    in_given_order,
    kd_tree,
    multilevel,
    refit,
)
from hedge.paper import (
    PaperEnergy,
    adaptive,
    adaptive_partition,
    dependency_adjusted,
    energy_efficient,
    total_energy,
)
from tests.hmatrix.gallery import GALLERY, Array, coverage, kinked, line, noise, smooth

EXAMPLE = np.arange(1.0, 17.0).reshape(4, 4)  # of section V
ENERGY = PaperEnergy(alpha=1.0, beta=0.5)


def leaf_errors(matrix: Array, h: HMatrix) -> list[float]:
    reordered = matrix[np.ix_(h.row_order, h.column_order)]
    return [
        float(np.linalg.norm(reordered[a.top : a.bottom, a.start : a.stop] - a.values()))
        for a in h.leaves
    ]


def test_the_example_of_the_paper_has_quadrants_of_rank_one() -> None:
    values = np.linalg.svd(EXAMPLE[:2, :2], compute_uv=False)
    assert values == pytest.approx([8.109, 0.493], abs=5e-4)
    h = adaptive(EXAMPLE, tolerance=0.5, leaf_size=2)
    assert [leaf.rank for leaf in h.leaves] == [1, 1, 1, 1]
    assert leaf_errors(EXAMPLE, h)[0] == pytest.approx(values[1])
    assert adaptive(EXAMPLE, tolerance=2.1, leaf_size=2).leaves[0].shape == (4, 4)
    strict = adaptive(EXAMPLE, tolerance=0.4, leaf_size=2)
    assert [leaf.is_dense for leaf in strict.leaves] == [True, False, False, False]
    assert strict.leaves[0].reason == "can't be cut further"


@settings(max_examples=40)
@given(
    rows=st.integers(1, 40),
    columns=st.integers(1, 40),
    rank=st.integers(1, 6),
    leaf_size=st.integers(1, 12),
    relative=st.floats(1e-6, 1.0),
    seed=st.integers(0, 10**6),
)
def test_algorithm_1_keeps_its_tolerance_in_every_leaf(
    rows: int, columns: int, rank: int, leaf_size: int, relative: float, seed: int
) -> None:
    matrix = kinked(rows, columns) + 0.01 * noise(rows, columns, seed)
    tolerance = relative * float(np.linalg.norm(matrix))
    h = adaptive(
        matrix,
        tolerance=tolerance,
        rank=rank,
        rows=by_similarity(matrix, leaf_size),
        columns=by_similarity(matrix.T, leaf_size),
    )
    np.testing.assert_array_equal(coverage(h), 1)
    assert max(leaf_errors(matrix, h)) <= tolerance * (1 + 1e-9)
    error = np.linalg.norm(matrix - h.to_dense())
    assert error <= tolerance * math.sqrt(len(h.leaves)) * (1 + 1e-9)
    for leaf in h.leaves:
        assert leaf.is_dense or leaf.rank == min(rank, *leaf.shape)
        if leaf.is_dense:
            assert max(leaf.shape) <= leaf_size


def test_algorithm_1_cuts_only_what_is_above_the_tolerance() -> None:
    matrix = np.zeros((8, 8))
    matrix[:4, :4] = noise(4, 4)
    h = adaptive(matrix, tolerance=1e-6, leaf_size=1)
    places = sorted((leaf.top, leaf.start, leaf.shape) for leaf in h.leaves)
    assert [p for p in places if p[2] == (4, 4)] == [(0, 4, (4, 4)), (4, 0, (4, 4)), (4, 4, (4, 4))]
    assert len(places) == 3 + 16  # noise of rank 1 is in blocks of one entry only


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": 1.0, "rank": 0}, "rank"),
        ({"tolerance": 1.0, "rank": 1.5}, "rank"),
        ({"tolerance": 1.0, "leaf_size": 0}, "leaf_size"),
        ({"tolerance": 1.0, "rows": in_given_order(3)}, "rows"),
        ({"tolerance": 1.0, "matrix": np.zeros((2, 0))}, "not empty"),
        ({"tolerance": 1.0, "matrix": [[np.nan]]}, "NaN"),
        ({"tolerance": 1.0, "matrix": [[1j]]}, "complex"),
    ],
)
def test_algorithm_1_refuses_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        adaptive(**{"matrix": EXAMPLE, **options})
    assert "\n" not in str(caught.value)


def entrywise(values: Array) -> HMatrix:
    """Every entry a leaf, row by row."""
    m, n = values.shape
    leaves = tuple(
        Leaf(i, i + 1, j, j + 1, (values[i : i + 1, j : j + 1],), "entry")
        for i in range(m)
        for j in range(n)
    )
    return HMatrix(np.arange(m), np.arange(n), leaves)


def test_algorithm_2_on_four_numbers() -> None:
    # D_pq = γ |a_p a_q| beside the diagonal; a'_p = a_p + Σ_q D_pq a_q
    adjusted = dependency_adjusted(entrywise(np.array([[1.0, 2.0], [3.0, 4.0]])), gamma=0.1)
    expected = [[0, 2, 3, 4], [2, 0, 6, 8], [3, 6, 0, 12], [4, 8, 12, 0]]
    np.testing.assert_allclose(adjusted.dependencies, 0.1 * np.array(expected))
    np.testing.assert_allclose(adjusted.matrix.to_dense(), [[3.9, 7.2], [9.3, 9.6]])
    signed = dependency_adjusted(entrywise(np.array([[1.0, -2.0]])), gamma=0.5)
    np.testing.assert_allclose(signed.dependencies, [[0.0, 1.0], [1.0, 0.0]])
    np.testing.assert_allclose(signed.matrix.to_dense(), [[-1.0, -1.0]])


def test_algorithm_2_on_matrices_follows_the_formula() -> None:
    h = adaptive(EXAMPLE, tolerance=0.5, leaf_size=2)
    adjusted = dependency_adjusted(h, gamma=1e-3)
    d = adjusted.dependencies
    np.testing.assert_array_equal(d, d.T)
    np.testing.assert_array_equal(np.diag(d), 0.0)
    values = [leaf.values() for leaf in h.leaves]
    for p in range(4):
        for q in range(4):
            if p != q:
                assert d[p, q] == pytest.approx(1e-3 * np.linalg.norm(values[p] @ values[q].T))
        expected = values[p] + sum(d[p, q] * values[q] for q in range(4))
        leaf = adjusted.matrix.leaves[p]
        np.testing.assert_allclose(leaf.values(), expected)
        assert leaf.reason
    np.testing.assert_array_equal(coverage(adjusted.matrix), 1)


@pytest.mark.parametrize("gamma", [1e-3, 1e-2, 0.1])
def test_algorithm_2_makes_the_error_grow_where_refitting_does_not(gamma: float) -> None:
    h = adaptive(EXAMPLE, tolerance=0.5, leaf_size=2)
    before = float(np.linalg.norm(EXAMPLE - h.to_dense()))
    adjusted = dependency_adjusted(h, gamma=gamma).matrix
    assert np.linalg.norm(EXAMPLE - adjusted.to_dense()) > 2 * before
    fitted = refit(EXAMPLE, h).matrix
    assert np.linalg.norm(EXAMPLE - fitted.to_dense()) <= before * (1 + 1e-9)


def test_algorithm_2_refuses_what_it_can_not_add() -> None:
    h = adaptive(EXAMPLE, tolerance=0.5, leaf_size=2)
    for gamma in (0.0, -1.0, float("nan")):
        with pytest.raises(InputError, match="gamma"):
            dependency_adjusted(h, gamma=gamma)
    uneven = adaptive(noise(5, 5), tolerance=1e-3, leaf_size=3)
    summed = multilevel(smooth(8, 8), budget=40, leaf_size=4).matrix
    for other in (uneven, summed):
        with pytest.raises(InputError, match="one shape"):
            dependency_adjusted(other, gamma=0.1)


def lone_block() -> Array:
    matrix = np.zeros((16, 16))
    matrix[:4, :4] = noise(4, 4)
    return matrix


def test_algorithm_3_on_one_block_among_zeros() -> None:
    # energies 16.5 once, 0.5 fifteen times, 1.5 on average: three quadrants merge, the block is cut
    h = adaptive_partition(lone_block(), target=1e-6, energy=ENERGY, blocks=4)
    shapes = sorted((leaf.shape[0], leaf.rank) for leaf in h.leaves)
    assert shapes == [(2, 2)] * 4 + [(4, 0)] * 3 + [(8, 0)] * 3
    assert total_energy(h, ENERGY) == pytest.approx(4 * 4.5 + 6 * 0.5)
    np.testing.assert_array_equal(coverage(h), 1)


def test_algorithm_4_on_one_block_among_zeros() -> None:
    # merging the zeros pays, then merging all: one leaf of rank 4
    h = energy_efficient(lone_block(), target=1e-6, energy=ENERGY, blocks=4)
    assert [(leaf.shape, leaf.rank) for leaf in h.leaves] == [((16, 16), 4)]
    assert total_energy(h, ENERGY) == pytest.approx(16.5)


def test_algorithm_4_cuts_where_that_pays() -> None:
    # the identity in one block: energy 64.5, in quadrants 2 · 16.5 + 2 · 0.5, and so on downwards
    h = energy_efficient(np.eye(8), target=1e-6, energy=ENERGY, blocks=1)
    assert total_energy(h, ENERGY) < 34.0
    np.testing.assert_allclose(h.to_dense(), np.eye(8), atol=1e-6)
    assert sorted(leaf.rank for leaf in h.leaves)[-1] == 1


def test_the_energy_of_dense_and_low_rank_leaves() -> None:
    leaves = (
        Leaf(0, 4, 0, 3, (np.ones((4, 3)),), "dense"),
        Leaf(0, 4, 3, 9, (np.ones((4, 2)), np.ones((2, 6)))),
        Leaf(0, 4, 9, 10, (np.ones((4, 0)), np.ones((0, 1)))),
    )
    h = HMatrix(np.arange(4), np.arange(10), leaves)
    assert total_energy(h, PaperEnergy(alpha=2.0, beta=0.25)) == pytest.approx(18 + 8 + 0.75)


def least_energy_of(matrix: Array, top: int, start: int, size: int, share: float) -> float:
    values = np.linalg.svd(matrix[top : top + size, start : start + size], compute_uv=False)
    rank = next(k for k in range(size + 1) if np.sqrt(np.sum(values[k:] ** 2)) <= share)
    return ENERGY.alpha * rank**2 + ENERGY.beta


@settings(max_examples=25)
@given(
    name=st.sampled_from(["noise", "kinked", "smooth", "graded"]),
    blocks=st.sampled_from([1, 2, 4, 8]),
    relative=st.floats(1e-6, 0.9),
    seed=st.integers(0, 10**6),
)
def test_algorithms_3_and_4_keep_the_target_and_4_lowers_the_energy(
    name: str, blocks: int, relative: float, seed: int
) -> None:
    size = 32
    matrix = {
        "noise": noise(size, size, seed),
        "kinked": kinked(size, size),
        "smooth": smooth(size, size) + 1e-3 * noise(size, size, seed),
        "graded": noise(size, size, seed) * 0.7 ** np.arange(size),
    }[name]
    target = relative * float(np.linalg.norm(matrix))
    share = target / blocks  # by area
    side = size // blocks
    energy_at_start = sum(
        least_energy_of(matrix, top, start, side, share)
        for top in range(0, size, side)
        for start in range(0, size, side)
    )
    third = adaptive_partition(matrix, target=target, energy=ENERGY, blocks=blocks)
    fourth = energy_efficient(matrix, target=target, energy=ENERGY, blocks=blocks)
    for h in (third, fourth):
        np.testing.assert_array_equal(coverage(h), 1)
        assert np.linalg.norm(matrix - h.to_dense()) <= target * (1 + 1e-9)
        formula = sum(ENERGY.alpha * leaf.rank**2 + ENERGY.beta for leaf in h.leaves)
        assert total_energy(h, ENERGY) == pytest.approx(formula)
        for leaf, error in zip(h.leaves, leaf_errors(matrix, h), strict=True):
            area = leaf.shape[0] * leaf.shape[1] / size**2
            assert error <= target * math.sqrt(area) * (1 + 1e-9)
    assert total_energy(fourth, ENERGY) <= energy_at_start * (1 + 1e-12)


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("algorithm", [adaptive_partition, energy_efficient])
def test_algorithms_3_and_4_on_the_gallery(algorithm: Any, name: str) -> None:
    matrix = GALLERY[name]
    target = max(0.05 * float(np.linalg.norm(matrix)), 1e-12)
    blocks = 1 if 1 in matrix.shape else 8
    h = algorithm(
        matrix,
        target=target,
        energy=ENERGY,
        blocks=blocks,
        rows=kd_tree(line(matrix.shape[0])[::-1], 3),
        columns=in_given_order(matrix.shape[1], 3),
    )
    np.testing.assert_array_equal(coverage(h), 1)
    assert np.linalg.norm(matrix - h.to_dense()) <= target * (1 + 1e-9)


@pytest.mark.parametrize("algorithm", [adaptive_partition, energy_efficient])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target": 0.0}, "target"),
        ({"target": float("inf")}, "target"),
        ({"blocks": 3}, "blocks: 3 is not a power of two up to"),
        ({"blocks": 16}, "blocks: 16 is not a power of two up to"),
        ({"blocks": 0}, "blocks"),
        ({"blocks": 2.0}, "blocks"),
        ({"leaf_size": 4}, "blocks: 8"),
        ({"rows": in_given_order(9)}, "rows"),
        ({"matrix": np.zeros((0, 8))}, "not empty"),
        ({"matrix": [[np.inf]]}, "Inf"),
    ],
)
def test_algorithms_3_and_4_refuse_bad_arguments(
    algorithm: Any, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        algorithm(**{"matrix": noise(8, 8), "target": 0.1, "energy": ENERGY, **options})
    assert "\n" not in str(caught.value)
