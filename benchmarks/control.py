"""Optimal control of a pendulum by a network: hedge's C in CasADi against dense CasADi expressions.

    python benchmarks/control.py             about three minutes; compresses models/pendulum-64x4.onnx
    python benchmarks/control.py small.hedge.safetensors   with what was compressed before

Swing-up by direct multiple shooting: 40 intervals of 0.1 s, torques of up to 5 N m, a quadratic cost, upright
and at rest at the end; ipopt with its usual options. What differs is what says where an interval ends: the
differential equation by Runge-Kutta (the judge), the dense network in CasADi's own operations (all intervals
as one matrix: the fastest of the ways that were tried, beside interval by interval, scalar expressions and
compiled ones), and the C of what was compressed, by casadi.external. Each is run
with the exact Hessian and with ipopt's limited-memory one.

Solves are interleaved; a ratio is the median of those of one round. The closed loop takes the first torque,
lets the true pendulum swing for 0.1 s, and solves again from there.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import casadi as ca
import numpy as np
from onnx import numpy_helper

import hedge
from hedge.compression import CompressedModel
from hedge.graph import load_model
from hedge.problems.pendulum import FASTEST, FRICTION, GRAVITY, INTERVAL, SCALE, TORQUE

DENSE = Path(__file__).parents[1] / "models" / "pendulum-64x4.onnx"
TOLERANCE, OF_DERIVATIVES = 1e-5, 1e-4
INTERVALS, STEP = 40, 0.1
ROUNDS = 15
HESSIANS = ("exact", "limited-memory")
Case = tuple[str, str]
"""What says where an interval ends, and ipopt's Hessian."""
Ends = Callable[[ca.MX, ca.MX], ca.MX]
"""Angles and speeds (2, n) and torques (1, n) to angles and speeds at the ends of the intervals."""


def true_ends(substeps: int) -> Ends:
    state, torque = ca.SX.sym("state", 2), ca.SX.sym("torque")
    rates = ca.vertcat(state[1], torque - FRICTION * state[1] - GRAVITY * ca.sin(state[0]))
    of = ca.Function("rates", [state, torque], [rates])
    h, end = STEP / substeps, state
    for _ in range(substeps):
        a = of(end, torque)
        b = of(end + h / 2 * a, torque)
        c = of(end + h / 2 * b, torque)
        d = of(end + h * c, torque)
        end = end + h / 6 * (a + 2 * b + 2 * c + d)
    one = ca.Function("interval", [state, torque], [end])
    return lambda states, torques: one.map(states.shape[1])(states, torques)


def dense_ends(path: Path) -> Ends:
    """All intervals as the columns of one matrix; the speed by CasADi's forward mode."""
    graph = load_model(path).graph
    weights = {t.name: numpy_helper.to_array(t).astype(float) for t in graph.initializer}
    layers = [node.input[1:3] for node in graph.node if node.op_type == "Gemm"]

    def ends(states: ca.MX, torques: ca.MX) -> ca.MX:
        n = states.shape[1]
        t, x = ca.MX.sym("t", 1, n), ca.MX.sym("x", 3, n)
        q, v, f = x[0, :], x[1, :], x[2, :]
        a = ca.vertcat(2 / INTERVAL * t - 1, ca.sin(q), ca.cos(q), v / FASTEST, f / TORQUE)
        for i, (weight, bias) in enumerate(layers):
            a = weights[weight] @ a + ca.repmat(weights[bias], 1, n)
            a = ca.tanh(a) if i + 1 < len(layers) else a
        u = q + v * t + SCALE * t * t * a
        speed = ca.jtimes(u, t, ca.DM.ones(1, n))
        network = ca.Function("network", [t, x], [ca.vertcat(u, speed)])
        return network(STEP * ca.DM.ones(1, n), ca.vertcat(states, torques))

    return ends


def external_ends(library: Path) -> Ends:
    one = ca.external("pendulum", str(library))
    return lambda states, torques: one.map(states.shape[1])(
        ca.vertcat(STEP * ca.DM.ones(1, states.shape[1]), states, torques)
    )


@dataclass(frozen=True)
class Found:
    seconds: float
    iterations: int
    cost: float
    states: np.ndarray
    torques: np.ndarray


class SwingUp:
    """The problem for one way to say where an interval ends."""

    def __init__(self, ends: Ends, hessian: str) -> None:
        n = INTERVALS
        states, torques, start = ca.MX.sym("s", 2, n + 1), ca.MX.sym("f", 1, n), ca.MX.sym("p", 2)
        cost = STEP * (
            ca.sumsqr(states[0, :] - ca.pi)
            + 0.1 * ca.sumsqr(states[1, :])
            + 0.1 * ca.sumsqr(torques)
        )
        rules = ca.veccat(
            states[:, 1:] - ends(states[:, :-1], torques),
            states[:, 0] - start,
            states[:, -1] - ca.DM([np.pi, 0.0]),
        )
        options = {"print_time": False, "ipopt.print_level": 0, "ipopt.sb": "yes"}
        options["ipopt.hessian_approximation"] = hessian
        nlp = {"x": ca.veccat(states, torques), "p": start, "f": cost, "g": rules}
        self.solver = ca.nlpsol("swing_up", "ipopt", nlp, options)
        self.bound = np.concatenate([np.full(2 * n + 2, np.inf), np.full(n, TORQUE)])

    def solve(self, start: np.ndarray, guess: np.ndarray) -> Found:
        started = time.perf_counter()
        found = self.solver(x0=guess, p=start, lbx=-self.bound, ubx=self.bound, lbg=0, ubg=0)
        seconds = time.perf_counter() - started
        told = self.solver.stats()
        if not told["success"]:
            raise SystemExit(f"ipopt: {told['return_status']}")
        x = np.array(found["x"]).ravel()
        states = x[: 2 * INTERVALS + 2].reshape(-1, 2)
        return Found(seconds, told["iter_count"], float(found["f"]), states, x[2 * INTERVALS + 2 :])

    def from_rest(self) -> Found:
        """From hanging still; the guess is a straight line."""
        angles = np.linspace(0.0, np.pi, INTERVALS + 1)
        states = np.column_stack([angles, 0.0 * angles])
        return self.solve(np.zeros(2), np.concatenate([states.ravel(), np.zeros(INTERVALS)]))

    def closed_loop(self, plant: ca.Function) -> Iterator[tuple[np.ndarray, float]]:
        """The true state (2,) after each interval, and the seconds of the solve from there."""
        found, state = self.from_rest(), np.zeros(2)
        while True:
            state = np.array(plant(state, found.torques[0])).ravel()
            later = np.vstack([found.states[1:], found.states[-1:]]).ravel()
            guess = np.concatenate([later, found.torques[1:], found.torques[-1:]])
            found = self.solve(state, guess)
            yield state, found.seconds


def compressed(given: list[str]) -> CompressedModel:
    if given:
        return hedge.load(given[0])
    return hedge.compress(
        DENSE, device="laptop-x86-c", tolerance=TOLERANCE, derivatives=OF_DERIVATIVES
    )


def milliseconds(seconds: float) -> str:
    return f"{1e3 * seconds:.1f} ms"


def main() -> None:
    with TemporaryDirectory() as name:
        folder = Path(name) / "pendulum"
        model = compressed(sys.argv[1:])
        hedge.export_casadi(model, folder, outputs="u,u_t")
        ways: dict[str, Ends] = {
            "equation, Runge-Kutta": true_ends(10),
            "dense, expressions": dense_ends(DENSE),
            f"{model.plan.parameters} parameters, C": external_ends(folder / "pendulum.so"),
        }
        report(ways)


def report(ways: dict[str, Ends]) -> None:
    cases = {
        (way, hessian): SwingUp(ends, hessian) for way, ends in ways.items() for hessian in HESSIANS
    }
    runs: dict[Case, list[Found]] = {case: [] for case in cases}
    for problem in cases.values():
        problem.from_rest()  # what is set up once
    for _ in range(ROUNDS):
        for case, problem in cases.items():
            runs[case].append(problem.from_rest())
    paths, seconds = closed_loops(cases)
    true, dense, own = ways
    judge = true, "exact"
    columns = [
        "where an interval ends", "Hessian", "iterations", "a solve", "cost", "torques off by",
        "closed loop: a solve", "its path off by",
    ]  # fmt: skip
    print(f"| {' | '.join(columns)} |")
    print("|---" * len(columns) + "|")
    for case, found in runs.items():
        off = np.abs(found[0].torques - runs[judge][0].torques).max()
        print(
            f"| {case[0]} | {case[1]} | {found[0].iterations} | "
            f"{milliseconds(median(one.seconds for one in found))} | {found[0].cost:.4f} | {off:.1e} N m | "
            f"{milliseconds(median(seconds[case]))} | {np.abs(paths[case] - paths[judge]).max():.1e} |"
        )
    solves = {case: [one.seconds for one in found] for case, found in runs.items()}
    for what, times in (("from rest", solves), ("in the closed loop", seconds)):
        for way in (dense, true):
            slow, fast = (fastest(times, each) for each in (way, own))
            ratio = median(a / b for a, b in zip(times[slow], times[fast], strict=True))
            print(
                f"{what}: {way}, {slow[1]}, takes {ratio:.1f} times as long as hedge's C, {fast[1]}"
            )


def closed_loops(
    cases: dict[Case, SwingUp],
) -> tuple[dict[Case, np.ndarray], dict[Case, list[float]]]:
    """Of each the states (INTERVALS, 2), and the seconds of its solves; all take turns."""
    plant = ca.Function("plant", *_plant())
    loops = {case: problem.closed_loop(plant) for case, problem in cases.items()}
    steps = [{case: next(loop) for case, loop in loops.items()} for _ in range(INTERVALS)]
    paths = {case: np.array([step[case][0] for step in steps]) for case in cases}
    return paths, {case: [step[case][1] for step in steps] for case in cases}


def fastest(times: dict[Case, list[float]], way: str) -> Case:
    return min(((way, hessian) for hessian in HESSIANS), key=lambda case: median(times[case]))


def _plant() -> tuple[list[ca.MX], list[ca.MX]]:
    state, torque = ca.MX.sym("state", 2), ca.MX.sym("torque")
    return [state, torque], [true_ends(50)(state, torque)]


if __name__ == "__main__":
    main()
