"""Cuts that are fitted again: how small networks become, and that their error is certified."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto, helper

import hedge
from hedge.api import evaluate
from hedge.cli.plan_table import print_plan
from hedge.compression import Allowance, Request, compress, dense_as_it_is, parameter_count
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, run_float32, split
from hedge.problems import find_problem
from hedge.recovery import Recovery, check_residual, cut_and_fit, recover, refitting
from hedge.recovery.cutting import Network, cuts_of
from hedge.recovery.refitting import Shared, refitted
from hedge.recovery.ways import Deep, LessALayer, LessANeuron, Narrow
from hedge.recovery.work import SpentError, Work
from tests.architectures import ARCHITECTURES, NARROW, WIDE, worst_error
from tests.conftest import make_model, random_mlp
from tests.recovery.cases import case_of, check_rungs, cut_gently, cut_only


def hidden_parameters(model: ModelProto) -> int:
    """Of the network of NARROW neurons that a wide one repeats."""
    shapes = [site.matrix.shape for site in split(model).sites]
    narrow = [tuple(NARROW if n == WIDE else n for n in shape) for shape in shapes]
    return sum(n * m + n for n, m in narrow)


@pytest.mark.parametrize("kind", ["tanh", "modified MLP", "slopes per neuron"])
def test_a_small_network_hidden_in_a_wide_one_is_found(kind: str) -> None:
    dense = ARCHITECTURES[kind]()
    case = case_of(dense, 1e-4)
    found = compress(case)
    small = recover(case, found, Recovery(Allowance(400), "outputs"))
    assert worst_error(small.to_onnx(), dense) <= 1e-4
    assert small.plan.parameters <= 2 * hidden_parameters(dense)
    assert case.cost(small.matrices) <= case.cost(found.matrices)


def test_recovery_halves_what_compression_leaves_step_by_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = random_mlp([2, 24, 24, 1], seed=1)
    case = case_of(dense, 1e-3)
    found = compress(case)
    better: list[int] = []
    cut_gently(monkeypatch)
    small = recover(
        case,
        found,
        Recovery(Allowance(400)),
        on_better=lambda model: better.append(model.plan.parameters),
    )
    assert worst_error(small.to_onnx(), dense) <= 1e-3
    assert small.plan.parameters < 0.5 * found.plan.parameters
    assert [rung.parameters for rung in small.plan.rungs] == better
    assert small.plan.recovery.startswith(f"{len(better)} cut(s) recovered")
    check_rungs(small, 1e-3)


def test_where_deep_cuts_fail_neurons_go_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = random_mlp([2, 11, 11, 1], seed=1)
    case = case_of(dense, 1e-2)
    cut_only(monkeypatch, LessANeuron(4))
    monkeypatch.setattr(refitting, "HEATS", (1,))
    small = recover(case, dense_as_it_is(case), Recovery(Allowance(1500), "outputs"))
    counts = [small.plan.dense_parameters, *(rung.parameters for rung in small.plan.rungs)]
    assert len(counts) > 3
    # A neuron of 11 and n others: 3 numbers in front and n behind, or the other way round.
    assert all(4 <= before - after <= 3 + 11 for before, after in pairwise(counts))
    assert worst_error(small.to_onnx(), dense) <= 1e-2


def test_every_neuron_may_be_the_one_that_goes_the_least_missed_first() -> None:
    dense = random_mlp([2, 6, 5, 1], seed=1)
    case = case_of(dense, 1e-2)
    cuts = cuts_of(Network(case, case.split.matrices), LessANeuron(24), Work(Allowance(1)))
    assert len(cuts) == 6 + 5
    errors = [case.validation_error(cut.matrices) for cut in cuts]
    assert errors == sorted(errors)
    assert len(set(errors)) == len(errors)
    widths = {tuple(m.shape[0] for m in cut.matrices.values()) for cut in cuts}
    assert widths == {(5, 5, 1), (6, 4, 1)}


def test_of_wide_layers_a_few_neurons_go_at_once() -> None:
    case = case_of(random_mlp([2, 25, 2, 1], seed=1), 1e-2)
    cuts = cuts_of(Network(case, case.split.matrices), LessANeuron(24), Work(Allowance(1)))
    assert {cut.matrices["site0"].shape[0] for cut in cuts} == {25 - 25 // 8, 25}


def test_cuts_that_recover_best_are_fitted_to_the_end_and_not_the_least_missed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(refitting, "HEATS", (2,))
    monkeypatch.setattr(refitting, "FINALISTS", 1)
    monkeypatch.setattr(refitting, "PATIENCE", 0)
    case = case_of(random_mlp([2, 6, 5, 1], seed=0), 1e-3)
    network, recovery = Network(case, case.split.matrices), Recovery(Allowance(3000), "outputs")
    cuts = cuts_of(network, LessANeuron(24), Work(Allowance(1)))[:5]

    def error_of(*some: Network) -> float:
        fitted, rung = refitted(some, LessANeuron(24), Shared.of(case, recovery), 0.0)
        assert case.validation_error(fitted.matrices) == rung.error
        return rung.error

    alone = [error_of(cut, cut) for cut in cuts]
    assert min(alone) < 0.5 * alone[0]
    assert min(alone) <= error_of(*cuts) <= sorted(alone)[1]


def test_large_networks_begin_with_narrow_ones_of_few_layers() -> None:
    dense = random_mlp([2, 40, 40, 40, 40, 40, 1], seed=1)
    work, way = Work(Allowance(1)), Narrow(6)
    many_rows = replace(case_of(dense, 1e-2), request=Request(1e-2, batch=4096))
    few_rows = replace(many_rows, request=Request(1e-2, batch=1))
    for case, layers in ((many_rows, 3), (few_rows, 2)):
        (cut,) = cuts_of(Network(case, case.split.matrices), way, work)
        assert [m.shape[0] for m in cut.matrices.values()] == [6] * layers + [1]
        assert cut.case.validation_error(cut.matrices) < 1.0
    small = case_of(random_mlp([2, 24, 24, 1], seed=1), 1e-2)
    assert cuts_of(Network(small, small.split.matrices), way, work) == []


def test_the_residual_follows_only_where_the_outputs_are_nearly_there(
    heat_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(parameters: object, cycle: int) -> None:
        raise RuntimeError("the residual")

    monkeypatch.setattr(refitting, "residual_loss", lambda *given: asked)
    case = case_of(load_model(heat_path), 1e-3)
    recovery, way = Recovery(Allowance(200), "residual", find_problem("heat")), Narrow(2)
    cuts = cuts_of(Network(case, case.split.matrices), way, Work(Allowance(1)))
    _, rung = refitted(cuts, way, Shared.of(case, recovery), 1e-9)
    assert rung.on == "outputs"
    monkeypatch.setattr(refitting, "NEAR", np.inf)
    with pytest.raises(RuntimeError, match="the residual"):
        refitted(cuts, way, Shared.of(case, recovery), 1e-9)


def test_a_large_network_becomes_a_narrow_one_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    case = case_of(random_mlp([2, 52, 52, 52, 1], seed=1), 1e-3)
    cut_only(monkeypatch, Narrow(1), Narrow(9), Narrow(13))
    small = recover(case, compress(case), Recovery(Allowance(4000), "outputs"))
    (rung,) = small.plan.rungs
    assert rung.parameters == small.plan.parameters == 2 * 9 + 9 + 2 * (9 * 9 + 9) + 9 + 1
    assert worst_error(small.to_onnx(), case.dense) <= 1e-3


def root(widths: Sequence[int]) -> ModelProto:
    """The square root of an MLP that is hardly above zero: a coarse cut of it is below."""
    model = random_mlp(widths, seed=1)
    sides = np.meshgrid(*[np.linspace(-1.0, 1.0, 101)] * 2)
    least = float(run_float32(model, np.stack([side.ravel() for side in sides], axis=1)).min())
    nodes = model.graph.node
    nodes[-1].output[0] = "last"
    nodes.append(helper.make_node("Sub", ["last", "least"], ["above"]))
    nodes.append(helper.make_node("Sqrt", ["above"], ["u"]))
    model.graph.initializer.append(helper.make_tensor("least", 1, [1], [least - 1e-4]))
    return model


def test_a_cut_whose_outputs_are_not_finite_is_passed_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    case = case_of(root([2, 52, 52, 52, 1]), 1e-2)
    network, work = Network(case, case.split.matrices), Work(Allowance(1))
    assert np.isfinite(run_float32(case.dense, case.points.fresh(0))).all()
    narrow = case.fits.fitted(case.kept([4, 4, 4]), lambda _, target: target.truncated(None))
    assert case.validation_error(narrow) == float("inf")
    assert cuts_of(network, Narrow(4), work) == []
    cut_only(monkeypatch, Narrow(4))
    same = recover(case, dense_as_it_is(case), Recovery(Allowance(100), "outputs"))
    assert same.plan.recovery == (
        "nothing cheaper found; no cut that can be fitted leaves less than 95 % of the parameters "
        "and less than 50,000"
    )


def test_seconds_end_the_search_for_the_neuron_that_goes(hurry: Callable[[], None]) -> None:
    case = case_of(random_mlp([2, 6, 5, 1], seed=1), 1e-2)
    network = Network(case, case.split.matrices)
    hurry()
    work = Work(Allowance(1, 1e4))  # two looks at the clock, of which the first one is no neuron's
    with pytest.raises(SpentError):
        cuts_of(network, LessANeuron(24), work)


def test_where_calls_cost_more_than_rows_layers_go_as_well(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """At batch 1 every layer is a node, whatever its width; the file is gone on from, too."""
    dense = random_mlp([2, 24, 24, 24, 24, 1], seed=1)
    model, out = tmp_path / "m.onnx", tmp_path / "m.hedge.safetensors"
    model.write_bytes(dense.SerializeToString())
    asked = {"device": "laptop-x86", "domain": "-1:1,-1:1", "tolerance": 1e-2, "out": out}
    plan = hedge.compress(model, **asked, steps=1500).plan  # type: ignore[arg-type]
    assert plan.removed
    assert len(plan.sites) + len(plan.removed) == 5
    print_plan("m", plan)
    assert f"removed with their layers: {', '.join(plan.removed)}" in capsys.readouterr().out
    assert plan.dense_parameters == parameter_count(split(dense).matrices)
    assert plan.predicted_s < 0.95 * plan.dense_predicted_s
    loaded = hedge.load(out)
    assert loaded.plan == plan
    assert worst_error(loaded.to_onnx(), dense) <= 1e-2
    again = hedge.compress(model, **asked, steps=300, resume=True).plan  # type: ignore[arg-type]
    assert set(plan.removed) <= set(again.removed)
    assert again.parameters <= plan.parameters


def test_where_rows_cost_more_than_calls_layers_stay_until_neurons_are_few() -> None:
    dense = random_mlp([2, 24, 24, 24, 1], seed=1)
    case = replace(case_of(dense, 1e-2), request=Request(1e-2, batch=4096))
    network = Network(case, case.split.matrices)
    work = Work(Allowance(1))
    assert cuts_of(network, LessALayer(early=True), work) == []
    (late,) = cuts_of(network, LessALayer(early=False), work)
    assert len(late.matrices) == 3
    one_row = replace(case, request=Request(1e-2, batch=1))
    dear = Network(one_row, case.split.matrices)
    assert len(cuts_of(dear, LessALayer(early=True), work)) == 1


def test_each_of_several_outputs_keeps_the_tolerance(monkeypatch: pytest.MonkeyPatch) -> None:
    """The pressure is a thousand times smaller, and its own error is counted."""
    dense = ARCHITECTURES["two outputs"]()
    case = case_of(dense, 3e-2)
    cut_gently(monkeypatch, 0.1)
    small = recover(case, compress(case), Recovery(Allowance(400), "outputs"))
    assert small.plan.rungs
    assert worst_error(small.to_onnx(), dense) <= 3e-2


def test_with_gradients_the_derivatives_come_closer_at_the_same_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = random_mlp([2, 24, 24, 1], seed=1)
    case = case_of(dense, 1e-3)
    cut_gently(monkeypatch, 3e-2)
    x = np.random.default_rng(5).uniform(-0.99, 0.99, (2000, 2))
    ahead, behind = (x + s * np.array([0.005, 0.0]) for s in (1, -1))

    def slopes(model: ModelProto) -> np.ndarray:
        return run_float32(model, ahead) - run_float32(model, behind)

    found, missed, sizes = compress(case), [], []
    for on in ("outputs", "gradients"):
        small = recover(case, found, Recovery(Allowance(400), on))
        assert worst_error(small.to_onnx(), dense) <= 1e-3
        missed.append(np.linalg.norm(slopes(small.to_onnx()) - slopes(dense)))
        sizes.append(small.plan.rungs[0].parameters)
    assert sizes[0] == sizes[1]
    assert missed[1] < missed[0]


def test_kept_widths_lose_ranks(monkeypatch: pytest.MonkeyPatch) -> None:
    dense = random_mlp([2, 24, 24, 1], seed=2)
    case = case_of(dense, 3e-2, keep_widths=True)
    cut_gently(monkeypatch, 0.1)
    found = compress(case)
    small = recover(case, found, Recovery(Allowance(400), "outputs"))
    assert worst_error(small.to_onnx(), dense) <= 3e-2
    assert [m.shape for m in small.matrices.values()] == [(24, 2), (24, 24), (1, 24)]
    assert small.plan.bytes < found.plan.bytes
    assert small.plan.parameters < found.plan.parameters


def test_where_bytes_count_what_is_recovered_is_stored_in_fewer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    dense = random_mlp([2, 24, 24, 1], seed=2)
    case = case_of(dense, 3e-2)
    cut_gently(monkeypatch, 0.1)
    small = recover(case, compress(case), Recovery(Allowance(400), "outputs"))
    assert small.plan.rungs
    assert worst_error(small.to_onnx(), dense) <= 3e-2
    assert small.plan.bytes < 0.75 * 4 * small.plan.parameters


def test_on_the_residual_a_badly_trained_network_becomes_better_than_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense, small = tmp_path / "dense.onnx", tmp_path / "small.onnx"
    hedge.train("poisson", dense, width=16, depth=2, max_steps=12)
    error = evaluate(dense, "poisson").relative_l2
    cut_gently(monkeypatch, 3e-2)
    compressed = hedge.compress(
        dense, device="laptop-x86", tolerance=1.03 * error, against="reference", objective="size",
        recover="auto", steps=1000,
    )  # fmt: skip
    hedge.export(compressed, small)
    assert compressed.plan.rungs[0].on == "residual"
    assert compressed.plan.versions["torch"] == version("torch")
    assert compressed.plan.parameters < 0.2 * compressed.plan.dense_parameters
    assert evaluate(small, "poisson").relative_l2 < error


def test_where_nothing_cheaper_keeps_the_tolerance_the_plan_says_so() -> None:
    case = case_of(random_mlp([2, 3, 1], seed=1), 1e-6)
    found = compress(case)
    same = recover(case, found, Recovery(Allowance(100)))
    assert same.matrices is found.matrices
    assert same.plan.rungs == ()
    assert same.plan.recovery.startswith("nothing cheaper found; ")


def test_a_map_without_neurons_has_nothing_to_cut() -> None:
    matrix = np.random.default_rng(0).standard_normal((40, 40))
    gemm = helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)
    case = case_of(make_model([gemm], {"w": matrix}, inputs=40, outputs=40), 1e-2)
    found = compress(case)
    said: list[str] = []
    same = recover(replace(case, tell=said.append), found, Recovery(Allowance(400)))
    assert same.matrices is found.matrices
    assert same.plan.recovery == "nothing cheaper found; no neuron of it can go"
    assert said == []


def test_ctrl_c_goes_through_after_every_better_result_was_handed_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """So that it ends a comparison, of which recovery is one row."""
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 1e-3)
    cut_gently(monkeypatch)
    better: list[int] = []

    def tell(said: str) -> None:
        if better:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recover(
            replace(case, tell=tell), compress(case), Recovery(Allowance(400)),
            on_better=lambda model: better.append(model.plan.parameters),
        )  # fmt: skip
    assert len(better) == 1


def test_a_budget_ends_the_search_for_cuts() -> None:
    """Its first look at the clock is the last."""
    case = case_of(random_mlp([2, 8, 1]), 1e-2)
    found = compress(case)
    said: list[str] = []
    same = recover(replace(case, tell=said.append), found, Recovery(Allowance(100, 1e-9)))
    assert same.plan.recovery == (
        "nothing cheaper found; the budget of 1e-09 s is spent, 0 of 100 steps taken"
    )
    assert said == []


def test_no_two_candidates_are_certified_on_the_same_points(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    attempts: list[int] = []
    tested: list[int] = []

    def refused(case: object, matrices: object, attempt: int, times: int) -> None:
        attempts.append(attempt)
        tested.append(times)

    monkeypatch.setattr(cut_and_fit, "certified", refused)
    cut_only(monkeypatch, Deep(3e-2), Deep(2e-2))
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 5e-3)
    recover(case, compress(case), Recovery(Allowance(400)))
    assert len(attempts) > 1
    assert attempts == list(range(1, 1 + len(attempts)))
    assert tested[:2] == [1, 4]


def test_samples_that_are_used_up_end_it_and_no_later_run_sees_them_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 600 rows three sets certify: those that the search leaves are for the cuts."""
    model, samples, out = (tmp_path / name for name in ("m.onnx", "x.npy", "m.hedge.safetensors"))
    model.write_bytes(random_mlp([2, 24, 24, 1], seed=1).SerializeToString())
    np.save(samples, np.random.default_rng(0).uniform(-1.0, 1.0, (600, 2)))
    cut_gently(monkeypatch)
    asked = {"device": "laptop-x86", "objective": "size", "samples": samples, "tolerance": 2e-2}
    asked |= {"recover": "outputs", "steps": 1000, "out": out}
    plan = hedge.compress(model, **asked).plan  # type: ignore[arg-type]
    assert plan.attempts == 3
    assert "the samples are used up after 3 certifications" in plan.recovery
    with pytest.raises(InputError, match="give more rows"):
        hedge.compress(model, resume=True, **asked)  # type: ignore[arg-type]


@pytest.mark.parametrize("budget", [0.0, -3.0, float("nan"), float("inf")])
def test_a_budget_is_positive_and_finite(budget: float) -> None:
    with pytest.raises(InputError, match=r"budget: .* give the seconds"):
        Allowance(10, budget)


@pytest.mark.parametrize("steps", [0, -1, 2.5])
def test_there_is_at_least_one_step(steps: int) -> None:
    with pytest.raises(InputError, match=r"steps: .* at least 1"):
        Allowance(steps)


def test_what_is_fitted_to_must_be_known() -> None:
    with pytest.raises(InputError, match=r"recover residual: .* --problem"):
        Recovery(Allowance(400), "residual")
    case = case_of(random_mlp([2, 12, 12, 1]), 1e-2)
    elsewhere = replace(case, points=replace(case.points, domain=None))
    with pytest.raises(InputError, match=r"derivatives: no box .* --domain"):
        recover(elsewhere, compress(case), Recovery(Allowance(400), "gradients"))


def test_the_residual_needs_a_dense_tanh_network_of_the_problem(heat_path: Path) -> None:
    heat = find_problem("heat")
    recovery = Recovery(Allowance(400), "residual", heat)
    parts = split(load_model(heat_path))
    check_residual(parts, recovery, "dense", keep_widths=False)
    with pytest.raises(InputError, match="keep-widths"):
        check_residual(parts, recovery, "dense", keep_widths=True)
    wavy, other = split(random_mlp([2, 8, 1], activation="Sin")), split(random_mlp([2, 8, 1]))
    with pytest.raises(ModelError, match="tanh"):
        check_residual(wavy, recovery, "dense", keep_widths=False)
    with pytest.raises(ModelError, match="heat"):
        check_residual(other, recovery, "dense", keep_widths=False)
    # What is only offered is left out where it can't be had.
    check_residual(wavy, replace(recovery, on="auto"), "reference", keep_widths=False)
