"""Cluster trees: permutations with contiguous leaves, boxes around their points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    Cluster,
    ClusterTree,
    bisect_geometrically,
    by_similarity,
    in_given_order,
    kd_tree,
)

POINT_TREES = [bisect_geometrically, kd_tree, by_similarity]


def check(tree: ClusterTree, size: int, leaf_size: int) -> None:
    assert len(tree) == size
    np.testing.assert_array_equal(np.sort(tree.order), np.arange(size))
    position = 0
    for leaf in tree.root.leaves():
        assert leaf.start == position
        assert 0 < leaf.size <= leaf_size
        position = leaf.stop
    assert position == size
    assert (tree.root.level, tree.root.number) == (0, 0)
    assert tree.depth == max(leaf.level for leaf in tree.root.leaves())

    def descend(cluster: Cluster) -> None:
        if not cluster.children:
            return
        assert cluster.size > leaf_size
        first, second = cluster.children
        assert (first.start, first.stop) == (cluster.start, second.start)
        assert second.stop == cluster.stop
        for i, child in enumerate(cluster.children):
            assert (child.level, child.number) == (cluster.level + 1, 2 * cluster.number + i)
            descend(child)

    descend(tree.root)


@settings(max_examples=40)
@given(
    size=st.integers(1, 70),
    dimension=st.integers(1, 4),
    leaf_size=st.integers(1, 9),
    distinct=st.integers(1, 70),
    seed=st.integers(0, 10**6),
)
def test_every_tree_is_a_permutation_with_contiguous_leaves(
    size: int, dimension: int, leaf_size: int, distinct: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    points = rng.standard_normal((distinct, dimension))[rng.integers(distinct, size=size)]
    for grow in POINT_TREES:
        check(grow(points, leaf_size), size, leaf_size)
    check(in_given_order(size, leaf_size), size, leaf_size)


@settings(max_examples=20)
@given(size=st.integers(1, 60), dimension=st.integers(1, 3), seed=st.integers(0, 10**6))
def test_boxes_are_the_smallest_around_their_points(size: int, dimension: int, seed: int) -> None:
    points = np.random.default_rng(seed).standard_normal((size, dimension))

    def descend(tree: ClusterTree, cluster: Cluster) -> None:
        own = points[tree.order[cluster.start : cluster.stop]]
        np.testing.assert_array_equal(cluster.lower, own.min(axis=0))
        np.testing.assert_array_equal(cluster.upper, own.max(axis=0))
        for child in cluster.children:
            descend(tree, child)

    for grow in (bisect_geometrically, kd_tree):
        tree = grow(points, 3)
        descend(tree, tree.root)


@pytest.mark.parametrize("grow", POINT_TREES)
@pytest.mark.parametrize("value", [0.0, 1.0, -1e-300, 3e7])
def test_identical_points_are_still_cut(grow: Callable[..., ClusterTree], value: float) -> None:
    check(grow(np.full((33, 2), value), 2), 33, 2)


def test_neighbouring_floats_and_huge_spreads_are_cut() -> None:
    close = np.array([[1.0], [np.nextafter(1.0, 2.0)]] * 5)
    check(bisect_geometrically(close, 1), 10, 1)
    check(bisect_geometrically(np.array([[-1e300], [0.0], [1e-300], [1e300]]), 1), 4, 1)


def test_the_given_order_is_kept() -> None:
    tree = in_given_order(45, 4)
    np.testing.assert_array_equal(tree.order, np.arange(45))
    assert tree.root.lower is None
    assert tree.root.upper is None


def test_trees_without_a_leaf_size_keep_small_clusters_whole() -> None:
    assert in_given_order(64).depth == 0
    assert kd_tree(np.random.default_rng(0).random((65, 2))).depth == 1


def test_the_order_can_not_be_changed() -> None:
    with pytest.raises(ValueError, match="read-only"):
        in_given_order(5).order[0] = 3


def test_geometric_bisection_cuts_in_the_middle_and_the_kd_tree_at_the_median() -> None:
    points = np.array([[0.0], [0.9], [0.95], [1.0]])[[2, 0, 3, 1]]
    assert [c.size for c in bisect_geometrically(points, 2).root.children] == [1, 3]
    tree = kd_tree(points, 2)
    assert [c.size for c in tree.root.children] == [2, 2]
    np.testing.assert_array_equal(points[tree.order, 0], [0.0, 0.9, 0.95, 1.0])


def test_the_widest_coordinate_is_cut() -> None:
    points = np.random.default_rng(0).random((40, 3)) * [1.0, 10.0, 1.0]
    for grow in (bisect_geometrically, kd_tree):
        first, second = grow(points, 30).root.children
        assert first.upper is not None
        assert second.lower is not None
        assert first.upper[1] <= second.lower[1]


@pytest.mark.parametrize("shape", [(40, 12), (12, 40)], ids=["tall", "wide"])
def test_similarity_puts_interleaved_groups_apart(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    centres = rng.standard_normal((2, shape[1]))
    group = np.arange(shape[0]) % 2
    lengths = 10.0 ** rng.uniform(-3, 3, (shape[0], 1))
    vectors = lengths * (centres[group] + 0.02 * rng.standard_normal(shape))
    tree = by_similarity(vectors, shape[0] // 2)
    first, second = (tree.order[c.start : c.stop] for c in tree.root.children)
    assert len(set(group[first])) == len(set(group[second])) == 1


@pytest.mark.parametrize("grow", POINT_TREES)
@pytest.mark.parametrize(
    ("points", "message"),
    [
        (np.zeros((0, 2)), "not empty"),
        (np.zeros((3, 0)), "not empty"),
        (np.zeros(5), "shape"),
        ([[0.0, np.nan]], "NaN"),
        ([[0.0, np.inf]], "NaN or Inf"),
        ([[1j, 0.0]], "complex"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
        ([["a"], ["b"]], "not numbers"),
        (None, "not numbers"),
    ],
)
def test_bad_points_are_refused(
    grow: Callable[..., ClusterTree], points: object, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        grow(points)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("size", [0, -1, True, 1.5, "4", None])
def test_sizes_must_be_positive_integers(size: object) -> None:
    with pytest.raises(InputError, match=r"size: .* is not a positive integer"):
        in_given_order(size)  # type: ignore[arg-type]
    with pytest.raises(InputError, match="leaf_size"):
        in_given_order(4, size)  # type: ignore[arg-type]
    for grow in POINT_TREES:
        with pytest.raises(InputError, match="leaf_size"):
            grow(np.zeros((4, 2)), size)  # type: ignore[arg-type]
