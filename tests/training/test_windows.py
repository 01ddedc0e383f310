"""Time windows: what the networks of several give together, how they are trained, and what is refused."""

from __future__ import annotations

import itertools
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

from hedge.errors import InputError, ModelError
from hedge.geometry import Disc
from hedge.graph import Evaluator, load_model, with_derivatives
from hedge.problems import (
    At,
    Condition,
    Domain,
    Faces,
    Inside,
    Period,
    Problem,
    find_problem,
    vanishes,
)
from hedge.training import (
    State,
    TrainingResult,
    TrainingRun,
    initial_state,
    load_checkpoint,
    save_checkpoint,
    train,
)
from hedge.training.loss import residuals
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.points import TORCH_MATH, place
from hedge.training.to_onnx import networks_to_onnx
from hedge.training.windows import in_window, solution_in, windows_of
from tests.cli.conftest import Run, run

__all__ = ["run"]

# A field that is prescribed at the start, and one of which no equation has a slope in time.
FLOW = Problem(
    name="flow",
    title="A heated rod and what it gives off",
    inputs="xt",
    domain=Domain(((0.0, 1.0), (0.5, 2.0))),
    derivatives=("u", "u_t", "u_xx", "p", "p_x"),
    residual=lambda x, d, math: (d["u_t"] - 0.1 * d["u_xx"], d["p_x"] - d["u"] * d["p"]),
    offset=lambda x, math: (math.sin(3.0 * x[0]) + 0.1 * x[1], 0.0),
    distance=lambda x, math: (x[1] - 0.5, 1.0),
    fields=("u", "p"),
)
RELAXING = Problem(
    name="relaxing",
    title="u' = -u + sin 3t, u(0) = 1",
    inputs="t",
    domain=Domain(((0.0, 6.0),)),
    derivatives=("u", "u_t"),
    residual=lambda x, d, math: d["u_t"] + d["u"] - math.sin(3.0 * x[0]),
    offset=lambda x, math: 1.0,
    distance=lambda x, math: x[0],
    reference=lambda t: 1.3 * np.exp(-t) + 0.1 * np.sin(3.0 * t) - 0.3 * np.cos(3.0 * t),
)


def random_networks(problem: Problem, count: int, seed: int = 0) -> tuple[Network, ...]:
    like = initial_state(TrainingRun(problem, width=6, depth=2, windows=1)).best
    rng = torch.Generator().manual_seed(seed)
    size = len(parameters_of(like))
    return tuple(
        with_parameters(like, 0.7 * torch.randn(size, generator=rng, dtype=torch.float64))
        for _ in range(count)
    )


@pytest.mark.parametrize("problem", [FLOW, find_problem("allen-cahn"), find_problem("gray-scott")])
def test_fields_begin_as_prescribed_and_are_continuous(problem: Problem) -> None:
    windows, networks = windows_of(problem, 3), random_networks(problem, 3)
    x = torch.from_numpy(problem.sample(200, 1))
    axis = problem.inputs.index("t")
    first, one = x.clone(), solution_in(problem, windows_of(problem, 1), networks[:1], x)
    first[:, axis] = problem.domain.lower[axis]
    prescribed = place(problem, first)
    held = prescribed.distance[:, 0, 0] == 0.0
    assert held.any()
    assert not torch.allclose(one, solution_in(problem, windows, networks, x))
    found = solution_in(problem, windows, networks, first)
    torch.testing.assert_close(found[:, held], prescribed.offset[held, 0].T)
    for before, after in itertools.pairwise(windows):
        assert before.ends == after.begins
        step, sides = 1e-9 * (problem.domain.upper - problem.domain.lower)[axis], []
        for t in (after.begins - step, after.begins + step):
            near = x.clone()
            near[:, axis] = t
            sides.append(solution_in(problem, windows, networks, near))
        torch.testing.assert_close(*sides, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("problem", [FLOW, find_problem("kuramoto-sivashinsky")])
def test_a_window_has_the_residual_of_the_whole(problem: Problem) -> None:
    """Of derivatives that torch takes of the whole solution, another way than streams of one network."""
    windows, networks = windows_of(problem, 3), random_networks(problem, 3)
    for number in range(3):
        part = in_window(problem, windows, networks[:number])
        x = torch.from_numpy(part.sample(20, 2))
        columns = [c.clone().requires_grad_() for c in x.unbind(1)]
        fields = _whole(problem, networks, number, columns)
        named = {}
        for name in problem.derivatives:
            value = fields[problem.field(name)]
            for axis in problem.axes(name):
                (value,) = torch.autograd.grad(value.sum(), columns[axis], create_graph=True)
            named[name] = value
        expected = torch.stack(problem.residuals(columns, named, TORCH_MATH)).detach()
        found = residuals(part, networks[number], place(part, x))
        torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-8 * expected.abs().max())
        u = solution_in(problem, windows, networks, x)
        torch.testing.assert_close(u, torch.stack(fields, dim=1).detach())


def _whole(
    problem: Problem, networks: tuple[Network, ...], number: int, columns: list[torch.Tensor]
) -> list[torch.Tensor]:
    """u in a window as the module's equation has it."""
    axis = problem.inputs.index("t")
    ends = np.linspace(*problem.domain.intervals[axis], len(networks) + 1)
    total = list(problem.offsets(columns, TORCH_MATH))
    for k, network in enumerate(networks[: number + 1]):
        at = list(columns)
        if k < number:
            at[axis] = torch.full_like(columns[axis], ends[k + 1])
        ramp = 1.0 if k == 0 else (at[axis] - ends[k]) / (ends[k + 1] - ends[0])
        window = windows_of(problem, len(networks))[k].problem
        reads = torch.stack(list(window.network_inputs(at, TORCH_MATH)), dim=1)
        distances = problem.distances(at, TORCH_MATH)
        outputs = network(reads).unbind(1)
        total = [
            u + ramp * d * n + 0.0 * columns[0]
            for u, d, n in zip(total, distances, outputs, strict=True)
        ]
    return total


def test_what_a_window_reads_goes_from_minus_one_to_one() -> None:
    problem = find_problem("kuramoto-sivashinsky")
    for window in windows_of(problem, 5):
        points = place(window.problem, torch.from_numpy(window.problem.sample(2000, 0)))
        read = points.inputs[:, 0]
        torch.testing.assert_close(read.min(1).values, -torch.ones(3).double(), atol=0.01, rtol=0)
        torch.testing.assert_close(read.max(1).values, torch.ones(3).double(), atol=0.01, rtol=0)


@pytest.mark.parametrize("problem", [FLOW, RELAXING, find_problem("gray-scott")])
@pytest.mark.parametrize("count", [1, 3])
def test_the_file_has_every_digit_of_the_networks(
    problem: Problem, count: int, tmp_path: Path
) -> None:
    windows, networks = windows_of(problem, count), random_networks(problem, count)
    model = networks_to_onnx(problem, windows, networks, real=np.float64)
    onnx.save(model, tmp_path / "m.onnx")
    lower, upper = problem.domain.lower, problem.domain.upper
    x = np.random.default_rng(0).uniform(lower, upper, (200, problem.dimension))
    axis = problem.inputs.index("t")
    x[:4, axis] = np.linspace(lower[axis], upper[axis], 4)
    expected = solution_in(problem, windows, networks, torch.from_numpy(x)).numpy()
    found = Evaluator(load_model(tmp_path / "m.onnx", exact=True))(x)
    np.testing.assert_allclose(found, expected, rtol=1e-11, atol=1e-12)


def test_windows_share_the_steps_and_give_one_solution() -> None:
    result = train(TrainingRun(RELAXING, width=8, depth=1, windows=3), max_steps=900)
    assert [record.window for record in result.history] == [1] * 3 + [2] * 3 + [3] * 3
    assert result.history[-1].step == result.steps == 900
    assert result.parameters == 3 * len(parameters_of(result.network))
    t = RELAXING.sample(2000, seed=7)
    assert RELAXING.reference is not None
    expected = RELAXING.reference(t)
    windows = windows_of(RELAXING, 3)
    found = solution_in(RELAXING, windows, result.networks, torch.from_numpy(t)).numpy()
    error = np.linalg.norm(found - expected) / np.linalg.norm(expected)
    assert result.relative_l2 == pytest.approx(error, rel=0.2)
    assert error < 5e-5
    losses = [record.held_out_loss for record in result.history]
    best = [min(losses[k : k + 3]) for k in (0, 3, 6)]
    assert result.held_out_loss == pytest.approx(sum(best) / 3)


@pytest.fixture(scope="module")
def straight() -> TrainingResult:
    return train(TrainingRun(RELAXING, width=5, depth=1, windows=3), max_steps=600)


@pytest.mark.parametrize("stopped_after", range(1, 6))
def test_a_run_goes_on_in_the_window_it_was_in(
    stopped_after: int, straight: TrainingResult, tmp_path: Path
) -> None:
    run = straight.run
    seen: list[State] = []

    def stop(state: State, record: object) -> None:
        seen.append(state)
        if len(seen) == stopped_after:
            raise KeyboardInterrupt

    interrupted = train(run, max_steps=600, on_cycle=stop)
    assert interrupted.stopped == "interrupted"
    assert len(interrupted.networks) == (stopped_after + 1) // 2
    assert interrupted.windows_left == 3 - len(interrupted.networks)
    save_checkpoint(tmp_path / "c", run, seen[-1])
    resumed = train(run, max_steps=600, resume_from=load_checkpoint(tmp_path / "c", run))
    for one, other in zip(straight.networks, resumed.networks, strict=True):
        assert torch.equal(parameters_of(one), parameters_of(other))
    assert resumed.held_out_loss == straight.held_out_loss


def test_checkpoints_of_other_windows_are_refused(tmp_path: Path) -> None:
    run = TrainingRun(RELAXING, width=5, depth=1, windows=3)
    seen: list[State] = []
    train(run, max_steps=300, on_cycle=lambda state, record: seen.append(state))
    save_checkpoint(tmp_path / "c", run, seen[-1])
    with pytest.raises(ModelError, match="is of another run, with windows 3"):
        load_checkpoint(tmp_path / "c", replace(run, windows=2))
    beyond = replace(seen[-1], earlier=(seen[-1].best,) * 3, earlier_losses=(1.0,) * 3)
    save_checkpoint(tmp_path / "c", run, beyond)
    with pytest.raises(ModelError, match="is no checkpoint of hedge"):
        load_checkpoint(tmp_path / "c", run)


def _with_condition(condition: Condition) -> Problem:
    return replace(RELAXING, distance=None, conditions=(condition,))


def _one(x: object, d: object, math: object) -> object:
    return d["u"] - 1.0  # type: ignore[index]


# Conditions that the form meets, but not with a network in each window.
ENDING = replace(
    RELAXING, distance=lambda x, math: 6.0 - x[0], conditions=(Condition(Faces("t", (1,)), _one),)
)
PERIODIC = replace(
    RELAXING,
    features=lambda x, math: [math.sin(x[0]), math.cos(x[0])],
    domain=Domain(((0.0, 6.283185307179586),)),
    distance=None,
    conditions=(Condition(Period("t"), lambda x, d, math: d["u"]),),
)
PASSING = replace(
    RELAXING,
    distance=lambda x, math: x[0] - 1.0,
    conditions=(Condition(At(np.ones((1, 1))), _one),),
)
IN_A_DISC = replace(FLOW, domain=Domain.over(Disc((0.0, 0.0), 1.0)))


@pytest.mark.parametrize(
    ("problem", "windows", "told"),
    [
        (find_problem("heat"), 0, "windows: 0 is no whole number from 1"),
        (find_problem("heat"), 1001, "windows: 1001 is no whole number from 1 to 1000"),
        (find_problem("poisson"), 2, "'poisson' has no input t, the time; take 1"),
        (find_problem("wave"), 2, "'wave' has second derivatives along t"),
        (find_problem("heat-inverse"), 2, "'heat-inverse' has unknowns or measurements"),
        (
            replace(RELAXING, distance=lambda x, math: 6.0 - x[0]),
            2,
            "'relaxing' does not prescribe u at the start of t: its distance is not zero there",
        ),
        (
            replace(RELAXING, distance=lambda x, math: x[0] * (6.0 - x[0])),
            2,
            "'relaxing' prescribes u where t ends",
        ),
        (
            _with_condition(
                Condition(Faces("t", (0,)), lambda x, d, math: d["u"] - 1.0, derivatives=("u",))
            ),
            2,
            r"has condition 1 \(lower end of t\) in its loss, which is not one of every moment",
        ),
        (ENDING, 2, r"has condition 1 \(upper end of t\), which is not one of every moment"),
        (PERIODIC, 2, "has condition 1 .*, which is not one of every moment"),
        (PASSING, 2, r"has condition 1 \(1 given point\(s\)\), which is not one of every moment"),
        (IN_A_DISC, 2, "has the time t in the shape of its domain, which can't be parted"),
    ],
)
def test_windows_that_make_no_sense_are_refused(problem: Problem, windows: int, told: str) -> None:
    with pytest.raises(InputError, match=told):
        TrainingRun(problem, windows=windows)


def test_conditions_of_every_moment_are_kept_in_each_window() -> None:
    ends = vanishes("u_x", "x", 0, 1)
    problem = replace(
        FLOW, conditions=(ends, Condition(Faces("t", (0,)), lambda x, d, math: d["u"] - d["u"]))
    )
    for window in windows_of(problem, 2):
        assert window.problem.conditions == (ends,)
    result = train(TrainingRun(problem, width=6, depth=1, windows=2), max_steps=40)
    (missed,) = result.missed.values()
    x = torch.from_numpy(problem.domain.sample(4000, 0))
    sides = []
    for end in (0.0, 1.0):
        x[:, 0] = end
        h, slopes = 1e-5, []
        for step in (-h, h):
            near = x.clone()
            near[:, 0] += step
            slopes.append(solution_in(problem, windows_of(problem, 2), result.networks, near)[:, 0])
        sides.append((slopes[1] - slopes[0]) / (2 * h))
    assert missed == pytest.approx(float(torch.cat(sides).square().mean().sqrt()), rel=0.1)


def test_slopes_in_time_are_those_of_the_solution_at_every_end(tmp_path: Path) -> None:
    """Where the time begins and ends, too; between two windows the slope is that from the left."""
    windows, networks = windows_of(RELAXING, 3), random_networks(RELAXING, 3)
    onnx.save(networks_to_onnx(RELAXING, windows, networks, real=np.float64), tmp_path / "m.onnx")
    wanted = with_derivatives(
        load_model(tmp_path / "m.onnx", exact=True), ("u_t",), "t", real=np.float64
    )
    t = np.array([[0.0], [2.0], [4.0], [6.0]])
    step = 1e-7
    after = solution_in(RELAXING, windows, networks, torch.from_numpy(t + step * (t == 0.0)))
    before = solution_in(RELAXING, windows, networks, torch.from_numpy(t - step * (t > 0.0)))
    found = Evaluator(wanted)(t)
    np.testing.assert_allclose(found, (after - before).numpy() / step, rtol=1e-4, atol=1e-5)


def test_features_without_a_value_where_the_time_begins() -> None:
    problem = replace(RELAXING, features=lambda x, math: [math.log(x[0])])
    for window in windows_of(problem, 2):
        points = place(window.problem, torch.from_numpy(window.problem.sample(100, 0)))
        assert float(points.inputs[:, 0].abs().max()) < 1.1
    nowhere = replace(RELAXING, features=lambda x, math: [math.log(-x[0])])
    with pytest.raises(InputError, match="its features are finite nowhere for t from 0 to 3"):
        windows_of(nowhere, 2)


def test_conditions_in_the_loss_of_single_precision() -> None:
    mean = Condition(Inside(), lambda x, d, math: d["p"], ("p",), mean="x")
    problem = replace(FLOW, conditions=(mean,))
    run = TrainingRun(problem, width=3, depth=1, windows=2, precision="float32")
    assert train(run, max_steps=4).missed


def test_fewer_steps_than_every_window_needs_are_refused() -> None:
    run = TrainingRun(RELAXING, width=3, depth=1, windows=3, method="least-squares")
    seen: list[State] = []
    train(run, max_steps=30, on_cycle=lambda state, record: seen.append(state))
    (state, *_) = seen
    going_on = replace(state, descent=replace(state.descent, steps=4))
    with pytest.raises(InputError, match="steps: 7 is too small; at least 8"):
        train(run, max_steps=7, resume_from=going_on)
    assert train(run, max_steps=8, resume_from=going_on).steps == 8


def test_growing_and_worst_boxes_are_of_one_network() -> None:
    with pytest.raises(InputError, match="grow: is for one network, not one for each of 2 windows"):
        TrainingRun(RELAXING, grow=True, windows=2)
    with pytest.raises(InputError, match="steps: 2 is too small; at least 3"):
        train(TrainingRun(RELAXING, width=3, depth=1, windows=3), max_steps=2)


def test_a_problem_says_which_windows_suit_it() -> None:
    several = replace(RELAXING, windows=4)
    assert TrainingRun(several).window_count == 4
    assert TrainingRun(several, windows=1).window_count == 1
    with pytest.raises(InputError, match="windows 0 must be a whole number of at least 1"):
        replace(RELAXING, windows=0)


def test_from_the_command_line(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "m.onnx"
    arguments = ["train", "allen-cahn", "--windows", "2", "--width", "4", "--depth", "1"]
    trained = run(*arguments, "--steps", "20", "--out", str(out), "--json")
    told = trained.document()
    assert told["windows"] == 2
    assert [record["window"] for record in told["history"]] == [1, 2]
    evaluated = run("evaluate", str(out), "--problem", "allen-cahn", "--json").document()
    assert evaluated["relative_l2"] == pytest.approx(told["relative_l2"], rel=0.1)
    small = tmp_path / "small.onnx"
    compressed = run(
        "compress", str(out), "--tolerance", "0.5", "--no-recover", "--out", str(small)
    )
    assert compressed.code == 0, compressed.err
    again = ["--steps", "30", "--out", str(out), "--resume"]
    for more, told in ((arguments, "leave out --windows"), (arguments[:2], "train anew")):
        refused = run(*more, *again)
        assert refused.code == 1
        assert told in refused.err
