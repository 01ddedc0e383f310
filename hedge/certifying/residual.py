"""A problem's residual as a graph: a model with its derivatives, and the problem's lines on both."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import ModelProto, TensorProto, helper

from hedge.errors import InputError, ModelError
from hedge.graph import input_dimension
from hedge.graph.derivatives import Derivatives
from hedge.graph.expressions import Expression, Functions
from hedge.graph.ports import true_inputs
from hedge.problems import Problem
from hedge.problems.calls import RAISED_BY_LINES, reason_of
from hedge.problems.equations import Field, Math

Lines = Callable[[Sequence[Field], Mapping[str, Field], Math], Field]


def residual_model(model: ModelProto, problem: Problem) -> ModelProto:
    """The residual (n, 1) of a model and then its value: a graph of the model's numbers and of float64 ones.

    Raises ModelError for what can't be differentiated, and for a model of other inputs or outputs;
    InputError for lines that need more than + − * / and sin, cos, exp, log, sqrt.
    """
    return with_lines(model, problem, problem.derivatives, [problem.only_residual])


def with_lines(
    model: ModelProto, problem: Problem, derivatives: Sequence[str], lines: Sequence[Lines]
) -> ModelProto:
    """Outputs one for each of the lines, and then the model's own."""
    problem.check_certifiable()
    if input_dimension(model) != problem.dimension:
        raise ModelError(
            f"takes points of {input_dimension(model)} columns, problem {problem.name!r} has "
            f"{problem.dimension} inputs"
        )
    derived = Derivatives(model)
    graph = derived.graph
    value = _only_output(derived)
    functions = Functions(graph)
    columns = [Expression(name, functions) for name in _columns(derived)]
    try:
        slopes = {name: derived.of(value, problem.axes(name)) for name in derivatives}
    except ModelError as error:
        raise ModelError(
            f"{error}. Certify against the dense model: hedge certify SMALL DENSE"
        ) from error
    named = {
        name: Expression(slope or graph.constant(np.zeros((1, 1))), functions)
        for name, slope in slopes.items()
    }
    outputs = [_read(line, problem, columns, named, functions) for line in lines]
    return _finished(derived, [*outputs, value])


def _read(
    line: Lines,
    problem: Problem,
    columns: Sequence[Expression],
    named: Mapping[str, Expression],
    functions: Functions,
) -> str:
    """What a line makes of them, maybe a number alone."""
    try:
        found = line(columns, named, functions)
        return (found if isinstance(found, Expression) else functions.of("Identity", found)).name
    except RAISED_BY_LINES as error:
        raise InputError(
            f"problem {problem.name!r}: its lines can't be written as a graph ({reason_of(error)}); use "
            "+ - * / and math.sin, cos, exp, log, sqrt, on the inputs and the derivatives that are named"
        ) from error


def _only_output(derived: Derivatives) -> str:
    outputs = derived.model.graph.output
    shape = derived.shapes[outputs[0].name] if len(outputs) == 1 else ()
    if shape not in ((1, 1), (1,)):
        raise ModelError("has more than one output column; a problem has one")
    name = outputs[0].name
    if shape == (1, 1):
        return str(name)
    derived.shapes["as a column"] = (1, 1)
    return derived.add("Reshape", name, np.array([1, 1]), like="as a column")


def _columns(derived: Derivatives) -> list[str]:
    """The columns of the points, (1, 1) each."""
    found: list[str] = []
    for value in true_inputs(derived.model):
        shape = derived.shapes[value.name]
        if len(shape) == 1:
            found.append(derived.graph.add("Reshape", value.name, np.array([1, 1])))
        else:
            found += derived.graph.split(value.name, [1] * shape[1], axis=1)
    return found


def _finished(derived: Derivatives, outputs: Sequence[str]) -> ModelProto:
    """The nodes that these outputs hang on, as a model."""
    source, graph = derived.model, derived.graph
    needed, wanted = [], set(outputs)
    for node in reversed(graph.nodes):
        if wanted & set(node.output):
            needed.append(node)
            wanted |= set(node.input)
    weights = [t for t in source.graph.initializer if t.name in wanted]
    weights += [t for name, t in graph.constants.items() if name in wanted]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, 1]) for name in outputs]
    made = helper.make_graph(needed[::-1], "residual", true_inputs(source), values, weights)
    return helper.make_model(made, opset_imports=source.opset_import, ir_version=source.ir_version)
