"""What a cut network is fitted to: the points drawn, and that the loss falls."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.compression import Allowance, measure
from hedge.graph import SplitModel, run_float32, split
from hedge.recovery.improvement import DENSE_INVERSE, cycles
from hedge.recovery.losses import Pool, ResampledLoss, outputs_loss, points_needed
from hedge.recovery.parametric_model import Batch, ParametricModel, parameters_of
from hedge.recovery.work import Work
from tests.conftest import random_mlp

SQUARE = np.random.default_rng(1).uniform(0, 1, (points_needed(1), 2))


@pytest.fixture
def parts() -> SplitModel:
    return split(random_mlp([2, 8, 8, 1], seed=4))


def loss_of(parts: SplitModel, pool: Pool) -> ResampledLoss:
    powers = measure(parts, SQUARE[:500], 0).powers
    return outputs_loss(parts, parts.matrices, pool, powers, seed=0)


def seen(monkeypatch: pytest.MonkeyPatch) -> list[Batch]:
    """The batches that losses are of."""
    batches: list[Batch] = []
    monkeypatch.setattr(ParametricModel, "loss_on", lambda self, batch: batches.append(batch))
    return batches


def test_half_of_the_points_follow_what_is_missed_and_half_cover_the_domain(
    parts: SplitModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = parameters_of(parts.matrices)
    corner = (SQUARE < 0.3).all(axis=1)
    outputs = ParametricModel(parts, parts.matrices).outputs(at, SQUARE) + corner[:, None]
    loss, batches = loss_of(parts, Pool(SQUARE, outputs)), seen(monkeypatch)
    for cycle in (0, 1):
        loss(at, cycle)
    first, second = (batch.points for batch in batches)
    assert len(first) == len(second) == 4000
    assert not np.array_equal(first, second)
    in_corner = (first < 0.3).all(axis=1)
    assert 0.4 < in_corner.mean() < 0.6
    cells, _, _ = np.histogram2d(*first[~in_corner].T, bins=5, range=[[0, 1], [0, 1]])
    full = (~in_corner).sum() / 0.91 / 25
    elsewhere = cells[2:, 2:]
    assert elsewhere.min() > 0.6 * full
    assert elsewhere.max() < 1.6 * full


def test_pairs_stay_together(parts: SplitModel, monkeypatch: pytest.MonkeyPatch) -> None:
    half = np.full((3000, 2), 1e-3) * np.sign(np.random.default_rng(2).normal(size=(3000, 2)))
    middle = SQUARE[:3000]
    ends = np.concatenate([middle + half, middle - half])
    steps = np.linspace(1.0, 2.0, 3000)
    loss = loss_of(parts, Pool(ends, np.zeros((6000, 1)), steps))
    batches = seen(monkeypatch)
    at = parameters_of(parts.matrices)
    loss(at, 0)
    points, step = batches[0].points, batches[0].step
    assert step is not None
    first, second = np.split(points, 2)
    np.testing.assert_allclose(np.abs(first - second), 2e-3)
    rows = np.round((step - 1.0) * 2999).astype(int)
    np.testing.assert_allclose((first + second) / 2, middle[rows])


@pytest.mark.parametrize("width", [8, 70], ids=["dense inverse", "limited memory"])
def test_fitting_lowers_the_loss_on_points_of_its_own(width: int) -> None:
    """A network is fitted to the outputs of another of its size."""
    other = random_mlp([2, width, width, 1], seed=4)
    parts = split(random_mlp([2, width, width, 1], seed=5))
    start = parameters_of(parts.matrices)
    assert (len(start) > DENSE_INVERSE) == (width == 70)
    loss = loss_of(parts, Pool(SQUARE, run_float32(other, SQUARE)))
    unseen = np.random.default_rng(9).uniform(0, 1, (2000, 2))
    model = ParametricModel(parts, parts.matrices)

    def error(parameters: np.ndarray) -> float:
        missed = model.outputs(parameters, unseen) - run_float32(other, unseen)
        return float(np.linalg.norm(missed))

    steps = cycles(loss, start, Work(Allowance(200)))
    fitted = next(steps)
    assert error(fitted) < 0.05 * error(start)
    if width == 8:
        assert error(next(steps)) < 0.5 * error(fitted)


@pytest.mark.parametrize("width", [8, 70], ids=["dense inverse", "limited memory"])
def test_a_cycle_ends_with_the_last_step_allowed(width: int) -> None:
    parts = split(random_mlp([2, width, width, 1], seed=4))
    other = run_float32(random_mlp([2, width, width, 1], seed=5), SQUARE)
    start = parameters_of(parts.matrices)
    loss = loss_of(parts, Pool(SQUARE, other))
    found = [list(cycles(loss, start, Work(Allowance(steps)))) for steps in (1, 5)]
    assert [len(fitted) for fitted in found] == [1, 1]
    objective = loss(start, 0)
    assert objective(found[1][0])[0] < objective(found[0][0])[0] < objective(start)[0]
