"""Norms from boxes, against sums over the finest grid."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from hedge.arrays import Array
from hedge.certifying.cover import whole
from hedge.certifying.norms import BoxNorms
from hedge.problems import Domain

FINEST = 6


def _some(seed: int, dimension: int) -> tuple[BoxNorms, Array]:
    """Boxes of different sizes, and their largest values on the grid of the smallest ones."""
    rng, cover = np.random.default_rng(seed), whole(dimension)
    for _ in range(60):
        box = rng.integers(len(cover))
        rest = cover[np.arange(len(cover)) != box]
        cover = rest.joined(cover[[box]].halved(rng.integers(dimension, size=1)))
        if cover.levels.max() == FINEST:
            break
    largest = rng.exponential(size=len(cover))
    square = (largest * rng.uniform(0.1, 1.0, len(cover))) ** 2
    ends = [(-1.0, 2.0), (0.5, 1.0), (3.0, 7.0)][:dimension]
    norms = BoxNorms(
        Domain(tuple(ends)), "xtn"[:dimension], cover.levels, cover.places, largest, square
    )
    grid = np.full((2**FINEST,) * dimension, np.nan)
    means = grid.copy()
    for levels, places, value, mean in zip(
        cover.levels, cover.places, largest, square, strict=True
    ):
        cells = tuple(
            slice(place << (FINEST - level), (place + 1) << (FINEST - level))
            for level, place in zip(levels, places, strict=True)
        )
        grid[cells], means[cells] = value, mean
    assert np.isfinite(grid).all()
    return norms, np.stack([grid, means])


@pytest.mark.parametrize("seed", [3, 4, 5, 8])
def test_norms_are_those_of_the_finest_grid(seed: int) -> None:
    norms, (grid, means) = _some(seed, 2)
    close = {"rel": 1e-7}
    x, t = 3.0 / 2**FINEST, 0.5 / 2**FINEST
    assert norms.of("max", "") == grid.max()
    assert norms.of("L1", "xt") == pytest.approx(np.sqrt(means).sum() * x * t, **close)
    assert norms.of("L2", "xt") == pytest.approx(np.sqrt(means.sum() * x * t), **close)
    assert norms.of("L1", "x") == pytest.approx((grid.sum(axis=0) * x).max(), **close)
    assert norms.of("L2", "t") == pytest.approx(np.sqrt((grid**2).sum(axis=1) * t).max(), **close)
    assert norms.of_largest("t") == pytest.approx(grid.max(axis=0).sum() * t, **close)
    times = 0.5 - np.arange(2**FINEST + 1) * t
    weights = -np.diff(np.expm1(5.0 * times)) / 5.0
    assert norms.of_largest("t", 5.0) == pytest.approx(grid.max(axis=0) @ weights, **close)


@pytest.mark.parametrize("seed", [0, 1])
def test_norms_of_three_inputs(seed: int) -> None:
    norms, (grid, _) = _some(seed, 3)
    cell = 3.0 * 0.5 / 2 ** (2 * FINEST)
    by_place = grid.sum(axis=(0, 1)) * cell
    assert norms.of("L1", "xt") == pytest.approx(by_place.max(), rel=1e-7)
    assert norms.of("L1", "xt") >= by_place.max()
    assert norms.of("L1", "x") == pytest.approx(3.0 * grid.max(), rel=1e-7)


@pytest.mark.parametrize("rate", [0.0, 5.0])
def test_a_value_that_only_the_narrowest_box_has_counts_in_full(rate: float) -> None:
    """Its width is below what the ends of intervals that are no dyadic numbers are rounded by."""
    levels = np.array([*range(1, 49), 48])
    places = np.array([1] * 48 + [0])  # [1/2, 1], [1/4, 1/2], … and the rest
    largest = np.array([0.0] * 48 + [1.0])
    ends = (0.1, 1.3)
    norms = BoxNorms(Domain((ends,)), "t", levels[:, None], places[:, None], largest, largest**2)
    with mpmath.workdps(60):
        length = mpmath.mpf(ends[1]) - mpmath.mpf(ends[0])
        cell, r = length / 2**48, mpmath.mpf(rate)
        exact = (mpmath.exp(r * length) - mpmath.exp(r * (length - cell))) / r if rate else cell
        found = mpmath.mpf(norms.of_largest("t", rate))
        assert exact <= found <= exact * (1 + mpmath.mpf(2) ** -26)
