"""Refitting lowers the weighted error, says by how much, and changes no rank."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    HMatrix,
    Leaf,
    build,
    by_similarity,
    in_given_order,
    kd_tree,
    multilevel,
    refit,
    weighted_spectrum,
)
from tests.hmatrix.gallery import Array, kinked, noise, root, smooth


def metric(kind: str, size: int, seed: int) -> Array | None:
    """Positive semidefinite, of every condition."""
    rng = np.random.default_rng(seed)
    samples = {
        "well": rng.standard_normal((size, 3 * size)),
        "half": rng.standard_normal((size, max(1, size // 2))),
        "one direction": rng.standard_normal((size, 1)),
        "one entry": np.eye(size, 1),
        "graded": rng.standard_normal((size, size)) * 10.0 ** rng.uniform(-8, 0, (size, 1)),
        "decaying": np.linalg.qr(rng.standard_normal((size, size)))[0] * np.geomspace(1, 1e-10, size),
        "smooth": smooth(size, size),
    }  # fmt: skip
    return None if kind == "plain" else samples[kind] @ samples[kind].T


kinds = st.sampled_from(
    ["plain", "well", "half", "one direction", "one entry", "graded", "decaying", "smooth"]
)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 24),
    columns=st.integers(1, 24),
    row_kind=kinds,
    column_kind=kinds,
    tolerance=st.sampled_from([0.05, 0.4, 0.7]),
    summed=st.booleans(),
    seed=st.integers(0, 10**6),
)
def test_no_sweep_increases_the_error_and_the_reports_are_true(
    rows: int,
    columns: int,
    row_kind: str,
    column_kind: str,
    tolerance: float,
    summed: bool,
    seed: int,
) -> None:
    w = noise(rows, columns, seed)
    b, c = metric(row_kind, rows, seed), metric(column_kind, columns, seed + 1)
    trees = by_similarity(w, 4), by_similarity(w.T, 5)
    if summed:
        budget = max(w.size / 2, rows + columns)
        h = multilevel(w, budget=budget, rows=trees[0], columns=trees[1], sweeps=3).matrix
    else:
        h = build(w, tolerance=tolerance, rows=trees[0], columns=trees[1])
    result = refit(w, h, row_metric=b, column_metric=c, sweeps=6)
    left = np.eye(rows) if b is None else root(b)
    right = np.eye(columns) if c is None else root(c)
    # squares are added up with cancellation, so that an error is known to half of the digits
    largest = max(float(np.linalg.norm(w - x.to_dense())) for x in (h, result.matrix))
    unit = float(np.linalg.norm(left, 2) * largest * np.linalg.norm(right, 2))
    errors = np.array(result.errors)
    assert 2 <= len(errors) <= 7
    assert (np.diff(errors) <= 1e-6 * unit).all()

    def error(matrix: HMatrix) -> float:
        return float(np.linalg.norm(left @ (w - matrix.to_dense()) @ right))

    assert errors[0] == pytest.approx(error(h), rel=1e-6, abs=1e-6 * unit)
    assert errors[-1] == pytest.approx(error(result.matrix), rel=1e-6, abs=1e-6 * unit)
    for before, after in zip(h.leaves, result.matrix.leaves, strict=True):
        place = (before.top, before.bottom, before.start, before.stop)
        assert (after.top, after.bottom, after.start, after.stop) == place
        assert after.rank == before.rank
        assert after.is_dense == before.is_dense
    assert result.matrix.overlapping == h.overlapping
    np.testing.assert_array_equal(result.matrix.row_order, h.row_order)
    np.testing.assert_array_equal(result.matrix.column_order, h.column_order)


def test_no_direction_without_weight_runs_away() -> None:
    for seed in range(12):
        w = noise(13, 23, seed)
        b, c = metric("one direction", 13, seed), metric("one direction", 23, seed + 1)
        h = build(w, tolerance=0.5, rows=in_given_order(13, 3), columns=in_given_order(23, 3))
        result = refit(w, h, row_metric=b, column_metric=c)
        assert abs(result.matrix.to_dense()).max() <= 100 * abs(w).max()
        assert max(result.errors) == result.errors[0]
        assert result.errors[-1] <= 1e-6 * result.errors[0]


def halves(w: Array, rank: int, b: Array, c: Array) -> HMatrix:
    """Four blocks, each the best of its rank in its own part of the metrics."""
    m, n = w.shape[0] // 2, w.shape[1] // 2
    leaves = []
    for top in (0, m):
        for start in (0, n):
            rows, columns = slice(top, top + m), slice(start, start + n)
            spectrum = weighted_spectrum(w[rows, columns], b[rows, rows], c[columns, columns])
            leaves.append(Leaf(top, top + m, start, start + n, spectrum.truncate(rank)))
    return HMatrix(np.arange(2 * m), np.arange(2 * n), tuple(leaves))


def test_leaves_that_know_of_each_other_do_better_than_the_best_alone() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((16, 16))
    walks = rng.standard_normal((16, 200)).cumsum(axis=0)
    c = walks @ walks.T / 200  # neighbours are strongly correlated
    b = c[::-1, ::-1]
    alone = halves(w, 3, b, c)
    result = refit(w, alone, row_metric=b, column_metric=c)
    assert result.errors[-1] < 0.85 * result.errors[0]


def test_blocks_that_are_not_coupled_are_left_as_they_are() -> None:
    w = noise(16, 12)
    b = np.kron(np.eye(2), metric("well", 8, 1))
    c = np.kron(np.eye(2), metric("well", 6, 2))
    alone = halves(w, 2, b, c)
    result = refit(w, alone, row_metric=b, column_metric=c)
    assert result.errors[-1] == pytest.approx(result.errors[0], rel=1e-9)
    np.testing.assert_allclose(result.matrix.to_dense(), alone.to_dense(), atol=1e-6)


def test_dense_leaves_make_good_for_all_others() -> None:
    # with a column metric of rank 1 only H x matters, and one dense column of blocks can set it
    w, x = noise(12, 12), np.linspace(1.0, 2.0, 12)
    left = Leaf(0, 12, 0, 6, (np.zeros((12, 6)),), "dense")
    right = Leaf(0, 12, 6, 12, (np.zeros((12, 0)), np.zeros((0, 6))))
    h = HMatrix(np.arange(12), np.arange(12), (left, right))
    result = refit(w, h, column_metric=np.outer(x, x))
    np.testing.assert_allclose(result.matrix @ x, w @ x, atol=1e-6)
    assert result.matrix.leaves[1].numbers == 0


def test_it_stops_as_soon_as_nothing_is_gained() -> None:
    w = kinked(20, 20)
    h = build(w, tolerance=0.1, rows=in_given_order(20, 4))
    assert len(refit(w, h, sweeps=50).errors) <= 3  # plain truncation is its own best
    exact = build(w, tolerance=1e-12, rows=in_given_order(20, 20))
    assert refit(w, exact, sweeps=50).errors[-1] <= 1e-10
    assert len(refit(noise(20, 20), h, column_metric=metric("smooth", 20, 0), sweeps=1).errors) == 2


def test_the_given_orders_of_the_metrics_are_the_original_ones() -> None:
    rng = np.random.default_rng(5)
    w = noise(18, 18)
    c = np.diag(rng.uniform(0.1, 10.0, 18)) + 0.05
    tree = kd_tree(rng.random((18, 1)), 4)
    h = build(w, tolerance=0.5, rows=tree)
    moved = HMatrix(np.arange(18), np.arange(18), h.leaves)
    straight = np.ix_(tree.order, tree.order)
    first = refit(w, h, row_metric=c, column_metric=2 * c)
    second = refit(w[straight], moved, row_metric=c[straight], column_metric=2 * c[straight])
    assert first.errors == pytest.approx(second.errors)


@pytest.mark.parametrize("negative", [1e-15, 1e-11, 1e-9])
def test_a_metric_that_is_negative_by_rounding_will_do(negative: float) -> None:
    w = noise(6, 6)
    h = build(w, tolerance=0.5, rows=in_given_order(6, 2))
    c = np.diag([1.0, 0.5, 1.0, 0.1, 0.2, -negative])
    errors = refit(w, h, row_metric=c, column_metric=c).errors
    assert errors[-1] <= errors[0]


@pytest.mark.parametrize("side", ["row_metric", "column_metric"])
@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.eye(5), "shape"),
        (np.ones((6, 5)), "shape"),
        (np.ones(6), "shape"),
        (np.triu(np.ones((6, 6))), "not symmetric positive semidefinite"),
        (-np.eye(6), "not symmetric positive semidefinite"),
        (np.diag([1.0, 1.0, 1.0, 1.0, 1.0, -1e-3]), "not symmetric positive semidefinite"),
        (np.ones((6, 6)) - np.eye(6), "not symmetric positive semidefinite"),
        (np.diag([1.0, np.nan, 1, 1, 1, 1]), "NaN"),
        (1j * np.eye(6), "complex"),
        ("covariance", "not numbers"),
    ],
)
def test_bad_metrics_are_refused(side: str, values: Any, message: str) -> None:
    w = noise(6, 6)
    h = build(w, tolerance=0.5)
    with pytest.raises(InputError, match=message) as caught:
        refit(w, h, **{side: values})
    assert str(caught.value).startswith(side)
    assert "\n" not in str(caught.value)


def test_bad_matrices_and_sweeps_are_refused() -> None:
    h = build(noise(6, 5), tolerance=0.5)
    with pytest.raises(InputError, match=r"shape \(5, 6\)"):
        refit(noise(5, 6), h)
    with pytest.raises(InputError, match="NaN"):
        refit(np.full((6, 5), np.nan), h)
    for sweeps in (0, -1, 1.5, True):
        with pytest.raises(InputError, match="sweeps"):
            refit(noise(6, 5), h, sweeps=sweeps)  # type: ignore[arg-type]
