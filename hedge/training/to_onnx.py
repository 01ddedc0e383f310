"""A trained network as an ``.onnx`` file: normalisation folded in, hard constraints as a tail."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import reduce
from math import isfinite
from operator import add
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
from hedge.training.windows import Window, at_time, windows_of


def network_to_onnx(
    problem: Problem,
    network: Network,
    properties: dict[str, str] | None = None,
    real: type[np.floating[Any]] = np.float32,
) -> ModelProto:
    """The solution by one network as a model, see :func:`networks_to_onnx`."""
    return networks_to_onnx(problem, windows_of(problem, 1), (network,), properties, real)


def networks_to_onnx(
    problem: Problem,
    windows: Sequence[Window],
    networks: Sequence[Network],
    properties: dict[str, str] | None = None,
    real: type[np.floating[Any]] = np.float32,
) -> ModelProto:
    """The solution as a model: input ``x`` [n, d], an output [n, 1] for each field, n dynamic.

    Numbers in it are ``real`` ones. In float32 it agrees with the float64 networks to about 1e-6 of the
    solution's size.

    The scaling (x − c) / h of the inputs is folded into the first layer, W ← W / h, b ← b − W c / h;
    features are standard ops before it and hard constraints behind the last one. Each time window has a
    branch, whose time is clipped to it; what they give is summed. Raises InputError for a problem whose
    functions can't be written as a graph.
    """
    graph = GraphBuilder(real=real)
    try:
        _write_fields(problem, windows, networks, graph)
    except (OperandError, TypeError, AttributeError, ValueError) as error:
        raise InputError(
            f"problem {problem.name!r}: its features, offset or distance can't be written as a graph "
            f"({reason_of(error)}); use + - * / and math.sin, cos, exp, log, sqrt, arctan on its inputs"
        ) from error
    return graph.model(
        {"x": problem.domain.dimension},
        dict.fromkeys(problem.fields, 1),
        problem.name,
        title=problem.title,
        properties={"hedge.problem": problem.name, **(properties or {})},
    )


def _write_fields(
    problem: Problem, windows: Sequence[Window], networks: Sequence[Network], graph: GraphBuilder
) -> None:
    functions = Functions(graph)
    columns = [
        Expression(name, functions)
        for name in graph.split("x", [1] * problem.domain.dimension, axis=1)
    ]
    added = []
    for number, (window, network) in enumerate(zip(windows, networks, strict=False)):
        within, source, prefix = columns, "x", ""
        if len(windows) > 1:
            within, prefix = at_time(problem, columns, _clipped(graph, window)), f"window{number}."
            source = graph.add("Concat", *(c.name for c in within), axis=1)
        added.append(_of_network(window.problem, network, graph, within, source, prefix))
    offsets = problem.offsets(columns, functions)
    for number, (field, offset) in enumerate(zip(problem.fields, offsets, strict=True)):
        u = reduce(add, (of_window[number] for of_window in added))
        if not _is(offset, 0.0):
            u = offset + u
        graph.rename(u.name, field)


def _clipped(graph: GraphBuilder, window: Window) -> Callable[[Expression], Expression]:
    def clipped(time: Expression) -> Expression:
        ends = (end if isfinite(end) else "" for end in (window.begins, window.ends))
        return Expression(graph.add("Clip", time.name, *ends), time.functions)

    return clipped


def _of_network(
    problem: Problem,
    network: Network,
    graph: GraphBuilder,
    columns: Sequence[Expression],
    source: str,
    prefix: str,
) -> list[Expression]:
    """distance · N of each field at ``columns``, which stand together in ``source``."""
    weights = [w.detach().double().cpu().numpy() for w in network.weights]
    biases = [b.detach().double().cpu().numpy() for b in network.biases]
    functions = Functions(graph)
    if problem.features is None:
        lower, upper = problem.domain.lower, problem.domain.upper
        weights[0] = weights[0] / ((upper - lower) / 2.0)
        biases[0] = biases[0] - weights[0] @ ((upper + lower) / 2.0)
    else:
        source = graph.add(
            "Concat", *(f.name for f in problem.network_inputs(columns, functions)), axis=1
        )
    *hidden, last = zip(weights, biases, strict=True)
    for layer, (weight, bias) in enumerate(hidden):
        z = graph.linear(source, weight, bias, output=f"{prefix}layer{layer}.z")
        source = graph.add("Tanh", z, output=f"{prefix}layer{layer}.a")
    z = graph.linear(source, *last, output=f"{prefix}layer{len(hidden)}.z")
    count = len(problem.fields)
    split = [z] if count == 1 else graph.split(z, [1] * count, axis=1)
    outputs = [Expression(name, functions) for name in split]
    distances = problem.distances(columns, functions)
    return [
        n if _is(distance, 1.0) else distance * n
        for n, distance in zip(outputs, distances, strict=True)
    ]


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
        "windows": len(result.networks),
        "worst": None if result.run.worst is None else result.run.worst.digest,
    }
    properties = {"hedge.training": json.dumps(training)}
    if result.found:
        properties[UNKNOWNS_KEY] = as_text(result.found)
    run = result.run
    windows = windows_of(run.problem, run.window_count)
    return networks_to_onnx(run.problem, windows, result.networks, properties, run.stored)
