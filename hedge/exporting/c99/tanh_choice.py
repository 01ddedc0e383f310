"""Whether a network bears the rational function in place of tanh: what it changes, and what is promised."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
from onnx import ModelProto, NodeProto

from hedge.arrays import Array
from hedge.compression import Plan
from hedge.exporting.c99.fast_tanh import DENOMINATOR, END, NUMERATOR
from hedge.exporting.c99.reference import FLOAT_TOLERANCE, points_of_use
from hedge.graph import Evaluator, GraphBuilder

POINTS = 2048


def bears_fast_tanh(model: ModelProto, plan: Plan | None) -> bool:
    """Whether the rational function may stand for tanh in a runnable ``model`` without breaking a promise.

    It is seen on points of the model's problem, or between 0 and 1: what it changes is no more than the plan
    leaves of the tolerance or, without a plan, than float32 rounds. What is proved, and derivatives that are
    promised, are of tanh itself.
    """
    if all(node.op_type != "Tanh" for node in model.graph.node):
        return False
    if plan is None:
        allowed = FLOAT_TOLERANCE
    elif plan.proved is None and plan.derivatives is None:
        allowed = plan.tolerance - plan.promised_error
    else:
        return False
    return off_by_fast_tanh(model, points_of_use(model, POINTS)) <= allowed


def off_by_fast_tanh(model: ModelProto, points: Array) -> float:
    """How much the rational function in place of each tanh changes the outputs at ``points`` (N, d).

    The largest over outputs of both the relative L2 norm and the largest difference over the largest value;
    infinite where an output is not finite.
    """
    with_tanh, without = (np.asarray(Evaluator(m)(points)) for m in (model, _rational(model)))
    difference, size = np.abs(without - with_tanh), np.abs(with_tanh)
    tiny = np.finfo(np.float64).tiny
    in_norm = np.linalg.norm(difference, axis=0) / (np.linalg.norm(size, axis=0) + tiny)
    at_most = difference.max(axis=0) / (size.max(axis=0) + tiny)
    worst = float(np.maximum(in_norm, at_most).max())
    return worst if np.isfinite(worst) else np.inf


def _rational(model: ModelProto) -> ModelProto:
    """The model with the nodes of the rational function in place of each Tanh."""
    changed = deepcopy(model)
    del changed.graph.node[:]
    for position, node in enumerate(model.graph.node):
        if node.op_type == "Tanh" and not node.domain:
            graph = GraphBuilder(f"fast_tanh{position}.", real=np.float64)
            _write(graph, node)
            changed.graph.node.extend(graph.nodes)
            changed.graph.initializer.extend(graph.constants.values())
        else:
            changed.graph.node.append(node)
    return changed


def _write(graph: GraphBuilder, tanh: NodeProto) -> None:
    y = graph.add("Clip", tanh.input[0], -END, END)
    t = graph.add("Mul", y, y)
    p, q = (_polynomial(graph, t, each) for each in (NUMERATOR, DENOMINATOR))
    ratio = graph.add("Div", graph.add("Mul", y, p), graph.add("Add", graph.add("Mul", t, q), 1.0))
    graph.nodes.append(NodeProto(op_type="Identity", input=[ratio], output=tanh.output))


def _polynomial(graph: GraphBuilder, t: str, coefficients: tuple[float, ...]) -> str:
    value: str | float = coefficients[-1]
    for coefficient in coefficients[-2::-1]:
        value = graph.add("Add", graph.add("Mul", t, value), coefficient)
    return str(value)
