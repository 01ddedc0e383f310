"""A trained network as an ``.onnx`` file: normalisation folded in, hard constraints as a tail."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, checker, helper, numpy_helper

from hedge.errors import InputError, first_line
from hedge.graph import LEAST_OPSET, NEWEST_IR_VERSION
from hedge.problems import Problem
from hedge.training.network import Network
from hedge.training.run import TrainingResult


@dataclass(frozen=True)
class Expression:
    """A tensor of the graph under construction; arithmetic on it adds nodes."""

    name: str
    builder: _Builder

    def __neg__(self) -> Expression:
        return self.builder.add("Neg", self)

    def __add__(self, other: Expression | float) -> Expression:
        return self.builder.add("Add", self, other)

    def __sub__(self, other: Expression | float) -> Expression:
        return self.builder.add("Sub", self, other)

    def __rsub__(self, other: float) -> Expression:
        return self.builder.add("Sub", other, self)

    def __mul__(self, other: Expression | float) -> Expression:
        return self.builder.add("Mul", self, other)

    def __truediv__(self, other: Expression | float) -> Expression:
        return self.builder.add("Div", self, other)

    def __rtruediv__(self, other: float) -> Expression:
        return self.builder.add("Div", other, self)

    __radd__ = __add__
    __rmul__ = __mul__


class _Builder:
    """Collects nodes and constants; it is a :class:`hedge.problems.Math` too."""

    def __init__(self) -> None:
        self.nodes: list[NodeProto] = []
        self.constants: dict[str, TensorProto] = {}

    def sin(self, x: Expression) -> Expression:
        return self.add("Sin", x)

    def cos(self, x: Expression) -> Expression:
        return self.add("Cos", x)

    def exp(self, x: Expression) -> Expression:
        return self.add("Exp", x)

    def log(self, x: Expression) -> Expression:
        return self.add("Log", x)

    def add(self, op: str, *operands: Expression | float) -> Expression:
        names = [o.name if isinstance(o, Expression) else self._scalar(o) for o in operands]
        output = f"field{len(self.nodes)}.{op.lower()}"
        self.nodes.append(helper.make_node(op, names, [output], name=output))
        return Expression(output, self)

    def _scalar(self, value: float) -> str:
        # 17 digits, so that two constants share a name only if they are the same number; (1, 1), for
        # onnxruntime walks through columns one by one where the other operand has fewer axes.
        name = f"scalar.{value:.17g}"
        self.constants[name] = numpy_helper.from_array(np.full((1, 1), value, np.float32), name)
        return name


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
    builder = _Builder()
    weights = [w.detach().double().cpu().numpy() for w in network.weights]
    biases = [b.detach().double().cpu().numpy() for b in network.biases]
    columns = _columns(builder, problem)
    if problem.features is None:
        lower, upper = problem.domain.lower, problem.domain.upper
        weights[0] = weights[0] / ((upper - lower) / 2.0)
        biases[0] = biases[0] - weights[0] @ ((upper + lower) / 2.0)
        source = "x"
    else:
        features = [f.name for f in problem.features(columns, builder)]
        source = "features"
        builder.nodes.append(helper.make_node("Concat", features, [source], name=source, axis=1))

    for layer, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        builder.nodes.append(_gemm(builder, f"layer{layer}", source, weight, bias))
        source = f"layer{layer}.z"
        if layer < len(weights) - 1:
            builder.nodes.append(
                helper.make_node("Tanh", [source], [f"layer{layer}.a"], name=f"layer{layer}.tanh")
            )
            source = f"layer{layer}.a"

    u = problem.distance(columns, builder) * Expression(source, builder)
    if problem.offset is not None:
        u = problem.offset(columns, builder) + u
    builder.nodes[-1].output[0] = "u"

    dimension = problem.domain.dimension
    graph = helper.make_graph(
        builder.nodes,
        problem.name,
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", dimension])],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, ["n", 1])],
        list(builder.constants.values()),
    )
    model = helper.make_model(
        graph,
        opset_imports=[helper.make_opsetid("", LEAST_OPSET)],
        ir_version=NEWEST_IR_VERSION,
        producer_name="hedge",
        doc_string=problem.title,
    )
    helper.set_model_props(model, {"hedge.problem": problem.name, **properties})
    checker.check_model(model, full_check=True)
    return model


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
    }
    return network_to_onnx(
        result.run.problem, result.network, {"hedge.training": json.dumps(training)}
    )


def _gemm(
    builder: _Builder,
    name: str,
    source: str,
    weight: NDArray[np.float64],
    bias: NDArray[np.float64],
) -> NodeProto:
    inputs = [source, f"{name}.weight", f"{name}.bias"]
    for key, values in zip(inputs[1:], (weight, bias), strict=True):
        builder.constants[key] = numpy_helper.from_array(values.astype(np.float32), key)
    return helper.make_node("Gemm", inputs, [f"{name}.z"], name=f"{name}.gemm", transB=1)


def _columns(builder: _Builder, problem: Problem) -> list[Expression]:
    """The inputs one by one, each (n, 1)."""
    names = [f"input.{letter}" for letter in problem.inputs]
    sizes = numpy_helper.from_array(np.ones(len(names), dtype=np.int64), "split.sizes")
    builder.constants["split.sizes"] = sizes
    builder.nodes.append(
        helper.make_node("Split", ["x", "split.sizes"], names, name="input.split", axis=1)
    )
    return [Expression(name, builder) for name in names]
