"""How well hedge finds the constants of an equation from measurements, and what it says of that.

    python benchmarks/inverse.py      some eight minutes on a core; a part of benchmarks/training.py

From clean measurements: the error of the constant, and the seconds it took. From noisy ones, 5 % of the
solution's rms: how far 40 estimates, each with noise, points and a network of its own, are from the truth
in the standard deviations that are stated. Within two of these should be 95 % (of 40 runs 90 to 99 %, for 19
of 20 such tables).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from hedge.problems import Problem, find_problem
from hedge.problems.heat_inverse import CONDUCTIVITY, heat_inverse_from
from hedge.problems.helmholtz_inverse import SQUARE, helmholtz_inverse_from
from hedge.training import TrainingResult, TrainingRun, train

CASES: tuple[tuple[Callable[..., Problem], float, int], ...] = (
    (heat_inverse_from, CONDUCTIVITY, 500),
    (helmholtz_inverse_from, SQUARE, 500),
)
NOISE, SEEDS = 0.05, 40
CLEAN_STEPS = 1000
WAKE_VISCOSITY, WAKE_STEPS = 0.01, 6000


def main() -> None:
    print(f"{'problem':18} {'noise':>6}  found")
    for make, truth, steps in CASES:
        find_clean(make(), truth, CLEAN_STEPS)
        find_noisy(make, truth, steps)
    find_clean(find_problem("cylinder-wake"), WAKE_VISCOSITY, WAKE_STEPS)


def find_clean(problem: Problem, truth: float, steps: int) -> None:
    result = trained(problem, steps, 0)
    (name,) = result.found
    off = abs(result.found[name].value / truth - 1.0)
    errors = dict(result.by_field) or {"u": result.relative_l2 or math.nan}
    print(
        f"{problem.name:18} {'none':>6}  {name} = {result.found[name]}, {off:.1e} off, "
        f"after {result.steps} steps and {result.seconds:.1f} s; relative L2 error of "
        + ", ".join(f"{field} {error:.1e}" for field, error in errors.items()),
        flush=True,
    )


def find_noisy(make: Callable[..., Problem], truth: float, steps: int) -> None:
    scores, seconds, sizes = [], [], []
    for seed in range(SEEDS):
        problem = make(noise=NOISE, seed=seed)
        result = trained(problem, steps, seed)
        (found,) = result.found.values()
        deviation = found.deviation if found.deviation is not None else 0.0
        scores.append(abs(found.value - truth) / deviation if deviation else np.inf)
        seconds.append(result.seconds)
        sizes.append(deviation / truth)
    within = [float(np.mean(np.array(scores) <= most)) for most in (1.0, 2.0, 3.0)]
    print(
        f"{problem.name:18} {NOISE:6.0%}  stated deviation {np.median(sizes):.2%} of the value; of "
        f"{SEEDS} seeds {within[0]:.1%} within one, {within[1]:.1%} within two, "
        f"{within[2]:.1%} within three; "
        f"{np.median(seconds):.1f} s each",
        flush=True,
    )


def trained(problem: Problem, steps: int, seed: int) -> TrainingResult:
    return train(TrainingRun(problem, seed=seed), max_steps=steps)


if __name__ == "__main__":
    main()
