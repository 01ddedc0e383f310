"""Construction keeps its tolerance for every tree, admissibility and compressor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError, ToleranceError
from hedge.hmatrix import (
    Admissible,
    Cluster,
    ClusterTree,
    Compressor,
    Entries,
    HMatrix,
    aca,
    anywhere,
    bisect_geometrically,
    build,
    build_nested,
    building,
    by_similarity,
    cheapest,
    construction,
    factorize,
    in_given_order,
    kd_tree,
    randomized_svd,
    rank_revealing_qr,
    sampled_error,
    stacks,
    strong,
    truncated_svd,
    weak,
)
from hedge.paper import PaperEnergy, total_energy
from tests.hmatrix.gallery import (
    GALLERY,
    Array,
    coverage,
    entries_of,
    exact_rank,
    kinked,
    line,
    noise,
    smooth,
    spike,
)

LEAF = 9
TREES: dict[str, Callable[[Array], ClusterTree]] = {
    "given": lambda rows: in_given_order(len(rows), LEAF),
    "bisected": lambda rows: bisect_geometrically(line(len(rows)), LEAF),
    "kd": lambda rows: kd_tree(line(len(rows)), LEAF),
    "similar": lambda rows: by_similarity(rows, LEAF),
}
ADMISSIBLE = {"weak": weak, "strong": strong(), "anywhere": anywhere}
COMPRESSORS = {
    "svd": truncated_svd,
    "qr": rank_revealing_qr,
    "randomized": randomized_svd(),
    "aca": aca,
}


def check(matrix: Array, h: HMatrix, tolerance: float) -> None:
    assert h.shape == matrix.shape
    assert not h.overlapping
    norm = float(np.linalg.norm(matrix))
    assert np.linalg.norm(matrix - h.to_dense()) <= tolerance * norm * (1 + 1e-9)
    np.testing.assert_array_equal(coverage(h), 1)
    for leaf in h.leaves:
        assert bool(leaf.reason) == leaf.is_dense
        assert leaf.numbers <= leaf.shape[0] * leaf.shape[1]
    assert h.numbers <= matrix.size


@pytest.mark.parametrize("compressor", COMPRESSORS.values(), ids=list(COMPRESSORS))
@pytest.mark.parametrize(
    ("tree", "admissible"),
    [
        (tree, admissible)
        for tree in TREES
        for admissible in ADMISSIBLE
        if tree in ("bisected", "kd") or admissible in ("weak", "anywhere")
    ],
)
def test_the_tolerance_is_kept_on_the_whole_gallery(
    tree: str, admissible: str, compressor: Compressor
) -> None:
    for matrix in GALLERY.values():
        rows, columns = TREES[tree](matrix), TREES[tree](matrix.T)
        h = build(
            matrix,
            tolerance=1e-4,
            rows=rows,
            columns=columns,
            admissible=ADMISSIBLE[admissible],
            compressor=compressor,
        )
        check(matrix, h, 1e-4)
        np.testing.assert_array_equal(h.row_order, rows.order)
        np.testing.assert_array_equal(h.column_order, columns.order)


@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize("tolerance", [0.5, 1e-3, 1e-8])
def test_entries_keep_it_too(name: str, tolerance: float) -> None:
    check(GALLERY[name], build(entries_of(GALLERY[name]), tolerance=tolerance), tolerance)


@settings(max_examples=40)
@given(
    rows=st.integers(1, 90),
    columns=st.integers(1, 90),
    leaf_sizes=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    tolerance=st.sampled_from([2.0, 0.9, 0.3, 1e-2, 1e-7, 1e-13]),
    coarsen=st.booleans(),
    admissible=st.sampled_from([weak, anywhere]),
    limit=st.sampled_from([1, 4, 256]),
    seed=st.integers(0, 10**6),
)
def test_any_sizes_and_any_two_trees_will_do(
    rows: int,
    columns: int,
    leaf_sizes: tuple[int, int],
    tolerance: float,
    coarsen: bool,
    admissible: Admissible,
    limit: int,
    seed: int,
) -> None:
    matrix = kinked(rows, columns) + 1e-4 * noise(rows, columns, seed)
    h = build(
        matrix,
        tolerance=tolerance,
        rows=by_similarity(matrix, leaf_sizes[0]),
        columns=in_given_order(columns, leaf_sizes[1]),
        admissible=admissible,
        rank_limit=limit,
        coarsen=coarsen,
    )
    check(matrix, h, tolerance)


def test_the_given_tree_of_one_side_serves_a_square_matrix() -> None:
    tree = in_given_order(40, 7)
    h = build(kinked(40, 40), tolerance=1e-3, rows=tree)
    assert h.column_order is tree.order
    assert build(kinked(40, 40), tolerance=1e-3, columns=tree).row_order is tree.order
    check(kinked(40, 23), build(kinked(40, 23), tolerance=1e-3, rows=tree), 1e-3)


@pytest.mark.parametrize("scale", [1e-140, 1e-100, 1e-70, 1e60, 1e120])
def test_the_scale_of_the_matrix_does_not_matter(scale: float) -> None:
    matrix = kinked(50, 50)
    for given_as in (scale * matrix, entries_of(scale * matrix)):
        h = build(given_as, tolerance=1e-4, rows=in_given_order(50, 9))
        assert np.linalg.norm(h.to_dense() / scale - matrix) <= 1e-4 * np.linalg.norm(matrix)


def test_an_isolated_entry_that_misleads_the_first_guess_of_the_norm_is_kept() -> None:
    # the guess is from 64 × 64 entries: fifteen times too large if one of them is the only one
    rng = np.random.default_rng(0)
    row, column = (int(rng.choice(1000, 64, replace=False)[0]) for _ in range(2))
    matrix = spike(np.zeros((1000, 1000)), row, column, 1.0)
    h = build(matrix, tolerance=0.8)
    assert np.linalg.norm(matrix - h.to_dense()) <= 0.8


@pytest.mark.parametrize("admissible", [weak, anywhere])
def test_noise_stays_dense_and_every_leaf_says_why(admissible: Admissible) -> None:
    matrix = noise(70, 70)
    tree = in_given_order(70, 18)
    for compressor in COMPRESSORS.values():
        h = build(matrix, tolerance=1e-4, rows=tree, admissible=admissible, compressor=compressor)
        assert all(leaf.is_dense for leaf in h.leaves)
        np.testing.assert_array_equal(h.to_dense(), matrix)
        reasons = {leaf.reason for leaf in h.leaves if leaf.top != leaf.start}
        assert all("rank" in reason for reason in reasons)
        diagonal = {leaf.reason for leaf in h.leaves if leaf.top == leaf.start}
        if admissible is weak:
            assert diagonal == {"not admissible"}


@pytest.mark.parametrize("shape", [(1, 1), (40, 40), (3, 80), (200, 130)])
def test_a_zero_matrix_takes_no_numbers(shape: tuple[int, int]) -> None:
    for given_as in (np.zeros(shape), entries_of(np.zeros(shape))):
        h = build(given_as, tolerance=1e-9)
        assert h.numbers == 0
        np.testing.assert_array_equal(h.to_dense(), np.zeros(shape))


def test_exact_rank_is_kept_as_one_leaf() -> None:
    for matrix in (exact_rank(90, 80), np.full((90, 90), 3.0)):
        for given_as in (matrix, entries_of(matrix)):
            h = build(given_as, tolerance=1e-9)
            assert len(h.leaves) == 1
            assert h.leaves[0].rank == np.linalg.matrix_rank(matrix)


def test_blocks_are_merged_where_that_pays() -> None:
    matrix = exact_rank(80, 80)
    tree = in_given_order(80, 10)
    apart = build(matrix, tolerance=1e-6, rows=tree, admissible=weak, coarsen=False)
    merged = build(matrix, tolerance=1e-6, rows=tree, admissible=weak)
    assert len(apart.leaves) == 8 + 8 + 4 + 2
    assert len(merged.leaves) == 1
    assert merged.leaves[0].rank == 3


def test_weak_admissibility_without_merging_is_hodlr() -> None:
    h = build(smooth(80, 80), tolerance=1e-6, rows=in_given_order(80, 10), admissible=weak,
              coarsen=False)  # fmt: skip
    diagonal = [leaf for leaf in h.leaves if leaf.top == leaf.start]
    beside = [leaf for leaf in h.leaves if leaf.top != leaf.start]
    assert {leaf.shape for leaf in diagonal} == {(10, 10)}
    assert sorted(leaf.shape for leaf in beside) == [(10, 10)] * 8 + [(20, 20)] * 4 + [(40, 40)] * 2


def test_strong_admissibility_keeps_low_rank_away_from_the_diagonal() -> None:
    points = np.random.default_rng(0).random((300, 2))
    tree = kd_tree(points, 10)
    matrix = np.exp(-np.linalg.norm(points[:, None] - points, axis=2))
    h = build(matrix, tolerance=1e-3, rows=tree, admissible=strong(0.8), coarsen=False)
    check(matrix, h, 1e-3)
    far = [leaf for leaf in h.leaves if not leaf.is_dense and min(leaf.shape) > 10]
    assert far
    for leaf in far:
        x, y = (
            points[tree.order[leaf.top : leaf.bottom]],
            points[tree.order[leaf.start : leaf.stop]],
        )
        diameter = min(float(np.linalg.norm(np.ptp(side, axis=0))) for side in (x, y))
        gaps = np.maximum(x.min(axis=0) - y.max(axis=0), y.min(axis=0) - x.max(axis=0))
        assert diameter <= 0.8 * np.linalg.norm(np.maximum(gaps, 0.0))


@pytest.mark.parametrize("admissible", [strong(), weak], ids=["strong", "weak"])
def test_few_entries_of_a_smooth_kernel_are_computed(admissible: Admissible) -> None:
    size = 1500
    x = np.random.default_rng(0).random((size, 1))
    matrix = np.exp(-abs(x - x.T)) + 1.0 / (1.0 + (x - x.T) ** 2)
    seen = 0

    def oracle(i: np.ndarray, j: np.ndarray) -> Array:
        nonlocal seen
        seen += len(i) * len(j)
        return matrix[np.ix_(i, j)]

    tree = kd_tree(x)
    h = build(Entries((size, size), oracle), tolerance=1e-4, rows=tree, admissible=admissible)
    assert seen < 0.4 * size**2
    check(matrix, h, 1e-4)
    assert h.compression > 10


@pytest.mark.parametrize(
    ("x", "y", "eta", "expected"),
    [
        (([0.0], [1.0]), ([2.0], [9.0]), 1.0, True),  # the smaller box counts
        (([2.0], [9.0]), ([0.0], [1.0]), 1.0, True),
        (([0.0], [1.0]), ([1.9], [9.0]), 1.0, False),
        (([0.0], [1.0]), ([1.9], [9.0]), 1.2, True),
        (([0.0], [1.0]), ([1.0], [1.0]), 1.0, False),  # they touch
        (([1.0], [1.0]), ([1.0], [1.0]), 1.0, False),  # one point, twice
        (([0.0, 0.0], [3.0, 4.0]), ([6.0, 8.0], [9.0, 20.0]), 1.0, True),  # 5 and 5 apart
        (([0.0, 0.0], [3.0, 4.0]), ([6.0, 8.0], [9.0, 20.0]), 0.99, False),
        (([0.0, 0.0], [3.0, 4.0]), ([1.0, 8.0], [9.0, 20.0]), 1.0, False),  # 4 apart
    ],
)
def test_strong_admissibility_compares_size_and_distance(
    x: tuple[list[float], list[float]],
    y: tuple[list[float], list[float]],
    eta: float,
    expected: bool,
) -> None:
    first, second = (Cluster(0, 1, 0, 0, (), np.array(b[0]), np.array(b[1])) for b in (x, y))
    assert strong(eta)(first, second) is expected


def test_what_merging_loses_is_accounted_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(building, "MERGE_SHARE", 30.0)
    for seed in range(5):
        matrix = smooth(96, 96) + 3e-3 * noise(96, 96, seed)
        h = build(matrix, tolerance=1e-2, rows=in_given_order(96, 6), admissible=weak)
        check(matrix, h, 1e-2)


def test_a_lower_rank_limit_gives_smaller_ranks_and_keeps_the_tolerance() -> None:
    matrix = smooth(128, 128)
    tree = in_given_order(128, 8)
    for limit in (2, 3, 4):
        h = build(matrix, tolerance=1e-4, rows=tree, rank_limit=limit, coarsen=False)
        check(matrix, h, 1e-4)
        ranks = {leaf.rank for leaf in h.leaves if min(leaf.shape) > 8}
        assert 2 <= max(ranks) <= limit


def test_the_cost_decides_the_pruning() -> None:
    matrix = kinked(64, 64)
    tree = in_given_order(64, 8)
    energy = PaperEnergy(alpha=1.0, beta=3.0)
    by_numbers = build(matrix, tolerance=0.02, rows=tree)
    by_energy = build(matrix, tolerance=0.02, rows=tree, cost=energy)
    check(matrix, by_energy, 0.02)
    assert total_energy(by_energy, energy) < total_energy(by_numbers, energy)
    assert by_numbers.numbers < by_energy.numbers


def test_the_matrix_given_is_not_shared() -> None:
    matrix = noise(12, 12)
    h = build(matrix, tolerance=1e-9)
    before = h.to_dense()
    matrix[:] = 0.0
    np.testing.assert_array_equal(h.to_dense(), before)


@pytest.mark.parametrize("name", [n for n in GALLERY if n != "zero"])
def test_the_error_sampled_on_all_rows_is_the_error(name: str) -> None:
    matrix = GALLERY[name]
    h = build(matrix, tolerance=0.3, rows=by_similarity(matrix, LEAF))
    true = np.linalg.norm(matrix - h.to_dense()) / np.linalg.norm(h.to_dense())
    for given_as in (matrix, entries_of(matrix)):
        assert sampled_error(given_as, h, samples=10**6) == pytest.approx(true, rel=1e-8, abs=1e-14)


def test_the_square_of_the_sampled_error_is_unbiased() -> None:
    matrix = kinked(90, 60) + 0.1 * noise(90, 60) * np.linspace(0, 1, 90)[:, None]
    h = build(matrix, tolerance=0.1)
    true = np.linalg.norm(matrix - h.to_dense()) / h.frobenius_norm()
    squares = [sampled_error(matrix, h, samples=7, seed=seed) ** 2 for seed in range(300)]
    assert np.std(squares) > 0.01 * true**2
    assert np.mean(squares) == pytest.approx(true**2, rel=0.1)


def test_the_sampled_error_is_the_same_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    matrix = kinked(90, 90)
    h = build(matrix, tolerance=1e-2)
    whole = sampled_error(matrix, h, samples=50)
    monkeypatch.setattr(construction, "SAMPLED_AT_ONCE", 7 * 90)
    assert sampled_error(matrix, h, samples=50) == pytest.approx(whole, rel=1e-12)


def test_what_a_random_range_leaves_out_is_the_same_by_rows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rng = np.random.default_rng(0)
    values = rng.standard_normal((3, 70, 40))
    basis = np.linalg.qr(rng.standard_normal((3, 70, 5)))[0]
    inside = basis.mT @ values
    left_out = np.linalg.norm(values - basis @ inside, axis=(1, 2))
    monkeypatch.setattr(stacks, "STACK_ENTRIES", 11 * 3 * 40)
    np.testing.assert_allclose(stacks._outside(values, basis, inside), left_out, rtol=1e-12)


def test_the_sampled_error_of_zero_is_zero() -> None:
    h = build(np.zeros((5, 4)), tolerance=1e-3)
    assert sampled_error(np.zeros((5, 4)), h) == 0.0
    assert sampled_error(np.ones((5, 4)), h) > 0.0


def test_the_sampled_error_refuses_another_shape() -> None:
    h = build(noise(5, 4), tolerance=0.1)
    with pytest.raises(InputError, match=r"shape \(4, 5\)"):
        sampled_error(noise(4, 5), h)
    with pytest.raises(InputError, match="samples"):
        sampled_error(noise(5, 4), h, samples=0)


SQUARE = noise(6, 6)


@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((0, 3)), "not empty"),
        (np.zeros((3, 0)), "not empty"),
        ([], "not empty"),
        (3.0, "not empty"),
        (np.zeros(4), "not empty"),
        (np.zeros((2, 2, 2)), "not empty"),
        ([[1.0, np.nan]], "NaN or Inf"),
        ([[1.0, -np.inf]], "NaN or Inf"),
        ([[1.0, 1j]], "complex"),
        ([["1"]], "not numbers"),
        ([[1.0], [1.0, 2.0]], "differ in length"),
        (None, "not numbers"),
        (lambda i, j: 1.0, "not numbers"),
    ],
)
def test_what_is_no_real_matrix_is_refused(matrix: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(matrix, tolerance=0.1)
    assert str(caught.value).startswith("matrix: ")
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tolerance": 0.0}, "tolerance"),
        ({"tolerance": -1e-3}, "tolerance"),
        ({"tolerance": float("nan")}, "tolerance"),
        ({"tolerance": float("inf")}, "tolerance"),
        ({"tolerance": "1e-3"}, "tolerance"),
        ({"tolerance": None}, "tolerance"),
        ({"tolerance": np.complex128(1.0)}, "tolerance"),
        ({"rank_limit": 0}, "rank_limit"),
        ({"rank_limit": 2.0}, "rank_limit"),
        ({"rows": in_given_order(5)}, "rows: the cluster tree has 5 indices, the matrix 6"),
        ({"columns": in_given_order(7)}, "the cluster tree has 7 indices, the matrix 6"),
        ({"rows": in_given_order(6), "columns": in_given_order(7)}, "columns: the cluster tree"),
        ({"admissible": strong()}, "no coordinates"),
        ({"admissible": strong(), "rows": kd_tree(line(6)), "columns": by_similarity(SQUARE)},
         "no coordinates"),
    ],
)  # fmt: skip
def test_arguments_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    for matrix in (SQUARE, entries_of(SQUARE)):
        with pytest.raises(InputError, match=message) as caught:
            build(matrix, **{"tolerance": 0.1, **options})
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("eta", [0.0, -1.0, float("nan"), "1"])
def test_eta_must_be_positive(eta: float) -> None:
    with pytest.raises(InputError, match="eta"):
        strong(eta)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda i, j: np.ones((len(i), len(j) + 1)), "oracle: answered shape"),
        (lambda i, j: np.ones(len(i) * len(j)), "oracle: answered shape"),
        (lambda i, j: np.full((len(i), len(j)), np.nan), "oracle's answer: holds NaN or Inf"),
        (lambda i, j: np.full((len(i), len(j)), 1j), "oracle's answer: is complex"),
    ],
)
@pytest.mark.parametrize("size", [1, 100])
def test_a_wrong_answer_of_the_oracle_is_refused(answer: Any, message: str, size: int) -> None:
    with pytest.raises(InputError, match=message) as caught:
        build(Entries((size, size), answer), tolerance=0.1)
    assert "\n" not in str(caught.value)


def test_an_oracle_that_fails_late_is_still_noticed() -> None:
    def oracle(i: np.ndarray, j: np.ndarray) -> Array:
        block = 1.0 / (1.0 + abs(i[:, None] - j))
        block[i == 77] = np.nan
        return np.asarray(block)

    with pytest.raises(InputError, match="oracle's answer"):
        build(Entries((120, 120), oracle), tolerance=1e-6)


def test_a_dense_off_diagonal_block_does_not_break_the_hodlr_structure() -> None:
    points = np.random.default_rng(0).random((17, 2))
    a = np.exp(-np.linalg.norm(points[:, None] - points, axis=2)) + np.eye(17)
    tree = kd_tree(points, 8)
    h = build(a, tolerance=1e-13, rows=tree, admissible=weak, coarsen=False)
    assert any(leaf.is_dense and leaf.top != leaf.start for leaf in h.leaves)
    np.testing.assert_allclose(a @ factorize(h).solve(points), points, atol=1e-10)


def test_points_that_crowd_make_no_deep_tree() -> None:
    tree = bisect_geometrically(2.0 ** -np.arange(1000.0)[:, None], 1)
    assert sorted(tree.order) == list(range(1000))
    assert tree.depth < 200


@pytest.mark.parametrize("scale", [1e-100, 1e100])
def test_scale_changes_neither_structure_nor_optimum(scale: float) -> None:
    x = np.linspace(0, 1, 64)
    a = 1 / (1 + 20 * abs(x[:, None] - x))
    plain, scaled = cheapest(a, tolerance=1e-3), cheapest(scale * a, tolerance=1e-3)
    assert scaled.exact
    assert scaled.cost == plain.cost
    with pytest.raises(InputError, match="scale it"):
        cheapest(scale * scale * a, tolerance=1e-3)


def test_what_is_no_tree_is_named() -> None:
    with pytest.raises(InputError, match="rows: is no ClusterTree"):
        build(np.eye(4), tolerance=0.1, rows=np.arange(4))  # type: ignore[arg-type]


def test_a_sparse_matrix_that_aca_does_not_meet_is_reported() -> None:
    n = 800
    x = np.arange(n) / n
    a = np.exp(-abs(x[:, None] - x))
    a[np.arange(0, n, 9), n - 1 - np.arange(0, n, 9)] += 200.0
    entries = Entries((n, n), lambda i, j: a[np.ix_(i, j)])
    try:
        h = build(entries, tolerance=1e-3)
    except ToleranceError as error:
        assert "use compressor=truncated_svd" in str(error)  # noqa: PT017 - either outcome is right
    else:
        check(a, h, 1e-3)
    check(a, build(entries, tolerance=1e-3, compressor=truncated_svd), 1e-3)


@pytest.mark.parametrize("scale", [1e-170, 1e160])
def test_an_oracle_of_numbers_whose_squares_do_not_exist_is_refused(scale: float) -> None:
    with pytest.raises(InputError, match="scale it"):
        build(Entries((9, 9), lambda i, j: np.full((len(i), len(j)), scale)), tolerance=0.1)


def test_a_tolerance_above_one_asks_for_no_more_than_one_does() -> None:
    assert build(smooth(50, 50), tolerance=1e300).numbers <= 100
    assert cheapest(smooth(32, 32), tolerance=1e300).cost == 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"admissible": strong}, "admissible: is no function of two clusters"),  # not called
        ({"admissible": "weak"}, "admissible: is no function of two clusters"),
        ({"compressor": "aca"}, "compressor: is 'aca', no function"),
    ],
)
def test_what_is_no_function_is_told(given: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        build(np.eye(200), tolerance=0.1, rows=kd_tree(np.arange(200.0)[:, None]), **given)


@pytest.mark.parametrize("rows", [[3], [-1], [0.5], 1, [[0]], ["a"]])
def test_rows_that_there_are_not_are_told(rows: Any) -> None:
    for matrix in (build(np.eye(3), tolerance=0.1), build_nested(np.eye(3), tolerance=0.1)):
        with pytest.raises(InputError, match="rows: are not whole numbers"):
            matrix.rows(rows)
        np.testing.assert_array_equal(matrix.rows(np.array([2, 0])), np.eye(3)[[2, 0]])
