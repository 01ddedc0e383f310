"""How well a model file solves its problem: error against the reference, residual, size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.benching.contents import blocks_and_parameters
from hedge.errors import InputError
from hedge.graph import Evaluator, check_room, input_dimension, run_float32
from hedge.problems import OperatorProblem, Problem

REFERENCE_POINTS, RESIDUAL_POINTS = 20_000, 4_000
REFERENCE_SOURCES = 1024
# Step of the difference quotients, as a part of each input's interval: fourth-order quotients of a
# float64 evaluation are then good to about 1e-6 of a derivative even in the shock of Burgers.
STEP = 1e-4


@dataclass(frozen=True)
class Accuracy:
    """relative_l2 and max_abs of the float32 file against the reference; residual_rms in float64."""

    relative_l2: float
    max_abs: float
    residual_rms: float
    parameters: int


@dataclass(frozen=True)
class OperatorAccuracy:
    """relative_l2 and max_abs of the float32 file against the reference over random sources.

    residual_rms is that of the discrete equation for the graph in float64, in parts of the sources'
    own; None where a problem's equation says nothing of input and output alone (heat).
    """

    relative_l2: float
    max_abs: float
    residual_rms: float | None
    parameters: int


def evaluate_operator(
    model: ModelProto, problem: OperatorProblem, seed: int = 0
) -> OperatorAccuracy:
    """Compare a model with an operator problem's reference on 1,024 random sources.

    Differences at the grid's spacing weigh 4 / h² in the residual of −u″: weights rounded to
    float32 alone leave a residual of about 6e-9 · n^1.5, however small the error.

    Raises InputError if the model is not on the problem's grid, ModelError if it can't be run.
    """
    dimension = input_dimension(model)
    if dimension != problem.sensors:
        raise InputError(
            f"problem {problem.name!r} is on {problem.sensors} sensors, the model on {dimension}; "
            "name the problem it was trained on"
        )
    check_room(model, REFERENCE_SOURCES)
    sources = problem.sources(REFERENCE_SOURCES, seed)
    outputs = run_float32(model, sources)
    reference = problem.reference(sources)
    if outputs.shape != reference.shape:
        raise InputError(
            f"problem {problem.name!r} has {problem.sensors} outputs, the model "
            f"{outputs.shape[1]}; name the problem it was trained on"
        )
    error = outputs - reference
    residual_rms = None
    if problem.residual is not None:
        with np.errstate(invalid="ignore"):  # outputs that overflowed have no residual: NaN
            residual = problem.residual(Evaluator(model)(sources), sources)
        residual_rms = float(np.linalg.norm(residual) / np.linalg.norm(sources))
    return OperatorAccuracy(
        relative_l2=float(np.linalg.norm(error) / np.linalg.norm(reference)),
        max_abs=float(np.abs(error).max()),
        residual_rms=residual_rms,
        parameters=blocks_and_parameters(model)[1],
    )


def evaluate(model: ModelProto, problem: Problem, seed: int = 0) -> Accuracy:
    """Compare a model with a problem's reference on 20,000 uniform points.

    The error is that of the file as deployed, float32 in onnxruntime. The residual is taken in
    float64 with fourth-order central differences, so it works for any graph.

    Raises InputError if the model's inputs are not the problem's, ModelError if it can't be run.
    """
    dimension = input_dimension(model)
    if dimension != problem.domain.dimension:
        raise InputError(
            f"problem {problem.name!r} has {problem.domain.dimension} inputs, the model {dimension}; "
            "name the problem it was trained on"
        )
    if problem.reference is None:
        raise InputError(f"problem {problem.name!r} has no reference solution to compare with")
    check_room(model, REFERENCE_POINTS)
    points = problem.domain.sample(REFERENCE_POINTS, seed).astype(np.float32)
    outputs = run_float32(model, points)
    reference = problem.reference(points.astype(np.float64))
    if outputs.shape != reference.shape:
        raise InputError(
            f"problem {problem.name!r} has a solution of shape {reference.shape[1:]}, the model's "
            f"output has {outputs.shape[1:]}; name the problem it was trained on"
        )
    error = outputs - reference
    with np.errstate(over="ignore", invalid="ignore"):  # of outputs that overflowed
        residual = _residual(
            Evaluator(model), problem, problem.domain.sample(RESIDUAL_POINTS, seed + 1)
        )
        residual_rms = float(np.sqrt(np.mean(residual**2)))
    return Accuracy(
        relative_l2=float(np.linalg.norm(error) / np.linalg.norm(reference)),
        max_abs=float(np.abs(error).max()),
        residual_rms=residual_rms,
        parameters=blocks_and_parameters(model)[1],
    )


def _residual(u: Evaluator, problem: Problem, points: Array) -> Array:
    steps = STEP * (problem.domain.upper - problem.domain.lower)

    def derivative(x: Array, axes: tuple[int, ...]) -> Array:
        if not axes:
            return u(x)[:, 0]
        move = np.zeros_like(steps)
        move[axes[0]] = h = steps[axes[0]]
        if axes[:2] == axes[:1] * 2:
            near = derivative(x + move, axes[2:]) + derivative(x - move, axes[2:])
            far = derivative(x + 2 * move, axes[2:]) + derivative(x - 2 * move, axes[2:])
            centre = derivative(x, axes[2:])
            return np.asarray((16.0 * near - far - 30.0 * centre) / (12.0 * h * h))
        near = derivative(x + move, axes[1:]) - derivative(x - move, axes[1:])
        far = derivative(x + 2 * move, axes[1:]) - derivative(x - 2 * move, axes[1:])
        return np.asarray((8.0 * near - far) / (12.0 * h))

    named = {name: derivative(points, problem.axes(name)) for name in problem.derivatives}
    return np.asarray(problem.residual(list(points.T), named, np))
