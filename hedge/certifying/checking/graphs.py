"""A model's graph, node after node, by the rules of rules.py.

The graph is read at one row. Operators that move numbers are run by onnx's reference implementation on the
numbers' places. What is not listed here is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial, reduce
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hedge.certifying.checking.functions import FUNCTIONS, RECIPROCAL, SILU, power
from hedge.certifying.checking.held import Held, constant, joined
from hedge.certifying.checking.polynomials import UNIT, UP
from hedge.certifying.checking.rules import Rules
from hedge.errors import InputError

Raw = NDArray[Any]
Value = Held | Raw

_MOVING = (
    "Expand",
    "Flatten",
    "Gather",
    "Reshape",
    "Slice",
    "Split",
    "Squeeze",
    "Transpose",
    "Unsqueeze",
)
# pow of float32 is taken to be within 4 ulp, 8 units, as certificates say of it
_POW_UNITS = 8.0


@dataclass(frozen=True)
class Graph:
    """A model; ``name`` says which one in messages. moves keeps where nodes move numbers to."""

    model: ModelProto
    name: str
    constants: Mapping[str, Raw]
    producers: Mapping[str, NodeProto]
    moves: dict[str, list[Raw]] = field(default_factory=dict)

    def refused(self, node: NodeProto, why: str) -> InputError:
        """The error that names a node."""
        place = node.name or next(iter(node.output), "")
        return InputError(f"{self.name}: {node.op_type} {place!r} can't be checked: {why}")

    @property
    def widths(self) -> list[tuple[str, int, int]]:
        """Name, columns and rank of each input."""
        found = []
        for value in self.model.graph.input:
            if value.name not in self.constants:
                dims = value.type.tensor_type.shape.dim
                width = int(dims[1].dim_value) if len(dims) == 2 else 1
                if len(dims) not in (1, 2) or width < 1:
                    raise InputError(f"{self.name}: input {value.name!r} is not [n, d]")
                found.append((value.name, width, len(dims)))
        return found

    @property
    def dimension(self) -> int:
        """Columns of all inputs."""
        return sum(width for _, width, _ in self.widths)

    def outputs(self, rules: Rules, points: Held) -> Held:
        """All outputs side by side, (m,), over the boxes of ``points`` (d,)."""
        values: dict[str, Value] = dict(self.constants)
        start = 0
        for name, width, rank in self.widths:
            places = np.arange(start, start + width)
            values[name] = points.at(places.reshape(1, width) if rank == 2 else places)
            start += width
        for node in self.model.graph.node:
            found = _Node(self, node, values, rules).results()
            values.update(zip(node.output, found, strict=False))
        parts = [held(values[value.name]) for value in self.model.graph.output]
        return joined(parts, np.arange(sum(len(part.radius) for part in parts)))


def graph_of(model: ModelProto, name: str) -> Graph:
    """Raises InputError for a node that can't be checked."""
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    producers = {o: node for node in model.graph.node for o in node.output}
    graph = Graph(model, name, constants, producers)
    for node in model.graph.node:
        if node.domain not in ("", "ai.onnx") or node.op_type not in _OPERATORS:
            raise graph.refused(node, "the checker covers " + ", ".join(sorted(_OPERATORS)))
    return graph


def held(value: Value) -> Held:
    """A value as the rules take it."""
    return value if isinstance(value, Held) else constant(value)


@dataclass(frozen=True)
class _Node:
    """One node and all values so far."""

    graph: Graph
    node: NodeProto
    values: Mapping[str, Value]
    rules: Rules

    @property
    def attributes(self) -> dict[str, Any]:
        return {a.name: helper.get_attribute_value(a) for a in self.node.attribute}

    def given(self) -> list[Value]:
        return [self.values[name] for name in self.node.input if name]

    def operands(self) -> list[Held]:
        return [held(value) for value in self.given()]

    def refused(self, why: str) -> InputError:
        return self.graph.refused(self.node, why)

    def error_of(self, function: str) -> tuple[float, float]:
        """What the certificate assumes; (0, 0) for a network of real numbers."""
        if not self.rules.unit:
            return 0.0, 0.0
        return (self.rules.errors or {})[function]

    def results(self) -> Sequence[Value]:
        if self.node.op_type in _MOVING:
            return self._moved()
        return [_OPERATORS[self.node.op_type](self)]

    def _moved(self) -> list[Value]:
        """The numbers of the first operand, at their new places; only that one may vary."""
        source, *others = self.given()
        if any(isinstance(other, Held) for other in others):
            raise self.refused("where its numbers go varies")
        if not isinstance(source, Held):
            return list(self._run(source, others))
        key = self.node.output[0]
        if key not in self.graph.moves:
            places = np.arange(source.radius.shape[0], dtype=np.int64).reshape(source.shape)
            self.graph.moves[key] = self._run(places, [np.asarray(other) for other in others])
        return [source.at(moved) for moved in self.graph.moves[key]]

    def _run(self, source: Raw, others: Sequence[Any]) -> list[Raw]:
        names = [name for name in self.node.input if name]
        feed = dict(zip(names, (source, *others), strict=True))
        types = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in feed.items()}
        inputs = [helper.make_tensor_value_info(n, types[n], v.shape) for n, v in feed.items()]
        outputs = [
            helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in self.node.output
        ]
        graph = helper.make_graph([self.node], "moving", inputs, outputs)
        model = helper.make_model(graph, opset_imports=self.graph.model.opset_import)
        try:
            return list(ReferenceEvaluator(model).run(None, feed))
        except Exception as error:  # it raises whatever its operators raise
            raise self.refused(f"it can't be run ({str(error).splitlines()[0]})") from error


# ---------------------------------------------------------------------------------------------- operators


def _function(node: _Node) -> Held:
    name = node.node.op_type
    (x,) = node.operands()
    return node.rules.apply(FUNCTIONS[name], x, node.error_of(name))


def _concat(node: _Node) -> Value:
    parts = node.given()
    axis = node.attributes["axis"]
    if not any(isinstance(part, Held) for part in parts):
        return np.concatenate([np.asarray(part) for part in parts], axis=axis)
    each, places, start = [held(part) for part in parts], [], 0
    for part in each:
        count = part.radius.shape[0]
        places.append(np.arange(start, start + count).reshape(part.shape))
        start += count
    return joined(each, np.concatenate(places, axis=axis))


def _matrix(node: _Node, value: Value, transposed: bool = False) -> Held:
    matrix = held(value)
    if not matrix.is_constant or len(matrix.shape) != 2:
        raise node.refused("its second operand is no constant matrix")
    if not transposed:
        return matrix
    return matrix.at(np.arange(len(matrix.radius)).reshape(matrix.shape).T)


def _matmul(node: _Node, bias: Held | None = None) -> Held:
    x, matrix = node.given()
    return node.rules.affine(held(x), _matrix(node, matrix), bias)


def _gemm(node: _Node) -> Held:
    """alpha x W + beta b. Where alpha or beta is not 1, each term is rounded once more."""
    x, matrix, *bias = node.given()
    attributes = node.attributes
    if attributes.get("transA", 0):
        raise node.refused("its first operand is transposed")
    factors = attributes.get("alpha", 1.0), attributes.get("beta", 1.0)
    weights = _matrix(node, matrix, bool(attributes.get("transB", 0)))
    added = held(bias[0]) if bias else None
    if factors == (1.0, 1.0):
        return node.rules.affine(held(x), weights, added)
    exact = Rules(node.rules.basis)
    alpha, beta = (constant(np.array(each)) for each in factors)
    if added is not None:
        product = exact.multiply(added, beta)
        rounding = added.rounding * abs(factors[1])
        added = Held(product.polynomials, product.radius, rounding, product.shape)
    return node.rules.affine(held(x), exact.multiply(weights, alpha), added, extra=1)


def _added(node: _Node) -> Held:
    """Two operands; a constant one may be put in front of the products of a MatMul, as biases are."""
    for first, second in (tuple(node.node.input), tuple(node.node.input)[::-1]):
        producer = node.graph.producers.get(first)
        other = held(node.values[second])
        if producer is not None and producer.op_type == "MatMul" and other.is_constant:
            product = _Node(node.graph, producer, node.values, node.rules)
            if np.broadcast_shapes(held(node.values[first]).shape, other.shape) == (
                held(node.values[first]).shape
            ):
                return _matmul(product, other)
    x, y = node.operands()
    return node.rules.add(x, y)


def _sum(node: _Node) -> Held:
    """n operands in any order: γ_{n−1} of their sizes."""
    operands = node.operands()
    if len(operands) == 1:
        return operands[0]
    exact = reduce(partial(node.rules.combined, sign=1.0), operands)
    sizes = (operand.deployed.reshape(*operand.shape, -1) for operand in operands)
    total = np.broadcast_to(reduce(np.add, sizes), (*exact.shape, exact.radius.shape[1]))
    own = node.rules.gamma(len(operands) - 1) * total.reshape(exact.radius.shape)
    return node.rules.rounded(exact, own, len(operands))


def _subtracted(node: _Node) -> Held:
    x, y = node.operands()
    return node.rules.add(x, y, sign=-1.0)


def _multiplied(node: _Node) -> Held:
    """A product; z sigmoid(z) as one function.

    fl(ẑ fl(σ(ẑ))) is within |ẑ| a (1 + u) + (b (1 + u) + u) |ẑ σ(ẑ)| of ẑ σ(ẑ).
    """
    for first, second in (tuple(node.node.input), tuple(node.node.input)[::-1]):
        gate = node.graph.producers.get(second)
        if gate is not None and gate.op_type == "Sigmoid" and gate.input[0] == first:
            z, unit = held(node.values[first]), node.rules.unit
            absolute, relative = node.error_of("Sigmoid")
            error = absolute * (1.0 + unit) * z.deployed, relative * (1.0 + unit) + unit
            return node.rules.rounded(node.rules.apply(SILU, z, error), 0.0)
    return node.rules.multiply(*node.operands())


def _negated(node: _Node) -> Held:
    (x,) = node.operands()
    return Held(-x.polynomials, x.radius, x.rounding, x.shape)


def _inverse(node: _Node, x: Held) -> Held:
    """1/x as real numbers; what x is off by, carried along."""
    return node.rules.apply(RECIPROCAL, x, (0.0, 0.0))


def _reciprocal(node: _Node) -> Held:
    (x,) = node.operands()
    found = _inverse(node, x)
    return node.rules.rounded(found, node.rules.unit * found.deployed)


def _divided(node: _Node) -> Held:
    """x/y is rounded once: x times the real 1/y."""
    x, y = node.operands()
    return node.rules.multiply(x, _inverse(node, y))


def _raised(node: _Node) -> Held:
    """Small whole powers as products, so that x may have any sign; others of positive x."""
    x, exponents = node.operands()
    values = np.unique(exponents.polynomials)
    if (
        not exponents.is_constant
        or (exponents.radius + exponents.rounding).any()
        or len(values) != 1
    ):
        raise node.refused("its exponent varies")
    exponent = float(values[0])
    if exponent in (1.0, 2.0, 3.0, 4.0):
        found = reduce(node.rules.multiply, [x] * int(exponent))
    else:
        found = node.rules.apply(power(exponent), x, (0.0, 0.0))
    shape = np.broadcast_shapes(x.shape, exponents.shape)
    if shape != found.shape:
        raise node.refused("its exponent has more axes than its base")
    return node.rules.rounded(found, _POW_UNITS * node.rules.unit * found.deployed)


def _bent(left: float, node: _Node) -> Held:
    (x,) = node.operands()
    return node.rules.bent(x, left)


def _leaky(node: _Node) -> Held:
    return _bent(float(np.float32(node.attributes.get("alpha", 0.01))), node)


def _extreme(sign: float, node: _Node) -> Held:
    return reduce(partial(node.rules.larger, sign=sign), node.operands())


def _clipped(node: _Node) -> Held:
    names = [*node.node.input, "", ""][:3]
    x, lower, upper = (held(node.values[name]) if name else None for name in names)
    assert x is not None
    if lower is not None:
        x = node.rules.larger(x, lower, 1.0)
    return x if upper is None else node.rules.larger(x, upper, -1.0)


def _total(node: _Node, mean: bool = False) -> Held:
    x, *given = node.operands()
    named = node.attributes.get("axes") or (
        [int(a) for a in given[0].polynomials.ravel()] if given else []
    )
    if not named and node.attributes.get("noop_with_empty_axes", 0):
        raise node.refused("it names no axes")
    axes = tuple(sorted({int(a) % len(x.shape) for a in named or range(len(x.shape))}))
    if 0 in axes:
        raise node.refused("it adds up rows")
    found = node.rules.total(x, axes, bool(node.attributes.get("keepdims", 1)))
    if not mean:
        return found
    count = float(np.prod([x.shape[a] for a in axes]))
    scaled = Rules(node.rules.basis).multiply(found, constant(np.array(1.0 / count)))
    radius = (scaled.radius + 4.0 * UNIT * scaled.real) * UP  # 1/count is rounded here
    rounding = found.rounding / count * UP
    held_there = Held(scaled.polynomials, radius, rounding, found.shape)
    return node.rules.rounded(held_there, node.rules.gamma(3) * held_there.deployed)


def _same(node: _Node) -> Value:
    return node.given()[0]


def _shape(node: _Node) -> Value:
    (x,) = node.given()
    if node.node.attribute:
        raise node.refused("it takes a part of a shape")
    return np.array(x.shape, dtype=np.int64)


def _moving(node: _Node) -> Value:
    raise AssertionError(node.node.op_type)


_OPERATORS: Mapping[str, Callable[[_Node], Value]] = {
    **dict.fromkeys(_MOVING, _moving),
    **dict.fromkeys(FUNCTIONS, _function),
    "Abs": partial(_bent, -1.0),
    "Add": _added,
    "Clip": _clipped,
    "Concat": _concat,
    "Div": _divided,
    "Gemm": _gemm,
    "Identity": _same,
    "LeakyRelu": _leaky,
    "MatMul": _matmul,
    "Max": partial(_extreme, 1.0),
    "Min": partial(_extreme, -1.0),
    "Mul": _multiplied,
    "Neg": _negated,
    "Pow": _raised,
    "Reciprocal": _reciprocal,
    "ReduceMean": partial(_total, mean=True),
    "ReduceSum": _total,
    "Relu": partial(_bent, 0.0),
    "Shape": _shape,
    "Sub": _subtracted,
    "Sum": _sum,
}
