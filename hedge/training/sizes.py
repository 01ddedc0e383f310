"""Sizes of networks: which can be trained at all, and which method suits them."""

from __future__ import annotations

from itertools import pairwise
from typing import get_args

from hedge.quasi_newton import DenseUpdate
from hedge.training.network import Network, parameters_of
from hedge.training.optimisers import Optimiser
from hedge.training.run import TrainingRun

# Up to so many parameters a dense inverse Hessian is the quickest way; beyond the second number its
# memory (1 GiB, three times while it is updated) is more than a user would expect.
AUTOMATIC_INVERSE, LARGEST_INVERSE = 4000, 12_000
MOST_PARAMETERS = 10_000_000
# Least squares take a matrix of so many columns, and of four times as many rows: half a GiB, thrice while it
# is solved.
MOST_SOLVED_FOR = 4000


def too_large(run: TrainingRun, inputs: int, widths: tuple[int, ...]) -> str:
    """Why a network of these sizes can't be trained, or nothing if it can."""
    sizes = (inputs, *widths, run.problem.outputs)
    count = sum((before + 1) * after for before, after in pairwise(sizes))
    count *= max(len(run.problem.networks), 1)
    if count > MOST_PARAMETERS:
        return (
            f"width: a network of {count} parameters is too large; at most {MOST_PARAMETERS}, so give "
            "fewer neurons"
        )
    if run.method in get_args(DenseUpdate) and count > LARGEST_INVERSE:
        return (
            f"method: {run.method} keeps a matrix of {count} x {count} numbers for this network, "
            f"{count * count * 8 / 2**30:.1f} GiB; use levenberg or lbfgs, or fewer neurons"
        )
    solved_for = (widths[-1] + 1) * run.problem.outputs
    if run.method == "least-squares" and solved_for > MOST_SOLVED_FOR:
        return (
            f"width: least-squares would solve for {solved_for} numbers at once; at most {MOST_SOLVED_FOR}, "
            f"so give at most {MOST_SOLVED_FOR // run.problem.outputs - 1} neurons"
        )
    return ""


def first_method(run: TrainingRun, network: Network) -> Optimiser:
    """The one that was chosen, or else what suits a network of this size."""
    if run.method != "auto":
        return run.method
    small = len(parameters_of(network)) <= AUTOMATIC_INVERSE
    return "ssbroyden" if small else "levenberg"


def rival_without_kernel(network: Network) -> Optimiser:
    """The rival of Levenberg–Marquardt for a network of this size."""
    return "ssbroyden" if len(parameters_of(network)) <= AUTOMATIC_INVERSE else "lbfgs"
