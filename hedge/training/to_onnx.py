"""A trained network as an ``.onnx`` file: normalisation folded in, hard constraints as a tail."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from onnx import ModelProto

from hedge.documents import finite
from hedge.errors import InputError
from hedge.graph import GraphBuilder
from hedge.graph.expressions import Expression, Functions
from hedge.problems import UNKNOWNS_KEY, Problem, as_text
from hedge.problems.calls import OperandError, reason_of
from hedge.problems.equations import Field
from hedge.training.network import Network
from hedge.training.run import TrainingResult


def network_to_onnx(
    problem: Problem,
    network: Network,
    properties: dict[str, str] | None = None,
    real: type[np.floating[Any]] = np.float32,
) -> ModelProto:
    """The solution as a model: input ``x`` [n, d], an output [n, 1] for each field, n dynamic.

    Numbers in it are ``real`` ones. In float32 it agrees with the float64 network to about 1e-6 of the
    solution's size.

    The scaling (x − c) / h of the inputs is folded into the first layer, W ← W / h, b ← b − W c / h;
    features are standard ops before it and hard constraints behind the last one. Raises InputError for a
    problem whose functions can't be written as a graph.
    """
    try:
        return _network_to_onnx(problem, network, properties or {}, GraphBuilder(real=real))
    except (OperandError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"problem {problem.name!r}: its features, offset or distance can't be written as a graph "
            f"({reason_of(error)}); use + - * / and math.sin, cos, exp, log, sqrt, arctan on its inputs"
        ) from error


def _network_to_onnx(
    problem: Problem, network: Network, properties: dict[str, str], graph: GraphBuilder
) -> ModelProto:
    fields = Functions(graph)
    weights = [w.detach().double().cpu().numpy() for w in network.weights]
    biases = [b.detach().double().cpu().numpy() for b in network.biases]
    columns = [
        Expression(name, fields)
        for name in graph.split("x", [1] * problem.domain.dimension, axis=1)
    ]
    if problem.features is None:
        lower, upper = problem.domain.lower, problem.domain.upper
        weights[0] = weights[0] / ((upper - lower) / 2.0)
        biases[0] = biases[0] - weights[0] @ ((upper + lower) / 2.0)
        source = "x"
    else:
        source = graph.add(
            "Concat", *(f.name for f in problem.network_inputs(columns, fields)), axis=1
        )
    *hidden, last = zip(weights, biases, strict=True)
    for layer, (weight, bias) in enumerate(hidden):
        z = graph.linear(source, weight, bias, output=f"layer{layer}.z")
        source = graph.add("Tanh", z, output=f"layer{layer}.a")
    z = graph.linear(source, *last, output=f"layer{len(hidden)}.z")

    count = len(problem.fields)
    split = [z] if count == 1 else graph.split(z, [1] * count, axis=1)
    hard = zip(
        problem.fields,
        split,
        problem.offsets(columns, fields),
        problem.distances(columns, fields),
        strict=True,
    )
    for field, output, offset, distance in hard:
        u = Expression(output, fields)
        if not _is(distance, 1.0):
            u = distance * u
        if not _is(offset, 0.0):
            u = offset + u
        graph.rename(u.name, field)
    return graph.model(
        {"x": problem.domain.dimension},
        dict.fromkeys(problem.fields, 1),
        problem.name,
        title=problem.title,
        properties={"hedge.problem": problem.name, **properties},
    )


def _is(value: Field, number: float) -> bool:
    """Whether it is this number everywhere, which takes no node."""
    return isinstance(value, int | float) and value == number


def result_to_onnx(result: TrainingResult) -> ModelProto:
    """The trained model with how it was trained in its metadata."""
    training = {
        "widths": result.network.widths,
        "seed": result.run.seed,
        "method": result.run.method,
        "steps": result.steps,
        "stopped": result.stopped,
        "relative_l2": result.relative_l2,
        "by_field": finite(result.by_field),
        "held_out_loss": finite(result.held_out_loss),
        "growths": [growth.as_dict() for growth in result.growths],
        "worst": None if result.run.worst is None else result.run.worst.digest,
    }
    properties = {"hedge.training": json.dumps(training)}
    if result.found:
        properties[UNKNOWNS_KEY] = as_text(result.found)
    return network_to_onnx(result.run.problem, result.network, properties, result.run.stored)
