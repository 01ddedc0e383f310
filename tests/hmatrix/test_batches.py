"""Building in stacks: the same matrix, however its entries are asked for and by how many threads."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hedge.errors import InputError
from hedge.hmatrix import (
    Entries,
    HMatrix,
    bisect_geometrically,
    build,
    building,
    kd_tree,
    kernel,
    strong,
    threads,
)
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
