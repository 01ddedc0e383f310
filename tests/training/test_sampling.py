"""Collocation points: where they gather, and that an even draw gives every region its share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from hedge.problems import find_problem
from hedge.training.loss import mean_square, residuals
from hedge.training.network import new_network
from hedge.training.points import Points
from hedge.training.sampling import (
    _spread_rows,
    attention,
    residual_based_points,
    sobol_points,
)
from hedge.training.terms import Term

BURGERS = find_problem("burgers")
FLOAT64 = torch.zeros(0, dtype=torch.float64)


def points_of(count: int) -> Points:
    return sobol_points(BURGERS, count, 0, FLOAT64)


@pytest.mark.parametrize("evenly", [False, True])
def test_points_gather_where_the_residual_is_large(evenly: bool) -> None:
    network = new_network(2, (8, 8), seed=0)
    drawn = residual_based_points(BURGERS, network, 4000, seed=0, evenly=evenly)
    uniform = points_of(4000)
    assert mean_square(BURGERS, network, [Term(drawn)]) > 1.1 * mean_square(
        BURGERS, network, [Term(uniform)]
    )


def test_candidates_in_parts_are_the_same_points(monkeypatch: pytest.MonkeyPatch) -> None:
    network = new_network(2, (8, 8), seed=0)
    whole = residual_based_points(BURGERS, network, 200, seed=0)
    monkeypatch.setattr("hedge.training.sampling.AT_ONCE", 1000)
    parts = residual_based_points(BURGERS, network, 200, seed=0)
    torch.testing.assert_close(parts.x, whole.x, rtol=0.0, atol=0.0)
    torch.testing.assert_close(parts.inputs, whole.inputs)


DENSITIES = st.lists(
    st.sampled_from([0.0, 1e-3, 0.5, 1.0, 1.0, 40.0]), min_size=8, max_size=60
).filter(lambda density: sum(d > 0.0 for d in density) >= 4)


@given(density=DENSITIES, part=st.floats(0.0, 1.0), start=st.floats(1e-6, 1.0 - 1e-6))
def test_an_even_draw_gives_every_interval_its_share(
    density: list[float], part: float, start: float
) -> None:
    """Where rows stand on a line: up to any of them as many are drawn as are due, but for one."""
    likely = np.array(density)
    usable = np.flatnonzero(likely)
    count = max(1, round(part * len(usable)))
    x = np.random.default_rng(0).permutation(len(likely))[:, None] + 0.0
    rows = _spread_rows(x, likely, count, start)
    assert len(set(rows)) == count
    assert set(rows) <= set(usable)
    along = np.argsort(x[:, 0])
    due = np.cumsum(shares(likely, count)[along])
    drawn = np.cumsum(np.isin(along, rows))
    assert np.abs(drawn - due).max() < 1.0 + 1e-9


@given(density=DENSITIES)
def test_an_even_draw_takes_each_row_as_often_as_its_density_says(density: list[float]) -> None:
    likely = np.array(density)
    count, starts = np.count_nonzero(likely) // 2, 200
    x = np.random.default_rng(0).random((len(likely), 2))
    drawn = [_spread_rows(x, likely, count, (k + 0.5) / starts) for k in range(starts)]
    often = np.bincount(np.concatenate(drawn), minlength=len(likely)) / starts
    np.testing.assert_allclose(often, shares(likely, count), rtol=0.0, atol=2.0 / starts)


def test_points_that_float32_can_not_tell_apart_are_drawn_all_the_same() -> None:
    """Where a coordinate of all is one number, neighbours are told by the others."""
    x = np.stack([np.full(40, 4.0), np.linspace(0.0, 1.0, 40)], axis=1)
    rows = _spread_rows(x, np.ones(40), 10, 0.5)
    assert sorted(rows) == [*range(2, 40, 4)]


def shares(density: np.ndarray, count: int) -> np.ndarray:
    """min(1, c p) with the c at which their sum is ``count``, by bisection."""
    low, high = 0.0, count / density[density > 0.0].min()
    for _ in range(200):
        middle = (low + high) / 2.0
        if np.minimum(1.0, middle * density).sum() < count:
            low = middle
        else:
            high = middle
    return np.minimum(1.0, high * density)


def test_attention_rises_where_the_residual_stays_large() -> None:
    r = residuals(BURGERS, new_network(2, (8, 8), seed=0), points_of(400))
    weights = None
    for _ in range(60):
        weights = attention(weights, r)
    torch.testing.assert_close(weights, r[0].abs() / r.abs().max(), rtol=0.0, atol=0.002)


def test_points_are_weighed_by_all_equations_together() -> None:
    r = torch.tensor([[3.0, 0.0], [4.0, 1.0]], dtype=torch.float64)
    weights = None
    for _ in range(100):
        weights = attention(weights, r)
    torch.testing.assert_close(
        weights, torch.tensor([1.0, 0.2], dtype=torch.float64), rtol=1e-3, atol=0.0
    )
