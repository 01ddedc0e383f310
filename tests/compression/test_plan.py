"""Plans: what each site costs and errs by, how a result was made, and when the model stays dense."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper
from pydantic import ValidationError

import hedge
from hedge.cli.plan_table import print_plan
from hedge.compression import (
    Allowance,
    Case,
    CompressedModel,
    Plan,
    Request,
    Source,
    compress,
    confirmed,
    load_compressed,
    points_of_domain,
    prepare,
    save_compressed,
)
from hedge.compression.confidence import likely_part, risk_of
from hedge.compression.gains import gained
from hedge.compression.measure import output_error
from hedge.compression.site_plan import frobenius_errors
from hedge.devices import find_profile
from hedge.graph import LeafMatrix, SiteMatrix, load_model, run_float32, split
from hedge.methods import COMPRESSING
from hedge.methods.paper import ALGORITHMS, partition_sites
from hedge.problems import Domain, find_problem
from hedge.recovery import Recovery, recover
from tests.conftest import make_model, random_mlp

LAPTOP = find_profile("laptop-x86")
BATCH = 256
NEW_IN_PLANS = {
    "max_error", "time_ratio", "no_shares", "versions", "command", "device_profile", "trials",
}  # fmt: skip
NEW_IN_SITES = {
    "bytes", "dense_bytes", "predicted_s", "dense_predicted_s", "error_squared", "error_share",
    "frobenius_error", "frobenius_bound",
}  # fmt: skip


def case_of(
    model: ModelProto, domain: Domain, time_ratio: object = None, **request: object
) -> Case:
    widest = max(max(site.matrix.shape) for site in split(model).sites)
    points = points_of_domain(domain, domain.dimension, widest, seed=0)
    asked = Request(**{"tolerance": 1e-2, "batch": BATCH, **request})  # type: ignore[arg-type]
    return prepare(model, LAPTOP, points, asked, Source("m", ""), time_ratio=time_ratio)  # type: ignore[arg-type]


def heat_case(time_ratio: object = None, **request: object) -> Case:
    model = load_model(hedge.reference_models()["heat"])
    return case_of(model, find_problem("heat").domain, time_ratio, **request)


@cache
def heat(**request: object) -> CompressedModel:
    case = heat_case(**request)
    return COMPRESSING[case.request.method](case)


@pytest.mark.parametrize("request_", [{}, {"keep_widths": True}, {"method": "paper"}], ids=str)
def test_shares_of_the_error_sum_to_one(request_: dict) -> None:
    plan = heat(**request_).plan
    assert plan.gains
    assert sum(site.error_share or 0.0 for site in plan.sites) == pytest.approx(1.0)
    total = sum(site.error_squared or 0.0 for site in plan.sites)
    for site in plan.sites:
        assert site.error_squared == pytest.approx((site.error_share or 0.0) * total)
    assert plan.no_shares == ""


def test_a_network_that_stays_dense_has_no_error_anywhere() -> None:
    model = random_mlp([2, 8, 8, 1], scale=2.0)
    case = case_of(model, Domain(((-1.0, 1.0),) * 2), tolerance=1e-6)
    plan = compress(case).plan
    assert not plan.gains
    assert [site.error_squared for site in plan.sites] == [0.0] * 3
    assert [site.frobenius_error for site in plan.sites] == [0.0] * 3
    assert plan.max_error == 0.0


def linear_map(size: int) -> ModelProto:
    """One site whose singular values fall by a factor of two each."""
    rng = np.random.default_rng(0)
    left, right = (np.linalg.qr(rng.standard_normal((size, size)))[0] for _ in range(2))
    weights = {"w": left * 2.0 ** -np.arange(size) @ right}
    node = helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)
    return make_model([node], weights, inputs=size, outputs=size)


def test_the_error_of_an_only_site_is_that_of_the_output() -> None:
    """And every figure of the plan can be had from the two matrices."""
    size = 64
    case = case_of(linear_map(size), Domain(((-1.0, 1.0),) * size), batch=4096, columns="joint")
    found = compress(case)
    (site,) = found.plan.sites
    assert site.structure.label != "dense"
    assert site.error_share == 1.0
    # Uniform inputs of variance 1/3: E|ΔW x|² is ‖ΔW‖_F² / 3, here and for W itself.
    W, H = case.split.sites[0].matrix.dense(), found.matrices[site.name].dense()
    relative = np.linalg.norm(W - H) / np.linalg.norm(W)
    assert np.sqrt(site.error_squared or 0.0) == pytest.approx(relative, rel=0.1)
    assert found.plan.relative_error == pytest.approx(relative, rel=0.1)
    assert site.frobenius_error == pytest.approx(np.linalg.norm(W - H))
    x = case.fresh(0).points
    largest = np.abs(x @ (W - H).T).max() / np.abs(x @ W.T).max()
    assert found.plan.max_error == pytest.approx(largest, rel=1e-3)


def test_a_narrowed_network_errs_by_about_the_sum_of_its_sites() -> None:
    plan = heat().plan
    assert any(site.outputs < site.dense_outputs for site in plan.sites)
    predicted = sum(site.error_squared or 0.0 for site in plan.sites) ** 0.5
    assert plan.relative_error / 10 < predicted < 10 * plan.relative_error


def test_costs_of_sites_and_of_the_rest_add_up_to_the_totals() -> None:
    """What is no site's is the call, the activations, and the head and tail that stay as they are."""
    plan, runtime = heat().plan, LAPTOP.runtime
    hidden = plan.sites[:-1]
    rest = plan.predicted_s - sum(site.predicted_s or 0.0 for site in plan.sites)
    rest -= BATCH * sum(site.outputs for site in hidden) * runtime.activation.value
    dense = plan.dense_predicted_s - sum(site.dense_predicted_s or 0.0 for site in plan.sites)
    dense -= BATCH * sum(site.dense_outputs for site in hidden) * runtime.activation.value
    assert rest == pytest.approx(dense)
    assert rest >= runtime.call.value
    assert plan.bytes == sum(site.bytes or 0 for site in plan.sites)
    assert plan.dense_bytes == sum(site.dense_bytes or 0 for site in plan.sites)
    assert plan.parameters == sum(site.parameters for site in plan.sites)


def test_theorem_1_bounds_what_leaves_lose() -> None:
    parts = split(load_model(hedge.reference_models()["heat"]))
    matrices = partition_sites(parts, LAPTOP, ALGORITHMS["Algorithm 3"], relative=0.1)
    several = 0
    for site in parts.sites:
        matrix = matrices[site.name]
        assert isinstance(matrix, LeafMatrix)
        error, bound = frobenius_errors(site.matrix, matrix)
        W = site.matrix.dense()
        leaves = [
            np.linalg.norm(W[i.top : i.bottom, i.start : i.stop] - i.values())
            for i in matrix.leaves
        ]
        assert error == pytest.approx(np.linalg.norm(W - matrix.dense()))
        assert bound == pytest.approx(sum(leaves))
        assert error <= bound * (1 + 1e-12)
        several += len(matrix.leaves) > 1
    assert several


def test_theorem_1_says_nothing_of_matrices_of_other_shapes() -> None:
    whole = SiteMatrix((np.eye(4),), np.zeros(4))
    narrower = SiteMatrix((np.eye(3),), np.zeros(3))
    assert frobenius_errors(whole, narrower) == (None, None)


@pytest.mark.parametrize(("ratio", "gains"), [(0.5, True), (1.01, True), (1.04, False)])
def test_where_the_device_is_at_hand_it_has_the_last_word(ratio: float, gains: bool) -> None:
    seen: list[ModelProto] = []

    def time_ratio(candidate: ModelProto) -> float:
        seen.append(candidate)
        return ratio

    case = heat_case(time_ratio)
    found = compress(case)
    assert len(seen) == 1
    assert found.plan.gains is gains
    if gains:
        assert found.plan.time_ratio == ratio
        assert found.to_onnx() == seen[0]
    else:
        assert "measured: not faster" in found.plan.note
        assert "1.04 times" in found.plan.note
        assert found.matrices == case.split.matrices
        assert found.plan.predicted_s == found.plan.dense_predicted_s
        assert all(site.reason.startswith("measured") for site in found.plan.sites)


@pytest.mark.parametrize("request_", [{"objective": "size"}, {"method": "paper"}], ids=str)
def test_only_latency_is_put_to_the_test(request_: dict) -> None:
    def time_ratio(candidate: ModelProto) -> float:
        raise AssertionError

    case = heat_case(time_ratio, **request_)
    assert COMPRESSING[case.request.method](case).plan.gains


def test_dense_models_are_not_timed_beside_themselves() -> None:
    def time_ratio(candidate: ModelProto) -> float:
        raise AssertionError

    model = random_mlp([2, 8, 8, 1], scale=2.0)
    case = case_of(model, Domain(((-1.0, 1.0),) * 2), time_ratio, tolerance=1e-6)
    dense = compress(case)
    assert confirmed(case, dense) is dense


def test_small_gains_are_below_what_predictions_can_tell() -> None:
    case = heat_case()
    cheaper = compress(case).matrices
    assert "latency" in gained(case, cheaper)
    assert not gained(case, case.split.matrices)
    assert case.cost(cheaper) < 0.95 * case.dense_cost


@pytest.mark.parametrize("device", ["auto", "laptop-x86"])
def test_this_machine_alone_is_at_hand(
    device: str, heat_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    timed: list[int] = []

    def slower(dense: ModelProto, candidate: ModelProto, batch: int) -> float:
        timed.append(batch)
        return 2.0

    monkeypatch.setattr("hedge.api.inputs.this_machine", lambda on_progress: LAPTOP)
    monkeypatch.setattr("hedge.api.compressing.time_ratio", slower)
    plan = hedge.compress(heat_path, device=device, tolerance=1e-2, batch=BATCH, recover=None).plan
    assert timed == ([BATCH] if device == "auto" else [])
    assert plan.gains is (device != "auto")


def test_the_largest_error_is_that_of_the_worst_output() -> None:
    """An output that is zero everywhere is measured by the largest of the others."""
    targets = np.array([[100.0, 1.0, 0.0], [-200.0, 0.5, 0.0]])
    outputs = targets + np.array([[2.0, 0.0, 0.0], [0.0, -0.25, 4.0]])
    assert output_error(outputs, targets, (1, 1, 1)).largest == 0.25
    assert output_error(outputs[:, [0, 2]], targets[:, [0, 2]], (1, 1)).largest == 0.02
    assert output_error(outputs, targets).largest == 0.02


def test_recovered_networks_are_put_to_the_test_too() -> None:
    """And the plan of one that passes has no shares, since its weights were fitted again."""
    case = heat_case(lambda candidate: 2.0)
    dense = compress(case)
    recovery = Recovery(Allowance(600), "outputs")
    slower = recover(case, dense, recovery, on_better=lambda model: pytest.fail("slower"))
    assert not slower.plan.gains
    assert slower.matrices == case.split.matrices
    faster = recover(heat_case(lambda candidate: 0.5), dense, recovery)
    assert faster.plan.gains
    assert faster.plan.time_ratio == 0.5
    assert [site.error_share for site in faster.plan.sites] == [None] * len(faster.plan.sites)
    assert "fitted again" in faster.plan.no_shares
    assert "torch" not in faster.plan.versions


def test_what_alone_is_near_enough_to_the_reference_stays_however_long_it_takes() -> None:
    case = heat_case()
    found = compress(case)
    alone = replace(
        case,
        request=replace(case.request, tolerance=1e-4),
        against="reference",
        reference=lambda points: run_float32(found.to_onnx(), points),
        time_ratio=lambda candidate: 2.0,
    )
    kept = confirmed(alone, found)
    assert kept.matrices == found.matrices
    assert kept.plan.time_ratio == 2.0
    assert not confirmed(replace(alone, against="dense"), found).plan.gains


def header_of(plan: Plan) -> dict:
    return json.loads(plan.model_dump_json())


def test_trials_are_what_the_search_chose_from() -> None:
    case = heat_case()
    found = compress(case)
    plan = found.plan
    assert {trial.family for trial in plan.trials} == {"ranks", "widths and ranks"}
    assert len(set(plan.trials)) == len(plan.trials) <= 20
    aim = likely_part(plan.fresh_points, risk_of(0)) * plan.tolerance
    within = [trial for trial in plan.trials if trial.error <= aim]
    assert len(within) < len(plan.trials)  # the search saw both sides of the tolerance
    cheapest = min(within, key=lambda trial: trial.predicted_s)
    assert (cheapest.parameters, cheapest.predicted_s) == (plan.parameters, plan.predicted_s)
    assert cheapest.error == case.error(found.matrices, case.validation).relative


def test_a_plan_records_how_it_was_made() -> None:
    plan = heat().plan
    assert plan.device_profile == LAPTOP
    assert plan.seed == 0
    assert plan.versions.keys() == {"hedge", "numpy", "scipy", "onnx", "onnxruntime"}
    assert Plan.model_validate_json(plan.model_dump_json()) == plan


def test_a_plan_of_an_older_file_still_loads_and_prints(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document = header_of(heat().plan)
    old = {key: value for key, value in document.items() if key not in NEW_IN_PLANS}
    old["sites"] = [
        {key: value for key, value in site.items() if key not in NEW_IN_SITES}
        for site in document["sites"]
    ]
    assert len(old) == len(document) - len(NEW_IN_PLANS)
    plan = Plan.model_validate(old)
    path = tmp_path / "old.hedge.safetensors"
    save_compressed(CompressedModel(heat().skeleton, heat().matrices, plan), path)
    assert load_compressed(path).plan == plan
    print_plan("old", plan)
    assert "shares of the error: not recorded" in capsys.readouterr().out


def test_inspect_prints_costs_shares_bounds_and_origin(
    capsys: pytest.CaptureFixture[str],
) -> None:
    plan = heat(keep_widths=True).plan.model_copy(update={"command": "hedge compress heat.onnx"})
    print_plan("plan", plan)
    printed = capsys.readouterr().out
    assert f"{plan.sites[1].error_share:.0%}" in printed
    assert f"<= {plan.sites[1].frobenius_bound:.2g}" in printed
    assert "of the largest output" in printed
    assert "hedge compress heat.onnx" in " ".join(printed.split())
    assert f"onnxruntime {plan.versions['onnxruntime']}" in printed


def contradictory(change: str) -> dict:
    document = header_of(heat().plan)
    first, second = document["sites"][:2]
    if change == "parameters":
        document["parameters"] += 1
    elif change == "bytes":
        document["bytes"] += 4
    elif change == "share":
        first["error_share"] = 0.5 + second["error_share"] / 2
    elif change == "share above one":
        first["error_share"] = 1.5
    elif change == "names":
        second["name"] = first["name"]
    elif change == "removed":
        document["removed"] = [second["name"]]
    elif change == "profile":
        document["device_profile"]["runtime"]["compute"]["value"] = -1.0
    elif change == "profile key":
        document["device_profile"]["surprise"] = 1
    return document


@pytest.mark.parametrize(
    "change",
    [
        "parameters",
        "bytes",
        "share",
        "share above one",
        "names",
        "removed",
        "profile",
        "profile key",
    ],
)
def test_plans_that_contradict_themselves_are_refused(change: str) -> None:
    Plan.model_validate(contradictory("nothing"))
    with pytest.raises(ValidationError):
        Plan.model_validate(contradictory(change))
