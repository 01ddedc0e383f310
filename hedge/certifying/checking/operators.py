"""Which operator is which rule of rules.py. What is not listed here is refused by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial, reduce

import numpy as np
from onnx import NodeProto, TensorProto

from hedge.certifying.checking.functions import FUNCTIONS, RECIPROCAL, SILU, power
from hedge.certifying.checking.held import Held, constant, joined, spread_to
from hedge.certifying.checking.nodes import Node, Value, held
from hedge.certifying.checking.polynomials import UNIT, UP
from hedge.certifying.checking.rules import FLUSHED, SCALE, Rules, unless_over

MOVING = frozenset((
    "DepthToSpace", "Expand", "Flatten", "Gather", "Reshape", "Slice", "SpaceToDepth", "Split",
    "Squeeze", "Tile", "Transpose", "Unsqueeze",
))  # fmt: skip
# pow of float32 is taken to be within 4 ulp, 8 units, as certificates say of it
_POW_UNITS = 8.0


def results(node: Node) -> Sequence[Value]:
    """What a node makes of its operands."""
    if node.node.op_type in MOVING:
        return node.moved()
    return [OPERATORS[node.node.op_type](node)]


def _function(node: Node) -> Held:
    name = node.node.op_type
    (x,) = node.operands()
    return node.rules.apply(FUNCTIONS[name], x, node.error_of(name))


def _concat(node: Node) -> Value:
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


def _matrix(node: Node, value: Value, transposed: bool = False) -> Held:
    matrix = held(value)
    if not matrix.is_constant or len(matrix.shape) != 2:
        raise node.refused("its second operand is no constant matrix")
    if not transposed:
        return matrix
    return matrix.at(np.arange(len(matrix.radius)).reshape(matrix.shape).T)


def _product(node: Node, bias: Held | None = None) -> Held:
    """MatMul, or Gemm: alpha x W + beta b. Where a factor is not 1, each term is rounded once more."""
    x, matrix, *given = node.given()
    attributes = node.attributes
    if attributes.get("transA", 0):
        raise node.refused("its first operand is transposed")
    weights = _matrix(node, matrix, bool(attributes.get("transB", 0)))
    bias = held(given[0]) if given else bias
    factors = attributes.get("alpha", 1.0), attributes.get("beta", 1.0) if given else 1.0
    if factors == (1.0, 1.0):
        return node.rules.affine(held(x), weights, bias)
    if not all(1.0 / SCALE <= abs(each) <= SCALE for each in factors):
        raise node.refused("its alpha or beta is very small or large")
    weights = _scaled(node.rules, weights, factors[0])
    bias = bias if bias is None else _scaled(node.rules, bias, factors[1])
    return node.rules.affine(held(x), weights, bias, extra=1)


def _scaled(rules: Rules, x: Held, factor: float) -> Held:
    """factor · x, but for the rounding of the product."""
    found = Rules(rules.basis).multiply(x, constant(np.array(factor)))
    rounding = (x.rounding * abs(factor) + FLUSHED) * UP
    return Held(found.polynomials, found.radius, rounding, found.shape)


def _added(node: Node) -> Held:
    """Two operands. Runtimes add one to the products of which the other is the sum, as biases are."""
    x, y = node.operands()
    found = node.rules.add(x, y)
    rounding = found.rounding
    for name, other in zip(node.node.input, (y, x), strict=True):
        product = node.graph.producers.get(name)
        fits = np.broadcast_shapes(x.shape, y.shape) == held(node.values[name]).shape
        if node.rules.unit and fits and product is not None and _is_product(product):
            joint = replace(node, node=product)
            rounding = np.maximum(rounding, _product(joint, other).rounding)
    return Held(found.polynomials, found.radius, rounding, found.shape)


def _is_product(node: NodeProto) -> bool:
    """A MatMul, or a Gemm without a bias."""
    return node.op_type == "MatMul" or (node.op_type == "Gemm" and len(node.input) == 2)


def _sum(node: Node) -> Held:
    """n operands in any order: γ_{n−1} of their sizes."""
    operands = node.operands()
    if len(operands) < 3:
        return operands[0] if len(operands) == 1 else _added(node)
    exact = reduce(partial(node.rules.combined, sign=1.0), operands)
    sizes = (spread_to(operand, exact.shape).deployed for operand in operands)
    total = reduce(np.add, sizes) * UP
    own = unless_over(node.rules.gamma(len(operands) - 1) * total, total)
    return node.rules.rounded(exact, own, len(operands))


def _subtracted(node: Node) -> Held:
    x, y = node.operands()
    return node.rules.add(x, y, sign=-1.0)


def _multiplied(node: Node) -> Held:
    """A product; z sigmoid(z) as one function.

    fl(ẑ fl(σ(ẑ))) is within |ẑ| a (1 + u) + (b (1 + u) + u) |ẑ σ(ẑ)| of ẑ σ(ẑ).
    """
    gated = gate_of(node)
    if gated is None:
        return node.rules.multiply(*node.operands())
    z, unit = held(node.values[gated]), node.rules.unit
    absolute, relative = node.error_of("Sigmoid")
    error = absolute * (1.0 + unit) * z.deployed, relative * (1.0 + unit) + unit
    return node.rules.rounded(node.rules.apply(SILU, z, error), 0.0)


def gate_of(node: Node) -> str | None:
    """The z of a product that is z sigmoid(z)."""
    for first, second in (tuple(node.node.input), tuple(node.node.input)[::-1]):
        gate = node.graph.producers.get(second)
        if gate is not None and gate.op_type == "Sigmoid" and gate.input[0] == first:
            return str(first)
    return None


def _negated(node: Node) -> Held:
    (x,) = node.operands()
    return Held(-x.polynomials, x.radius, x.rounding, x.shape)


def _inverse(node: Node, x: Held) -> Held:
    """1/x as real numbers; what x is off by, carried along."""
    return node.rules.apply(RECIPROCAL, x, (0.0, 0.0))


def _reciprocal(node: Node) -> Held:
    (x,) = node.operands()
    found = _inverse(node, x)
    return node.rules.rounded(found, node.rules.unit * found.deployed)


def _divided(node: Node) -> Held:
    """x/y is rounded once: x times the real 1/y."""
    x, y = node.operands()
    return node.rules.multiply(x, _inverse(node, y))


def _raised(node: Node) -> Held:
    """Small whole powers as products, so that x may have any sign; others of positive x."""
    x, exponent = node.operands()[0], exponent_of(node)
    if exponent in (1.0, 2.0, 3.0, 4.0):
        found = reduce(node.rules.multiply, [x] * int(exponent))
    else:
        found = node.rules.apply(power(exponent), x, (0.0, 0.0))
    return node.rules.rounded(found, _POW_UNITS * node.rules.unit * found.deployed)


def exponent_of(node: Node) -> float:
    """The constant that a power's base is raised to."""
    x, exponents = node.operands()
    values = np.unique(exponents.polynomials)
    loose = (exponents.radius + exponents.rounding).any()
    if not exponents.is_constant or loose or len(values) != 1:
        raise node.refused("its exponent varies")
    if np.broadcast_shapes(x.shape, exponents.shape) != x.shape:
        raise node.refused("its exponent has more axes than its base")
    return float(values[0])


def _bent(left: float, node: Node) -> Held:
    (x,) = node.operands()
    return node.rules.bent(x, left)


def _bent_by_each(node: Node) -> Held:
    x, slopes = node.operands()
    if len(slopes.polynomials) > 1 or slopes.radius.any() or slopes.rounding.any():
        raise node.refused("a slope that varies")
    if np.broadcast_shapes(x.shape, slopes.shape) != x.shape:
        raise node.refused("its slope has more axes than what it bends")
    return node.rules.bent(x, spread_to(slopes, x.shape).polynomials[0])


def _extreme(sign: float, node: Node) -> Held:
    return reduce(partial(node.rules.larger, sign=sign), node.operands())


def _clipped(node: Node) -> Held:
    name, lower, upper = [*node.node.input, "", ""][:3]
    x = held(node.values[name])
    if lower:
        x = node.rules.larger(x, held(node.values[lower]), 1.0)
    return node.rules.larger(x, held(node.values[upper]), -1.0) if upper else x


def _total(node: Node, mean: bool = False) -> Held:
    x, *given = node.operands()
    named = node.attributes.get("axes") or [a for axes in given for a in axes.polynomials.ravel()]
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
    return node.rules.rounded(held_there, node.rules.gamma(2) * held_there.deployed)


def _same(node: Node) -> Value:
    return node.given()[0]


def _cast(node: Node) -> Value:
    """To float32, which holds every number of float32, float16, bfloat16 and int8."""
    if node.attributes.get("to") != TensorProto.FLOAT:
        raise node.refused("it casts to another type than float32")
    (x,) = node.given()
    if held(x).is_constant and node.node.input[0] in node.graph.producers:
        raise node.refused("it casts what is computed, maybe from the number of rows")
    return x


def _shape(node: Node) -> Value:
    (x,) = node.given()
    if node.node.attribute:
        raise node.refused("it takes a part of a shape")
    return np.array(x.shape, dtype=np.int64)


OPERATORS: Mapping[str, Callable[[Node], Value]] = {
    **dict.fromkeys(FUNCTIONS, _function),
    "Abs": partial(_bent, -1.0),
    "Add": _added,
    "Clip": _clipped,
    "Concat": _concat,
    "Div": _divided,
    "Gemm": _product,
    "Cast": _cast,
    "Identity": _same,
    "LeakyRelu": lambda node: _bent(float(np.float32(node.attributes.get("alpha", 0.01))), node),
    "MatMul": _product,
    "Max": partial(_extreme, 1.0),
    "Min": partial(_extreme, -1.0),
    "Mul": _multiplied,
    "Neg": _negated,
    "PRelu": _bent_by_each,
    "Pow": _raised,
    "Reciprocal": _reciprocal,
    "ReduceMean": partial(_total, mean=True),
    "ReduceSum": _total,
    "Relu": partial(_bent, 0.0),
    "Shape": _shape,
    "Size": lambda node: np.array(np.prod(node.given()[0].shape, dtype=np.int64)),
    "Sub": _subtracted,
    "Sum": _sum,
}
