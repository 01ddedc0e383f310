"""DeepXDE's own examples, and the time hedge takes to the error that they end with.

    python benchmarks/against_deepxde.py                     all of them, about an hour on one thread
    python benchmarks/against_deepxde.py poisson-l           some only
    python benchmarks/against_deepxde.py --example poisson-l DeepXDE's part alone

Points, networks, optimisers and steps are those of DeepXDE's examples/pinn_forward and pinn_inverse;
Kovasznay flow is at hedge's Reynolds number. Errors are relative L2 against the reference on 10,000 points;
seconds are those of training, on one thread.
"""

from __future__ import annotations

import argparse
import math
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from deepxde_burgers import MODEL

from hedge.problems import Measurements, Problem, Unknown, find_problem
from hedge.problems.domain import Domain

Stages = list[tuple[str, dict[str, Any], dict[str, Any]]]
ADAM = {"lr": 1e-3}
HEDGE_SECONDS = 600.0


@dataclass(frozen=True)
class Example:
    """DeepXDE's model with its optimisers, and hedge's problem with a network."""

    title: str
    build: Callable[[Any], tuple[Any, Stages]]
    problem: Callable[[], Problem]
    width: int
    depth: int


def schedule(steps: int, finished_by_lbfgs: bool = True) -> Stages:
    adam = ("adam", ADAM, {"iterations": steps})
    return [adam, ("L-BFGS", {}, {})] if finished_by_lbfgs else [adam]


def burgers(dde: Any) -> tuple[Any, Stages]:
    scope: dict[str, Any] = {}
    exec(MODEL, scope)
    return scope["model"], schedule(15_000)


def kovasznay(dde: Any) -> tuple[Any, Stages]:
    reynolds = 40.0
    rate = reynolds / 2.0 - math.hypot(reynolds / 2.0, 2.0 * math.pi)
    geometry = dde.geometry.Rectangle(xmin=[-0.5, -0.5], xmax=[1.0, 1.5])

    def equations(x: Any, y: Any) -> list[Any]:
        u, v = y[:, 0:1], y[:, 1:2]
        first = [[dde.grad.jacobian(y, x, i=i, j=j) for j in range(2)] for i in range(3)]
        second = [
            sum(dde.grad.hessian(y, x, component=i, i=j, j=j) for j in range(2)) for i in range(2)
        ]
        return [
            u * first[0][0] + v * first[0][1] + first[2][0] - second[0] / reynolds,
            u * first[1][0] + v * first[1][1] + first[2][1] - second[1] / reynolds,
            first[0][0] + first[1][1],
        ]

    def at_outlet(x: Any, on: bool) -> bool:
        return bool(on and dde.utils.isclose(x[0], 1.0))

    conditions = [
        dde.icbc.DirichletBC(geometry, values, where, component=component)
        for component, (values, where) in enumerate(
            [
                (
                    lambda x: 1 - np.exp(rate * x[:, 0:1]) * np.cos(2 * np.pi * x[:, 1:2]),
                    lambda _, on: on,
                ),
                (
                    lambda x: (
                        rate
                        / (2 * np.pi)
                        * np.exp(rate * x[:, 0:1])
                        * np.sin(2 * np.pi * x[:, 1:2])
                    ),
                    lambda _, on: on,
                ),
                (lambda x: 0.5 * (1 - np.exp(2 * rate * x[:, 0:1])), at_outlet),
            ]
        )
    ]
    data = dde.data.PDE(
        geometry, equations, conditions, num_domain=2601, num_boundary=400, num_test=100_000
    )
    return dde.Model(data, network(dde, 2, 50, 4, 3, "Glorot normal")), schedule(30_000)


def in_float32(geometry: Any) -> Any:
    """Its points as DeepXDE's networks in torch need them: polygons give double precision."""
    for name in ("random_points", "random_boundary_points"):
        drawn = getattr(geometry, name)
        setattr(
            geometry, name, lambda *given, drawn=drawn, **named: drawn(*given, **named).astype("f4")
        )
    return geometry


def poisson_l(dde: Any) -> tuple[Any, Stages]:
    geometry = in_float32(
        dde.geometry.Polygon([[0, 0], [1, 0], [1, -1], [-1, -1], [-1, 1], [0, 1]])
    )

    def equation(x: Any, y: Any) -> Any:
        return -dde.grad.hessian(y, x, i=0, j=0) - dde.grad.hessian(y, x, i=1, j=1) - 1

    edge = dde.icbc.DirichletBC(geometry, lambda x: 0, lambda _, on: on)
    data = dde.data.PDE(geometry, equation, edge, num_domain=1200, num_boundary=120, num_test=1500)
    return dde.Model(data, network(dde, 2, 50, 4, 1, "Glorot uniform")), schedule(50_000)


OBSERVED = np.column_stack([np.linspace(-1, 1, 10), np.ones(10)])


def diffusion_solution(x: np.ndarray) -> np.ndarray:
    return np.sin(np.pi * x[:, :1]) * np.exp(-x[:, 1:])


def diffusion(dde: Any) -> tuple[Any, Stages]:
    import torch

    unknown = dde.Variable(2.0)
    geometry = dde.geometry.GeometryXTime(
        dde.geometry.Interval(-1, 1), dde.geometry.TimeDomain(0, 1)
    )

    def equation(x: Any, y: Any) -> Any:
        source = torch.exp(-x[:, 1:]) * (
            torch.sin(np.pi * x[:, 0:1]) - np.pi**2 * torch.sin(np.pi * x[:, 0:1])
        )
        second = dde.grad.hessian(y, x, i=0, j=0)
        return dde.grad.jacobian(y, x, i=0, j=1) - unknown * second + source

    conditions = [
        dde.icbc.DirichletBC(geometry, diffusion_solution, lambda _, on: on),
        dde.icbc.IC(geometry, diffusion_solution, lambda _, on: on),
        dde.icbc.PointSetBC(OBSERVED, diffusion_solution(OBSERVED)),
    ]
    data = dde.data.TimePDE(
        geometry, equation, conditions, num_domain=40, num_boundary=20, num_initial=10,
        anchors=OBSERVED, solution=diffusion_solution, num_test=10_000,
    )  # fmt: skip
    model = dde.Model(data, network(dde, 2, 32, 3, 1, "Glorot uniform"))
    model.external_trainable_variables = unknown
    return model, schedule(50_000, finished_by_lbfgs=False)


def diffusion_inverse() -> Problem:
    """The same, with the same ten readings."""
    return Problem(
        name="diffusion-inverse",
        title="Diffusion with a source and an unknown coefficient",
        inputs="xt",
        domain=Domain(((-1.0, 1.0), (0.0, 1.0))),
        derivatives=("u_t", "u_xx"),
        residual=lambda x, d, math_: (
            d["u_t"]
            - d["c"] * d["u_xx"]
            + math_.exp(-x[1]) * (1.0 - np.pi**2) * math_.sin(np.pi * x[0])
        ),
        offset=lambda x, math_: math_.sin(np.pi * x[0]),
        distance=lambda x, math_: (1.0 - x[0] * x[0]) * x[1],
        reference=diffusion_solution,
        unknowns=(Unknown("c", 0.1, 10.0),),
        data=(Measurements(OBSERVED, diffusion_solution(OBSERVED)[:, 0]),),
    )


def network(dde: Any, inputs: int, width: int, depth: int, outputs: int, start: str) -> Any:
    return dde.nn.FNN([inputs, *[width] * depth, outputs], "tanh", start)


EXAMPLES = {
    "burgers": Example("Burgers", burgers, lambda: find_problem("burgers"), 20, 3),
    "kovasznay": Example("Kovasznay flow", kovasznay, lambda: find_problem("kovasznay"), 20, 3),
    "poisson-l": Example("Poisson in an L", poisson_l, lambda: find_problem("poisson-l"), 20, 3),
    "diffusion": Example("Diffusion, inverse", diffusion, diffusion_inverse, 32, 3),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join(EXAMPLES)}")
    parser.add_argument("--example", help="DeepXDE's part of this one alone")
    arguments = parser.parse_args()
    if arguments.example:
        run_example(EXAMPLES[arguments.example])
        return
    compare_all(arguments.only)


def compare_all(only: Sequence[str] = ()) -> None:
    for name, example in EXAMPLES.items():
        if not only or name in only:
            compare(name, example)


def run_example(example: Example) -> None:
    """In a process of its own: a line for each stage, with seconds and error."""
    import deepxde as dde
    import torch

    torch.set_num_threads(1)
    dde.config.set_random_seed(0)
    problem = example.problem()
    x = problem.domain.sample(10_000, 303)
    assert problem.reference is not None
    reference = problem.reference(x)
    model, stages = example.build(dde)
    seconds = 0.0
    for method, options, steps in stages:
        unknown = (
            {"external_trainable_variables": model.external_trainable_variables}
            if model.external_trainable_variables
            else {}
        )
        model.compile(method, **options, **unknown)
        started = time.perf_counter()
        model.train(verbose=0, **steps)
        seconds += time.perf_counter() - started
        error = np.linalg.norm(model.predict(x) - reference) / np.linalg.norm(reference)
        print("RESULT", seconds, error, method, flush=True)


def compare(name: str, example: Example) -> None:
    """DeepXDE's stages, then when hedge is at the lowest of their errors."""
    from hedge.training import NetworkRecord, State, TrainingRun, train

    run = subprocess.run(
        [sys.executable, "-W", "ignore", __file__, "--example", name],
        env={**os.environ, "DDE_BACKEND": "pytorch"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    rows = [line.split() for line in run.stdout.splitlines() if line.startswith("RESULT")]
    if not rows:
        print(f"DeepXDE did not run: {run.stderr.strip().splitlines()[-1:]}", flush=True)
        return
    for _, seconds, error, method in rows:
        print(
            f"{example.title}: DeepXDE, {method}: {float(error):.1e} after {float(seconds):.0f} s",
            flush=True,
        )
    seconds, error = (float(rows[-1][column]) for column in (1, 2))
    times: list[float] = []

    def on_cycle(state: State, record: NetworkRecord) -> None:
        times.append(record.seconds)
        if state.best is state.descent.network and record.relative_l2 <= error:
            raise KeyboardInterrupt

    training = TrainingRun(example.problem(), example.width, example.depth)
    result = train(training, budget_s=HEDGE_SECONDS, on_cycle=on_cycle)
    size = f"{example.width}x{example.depth}"
    if result.stopped != "interrupted":
        print(f"{example.title}: hedge, {size}: {result.relative_l2:.1e} in all", flush=True)
        return
    print(
        f"{example.title}: hedge, {size}: {error:.1e} after {times[-1]:.1f} s: "
        f"{seconds / times[-1]:.0f} times sooner",
        flush=True,
    )


if __name__ == "__main__":
    main()
