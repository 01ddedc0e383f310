"""Tasks for the rivals, and their errors on points that no rival has seen."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.compression import (
    Allowance,
    Case,
    PointSets,
    Request,
    Source,
    points_of_domain,
    prepare,
)
from hedge.devices import find_profile
from hedge.graph import input_dimension, run_float32
from hedge.methods import Candidate
from hedge.problems import Domain, Problem

FEW_STEPS = Allowance(300)


def case_of(
    model: ModelProto,
    tolerance: float,
    *,
    points: PointSets | None = None,
    problem: Problem | None = None,
    allowance: Allowance = FEW_STEPS,
) -> Case:
    """On the cube [-1, 1]^d, or the domain of the problem."""
    dimension = input_dimension(model)
    box = problem.domain if problem else Domain(((-1.0, 1.0),) * dimension)
    return prepare(
        model,
        find_profile("laptop-x86"),
        points or points_of_domain(box, dimension, 8, seed=0),
        Request(tolerance, batch=64),
        Source("test.onnx", "0" * 64),
        allowance=allowance,
        problem=problem,
        reference=problem.reference if problem else None,
    )


def unseen_error(case: Case, candidate: Candidate) -> float:
    """Relative L2 against the dense model, both in onnxruntime, on points of the test's own."""
    assert case.points.domain is not None
    x = case.points.domain.sample(3000, seed=987)
    dense = run_float32(case.dense, x)
    return float(np.linalg.norm(run_float32(candidate.model, x) - dense) / np.linalg.norm(dense))
