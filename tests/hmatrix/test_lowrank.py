"""Compressors: within the tolerance, or a refusal that is true."""

from __future__ import annotations

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.hmatrix import (
    Compressor,
    Entries,
    LowRank,
    Refusal,
    aca,
    randomized_svd,
    rank_revealing_qr,
    truncated_svd,
)
from tests.hmatrix.gallery import (
    GALLERY,
    Array,
    entries_of,
    exact_rank,
    line,
    noise,
    separate_parts,
    spike,
)

# Each with the part of the tolerance at which the exact rank is above the limit when it refuses:
# the best rank is found by the first only.
COMPRESSORS = {
    "svd": (truncated_svd, 1.0),
    "qr": (rank_revealing_qr, 0.25),
    "randomized": (randomized_svd(), 0.5),
    "aca": (aca, 0.02),
}
compressors = pytest.mark.parametrize(
    "compress", [pair[0] for pair in COMPRESSORS.values()], ids=list(COMPRESSORS)
)


def least_rank(matrix: Array, tolerance: float) -> int:
    values = np.linalg.svd(matrix, compute_uv=False)
    rank = len(values)
    while rank and np.sqrt(np.sum(values[rank - 1 :] ** 2)) <= tolerance:
        rank -= 1
    return rank


def affordable(matrix: Array) -> int:
    """The largest rank whose factors have fewer numbers than the matrix."""
    m, n = matrix.shape
    return max(k for k in range(min(m, n) + 1) if k * (m + n) < m * n)


def off(matrix: Array, found: LowRank) -> float:
    return float(np.linalg.norm(matrix - found.left @ found.right))


@pytest.mark.parametrize("relative", [0.3, 1e-2, 1e-5, 1e-9, 1e-12])
@pytest.mark.parametrize("name", GALLERY)
@pytest.mark.parametrize(("compress", "part"), COMPRESSORS.values(), ids=list(COMPRESSORS))
def test_the_result_is_within_the_tolerance_or_the_refusal_is_true(
    compress: Compressor, part: float, name: str, relative: float
) -> None:
    matrix = GALLERY[name]
    tolerance = max(relative * float(np.linalg.norm(matrix)), 1e-30)
    for limit in (3, 12, 1000):
        found = compress(entries_of(matrix), tolerance, limit)
        if isinstance(found, LowRank):
            assert found.left.shape == (matrix.shape[0], found.rank)
            assert found.right.shape == (found.rank, matrix.shape[1])
            assert found.rank <= min(limit, affordable(matrix))
            assert off(matrix, found) <= tolerance * (1 + 1e-3)  # rounding, at 1e-12
        else:
            assert least_rank(matrix, part * tolerance) > min(limit, affordable(matrix))
            if numbers := re.match(r"rank (\d+) takes", found.reason):
                assert int(numbers[1]) > affordable(matrix)
                assert int(numbers[1]) >= least_rank(matrix, tolerance)
            elif numbers := re.match(r"needs rank (\d+), above the limit of (\d+)", found.reason):
                assert int(numbers[1]) >= least_rank(matrix, tolerance)
                assert int(numbers[1]) > int(numbers[2]) == limit
            else:
                assert re.search(r"random directions|ACA did not", found.reason)


@compressors
@settings(max_examples=10)
@given(
    rows=st.integers(70, 130),
    columns=st.integers(70, 130),
    rank=st.integers(0, 9),
    seed=st.integers(0, 10**6),
)
def test_an_exact_rank_is_found(
    compress: Compressor, rows: int, columns: int, rank: int, seed: int
) -> None:
    matrix = exact_rank(rows, columns, rank, seed)
    tolerance = 1e-10 * max(float(np.linalg.norm(matrix)), 1.0)
    found = compress(entries_of(matrix), tolerance, 9)
    assert isinstance(found, LowRank)
    assert found.rank == rank
    assert off(matrix, found) <= tolerance


@compressors
@pytest.mark.parametrize("shape", [(72, 72), (37, 91), (150, 40)])
@pytest.mark.parametrize("limit", [5, 1000])
def test_noise_is_refused(compress: Compressor, shape: tuple[int, int], limit: int) -> None:
    found = compress(entries_of(noise(*shape)), 1e-3, limit)
    assert isinstance(found, Refusal)
    assert found.reason


@compressors
def test_factors_must_take_fewer_numbers_not_as_many(compress: Compressor) -> None:
    # 2 · (4 + 4) = 4 · 4
    assert isinstance(compress(entries_of(exact_rank(4, 4, 2)), 1e-9, 4), Refusal)
    assert isinstance(compress(entries_of(exact_rank(4, 5, 2)), 1e-9, 4), LowRank)


@settings(max_examples=60)
@given(
    rows=st.integers(1, 20),
    columns=st.integers(1, 20),
    relative=st.floats(1e-3, 0.99),
    seed=st.integers(0, 10**6),
)
def test_the_truncated_svd_has_the_least_rank(
    rows: int, columns: int, relative: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((rows, columns)) * np.geomspace(1, 1e-4, columns)
    tolerance = relative * float(np.linalg.norm(matrix))
    found = truncated_svd(entries_of(matrix), tolerance, 1000)
    least = least_rank(matrix, tolerance)
    if isinstance(found, Refusal):
        assert least > affordable(matrix)
        return
    assert found.rank == least
    if least:
        fewer = LowRank(found.left[:, :-1], found.right[:-1])
        assert off(matrix, found) <= tolerance * (1 + 1e-12) < off(matrix, fewer) * (1 + 1e-9)


@compressors
def test_a_tolerance_above_the_norm_gives_rank_zero(compress: Compressor) -> None:
    for shape in ((72, 72), (9, 4)):
        matrix = exact_rank(*shape)
        found = compress(entries_of(matrix), 4.0 * float(np.linalg.norm(matrix)), 5)
        assert isinstance(found, LowRank)
        assert found.rank == 0
        np.testing.assert_array_equal(found.left @ found.right, np.zeros(shape))


@compressors
@pytest.mark.parametrize("size", [20, 80])
@pytest.mark.parametrize("tolerance", [0.0, -1.0, float("nan"), float("inf"), "1", None])
def test_the_tolerance_must_be_positive(compress: Compressor, size: int, tolerance: float) -> None:
    with pytest.raises(InputError, match=r"tolerance: .* is not a positive number"):
        compress(entries_of(noise(size, size)), tolerance, 10)


@compressors
@pytest.mark.parametrize("size", [20, 80])
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (lambda i, j: np.ones((len(j) + 1, len(i))), "oracle: answered shape"),
        (lambda i, j: np.ones(len(i)), "oracle: answered shape"),
        (lambda i, j: 1.0, r"oracle: answered shape \(\)"),
        (lambda i, j: np.full((len(i), len(j)), np.nan), "oracle's answer: holds NaN"),
        (lambda i, j: np.full((len(i), len(j)), -np.inf), "oracle's answer: holds NaN or Inf"),
        (lambda i, j: np.full((len(i), len(j)), 1j), "oracle's answer: is complex"),
        (lambda i, j: [[1.0], [1.0, 2.0]], "oracle's answer: its rows differ"),
        (lambda i, j: None, "oracle's answer: holds object"),
    ],
)
def test_a_wrong_answer_names_the_oracle(
    compress: Compressor, size: int, answer: object, message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        compress(Entries((size, size), answer), 1e-3, 10)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("shape", [(3,), (3, 0), (3, -1), (2.0, 2), (True, 2), (1, 2, 3)])
def test_entries_need_a_shape(shape: tuple[int, int]) -> None:
    with pytest.raises(InputError, match="shape"):
        Entries(shape, lambda i, j: np.ones((len(i), len(j))))


@pytest.mark.parametrize("size", [70, 200, 301])
def test_aca_sees_both_of_two_separate_parts(size: int) -> None:
    matrix = separate_parts(size, size)
    tolerance = 1e-6 * float(np.linalg.norm(matrix))
    found = aca(entries_of(matrix), tolerance, 40)
    assert isinstance(found, LowRank)
    assert off(matrix, found) <= tolerance


@settings(max_examples=25)
@given(
    rows=st.integers(70, 200),
    columns=st.integers(70, 200),
    gap=st.floats(0.5, 3.0),
    relative=st.sampled_from([1e-2, 1e-5, 1e-9]),
    seed=st.integers(0, 10**6),
)
def test_aca_keeps_its_tolerance_on_well_separated_points(
    rows: int, columns: int, gap: float, relative: float, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    x, y = rng.random((rows, 2)), rng.random((columns, 2)) + np.array([1.0 + gap, 0.0])
    matrix = np.log(np.linalg.norm(x[:, None] - y, axis=2))
    tolerance = relative * float(np.linalg.norm(matrix))
    found = aca(entries_of(matrix), tolerance, 60)
    assert isinstance(found, LowRank)
    assert off(matrix, found) <= tolerance
    assert found.rank <= least_rank(matrix, tolerance / 10)


def test_aca_needs_few_entries() -> None:
    x = line(1000)
    seen = 0

    def oracle(i: np.ndarray, j: np.ndarray) -> Array:
        nonlocal seen
        seen += len(i) * len(j)
        return np.asarray(1.0 / (1.5 + x[i] - x[j].T))

    found = aca(Entries((1000, 1000), oracle), 1e-3, 50)
    assert isinstance(found, LowRank)
    assert off(1.0 / (1.5 + x - x.T), found) <= 1e-3
    assert seen < 0.1 * 1000 * 1000


@pytest.mark.parametrize("limit", [1, 4, 7, 8, 9, 30])
def test_the_randomized_svd_finds_low_rank_below_any_limit(limit: int) -> None:
    rank = min(limit, 3)
    matrix = exact_rank(200, 150, rank)
    found = randomized_svd()(entries_of(matrix), 1e-9, limit)
    assert isinstance(found, LowRank)
    assert found.rank == rank


def test_the_randomized_svd_reaches_small_tolerances_on_large_blocks() -> None:
    x = line(300)
    matrix = np.exp(-4.0 * (x - x.T) ** 2)
    seen = 0

    def oracle(i: np.ndarray, j: np.ndarray) -> Array:
        nonlocal seen
        seen += 1
        return matrix[np.ix_(i, j)]

    tolerance = 1e-11 * float(np.linalg.norm(matrix))
    found = randomized_svd()(Entries((300, 300), oracle), tolerance, 40)  # 4 · 40 < 300
    assert isinstance(found, LowRank)
    assert off(matrix, found) <= tolerance * (1 + 1e-3)
    assert found.rank <= least_rank(matrix, tolerance) + 1
    assert seen == 1  # the range sufficed: no second look for a full SVD


def test_the_same_seed_gives_the_same_factors() -> None:
    block = entries_of(exact_rank(100, 100))
    first, again = (randomized_svd(5)(block, 1e-8, 20) for _ in range(2))
    assert isinstance(first, LowRank)
    assert isinstance(again, LowRank)
    np.testing.assert_array_equal(first.left, again.left)
    np.testing.assert_array_equal(aca(block, 1e-8, 20).left, aca(block, 1e-8, 20).left)  # type: ignore[union-attr]


@pytest.mark.parametrize("compress", [truncated_svd, rank_revealing_qr, randomized_svd()])
def test_methods_that_see_every_entry_see_an_isolated_one(compress: Compressor) -> None:
    matrix = spike(np.zeros((120, 110)), 77, 5)
    found = compress(entries_of(matrix), 1.0, 20)
    assert isinstance(found, LowRank)
    assert found.rank == 1
    assert off(matrix, found) <= 1e-9 * 1e6
