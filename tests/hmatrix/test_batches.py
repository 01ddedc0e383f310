"""Building in stacks: the same matrix, however its entries are asked for and by how many threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.hmatrix import (
    Entries,
    HMatrix,
    LowRank,
    aca,
    bisect_geometrically,
    build,
    building,
    kd_tree,
    kernel,
    strong,
    threads,
)
from hedge.hmatrix.merging import Parts, merge
from hedge.hmatrix.stacks import Stack, Triplets
from hedge.paper import PaperEnergy, total_energy
from tests.hmatrix.gallery import Array, coverage

POINTS = np.random.default_rng(0).random((700, 2))


def exponential(x: Array, y: Array) -> Array:
    return np.asarray(np.exp(-np.sqrt(((x - y) ** 2).sum(axis=0))))


def matrix(points: Array = POINTS, others: Array = POINTS) -> Array:
    return exponential(points.T[:, :, None], others.T[:, None])


def built(entries: Entries, tolerance: float = 1e-5) -> HMatrix:
    tree = kd_tree(POINTS, 20)
    return build(entries, tolerance=tolerance, rows=tree, admissible=strong())


def off(h: HMatrix, reference: Array) -> float:
    return float(np.linalg.norm(h.to_dense() - reference) / np.linalg.norm(reference))


def test_a_kernel_has_the_entries_of_its_function() -> None:
    others = np.random.default_rng(1).random((9, 2))
    whole = kernel(exponential, POINTS, others).whole()
    np.testing.assert_array_equal(whole, matrix(POINTS, others))


def test_stacked_and_plain_oracles_give_the_same_matrix() -> None:
    a = matrix()
    plain = built(Entries(a.shape, lambda i, j: a[np.ix_(i, j)]))
    stacked = built(kernel(exponential, POINTS))
    assert off(plain, a) <= 1e-5
    np.testing.assert_allclose(plain.to_dense(), stacked.to_dense(), atol=1e-12)


def test_of_a_symmetric_matrix_one_half_is_asked_for() -> None:
    seen = []

    def counted(x: Array, y: Array) -> Array:
        seen.append(x.shape[1] * x.shape[2] * y.shape[3])
        return exponential(x, y)

    whole = built(kernel(counted, POINTS))
    of_all = sum(seen)
    seen.clear()
    half = built(kernel(counted, POINTS, symmetric=True))
    assert sum(seen) < 0.6 * of_all
    assert off(half, matrix()) <= 1e-5
    dense = half.to_dense()
    np.testing.assert_allclose(dense, dense.T, atol=1e-14)
    np.testing.assert_array_equal(coverage(half), 1)
    assert half.numbers <= 1.02 * whole.numbers


def test_symmetry_that_is_not_there_is_refused() -> None:
    def lopsided(x: Array, y: Array) -> Array:
        return exponential(x, 2 * y)

    with pytest.raises(InputError, match="symmetric: entries across the diagonal differ"):
        built(kernel(lopsided, POINTS, symmetric=True))


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((POINTS, POINTS[:, :1]), {}, "others: have 1 coordinates, points 2"),
        ((POINTS, POINTS), {"symmetric": True}, "leave others out"),
        ((np.full((3, 2), np.nan),), {}, "points: holds NaN"),
        ((np.zeros(3),), {}, "points: has shape"),
    ],
)
def test_points_that_make_no_kernel_are_refused(
    arguments: tuple[Array, ...], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(InputError, match=message):
        kernel(exponential, *arguments, **options)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda i, j: np.ones(i.shape), "stacked: answered shape"),
        (lambda i, j: np.full((*i.shape, j.shape[1]), np.nan), "oracle's answer: holds NaN"),
    ],
)
def test_a_wrong_answer_of_a_stacked_oracle_is_refused(answer: Any, message: str) -> None:
    entries = Entries((90, 90), lambda i, j: np.ones((len(i), len(j))), answer)
    with pytest.raises(InputError, match=message):
        build(entries, tolerance=0.1)


def test_only_square_matrices_are_symmetric() -> None:
    with pytest.raises(InputError, match=r"symmetric: a matrix of shape \(2, 3\)"):
        Entries((2, 3), lambda i, j: np.ones((len(i), len(j))), symmetric=True)


def test_threads_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "LARGEST_CHUNK_BLOCK", 100**2)
    monkeypatch.setattr(building, "CHUNK", 3 * 100**2)
    found = []
    for cores in (1, 4):
        monkeypatch.setattr(threads, "_cores", lambda cores=cores: cores)
        found.append(built(kernel(exponential, POINTS, symmetric=True)))
    assert off(found[0], matrix()) <= 1e-5
    assert len(found[0].leaves) == len(found[1].leaves)
    for one, other in zip(found[0].leaves, found[1].leaves, strict=True):
        for a, b in zip(one.factors, other.factors, strict=True):
            np.testing.assert_array_equal(a, b)


def test_an_error_in_a_thread_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "LARGEST_CHUNK_BLOCK", 100**2)
    monkeypatch.setattr(threads, "_cores", lambda: 2)

    def nowhere(x: Array, y: Array) -> Array:
        found = exponential(x, y)
        found[found == 1.0] = np.inf
        return found

    with pytest.raises(InputError, match="oracle's answer: holds NaN or Inf"):
        built(kernel(nowhere, POINTS))


@pytest.mark.parametrize("tree", [kd_tree, bisect_geometrically])
@pytest.mark.parametrize("tolerance", [0.1, 1e-9])
def test_blocks_of_any_sizes_share_stacks(tree: Any, tolerance: float) -> None:
    points = np.random.default_rng(2).random((333, 2)) ** 3
    order = tree(points, 11)
    h = build(kernel(exponential, points), tolerance=tolerance, rows=order, admissible=strong())
    assert off(h, matrix(points, points)) <= tolerance
    np.testing.assert_array_equal(coverage(h), 1)


@pytest.mark.parametrize("points", [np.zeros((300, 2)), np.ones((1, 2)), POINTS[:2]])
def test_equal_points_and_few_points_will_do(points: Array) -> None:
    entries = kernel(exponential, points, symmetric=True)
    h = build(entries, tolerance=1e-6, rows=kd_tree(points, 10), admissible=strong())
    assert off(h, matrix(points, points)) <= 1e-6


def test_noise_that_is_symmetric_stays_dense_on_both_sides() -> None:
    a = np.random.default_rng(0).standard_normal((300, 300))
    a += a.T
    entries = Entries(a.shape, lambda i, j: a[np.ix_(i, j)], symmetric=True)
    h = build(entries, tolerance=1e-6, rows=kd_tree(POINTS[:300], 30), admissible=strong())
    assert all(leaf.is_dense and leaf.reason for leaf in h.leaves)
    np.testing.assert_array_equal(h.to_dense(), a)
    np.testing.assert_array_equal(coverage(h), 1)


def test_a_cost_of_ones_own_counts_both_halves() -> None:
    tree = kd_tree(POINTS, 20)
    energy = PaperEnergy(alpha=1.0, beta=3.0)
    found = [
        build(
            kernel(exponential, POINTS, symmetric=symmetric), tolerance=1e-2, rows=tree, cost=energy
        )
        for symmetric in (False, True)
    ]
    costs = [total_energy(h, energy) for h in found]
    assert off(found[1], matrix()) <= 1e-2
    assert costs[1] <= 1.02 * costs[0]


def test_symmetry_is_not_used_across_two_trees() -> None:
    h = build(
        kernel(exponential, POINTS, symmetric=True),
        tolerance=1e-4,
        rows=kd_tree(POINTS, 20),
        columns=bisect_geometrically(POINTS, 15),
        admissible=strong(),
    )
    assert off(h, matrix()) <= 1e-4
    np.testing.assert_array_equal(coverage(h), 1)


@pytest.mark.parametrize("relative", [0.5, 1e-4, 1e-11])
def test_merged_blocks_are_within_their_tolerances(relative: float) -> None:
    rng = np.random.default_rng(3)
    blocks, wholes = [], []
    for heights, widths in (((20, 21), (17, 18)), ((20, 20), (18, 17)), ((21, 20), (18, 18))):
        whole = rng.standard_normal((sum(heights), 12)) * 0.3 ** np.arange(12)
        whole = whole @ rng.standard_normal((12, sum(widths)))
        wholes.append(whole)
        rows = np.split(whole, [heights[0]])
        grid = [np.split(row, [widths[0]], axis=1) for row in rows]
        blocks.append(Parts(tuple(tuple(Triplets(*np.linalg.svd(part, full_matrices=False))
                                        for part in row) for row in grid)))  # fmt: skip
    tolerances = np.array([relative * np.linalg.norm(whole) for whole in wholes])
    merged = merge(blocks, tolerances)
    for one, whole, tolerance in zip(merged, wholes, tolerances, strict=True):
        t = one.triplets
        error = np.linalg.norm(whole - (t.left * t.values) @ t.right)
        assert error <= tolerance * (1 + 1e-6)
        assert one.lost == pytest.approx(error, rel=1e-6, abs=1e-12 * tolerance / relative)
        np.testing.assert_allclose(t.left.T @ t.left, np.eye(t.rank), atol=1e-12)
        np.testing.assert_allclose(t.right @ t.right.T, np.eye(t.rank), atol=1e-12)
        singular = np.linalg.svd(whole, compute_uv=False)
        tails = np.sqrt(np.cumsum(singular[::-1] ** 2)[::-1])
        assert t.rank <= np.count_nonzero(tails > 0.5 * tolerance)


def test_a_stack_of_crosses_is_as_good_as_each_block_alone() -> None:
    points = np.random.default_rng(4).random((6, 80, 2))
    points[1:, :, 0] += np.array([1.1, 1.5, 2.0, 4.0, 1.1])[:, None]
    everything = points.reshape(-1, 2)
    rows = np.tile(np.arange(80), (5, 1))
    columns = 80 + np.arange(400).reshape(5, 80)
    sizes = np.array([80, 79, 75, 80, 80]), np.array([80, 80, 72, 80, 77])
    stack = Stack(kernel(exponential, everything), rows, columns, *sizes)
    norms = np.linalg.norm(stack.whole(), axis=(1, 2))
    for found, i in zip(aca.many(stack, 1e-5 * norms, 30), range(5), strict=True):
        assert isinstance(found, Triplets)
        block = stack.one(i).whole()
        assert found.shape == block.shape == (sizes[0][i], sizes[1][i])
        error = np.linalg.norm(block - (found.left * found.values) @ found.right)
        assert error <= 1e-5 * norms[i]
        alone = aca(stack.one(i), 1e-5 * norms[i], 30)
        assert isinstance(alone, LowRank)
        assert abs(alone.rank - found.rank) <= 2
