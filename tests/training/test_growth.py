"""Growth and its reverse: the function stays, the error falls, the history tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from hedge.errors import InputError
from hedge.paper import refinement_decay_bound
from hedge.problems import Problem, find_problem
from hedge.training import TrainingRun, load_checkpoint, result_to_onnx, save_checkpoint, train
from hedge.training.growth import GrowthState, grown, localized_errors, refined_widths
from hedge.training.loss import loss_and_gradient, residuals
from hedge.training.network import Network, new_network, parameters_of
from hedge.training.points import network_inputs
from hedge.training.sampling import sobol_points
from hedge.training.skeletons import without_redundant
from hedge.training.terms import Term
from hedge.training.trainer import State

HEAT = find_problem("heat")


def network_of(problem: Problem, widths: tuple[int, ...], seed: int = 0) -> Network:
    """A fresh network with biases, as a trained one has them."""
    reads = network_inputs(problem, torch.zeros(1, problem.domain.dimension)).shape[1]
    fresh = new_network(reads, widths, seed)
    generator = torch.Generator().manual_seed(seed + 1)
    biases = (torch.randn(len(b), generator=generator).double() for b in fresh.biases)
    return Network(fresh.weights, tuple(biases))


def sample(count: int = 500) -> torch.Tensor:
    return torch.rand(count, 2, generator=torch.Generator().manual_seed(3)).double() * 2 - 1


def test_the_rule_is_that_of_example_1() -> None:
    assert refined_widths((30,), (0.25,)) == (36,)


def test_the_rule_at_most_doubles_a_layer() -> None:
    assert refined_widths((3, 64), (1.0, 1.0)) == (6, 84)


def test_weights_of_low_rank_ask_for_no_growth() -> None:
    u = torch.randn(16, 2, generator=torch.Generator().manual_seed(0)).double()
    fresh = network_of(HEAT, (16, 16))
    network = Network((fresh.weights[0], u @ u.T, fresh.weights[2]), fresh.biases)
    low_rank, full = localized_errors(network), localized_errors(fresh)
    assert max(low_rank) < 1e-12
    assert min(full) > 0.3
    scaled = Network(tuple(100 * w for w in fresh.weights), fresh.biases)
    assert localized_errors(scaled) == pytest.approx(full)


@pytest.mark.parametrize("widths", [(1,), (5,), (1, 1), (7, 3, 4)])
def test_every_hidden_layer_has_an_error(widths: tuple[int, ...]) -> None:
    errors = localized_errors(network_of(HEAT, widths))
    assert len(errors) == len(widths)
    assert all(0.0 <= error <= 1.0 for error in errors)


def test_weights_of_zero_ask_for_no_growth() -> None:
    network = network_of(HEAT, (4, 4))
    zero = Network(tuple(torch.zeros_like(w) for w in network.weights), network.biases)
    assert refined_widths(zero.widths, localized_errors(zero)) == (4, 4)


@pytest.mark.parametrize("name", ["heat", "burgers", "poisson"])
def test_growth_keeps_the_function_and_its_derivatives(name: str) -> None:
    problem = find_problem(name)
    before = network_of(problem, (7, 5, 6))
    after = grown(before, (11, 5, 12), seed=4)
    assert after.widths == (11, 5, 12)
    points = sobol_points(problem, 300, 1, before.weights[0])
    values = network_inputs(problem, points.x)
    one = torch.finfo(torch.float64).eps
    torch.testing.assert_close(after(values), before(values), rtol=8 * one, atol=8 * one)
    r = residuals(problem, before, points)
    size = float(r.abs().max())
    torch.testing.assert_close(residuals(problem, after, points), r, rtol=0, atol=64 * one * size)


def test_old_weights_are_kept_to_the_bit_and_read_nothing_new() -> None:
    before = network_of(HEAT, (4, 3))
    after = grown(before, (6, 5), seed=1)
    for old, new in zip(before.weights, after.weights, strict=True):
        rows, columns = old.shape
        assert torch.equal(new[:rows, :columns], old)
        assert not new[:rows, columns:].any()
    for old, new in zip(before.biases, after.biases, strict=True):
        assert torch.equal(new[: len(old)], old)


def test_new_neurons_feel_the_gradient() -> None:
    after = grown(network_of(HEAT, (4, 3)), (6, 5), seed=1)
    points = sobol_points(HEAT, 200, 1, after.weights[0])
    _, gradient = loss_and_gradient(HEAT, after, [Term(points)])
    output_weights = gradient[-6:-1]
    assert (output_weights[3:].abs() > 0).all()


@pytest.mark.parametrize("widths", [(4,), (3, 4), (4, 4, 4)])
def test_growth_does_not_shrink(widths: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="at least as many"):
        grown(network_of(HEAT, (4, 4)), widths, seed=0)


def shrunk(network: Network, inputs: torch.Tensor, tolerance: float) -> Network:
    """Without the neurons that move the output by ``tolerance`` at most, in relative L2."""
    wanted = network(inputs)

    def moved(candidate: Network) -> float:
        return float((candidate(inputs) - wanted).norm() / wanted.norm())

    return without_redundant(network, inputs, moved, tolerance)


def test_shrinking_undoes_growth() -> None:
    before = network_of(HEAT, (5, 4))
    after = shrunk(grown(before, (9, 8), seed=2), sample(), tolerance=1e-10)
    assert all(n <= m for n, m in zip(after.widths, before.widths, strict=True))
    fresh = torch.rand(500, 2, generator=torch.Generator().manual_seed(9)).double() * 2 - 1
    torch.testing.assert_close(after(fresh), before(fresh), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize("tolerance", [1e-2, 1e-4, 1e-6])
def test_shrinking_moves_the_output_by_the_tolerance_at_most(tolerance: float) -> None:
    network = network_of(HEAT, (24, 24, 24))
    after = shrunk(network, sample(), tolerance)
    assert sum(after.widths) < 60
    value, change = network(sample()), after(sample()) - network(sample())
    assert change.norm() <= tolerance * value.norm()


def test_shrinking_keeps_a_neuron_of_a_constant_layer() -> None:
    network = network_of(HEAT, (4, 4))
    dead = Network((torch.zeros_like(network.weights[0]), *network.weights[1:]), network.biases)
    after = shrunk(dead, sample(), 1e-12)
    assert after.widths == (1, 1)
    torch.testing.assert_close(after(sample()), dead(sample()))


def test_neurons_go_only_if_the_loss_allows_it() -> None:
    network = network_of(HEAT, (12, 12))
    points = sobol_points(HEAT, 500, 1, network.weights[0])

    def loss(candidate: Network) -> float:
        return float(residuals(HEAT, candidate, points).square().mean())

    smaller = without_redundant(network, points.inputs[:, 0].T, loss, 1.02 * loss(network))
    assert sum(smaller.widths) < 24
    assert loss(smaller) <= 1.02 * loss(network)
    assert without_redundant(network, points.inputs[:, 0].T, loss, 0.0) is network


def test_progress_that_halves_the_loss_is_not_slow() -> None:
    progress = GrowthState()
    for cycle, loss in enumerate([1.0, 0.9, 0.8, 0.4, 0.3], start=1):
        progress = progress.after(cycle, loss)
    assert progress.mark_cycle == 4
    assert not progress.is_slow(8)
    assert progress.is_slow(9)


@pytest.fixture(scope="module")
def small_and_grown() -> tuple[list[State], TrainingRun]:
    """States of a run that has grown, after each of its cycles."""
    run = TrainingRun(HEAT, width=2, depth=2, method="ssbroyden", grow=True, seed=2)
    states: list[State] = []
    train(run, max_steps=1200, on_cycle=lambda state, record: states.append(state))
    return states, run


def test_a_run_that_grows_reaches_what_a_small_network_cannot(
    small_and_grown: tuple[list[State], TrainingRun],
) -> None:
    states, run = small_and_grown
    (growth,) = states[-1].progress.growths
    assert growth.widths_before == (2, 2)
    assert growth.widths_after == states[-1].best.widths == (4, 4)
    small = next(s for s in reversed(states) if s.descent.steps == growth.step)
    assert states[-1].best_loss < 2e-2 * small.best_loss
    result = train(run, max_steps=1200, resume_from=states[-2])
    assert result.relative_l2 < 2e-2
    assert result.growths == (growth,)
    assert all(n <= 4 for n in result.network.widths)
    assert result.history[-1].widths == (4, 4)
    metadata = {p.key: p.value for p in result_to_onnx(result).metadata_props}
    (logged,) = json.loads(metadata["hedge.training"])["growths"]
    assert logged["widths_after"] == [4, 4]


def test_a_resumed_run_grows_as_the_run_it_resumes(
    small_and_grown: tuple[list[State], TrainingRun], tmp_path: Path
) -> None:
    states, run = small_and_grown
    (growth,) = states[-1].progress.growths
    at = next(i for i, s in enumerate(states) if s.descent.steps == growth.step)
    for saved in (states[at], states[at + 2]):  # just before it grows, and later
        path = tmp_path / f"{saved.descent.steps}.checkpoint"
        save_checkpoint(path, run, saved)
        resumed: list[State] = []
        train(
            run, max_steps=growth.step + 300, resume_from=load_checkpoint(path, run),
            on_cycle=lambda state, record, resumed=resumed: resumed.append(state),
        )  # fmt: skip
        straight = states[at + 3]
        again = resumed[-1]
        assert again.progress == straight.progress
        assert torch.equal(
            parameters_of(again.descent.network), parameters_of(straight.descent.network)
        )


@pytest.mark.parametrize(
    "how",
    [
        {"method": "levenberg"},
        {"method": "adam", "precision": "float32"},
        {"method": "auto", "sampling": "attention", "depth": 1},
        {"method": "lbfgs", "sampling": "sobol", "depth": 3},
    ],
)
def test_runs_of_every_kind_can_grow(
    how: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.training.growth.PATIENCE_CYCLES", 1)
    run = TrainingRun(HEAT, **{"width": 2, "depth": 2, "grow": True, **how})
    steps = 16 if run.method == "levenberg" else 400
    result = train(run, max_steps=steps)
    assert result.growths
    assert result.history[-1].widths >= result.growths[-1].widths_after
    assert result.held_out_loss <= 1.02 * min(r.held_out_loss for r in result.history)


def test_the_localized_errors_of_growths_can_be_judged_by_theorem_7() -> None:
    network = network_of(HEAT, (8, 8))
    errors = [max(localized_errors(network))]
    for seed in range(2):
        network = grown(network, refined_widths(network.widths, localized_errors(network)), seed)
        errors.append(max(localized_errors(network)))
    assert [bound.left for bound in refinement_decay_bound(errors)] == errors[1:]
