"""What items are made with: compressed models, tangent kernels, short trainings."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.compression import Case, CompressedModel, compress
from hedge.hmatrix import kd_tree
from hedge.ntk import TangentKernel, output_kernel
from hedge.problems import find_problem

if TYPE_CHECKING:
    from hedge.training import TrainingResult


# Added to a kernel of norm 1 where a theorem needs one that can be inverted.
RIDGE = 1e-3


def compressed(case: Case, tolerance: float, **request: Any) -> CompressedModel:
    """What ``hedge compress`` makes of a case's model at ``tolerance``."""
    wanted = replace(case.request, tolerance=tolerance, **request)
    return compress(replace(case, request=wanted))


def kernel_of(model: ModelProto, problem: str, count: int, seed: int) -> TangentKernel:
    """The tangent kernel at uniform points of a problem's domain, in the order of a k-d tree."""
    points = find_problem(problem).domain.sample(count, seed)
    return output_kernel(model, points[kd_tree(points, leaf_size=1).order])


def relative_change(values: Array, wanted: Array) -> float:
    """‖values − wanted‖ over ‖wanted‖, Frobenius norms."""
    return float(np.linalg.norm(values - wanted) / np.linalg.norm(wanted))


def exponent(x: Sequence[float], y: Sequence[float]) -> float:
    """p of y ∝ x^p by least squares on logarithms.

    >>> round(exponent([1, 2, 4], [3, 12, 48]), 9)
    2.0
    """
    return float(np.polyfit(np.log(x), np.log(y), 1)[0])


def conditioned(kernel: Array) -> Array:
    """A kernel of norm 1 with RIDGE on its diagonal, so that it can be inverted."""
    return np.asarray(kernel / np.linalg.norm(kernel, 2) + RIDGE * np.eye(len(kernel)))


def train(problem: str, width: int, steps: int, seed: int, **run: Any) -> TrainingResult:
    """A network of three hidden layers, trained for so many steps (needs torch).

    Raises KeyboardInterrupt where Ctrl-C ended the training, which by itself keeps what it has.
    """
    from hedge import training

    wanted = training.TrainingRun(find_problem(problem), width=width, depth=3, seed=seed, **run)
    result = training.train(wanted, max_steps=steps)
    if result.stopped == "interrupted":
        raise KeyboardInterrupt
    return result
