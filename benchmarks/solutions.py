"""What is proved of networks as solutions: residuals, and distances to the true solution.

    OMP_NUM_THREADS=1 python benchmarks/solutions.py           all of it
    OMP_NUM_THREADS=1 python benchmarks/solutions.py residuals of the shipped networks
    …                                                distances of the shipped networks to the solutions
    …                                                recovered networks, by both ways
    …                                                family    all viscosities at once (minutes)
    …                                                gallery   other problems, by small networks trained here

Times are processor seconds of one core. A sampled maximum is over 10^6 points and a local search from the
best 20 of them. The true error is that against the reference solution. Of the factor between what is proved
and what is true the theorem's part is its bound from norms on a grid, the enclosure's part the rest.
"""

from __future__ import annotations

import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import process_time

import numpy as np
from scipy.optimize import minimize

import hedge
from hedge.certifying import as_deployed, as_difference, prove, prove_solution
from hedge.certifying.certificate import CertifiedFile
from hedge.certifying.residual import residual_model
from hedge.graph import Evaluator, load_model, run_float32
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import GALLERY
from hedge.problems.stability import Evidence

MODELS = Path(__file__).parent.parent / "models"
DENSE = {"heat": "heat-64x3", "poisson": "poisson-64x3", "burgers": "burgers-128x4"}
FILES = [
    CertifiedFile(name=name, sha256=digit * 64) for name, digit in (("small", "0"), ("dense", "1"))
]
GRID = 800  # midpoints an input


def solution_of(model, problem, file=FILES[1]):
    """What is proved, and in how many seconds."""
    start = process_time()
    with one_blas_thread():
        found = prove_solution(model, file, problem, problem.domain)
    return found, process_time() - start


def sampled(model, problem, count=10**6):
    """max|r| and rms r as sampling finds them."""
    evaluate = Evaluator(residual_model(model, problem))
    points = problem.sample(count, 0)
    r = np.concatenate([evaluate(part)[:, 0] for part in np.array_split(points, 200)])

    def below(x):
        inside = np.clip(x, problem.domain.lower, problem.domain.upper)[None]
        return -abs(float(evaluate(inside)[0, 0]))

    best = points[np.argsort(-np.abs(r))[:20]]
    found = [-minimize(below, x, method="Nelder-Mead").fun for x in best]
    return max(float(np.abs(r).max()), *found), float(np.sqrt(np.mean(r**2)))


def residuals(names=("heat", "poisson", "burgers")) -> None:
    for name in names:
        model = load_model(MODELS / f"{DENSE[name]}.onnx")
        tell_residual(DENSE[name], model, GALLERY[name])


def tell_residual(name, model, problem) -> None:
    found, seconds = solution_of(model, problem)
    largest, rms = sampled(model, problem)
    claim = found.residual
    print(
        f"{name}: {found.evaluated} boxes, {seconds:.1f} s, {found.ended}; max|r| <= {claim.largest:.3e} = "
        f"{claim.largest / largest:.3f} times the sampled; rms r <= {claim.rms:.3e} = {claim.rms / rms:.3f} "
        f"times the sampled",
        flush=True,
    )


@dataclass(frozen=True)
class OnGrid:
    """Norms of values (GRID, GRID) at midpoints, of two inputs."""

    values: np.ndarray
    domain: object
    letters: str

    def of(self, kind, over):
        """As hedge.problems.stability.Norms, not proved."""
        size = np.abs(self.values)
        if kind == "max":
            return float(size.max())
        axes = tuple(self.letters.index(letter) for letter in over)
        cell = np.prod([(self.domain.upper - self.domain.lower)[a] / GRID for a in axes])
        power = {"L1": 1, "L2": 2}[kind]
        return float(((size**power).sum(axis=axes) * cell).max() ** (1 / power))

    def of_largest(self, letter, rate=0.0):
        """∫ e^(rate (T − t)) max|f(t)| dt."""
        axis = self.letters.index(letter)
        lower, upper = self.domain.intervals[axis]
        left = (upper - lower) * (1 - (np.arange(GRID) + 0.5) / GRID)
        largest = np.abs(self.values).max(axis=1 - axis)
        return float((largest * np.exp(rate * left)).sum() * (upper - lower) / GRID)


def on_grid(problem, function):
    """A function's values at the midpoints of a grid of two inputs, and their norms."""
    axes = [a + (b - a) * (np.arange(GRID) + 0.5) / GRID for a, b in problem.domain.intervals]
    points = np.stack([x.ravel() for x in np.meshgrid(*axes, indexing="ij")], axis=1)
    values = np.concatenate([function(part)[:, 0] for part in np.array_split(points, 100)])
    return OnGrid(values.reshape(GRID, GRID), problem.domain, problem.inputs)


def truth(problem, function):
    """Norms of the error against the reference."""
    return on_grid(problem, lambda points: function(points) - problem.reference(points))


def distances() -> None:
    for name, file in DENSE.items():
        problem, model = GALLERY[name], load_model(MODELS / f"{file}.onnx")
        found, seconds = solution_of(model, problem)
        evaluate = Evaluator(model)
        error = truth(problem, evaluate)
        residual = on_grid(problem, Evaluator(residual_model(model, problem)))
        evidence = Evidence(residual, found.mismatch, found.value)
        for theorem, bound in zip(problem.stability, found.distances, strict=True):
            true = error.of(theorem.kind, theorem.over)
            by_theorem = theorem.bound(evidence) / true
            print(
                f"{file}, {theorem.kind} {theorem.over}: proved <= {bound:.3e}, true {true:.3e}, "
                f"{bound / true:.1f} times; the theorem's part {by_theorem:.1f}, the enclosure's "
                f"{bound / true / by_theorem:.2f}; {seconds:.1f} s; float32 may add {found.rounding:.1e}",
                flush=True,
            )


def recovered() -> None:
    """At two tolerances, by its own residual and by the dense one's."""
    for name, file in DENSE.items():
        problem, dense = GALLERY[name], load_model(MODELS / f"{file}.onnx")
        of_dense, _ = solution_of(dense, problem)
        for tolerance in (1e-2, 1e-3):
            with tempfile.TemporaryDirectory() as folder:
                out = Path(folder) / "small.onnx"
                plan = hedge.compress(
                    MODELS / f"{file}.onnx", device="raspberry-pi-4b", tolerance=tolerance, steps=50_000,
                    out=out,
                ).plan  # fmt: skip
                small = load_model(out)
            own, seconds = solution_of(small, problem, FILES[0])
            start = process_time()
            with one_blas_thread():
                pair, proof = prove(small, dense, problem.domain)
            apart = process_time() - start
            difference = as_difference(pair, proof, FILES, ["u"])
            error = truth(problem, lambda points, small=small: run_float32(small, points))
            ways = {"own residual": (None, None), "dense model": (of_dense, difference)}
            for number, theorem in enumerate(problem.stability):
                true = error.of(theorem.kind, theorem.over)
                bounds = {
                    way: as_deployed(problem, own if way == "own residual" else None, *given)[
                        number
                    ].bound
                    for way, given in ways.items()
                }
                told = "; ".join(
                    f"by its {way}: <= {b:.3e} = {b / true:.2f} times" for way, b in bounds.items()
                )
                print(
                    f"{file} at {tolerance:g}, {plan.parameters} parameters, {theorem.kind} {theorem.over}: "
                    f"true {true:.3e}; {told}; {seconds:.1f} s and {apart:.1f} s; max|r| <= "
                    f"{own.residual.largest:.3e} ({own.ended})",
                    flush=True,
                )


def family() -> None:
    tell_residual(
        "burgers-nu-24x3", load_model(MODELS / "burgers-nu-24x3.onnx"), GALLERY["burgers-nu"]
    )


TRAINED = {  # steps, and seconds after which the search ends
    "wave": (300, 60), "helmholtz": (300, 60), "allen-cahn": (1000, 60), "heat-family": (400, 60),
    "poisson-5d": (400, 60),
}  # fmt: skip


def gallery() -> None:
    """Networks of 20 x 3 (in five dimensions 16 x 2), trained with seed 0."""
    for name, (steps, budget_s) in TRAINED.items():
        problem, width = GALLERY[name], (16, 2) if GALLERY[name].dimension == 5 else (20, 3)
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "m.onnx"
            result = hedge.train(name, out, width=width[0], depth=width[1], max_steps=steps)
            start = process_time()
            found = hedge.certify(out, problem=name, budget_s=budget_s).solutions[0]
            seconds = process_time() - start
            largest, rms = sampled(load_model(out), problem, 10**5)
        claim = found.residual
        told = ", ".join(
            f"{theorem.kind} {theorem.over} <= {bound:.2e}"
            for theorem, bound in zip(problem.stability, found.distances, strict=True)
        )
        print(
            f"{name}, {result.parameters} parameters, relative L2 error {result.relative_l2:.1e}: "
            f"{seconds:.1f} s, {found.ended}; max|r| <= {claim.largest:.2e} = {claim.largest / largest:.2f} "
            f"times the sampled, rms {claim.rms / rms:.2f} times; to the solution {told}",
            flush=True,
        )


PARTS = {
    "residuals": residuals, "distances": distances, "recovered": recovered, "family": family,
    "gallery": gallery,
}  # fmt: skip

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
