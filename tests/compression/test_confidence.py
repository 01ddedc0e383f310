"""The test of a candidate is wrong as rarely as it says, whatever the tails of the error."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.arrays import Array
from hedge.compression.confidence import (
    TOTAL_RISK,
    likely_part,
    risk_of,
    rows_to_be_sure,
    surely_negative,
)
from hedge.compression.measure import output_error
from tests.conftest import random_mlp

ROWS, TRIALS, RISK = 1024, 4000, 0.02
Density = Callable[[np.random.Generator, tuple[int, int]], Array]


def lognormal(sigma: float) -> Density:
    return lambda rng, shape: np.exp(sigma * rng.standard_normal(shape) - sigma**2 / 2.0)


def shocks(part: float, height: float) -> Density:
    """A squared error ``height`` times as large in that part of the domain, of mean 1."""
    mean = 1.0 - part + part * height
    return lambda rng, shape: np.where(rng.random(shape) < part, height, 1.0) / mean


DENSITIES = {
    "even": lambda rng, shape: np.ones(shape),
    "lognormal 1": lognormal(1.0),
    "lognormal 2": lognormal(2.0),
    "a shock in a tenth": shocks(0.1, 100.0),
    "a shock in a hundredth": shocks(0.01, 1e4),
}


def yes_rate(density: Density, over: float, risk: float = RISK) -> float:
    """How often it says yes where the squared error is ``over`` times what is allowed."""
    rng = np.random.default_rng(5)
    allowed = rng.standard_normal((ROWS, TRIALS)) ** 2
    excess = over * density(rng, (ROWS, TRIALS)) - allowed
    return float(surely_negative(excess, allowed.mean(axis=0), risk).mean())


@pytest.mark.parametrize("name", DENSITIES)
def test_a_wrong_yes_is_as_rare_as_it_says(name: str) -> None:
    rates = [yes_rate(DENSITIES[name], over) for over in (1.0, 1.2, 2.0)]
    assert rates[0] <= RISK + 3.0 * np.sqrt(RISK / TRIALS)
    assert rates == sorted(rates, reverse=True)


@pytest.mark.parametrize("name", ["even", "lognormal 1"])
def test_a_yes_is_not_withheld_where_the_error_is_well_within(name: str) -> None:
    assert yes_rate(DENSITIES[name], 0.5, risk_of(0)) > 0.99


def test_two_standard_errors_would_be_wrong_often_near_shocks() -> None:
    """What this test is for: the usual one says yes to every fifth error of heavy tails at the limit."""
    rng = np.random.default_rng(5)
    allowed = rng.standard_normal((ROWS, TRIALS)) ** 2
    excess = DENSITIES["lognormal 2"](rng, (ROWS, TRIALS)) - allowed
    usual = excess.mean(axis=0) + 2.0 * excess.std(axis=0) / np.sqrt(ROWS) <= 0.0
    assert usual.mean() > 0.1 > 5.0 * yes_rate(DENSITIES["lognormal 2"], 1.0)


def test_a_spike_goes_unseen_as_often_as_no_point_meets_it() -> None:
    part = 1.0 / ROWS
    missed = yes_rate(shocks(part, 1e6), 50.0)
    assert missed == pytest.approx((1.0 - part) ** ROWS, abs=0.03)


def test_the_risks_of_all_attempts_add_up_to_the_total() -> None:
    assert sum(map(risk_of, range(10_000))) == pytest.approx(TOTAL_RISK, rel=1e-3)
    assert sum(map(risk_of, range(10_000))) <= TOTAL_RISK


def test_rows_that_would_do_do() -> None:
    rng = np.random.default_rng(2)
    few = 0.5 - rng.standard_normal((60, 1)) ** 2
    enough = rows_to_be_sure(few, np.ones(1), 1e-3)
    assert not surely_negative(few, np.ones(1), 1e-3).all()
    many = 0.5 - rng.standard_normal((2 * int(enough), 1)) ** 2
    assert 60 < enough < 600
    assert surely_negative(many, np.ones(1), 1e-3).all()
    assert rows_to_be_sure(1.5 + few, np.ones(1), 1e-3) == np.inf


def test_what_is_infinite_or_not_a_number_is_never_within() -> None:
    targets = np.ones((1000, 1))
    for wrong in (np.inf, np.nan):
        outputs = targets.copy()
        outputs[3] = wrong
        assert not output_error(outputs, targets).surely_within(0.5)
    assert output_error(targets, targets).surely_within(1e-7)


def test_likely_errors_are_mostly_certified() -> None:
    for rows in (250, 16_384):
        rng = np.random.default_rng(rows)
        sizes = rng.standard_normal((rows, 300)) ** 2
        squares = lognormal(1.0)(rng, (rows, 300)) * likely_part(rows, risk_of(0)) ** 2
        yes = surely_negative(squares - sizes, sizes.mean(axis=0), risk_of(0))
        assert yes.mean() > 0.5


def test_samples_too_few_to_be_sure_say_how_many_would_do(tmp_path: Path) -> None:
    """Of 256 rows three sets of 16 certify."""
    model, samples = tmp_path / "m.onnx", tmp_path / "x.npy"
    model.write_bytes(random_mlp([2, 24, 24, 1], seed=3).SerializeToString())
    asked = {"device": "laptop-x86", "objective": "size", "samples": samples, "tolerance": 1e-2}
    rng = np.random.default_rng(0)
    np.save(samples, rng.uniform(-1.0, 1.0, (256, 2)))
    plan = hedge.compress(model, **asked, recover=None).plan  # type: ignore[arg-type]
    assert not plan.gains
    assert "could be certified on 16 fresh points; give more samples, about " in plan.note
    enough = int(plan.note.split("about ")[1].split(" ")[0].replace(",", ""))
    np.save(samples, rng.uniform(-1.0, 1.0, (2 * enough, 2)))
    plan = hedge.compress(model, **asked, recover=None).plan  # type: ignore[arg-type]
    assert plan.gains
    assert 256 < enough < 1000
    assert plan.confidence == 1.0 - TOTAL_RISK
