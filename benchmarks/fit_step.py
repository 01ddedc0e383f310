"""What a step of recovery takes: loss and gradient of 202 parameters at 4,000 points, and a whole step.

Beside a plain implementation in numpy, points by rows, timed in turn with it. Processor time, the best of
many; set OMP_NUM_THREADS=1.

    python benchmarks/fit_step.py
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import hedge
from hedge import quasi_newton
from hedge.arrays import Array
from hedge.graph import SiteMatrix, assemble, load_model, run_float32, split
from hedge.quasi_newton import LossAndGradient
from hedge.recovery.parametric_model import Batch, ParametricModel, parameters_of, with_parameters

WIDTHS, POINTS = (2, 3, 9, 9, 6, 1), 4000
ROUNDS, CALLS, STEPS = 40, 10, 200


def small_matrices(names: list[str]) -> dict[str, SiteMatrix]:
    """Random layers of WIDTHS in place of those of burgers-128x4."""
    rng = np.random.default_rng(0)
    return {
        name: SiteMatrix((rng.standard_normal((m, n)) / np.sqrt(n),), 0.3 * rng.standard_normal(m))
        for name, n, m in zip(names, WIDTHS, WIDTHS[1:], strict=False)
    }


def plain(matrices: dict[str, SiteMatrix], points: Array, targets: Array) -> LossAndGradient:
    """The same loss, as one would write it down for this network alone."""
    x, t = points[:, :1], points[:, 1:]
    offset, distance = -np.sin(np.pi * x), t * (1.0 - x * x)

    def loss_and_gradient(parameters: Array) -> tuple[float, Array]:
        layers = list(with_parameters(matrices, parameters).values())
        a = [points]
        for layer in layers:
            z = a[-1] @ layer.dense().T + layer.bias
            a.append(z if layer is layers[-1] else np.tanh(z))
        missed = offset + distance * a[-1] - targets
        g = 2.0 * distance * missed / len(points)
        parts = []
        for layer, read in zip(reversed(layers), reversed(a[:-1]), strict=True):
            parts += [g.sum(axis=0), (g.T @ read).ravel()]
            g = (g @ layer.dense()) * (1.0 - read * read)
        return float(np.mean(missed**2)), np.concatenate(parts[::-1])

    return loss_and_gradient


def milliseconds(call: Callable[[], object], calls: int) -> float:
    started = time.process_time()
    for _ in range(calls):
        call()
    return 1e3 * (time.process_time() - started) / calls


def main() -> None:
    parts = split(load_model(hedge.reference_models()["burgers"]))
    matrices = small_matrices([site.name for site in parts.sites])
    rng = np.random.default_rng(1)
    points = np.column_stack([rng.uniform(-1, 1, POINTS), rng.uniform(0, 1, POINTS)])
    targets = run_float32(assemble(parts.skeleton, parts.matrices), points)
    ours = ParametricModel(parts, matrices).loss_on(Batch(points, targets, np.ones(1)))
    theirs = plain(matrices, points, targets)
    at = parameters_of(matrices)
    np.testing.assert_allclose(ours(at)[1], theirs(at)[1], rtol=1e-6, atol=1e-9)

    rounds = [
        [milliseconds(lambda one=one: one(at), CALLS) for one in (ours, theirs)]
        for _ in range(ROUNDS)
    ]
    best, reference = np.min(rounds, axis=0)
    print(f"{len(at)} parameters, {POINTS} points")
    print(
        f"loss and gradient {best:.2f} ms, plain numpy {reference:.2f} ms: {best / reference:.2f}"
    )

    evaluations = 0

    def counted(x: Array) -> tuple[float, Array]:
        nonlocal evaluations
        evaluations += 1
        return ours(x)

    iterate = quasi_newton.start(ours, at)

    def step() -> None:
        nonlocal iterate
        iterate = quasi_newton.advance(counted, iterate, "ssbroyden")

    whole = milliseconds(step, STEPS)
    print(f"step of fitting {whole:.2f} ms, with {evaluations / STEPS:.2f} evaluations of the loss")


if __name__ == "__main__":
    main()
