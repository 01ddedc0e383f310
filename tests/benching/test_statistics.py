"""Quantiles, throughput and intervals against distributions whose truth is known."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.benching.statistics import median_ratio, percentile, ratio_interval, spread, throughput


@pytest.mark.parametrize(("percent", "least"), [(90, 64), (99, 662)])
def test_a_percentile_needs_queries_enough(percent: int, least: int) -> None:
    times = np.arange(1.0, least + 1.0)
    assert percentile(times[:-1], percent) is None
    assert percentile(times, percent) == np.percentile(times, percent)


def test_spread_is_the_interquartile_range_over_the_median() -> None:
    assert spread(np.array([1.0, 2.0, 3.0, 4.0, 5.0])) == pytest.approx(2.0 / 3.0)


def test_throughput_is_that_of_the_median_window() -> None:
    windows = np.array([[1e-3, 3e-3], [1e-3, 1e-3], [5.0, 5.0]])
    assert throughput(windows, 10) == pytest.approx(10 / 2e-3)


def rounds_of(rng: np.random.Generator, ratio: float) -> tuple[np.ndarray, np.ndarray]:
    """Two models in the same 60 rounds of 8 queries; every round slows both down alike, up to 2 times."""
    drift = 1.0 + rng.random((60, 1))
    first, second = (np.exp(0.05 * rng.standard_normal((60, 8))) for _ in range(2))
    return ratio * drift * first, drift * second


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(0)
    covered = 0
    for trial in range(40):
        low, high = ratio_interval(*rounds_of(rng, 1.5), seed=trial, paired=True)
        assert low < high
        covered += low <= 1.5 <= high
    assert covered >= 34  # of 40 at 95 %: fewer has a chance of 1 in 200


def test_pairing_takes_the_drift_that_both_share_out_of_the_interval() -> None:
    rng = np.random.default_rng(1)
    first, second = rounds_of(rng, 1.5)
    paired, unpaired = (
        ratio_interval(first, second, paired=True),
        ratio_interval(first, second, paired=False),
    )
    assert paired[1] - paired[0] < 0.5 * (unpaired[1] - unpaired[0])
    assert unpaired[0] <= median_ratio(first, second) <= unpaired[1]


def test_the_unpaired_interval_takes_runs_of_different_lengths() -> None:
    low, high = ratio_interval(np.full((5, 2), 3.0), np.full((9, 4), 2.0), paired=False)
    assert low == high == 1.5


def test_intervals_are_the_same_for_the_same_seed() -> None:
    first, second = rounds_of(np.random.default_rng(2), 1.1)
    assert ratio_interval(first, second, 7, paired=True) == ratio_interval(
        first, second, 7, paired=True
    )
