"""What counts as a gain: the objective clearly less, or fewer bytes at no more time."""

from __future__ import annotations

from dataclasses import replace

import pytest
from onnx import ModelProto

from hedge.cli.plan_table import print_plan
from hedge.compression import Allowance, Case, Request, Source, compress, points_of_domain, prepare
from hedge.compression.case import Matrices
from hedge.compression.gains import gained
from hedge.compression.site_plan import byte_count
from hedge.devices import LEAST_GAIN, Device, find_profile
from hedge.graph import SiteMatrix
from hedge.hmatrix import plain_spectrum
from hedge.problems import Domain
from hedge.recovery import Recovery, recover
from tests.conftest import random_mlp

SQUARE = Domain(((-1.0, 1.0), (-1.0, 1.0)))
# At batch 1 on a Pi the nodes of so small a network take as long whatever their widths.
SMALL = random_mlp([2, 20, 20, 20, 1], seed=0)


PI = find_profile("raspberry-pi-4b")


def case_of(model: ModelProto = SMALL, device: Device = PI, **request: object) -> Case:
    asked = Request(**{"tolerance": 1e-2, **request})  # type: ignore[arg-type]
    points = points_of_domain(SQUARE, 2, 20, seed=0)
    return prepare(model, device, points, asked, Source("m", ""))


def narrower(case: Case) -> Matrices:
    """With three neurons fewer in each layer."""
    widths = [group.width - 3 for group in case.groups]
    return case.fits.fitted(case.kept(widths), lambda name, target: target.truncated(None))


def factorized(case: Case) -> Matrices:
    """In fewer numbers, but two more nodes."""
    site = case.split.sites[1]
    spectrum = plain_spectrum(site.matrix.dense())
    factors = SiteMatrix(spectrum.truncate(4), site.matrix.bias)
    return {**case.split.matrices, site.name: factors}


def test_fewer_bytes_are_a_gain_where_nothing_takes_longer() -> None:
    case = case_of()
    small = narrower(case)
    seconds = case.seconds_and_joules(small)[0] / case.seconds_and_joules(case.split.matrices)[0]
    assert 1.0 - LEAST_GAIN < seconds <= 1.0
    assert gained(case, small) == ("size",)
    assert case.cost(small) < case.dense_cost


def test_of_what_costs_nothing_nothing_is_gained() -> None:
    free = {name: figure.model_copy(update={"value": 0.0}) for name, figure in PI.power}
    power = PI.power.model_copy(update=free)
    case = case_of(device=PI.model_copy(update={"power": power}), objective="energy")
    assert gained(case, narrower(case)) == ("size",)


def test_fewer_bytes_in_more_nodes_are_none() -> None:
    case = case_of()
    small = factorized(case)
    assert byte_count(small) < byte_count(case.split.matrices)
    assert gained(case, small) == ()
    assert gained(case, case.split.matrices) == ()


@pytest.mark.parametrize("objective", ["latency", "energy", "size"])
def test_what_is_gained_is_what_the_figures_say(objective: str) -> None:
    case = case_of(random_mlp([2, 64, 64, 1], seed=1), objective=objective, batch=1024)
    plan = compress(case).plan
    parts = {
        "latency": plan.predicted_s / plan.dense_predicted_s,
        "energy": plan.energy_j / plan.dense_energy_j,
    }
    if objective == "size":
        assert plan.gained == ("size",)
    else:
        clearly = {name for name, part in parts.items() if part < 1.0 - LEAST_GAIN}
        assert set(plan.gained) == clearly | ({"size"} if plan.bytes < plan.dense_bytes else set())
        assert objective in plan.gained
    assert plan.gains == bool(plan.gained)


@pytest.mark.parametrize(("ratio", "kept"), [(1.01, True), (1.1, False)])
def test_as_long_is_no_slower_but_longer_is(
    ratio: float, kept: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    case = replace(case_of(), time_ratio=lambda model: ratio)
    small = recover(case, compress(case), Recovery(Allowance(200), "outputs"))
    assert "latency" not in small.plan.gained
    assert ("size" in small.plan.gained) == kept == bool(small.plan.gained)
    assert (small.plan.parameters < small.plan.dense_parameters) == kept
    print_plan("m", small.plan)
    assert ("gained: " in capsys.readouterr().out) == kept
