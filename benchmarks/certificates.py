"""What is proved of compressed networks, in what time, and whether it is sound.

    OMP_NUM_THREADS=1 python benchmarks/certificates.py            all of it
    OMP_NUM_THREADS=1 python benchmarks/certificates.py proofs     those of the gallery's networks
    …                                                   wide       that of a 6 x 512 SiLU network
    …                                                   soundness  10^6 values against their enclosures
    …                                                   spikes     1,000 planted spikes

Times are processor seconds of one core. The sampled maximum is over 10^6 points and a local search from the
best 20 of them.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from time import process_time

import numpy as np
from scipy.optimize import minimize

import hedge
from hedge.certifying import prove
from hedge.graph import Evaluator, load_model, run_float32
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import GALLERY

sys.path.insert(0, str(Path(__file__).parent.parent))
from benchmarks.compression import cached, fit_silu
from tests.certifying.test_enclosures import ACTIVATIONS, violations
from tests.certifying.test_search import SQUARE, difference, spiked
from tests.conftest import random_mlp

MODELS = Path(__file__).parent.parent / "models"
PROOFS = [
    ("burgers-128x4", 1e-2, 12_000),
    ("burgers-128x4", 1e-3, 50_000),
    ("heat-64x3", 1e-2, 6_000),
    ("heat-64x3", 1e-3, 6_000),
    ("poisson-64x3", 1e-2, 6_000),
    ("poisson-64x3", 1e-3, 6_000),
    ("burgers-nu-24x3", 1e-2, 12_000),
]


def sampled(small, dense, domain, count=10**6):
    """max|e| and ‖e‖/‖u‖ as sampling finds them."""
    points = domain.sample(count, 0).astype(np.float32).astype(np.float64)
    evaluate = Evaluator(dense)
    u = np.concatenate([evaluate(part) for part in np.array_split(points, 100)])
    error = run_float32(small, points) - u
    relative = np.linalg.norm(error) / np.linalg.norm(u)
    real = Evaluator(small)

    def below(x):
        inside = np.clip(x, domain.lower, domain.upper)[None]
        return -float(np.abs(real(inside) - evaluate(inside)).max())

    best = points[np.argsort(-np.abs(error).max(axis=1))[:20]]
    found = [-minimize(below, x, method="Nelder-Mead").fun for x in best]
    return max(float(np.abs(error).max()), *found), relative


def proofs() -> None:
    for name, tolerance, steps in PROOFS:
        with tempfile.TemporaryDirectory() as folder:
            out = Path(folder) / "small.onnx"
            plan = hedge.compress(
                MODELS / f"{name}.onnx",
                device="raspberry-pi-4b",
                tolerance=tolerance,
                steps=steps,
                out=out,
            ).plan
            tell(
                f"{name} at {tolerance:g}",
                plan.parameters,
                out,
                MODELS / f"{name}.onnx",
                GALLERY[plan.problem].domain,
            )


def wide() -> None:
    dense, domain = cached("silu-512x6.onnx", fit_silu), GALLERY["burgers"].domain
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "small.onnx"
        plan = hedge.compress(
            dense, device="raspberry-pi-4b", tolerance=1e-2, problem="burgers", steps=6000, out=out
        ).plan
        tell("silu-512x6 at 0.01", plan.parameters, out, dense, domain)


def tell(name, parameters, small_path, dense_path, domain) -> None:
    small, dense = load_model(small_path), load_model(dense_path)
    start = process_time()
    with one_blas_thread():
        _, proof = prove(small, dense, domain)
    seconds = process_time() - start
    largest, relative = sampled(small, dense, domain)
    print(
        f"{name}, {parameters} parameters: {proof.evaluated} boxes, {seconds:.1f} s, {proof.ended}; "
        f"max|e| <= {proof.largest[0]:.3e} = {proof.largest[0] / largest:.3f} times the sampled; "
        f"relative L2 <= {proof.relative_l2[0]:.3e} = {proof.relative_l2[0] / relative:.3f} times; "
        f"rounding <= {proof.rounding[0]:.1e}",
        flush=True,
    )


def soundness() -> None:
    outside = total = 0
    for seed in range(25):
        for activation in ACTIVATIONS:
            model = random_mlp([2, 12, 12, 1], seed=seed, activation=activation, scale=2.0)
            outside += violations(model, 92, 40, 1 + seed % 6, seed)
            total += 92 * 40
    print(f"{outside} of {total} values outside their enclosures")


def spikes() -> None:
    missed, seen = 0, 0
    points = SQUARE.sample(16_384, 0)
    for seed in range(1000):
        model, dense, top = spiked(seed)
        _, proof = prove(model, dense, SQUARE, most=3000)
        height = np.abs(difference(model, dense, top)).max()
        missed += proof.largest[0] < height
        seen += np.abs(difference(model, dense, points)).max() > 0.5 * height
    print(
        f"{missed} of 1000 spikes above the bound; 16,384 samples saw half of the height of {seen}"
    )


PARTS = {"proofs": proofs, "wide": wide, "soundness": soundness, "spikes": spikes}

if __name__ == "__main__":
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
