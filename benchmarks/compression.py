"""How small and how fast hedge makes dense models, beside the other ways to do it.

    python benchmarks/compression.py                  all of it, about half an hour on 2 cores
    python benchmarks/compression.py weights silu     some parts only (names below)

Errors are relative L2 on 20,000 points that no fit has seen, in float32 in onnxruntime. Latencies are
medians on one thread of this machine, the models of a row interleaved. Costs are those of the profile
``laptop-x86``, so that sizes do not change from machine to machine; operators are compressed for this one.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from deepxde_burgers import MODEL
from onnx import ModelProto
from torch import nn

import hedge
from hedge.benching import Effort, bound_run, interleaved_times
from hedge.compression import (
    CompressedModel,
    Request,
    Source,
    parameter_count,
    points_of_domain,
    prepare,
)
from hedge.compression.compressor import compress as compress_case
from hedge.devices import find_profile
from hedge.graph import assemble, load_model, run_float32, split
from hedge.hmatrix import Spectrum, plain_spectrum
from hedge.methods.svd import activation_spectra, truncated
from hedge.problems import Problem, find_operator, find_problem

MODELS = Path(__file__).parent.parent / "models"
CACHE = Path(__file__).parent / "cache"
BURGERS = MODELS / "burgers-128x4.onnx"
DEVICE = "laptop-x86"
TEST_POINTS, TEST_SEED = 20_000, 909
EFFORT = Effort(warm_up_s=0.2, timed_s=1.0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("only", nargs="*", help=f"of {', '.join(PARTS)}")
    for name in parser.parse_args().only or PARTS:
        started = time.perf_counter()
        PARTS[name]()
        print(f"({name}: {time.perf_counter() - started:.0f} s)\n", flush=True)


def without_recovery() -> None:
    """burgers-128x4 at two tolerances."""
    print("burgers-128x4, no retraining, for batch 1,024")
    for tolerance in (1e-2, 1e-3):
        small = hedge.compress(
            BURGERS, device=DEVICE, tolerance=tolerance, batch=1024, recover=None
        )
        report(f"tolerance {tolerance:.0e}", BURGERS, small, find_problem("burgers"))


def recovered() -> None:
    """burgers-128x4 as ``hedge compress`` does by default."""
    print("burgers-128x4, recovered, for batch 1,024")
    for tolerance in (1e-2, 1e-3):
        started = time.perf_counter()
        small = hedge.compress(BURGERS, device=DEVICE, tolerance=tolerance, batch=1024)
        spent = time.perf_counter() - started
        report(f"tolerance {tolerance:.0e}, {spent:.0f} s", BURGERS, small, find_problem("burgers"))


def at_equal_weights() -> None:
    """Output error of hedge, plain SVD and activation-aware SVD with as many weights."""
    problem, model = find_problem("burgers"), load_model(BURGERS)
    parts = split(model)
    points = points_of_domain(problem.domain, 2, 128, seed=0)
    case = prepare(model, find_profile(DEVICE), points, Request(1e-2, batch=1024), Source("", ""))
    plain = {name: plain_spectrum(m.dense()) for name, m in parts.matrices.items()}
    whitened = activation_spectra(case)
    print("burgers-128x4, error against dense with as many weights, no retraining")
    print(f"{'tolerance':>9} {'weights':>8} {'hedge':>9} {'svd':>9} {'activation-svd':>15}")
    for tolerance in (3e-2, 1e-2, 3e-3, 1e-3):
        small = compress_case(replace(case, request=Request(tolerance, batch=1024)))
        weights = small.plan.parameters
        errors = [deviation(model, m, problem) for m in (
            small.to_onnx(),
            assemble(parts.skeleton, largest(parts.matrices, plain, weights)),
            assemble(parts.skeleton, largest(parts.matrices, whitened, weights)),
        )]  # fmt: skip
        print(
            f"{tolerance:9.0e} {weights:8} {errors[0]:9.1e} "
            f"{errors[1]:9.1e} {errors[1] / errors[0]:4.0f}x "
            f"{errors[2]:9.1e} {errors[2] / errors[0]:4.1f}x"
        )


def largest(dense: object, spectra: dict[str, Spectrum], weights: int) -> object:
    """Truncated matrices with at least so many weights, and as few more as the knob allows."""
    fine, coarse = -16.0, 0.0
    for _ in range(40):
        middle = (fine + coarse) / 2.0
        enough = parameter_count(truncated(dense, spectra, 10.0**middle)) >= weights  # type: ignore[arg-type]
        fine, coarse = (middle, coarse) if enough else (fine, middle)
    return truncated(dense, spectra, 10.0**fine)  # type: ignore[arg-type]


def on_the_residual() -> None:
    """Recovery to the reference, from an ordinary network and from the shipped one."""
    problem = find_problem("burgers")
    ordinary = cached("burgers-128x4-96-steps.onnx", train_ordinary)
    print("4 x 128 tanh networks for Burgers, recovered, for batch 1,024")
    for label, path, tolerance in (
        ("96 steps of training", ordinary, 1e-3),
        ("the shipped one", BURGERS, 1e-4),
    ):
        small = hedge.compress(
            path, device=DEVICE, tolerance=tolerance, batch=1024, against="reference",
            recover="auto",
        )  # fmt: skip
        report(f"{label}, {tolerance:.0e} to the reference", path, small, problem)


def train_ordinary(path: Path) -> None:
    hedge.train("burgers", path, width=128, depth=4, seed=0, max_steps=96)


def wide_silu() -> None:
    """A 6 x 512 SiLU network fitted to Burgers' solution by Adam, no PDE given to hedge."""
    path, problem = cached("silu-512x6.onnx", fit_silu), find_problem("burgers")
    box = str(problem.domain)
    print("6 x 512 SiLU, fitted to Burgers' solution by Adam, for batch 1,024")
    for label, tolerance, options in (
        ("no retraining, 1e-3", 1e-3, {"recover": None}),
        ("outputs, 1e-4", 1e-4, {"recover": "outputs"}),
    ):
        started = time.perf_counter()
        small = hedge.compress(
            path, device=DEVICE, tolerance=tolerance, batch=1024, domain=box, **options,  # type: ignore[arg-type]
        )  # fmt: skip
        report(f"{label}, {time.perf_counter() - started:.0f} s", path, small, problem)


def fit_silu(path: Path, steps: int = 9000, batch: int = 384) -> None:
    """Some 15 minutes on one core."""
    torch.manual_seed(0)
    problem = find_problem("burgers")
    x = problem.domain.sample(100_000, 1)
    assert problem.reference is not None
    points, values = torch.from_numpy(x).float(), torch.from_numpy(problem.reference(x)).float()
    layers: list[nn.Module] = []
    for inputs in (2, *[512] * 5):
        layers += [nn.Linear(inputs, 512), nn.SiLU()]
    network = nn.Sequential(*layers, nn.Linear(512, 1))
    adam = torch.optim.Adam(network.parameters(), 1e-3)
    rate = torch.optim.lr_scheduler.OneCycleLR(adam, 1e-3, total_steps=steps, pct_start=0.1)
    for _ in range(steps):
        rows = torch.randint(0, len(points), (batch,))
        loss = ((network(points[rows]) - values[rows]) ** 2).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        rate.step()
    hedge.import_model(network, path, inputs=2)


def operators() -> None:
    """One square matrix from sources to solutions, 1,024 and 4,096 sensors."""
    print("poisson-operator at 1e-4, for batch 1")
    shipped = MODELS / "poisson-operator-1024.onnx"
    for sensors, path in (
        (1024, shipped),
        (4096, cached("poisson-operator-4096.onnx", train_operator)),
    ):
        started = time.perf_counter()
        small = hedge.compress(path, device="auto", tolerance=1e-4, batch=1, recover=None)
        spent = time.perf_counter() - started
        sources = find_operator("poisson-operator", sensors).sample(512, TEST_SEED)
        model, dense = small.to_onnx(), load_model(path)
        wanted = run_float32(dense, sources)
        error = np.linalg.norm(run_float32(model, sources) - wanted) / np.linalg.norm(wanted)
        plan = small.plan
        print(
            f"  {sensors} sensors, {spent:.0f} s: {plan.dense_bytes / plan.bytes:.1f} times fewer "
            f"bytes ({plan.bytes}), error {error:.1e}; faster: {speedups(dense, model, (1, 16, 128))}"
        )


def train_operator(path: Path) -> None:
    hedge.train_operator("poisson-operator", path, sensors=4096, budget_s=600.0)


def heat_and_poisson() -> None:
    """The 3 x 64 networks at 1e-4, with recovery."""
    print("3 x 64 networks at 1e-4, outputs, for batch 1,024")
    for name in ("heat", "poisson"):
        path = MODELS / f"{name}-64x3.onnx"
        small = hedge.compress(path, device=DEVICE, tolerance=1e-4, batch=1024, recover="outputs")
        report(name, path, small, find_problem(name))


# In a third of its steps.
DEEPXDE = f"""
import sys, hedge
{MODEL}
model.compile("adam", lr=1e-3)
model.train(iterations=5000, verbose=0)
hedge.import_model(model.net, sys.argv[1], inputs=2)
"""


def of_deepxde() -> None:
    """Its 3 x 20 network for Burgers at 1e-3, for a Pi at batch 1, where nodes take what they take."""
    path, problem = cached("deepxde-20x3.onnx", train_with_deepxde), find_problem("burgers")
    print("3 x 20 tanh of DeepXDE at 1e-3, for a raspberry-pi-4b at batch 1")
    started = time.perf_counter()
    small = hedge.compress(path, device="raspberry-pi-4b", domain=str(problem.domain))
    report(f"outputs, {time.perf_counter() - started:.0f} s", path, small, problem)
    print(f"    gained: {', '.join(small.plan.gained)}")


def train_with_deepxde(path: Path) -> None:
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", DEEPXDE, str(path)],
        env={**os.environ, "DDE_BACKEND": "pytorch"}, check=True, stdout=subprocess.DEVNULL,
    )  # fmt: skip


def all_methods() -> None:
    """The tables of ``hedge compare``."""
    from hedge.cli.comparison_table import print_comparison

    for tolerance in (1e-2, 1e-3):
        print_comparison(
            BURGERS.name,
            hedge.compare_methods(BURGERS, device=DEVICE, tolerance=tolerance, batches=(1, 1024)),
        )


def report(label: str, path: Path, small: CompressedModel, problem: Problem) -> None:
    dense, model, plan = load_model(path), small.to_onnx(), small.plan
    fewer = plan.dense_parameters / plan.parameters
    print(
        f"  {label}: {plan.dense_parameters} -> {plan.parameters} parameters ({fewer:.1f} times fewer), "
        f"{deviation(dense, model, problem):.1e} off the dense one\n"
        f"    to the reference {true_error(model, problem):.1e}, dense {true_error(dense, problem):.1e}; "
        f"faster: {speedups(dense, model, (1, 1024))}",
        flush=True,
    )
    if plan.recovery:
        print(f"    {plan.recovery}")


def deviation(dense: ModelProto, model: ModelProto, problem: Problem) -> float:
    x = problem.domain.sample(TEST_POINTS, TEST_SEED)
    wanted = run_float32(dense, x)
    return float(np.linalg.norm(run_float32(model, x) - wanted) / np.linalg.norm(wanted))


def true_error(model: ModelProto, problem: Problem) -> float:
    x = problem.domain.sample(TEST_POINTS, TEST_SEED)
    assert problem.reference is not None
    wanted = problem.reference(x)
    return float(np.linalg.norm(run_float32(model, x) - wanted) / np.linalg.norm(wanted))


def speedups(dense: ModelProto, model: ModelProto, batches: tuple[int, ...]) -> str:
    found = []
    for batch in batches:
        runs = [bound_run(one, batch, 1) for one in (dense, model)]
        before, after = (float(np.median(t)) for t in interleaved_times(runs, EFFORT))
        found.append(
            f"{before / after:.1f}x at batch {batch} ({before * 1e6:.4g} -> {after * 1e6:.3g} us)"
        )
    return ", ".join(found)


def cached(name: str, make: Callable[[Path], None]) -> Path:
    """A model that takes long to make, kept beside this file."""
    path = CACHE / name
    if not path.exists():
        CACHE.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=CACHE) as folder:
            made = Path(folder) / name
            make(made)
            made.replace(path)
    return path


PARTS = {
    "weights": without_recovery,
    "recovered": recovered,
    "equal": at_equal_weights,
    "residual": on_the_residual,
    "silu": wide_silu,
    "operators": operators,
    "small": heat_and_poisson,
    "deepxde": of_deepxde,
    "methods": all_methods,
}

if __name__ == "__main__":
    main()
