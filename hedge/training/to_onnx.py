"""A trained network as an ``.onnx`` file: normalisation folded in, hard constraints as a tail."""

from __future__ import annotations

import json
import math

from onnx import ModelProto

from hedge.errors import InputError, first_line
from hedge.graph import GraphBuilder
from hedge.graph.expressions import Expression, Functions
from hedge.problems import Problem
from hedge.training.network import Network
from hedge.training.run import TrainingResult


def network_to_onnx(
    problem: Problem, network: Network, properties: dict[str, str] | None = None
) -> ModelProto:
    """The solution u(x) as a float32 model: input ``x`` [n, d], output ``u`` [n, 1], n dynamic.

    The scaling (x − c) / h of the inputs is folded into the first layer, W ← W / h, b ← b − W c / h;
    features are standard ops before it and hard constraints behind the last one. Agrees with the
    float64 network to about 1e-6 of the solution's size. Raises InputError for a problem whose
    functions can't be written as a graph.
    """
    try:
        return _network_to_onnx(problem, network, properties or {})
    except (TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"problem {problem.name!r}: its features, offset or distance can't be written as a graph "
            f"({first_line(error)}); use + - * / and math.sin, cos, exp, log on its inputs"
        ) from error


def _network_to_onnx(problem: Problem, network: Network, properties: dict[str, str]) -> ModelProto:
    graph = GraphBuilder()
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
        source = graph.add("Concat", *(f.name for f in problem.features(columns, fields)), axis=1)
    *hidden, last = zip(weights, biases, strict=True)
    for layer, (weight, bias) in enumerate(hidden):
        z = graph.linear(source, weight, bias, output=f"layer{layer}.z")
        source = graph.add("Tanh", z, output=f"layer{layer}.a")
    z = graph.linear(source, *last, output=f"layer{len(hidden)}.z")

    u = problem.distance(columns, fields) * Expression(z, fields)
    if problem.offset is not None:
        u = problem.offset(columns, fields) + u
    graph.rename(u.name, "u")
    return graph.model(
        {"x": problem.domain.dimension},
        {"u": 1},
        problem.name,
        title=problem.title,
        properties={"hedge.problem": problem.name, **properties},
    )


def result_to_onnx(result: TrainingResult) -> ModelProto:
    """The trained model with how it was trained in its metadata."""
    training = {
        "widths": result.network.widths,
        "seed": result.run.seed,
        "method": result.run.method,
        "steps": result.steps,
        "stopped": result.stopped,
        "relative_l2": result.relative_l2,
        "held_out_loss": result.held_out_loss if math.isfinite(result.held_out_loss) else None,
        "growths": [growth.as_dict() for growth in result.growths],
        "worst": None if result.run.worst is None else result.run.worst.digest,
    }
    return network_to_onnx(
        result.run.problem, result.network, {"hedge.training": json.dumps(training)}
    )
