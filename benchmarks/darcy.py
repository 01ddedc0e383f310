"""Darcy flow with one H-matrix in all products of its network: what is left, how far off, how fast.

    python benchmarks/darcy.py [SIDE] [TOLERANCE]

The dense matrix is exact, so that nothing is trained; the H-matrix is built in the order of the grid to
that relative Frobenius error (0.003). Errors are against the discrete solutions of 32 media. Times of one
thread in onnxruntime, called in turn.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
from collections.abc import Callable

import numpy as np
from onnx import ModelProto

from hedge.benching import Effort, bound_run, interleaved_times
from hedge.graph import HierarchyMatrix, as_order, assemble, grid_order, run_float32, split
from hedge.hmatrix import build, in_given_order, weak
from hedge.problems import find_operator
from hedge.training import OperatorNetwork, operator_network_to_onnx

EFFORT = Effort(warm_up_s=0.2, timed_s=1.0)
BATCHES = (1, 16, 128)
MEDIA, LEAF, RANK_LIMIT = 32, 64, 24


def with_one_hierarchy(dense: ModelProto, side: int, tolerance: float) -> ModelProto:
    """The same network with an H-matrix of G wherever it multiplies by G."""
    parts, size, order = split(dense), side**2, grid_order((side, side))
    greens = parts.matrices["site0"].dense()[np.ix_(order, order)]
    tree = in_given_order(size, LEAF)
    h = build(
        greens, tolerance=tolerance, rows=tree, columns=tree, admissible=weak, rank_limit=RANK_LIMIT
    )
    told = as_order(order)
    matrices = {
        name: HierarchyMatrix(h.leaves, matrix.bias, size, told, told)
        for name, matrix in parts.matrices.items()
    }
    return assemble(parts.skeleton, matrices, dict.fromkeys(matrices, "levels"))


def main() -> None:
    """Print a line for what is left, and one for each batch."""
    side = int(sys.argv[1]) if len(sys.argv) > 1 else 64
    tolerance = float(sys.argv[2]) if len(sys.argv) > 2 else 0.003
    problem = find_operator("darcy-operator", side**2)
    dense = operator_network_to_onnx(OperatorNetwork(problem, problem.layer.solve(np.eye(side**2))))
    started = time.process_time()
    small = with_one_hierarchy(dense, side, tolerance)
    spent = time.process_time() - started
    media = problem.sample(MEDIA, seed=9)
    exact = problem.reference(media)

    def error(model: ModelProto) -> float:
        return float(np.linalg.norm(run_float32(model, media) - exact) / np.linalg.norm(exact))

    print(
        f"{side} x {side}, built in {spent:.1f} s of processor: {dense.ByteSize() / 2**20:.1f} MiB to "
        f"{small.ByteSize() / 2**20:.1f}, errors {error(dense):.1e} to {error(small):.1e}",
        flush=True,
    )
    for batch in BATCHES:
        runs: list[Callable[[], None]] = [bound_run(one, batch, 1) for one in (dense, small)]
        first, second = (float(np.median(times)) for times in interleaved_times(runs, EFFORT))
        print(
            f"  batch {batch}: {first * 1e6:.4g} us to {second * 1e6:.4g}, {first / second:.1f} times faster",
            flush=True,
        )


if __name__ == "__main__":
    main()
