"""How fast hedge trains: error against seconds for each problem and optimiser, DeepXDE beside.

    python benchmarks/training.py                     all of it, about two hours on 2 cores
    python benchmarks/training.py burgers helmholtz   some problems only (names below)

Errors are relative L2 on 10,000 points against the reference, of the network that would be kept if
training ended there (the lowest held-out loss so far). Seconds are wall-clock of training: drawing points
and held-out losses count, computing the reference does not.
"""

from __future__ import annotations

import argparse
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, partial
from statistics import median

import against_deepxde
import inverse
import numpy as np
import torch

from hedge.memory import keep_freed_memory
from hedge.problems import Layers, find_operator, find_problem, values_to_compare
from hedge.training import NetworkRecord, State, TrainingResult, TrainingRun, train, train_operator
from hedge.training.loss import loss_and_gradient
from hedge.training.network import Network, new_network, parameters_of
from hedge.training.points import TORCH_MATH, Points, network_inputs
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term
from hedge.training.trainer import solution


@dataclass(frozen=True)
class Goal:
    problem: str
    budget_s: float
    targets: tuple[tuple[float, float], ...]  # relative L2 error, within so many seconds
    layers: Layers | None = None  # if not those that suit the problem


GOALS = (
    Goal("heat", 15.0, ((1e-6, 5.0),)),
    Goal("poisson", 15.0, ((1e-7, 3.0),)),
    Goal("burgers", 3600.0, ((3e-4, 60.0), (5e-5, 180.0), (1e-6, 240.0), (8e-9, 3600.0))),
    Goal("helmholtz", 300.0, ((1e-5, 60.0), (1e-6, 60.0))),
    Goal("helmholtz-high", 600.0, ((1e-4, 600.0), (2e-5, 600.0))),
    Goal("burgers-wide", 600.0, ((1e-6, 120.0), (4.8e-7, 120.0))),
    Goal("allen-cahn", 1800.0, ((1e-4, 600.0), (2e-6, 1800.0))),
    Goal("wave", 300.0, ((1e-4, 120.0), (1e-5, 120.0))),
    Goal("burgers-nu", 900.0, ((5e-4, 180.0), (1e-4, 900.0))),
    Goal("heat-family", 300.0, ((1e-4, 300.0),)),
    Goal("poisson-5d", 300.0, ((1e-4, 300.0),)),
    Goal("poisson-10d", 600.0, ((1e-3, 600.0),)),
    Goal("poisson-100d", 1800.0, ((1e-3, 1800.0),)),
    Goal("heat-100d", 1800.0, ((1e-3, 1800.0),)),
    Goal("pendulum", 120.0, ((2e-5, 120.0),)),
    Goal("kovasznay", 300.0, ((1e-5, 300.0), (1e-7, 300.0))),
    Goal("poisson-holes", 600.0, ((1e-3, 600.0), (5e-5, 600.0))),
    Goal("poisson-l", 600.0, ((1e-3, 600.0), (2e-5, 600.0))),
    Goal("lid-cavity", 1200.0, ((2e-3, 1200.0), (2e-4, 1200.0))),
    Goal("lid-cavity-1000", 1200.0, ((1e-2, 1200.0), (3e-3, 1200.0))),
    Goal("schroedinger", 600.0, ((1e-3, 600.0), (1e-5, 600.0))),
    Goal("kdv", 600.0, ((2e-6, 1800.0),)),
    Goal("beam", 300.0, ((1e-5, 300.0), (1e-6, 300.0))),
    Goal("burgers", 1800.0, ((5e-4, 1800.0),), Layers(128, 4)),
)
OPERATORS = ("poisson-operator", "heat-operator", "cubic-operator")
METHODS = ("ssbroyden", "ssbfgs", "bfgs", "levenberg", "lbfgs", "adam")
METHOD_SECONDS = 10.0
# Problems for least squares, and widths if not the usual one.
SOLVED_AT_ONCE = {
    "poisson": None, "heat": None, "wave": None, "beam": None, "helmholtz": None, "helmholtz-high": None,
    "kovasznay": 400, "reaction-diffusion": 400,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    known = [
        "gradient",
        "laplacian",
        "methods",
        "least-squares",
        "deepxde",
        "inverse",
        *OPERATORS,
        *(g.problem for g in GOALS),
    ]
    parser.add_argument("only", nargs="*", help=f"of {', '.join(dict.fromkeys(known))}")
    only = parser.parse_args().only
    print(f"{torch.get_num_threads()} threads, torch {torch.__version__}\n", flush=True)
    if not only or "gradient" in only:
        compare_gradients()
    if not only or "laplacian" in only:
        compare_laplacians()
    if not only or "methods" in only:
        compare_methods()
    if not only or "least-squares" in only:
        solve_at_once()
    if not only or "deepxde" in only:
        against_deepxde.compare_all()
    goals = [goal for goal in GOALS if not only or goal.problem in only]
    if goals:
        print(
            f"{'problem':13} {'network':8} {'parameters':>10}  error asked  within  reached after"
        )
    for goal in goals:
        pursue(goal)
    if not only or "inverse" in only:
        inverse.main()
    for name in OPERATORS:
        if not only or name in only:
            train_one_operator(name)


def solve_at_once() -> None:
    """Print errors of least squares after the first draw of neurons and the last, by the process's time.

    Those of float32 are of the network as float32 arithmetic has it.
    """
    print("least squares over random neurons, files of float64 and of float32")
    for name, width in SOLVED_AT_ONCE.items():
        for precision in ("float64", None):
            run = TrainingRun(
                find_problem(name), width, method="least-squares", precision=precision
            )
            found: list[tuple[float, float]] = []
            started = time.process_time()
            result = train_until(run, 600.0, lambda _, error: note(found, started, error))  # noqa: B023
            (first_s, first), *_, (last_s, last) = found[0], found[-1]
            whole_s = time.process_time() - started
            print(
                f"{name:18} {result.network.widths[0]} {np.dtype(run.stored)}  {first:.1e} after "
                f"{first_s:.1f} s, {last:.1e} after {last_s:.1f} s of {whole_s:.1f} s, "
                f"{error_as_stored(result):.1e} as stored",
                flush=True,
            )


def error_as_stored(result: TrainingResult) -> float:
    """Relative L2 error of the network in the arithmetic of its file."""
    problem, kind = result.run.problem, result.run.stored
    x = problem.domain.sample(10_000, 0)
    held = replace(result.run, precision=np.dtype(kind).name)
    network = replace(
        result.network,
        weights=tuple(w.to(held.dtype) for w in result.network.weights),
        biases=tuple(b.to(held.dtype) for b in result.network.biases),
    )
    u, reference = solution(problem, network, x), values_to_compare(problem, x)
    return float(np.linalg.norm(u - reference) / np.linalg.norm(reference))


def note(found: list[tuple[float, float]], started: float, error: float) -> bool:
    found.append((time.process_time() - started, error))
    return False


def pursue(goal: Goal) -> None:
    """Print when each target was first met; training ends with the last one.

    Of several windows the error of all is known in the end only.
    """
    left = list(goal.targets)

    def on_error(seconds: float, error: float) -> bool:
        while left and error <= left[0][0]:
            target, within = left.pop(0)
            print_row(f"{target:11.0e} {within:6.0f} s  {seconds:6.1f} s, {error:.1e}")
        return not left

    def print_row(figures: str) -> None:
        print(f"{goal.problem:13} {layers!s:8} {parameters:10}  {figures}", flush=True)

    problem = find_problem(goal.problem)
    layers = goal.layers or problem.layers
    run = TrainingRun(problem, layers.width, layers.depth)
    parameters = run.window_count * parameters_of(network_of(run)).numel()
    result = train_until(run, goal.budget_s, on_error)
    for target, within in left:
        reached = f"{result.seconds:6.1f} s," if result.relative_l2 <= target else "NOT REACHED:"
        print_row(f"{target:11.0e} {within:6.0f} s  {reached} {result.relative_l2:.1e}")


def train_until(
    run: TrainingRun, budget_s: float, on_error: Callable[[float, float], bool]
) -> TrainingResult:
    """Train; ``on_error(seconds, error of the best network)`` ends it by returning True."""

    def on_cycle(state: State, record: NetworkRecord) -> None:
        is_best = state.best is state.descent.network and record.window is None
        if is_best and on_error(record.seconds, record.relative_l2):
            raise KeyboardInterrupt

    return train(run, budget_s=budget_s, on_cycle=on_cycle)


def compare_methods() -> None:
    """Error of every optimiser after the same time on the same small network."""
    problems = ("poisson", "heat", "burgers")
    print(f"Relative L2 error after {METHOD_SECONDS:.0f} s, networks 20x3")
    print(f"{'':12}" + "".join(f"{name:>10}" for name in problems))
    for method in METHODS:
        errors = [
            train(TrainingRun(find_problem(name), 20, 3, method=method), budget_s=METHOD_SECONDS)
            for name in problems
        ]
        print(f"{method:12}" + "".join(f"{r.relative_l2:10.1e}" for r in errors), flush=True)
    print()


def compare_gradients() -> None:
    """Loss and gradient of one step against nested reverse mode, runs interleaved.

    Each in a process of its own: hedge keeps freed memory, and nested autograd would profit from it.
    """
    processes = multiprocessing.get_context("spawn")
    ours: list[float] = []
    nested: list[float] = []
    with processes.Pool(1) as first, processes.Pool(1) as second:
        for _ in range(25):
            ours.append(first.apply(seconds_of_gradient))
            nested.append(second.apply(seconds_of_nested))
    # The first runs load torch and its kernels.
    ours, nested = ours[5:], nested[5:]
    ratio = median(b / a for a, b in zip(ours, nested, strict=True))
    print(
        f"Loss and gradient, Burgers, 4 x 64, 4,000 points: {median(ours) * 1e3:.0f} ms, nested "
        f"autograd {median(nested) * 1e3:.0f} ms: {ratio:.1f} times\n",
        flush=True,
    )


def compare_laplacians() -> None:
    """Loss and gradient with all second derivatives and with u_laplacian, in turn: processor time."""
    keep_freed_memory()
    for name in ("poisson-5d", "poisson-10d"):
        each = replace(find_problem(name), conditions=(), stability=())
        one = replace(each, derivatives=("u", "u_laplacian"))
        network = new_network(each.dimension, (24, 24), seed=0)
        cases = [(p, [Term(sobol_points(p, 1000, 0, network.weights[0]))]) for p in (each, one)]
        ratios = []
        for _ in range(21):
            of_each, of_one = (
                processor_time(partial(loss_and_gradient, problem, network, terms))
                for problem, terms in cases
            )
            ratios.append(of_each / of_one)
        print(f"Loss and gradient, {name}: u_laplacian {median(ratios):.2f} times as fast as all")
    print(flush=True)


def seconds_of_gradient() -> float:
    keep_freed_memory()
    network, points = wide_case()
    return timed(lambda: loss_and_gradient(find_problem("burgers"), network, [Term(points)]))


def seconds_of_nested() -> float:
    network, points = wide_case()
    return timed(lambda: nested_gradient(network, points))


@cache
def wide_case() -> tuple[Network, Points]:
    network = new_network(2, (64,) * 4, seed=0)
    return network, sobol_points(find_problem("burgers"), 4000, 0, network.weights[0])


def nested_gradient(network: Network, points: Points) -> None:
    problem = find_problem("burgers")
    weights = [w.clone().requires_grad_() for w in network.weights]
    biases = [b.clone().requires_grad_() for b in network.biases]
    x = points.x.clone().requires_grad_()
    columns = x.unbind(1)
    value = Network(tuple(weights), tuple(biases))(network_inputs(problem, x))[:, 0]
    u = problem.offset(columns, TORCH_MATH) + problem.distance(columns, TORCH_MATH) * value
    (first,) = torch.autograd.grad(u.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first[:, 0].sum(), x, create_graph=True)
    named = {"u": u, "u_x": first[:, 0], "u_t": first[:, 1], "u_xx": second[:, 0]}
    r = problem.residual(columns, named, TORCH_MATH)
    torch.autograd.grad((r * r).mean(), weights + biases)


def train_one_operator(name: str) -> None:
    result = train_operator(find_operator(name, 1024), budget_s=120.0)
    print(
        f"{name}, 1,024 sensors: {result.relative_l2:.1e} on unseen sources, {result.seconds:.1f} s"
    )


def timed(function: Callable[[], object]) -> float:
    started = time.perf_counter()
    function()
    return time.perf_counter() - started


def processor_time(function: Callable[[], object]) -> float:
    started = time.process_time()
    function()
    return time.process_time() - started


def network_of(run: TrainingRun) -> Network:
    from hedge.training.trainer import initial_state

    return initial_state(run).best


if __name__ == "__main__":
    main()
