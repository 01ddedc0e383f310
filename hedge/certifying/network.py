"""A graph read by enclosures: what each node's result lies within, over a batch of boxes.

The graph is taken at one row. Nodes that move numbers are run on the numbers' places; what depends on
weights alone is enclosed like everything else, in one box. What is not covered is refused by name.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial, reduce
from itertools import permutations
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, numpy_helper

from hedge import analytic
from hedge.certifying.enclosure import (
    Arithmetic,
    Enclosure,
    add,
    affine,
    compose,
    constant,
    multiply,
    rectified,
    summed,
    with_bias,
)
from hedge.errors import ModelError
from hedge.graph import input_dimension, opset
from hedge.graph.nodes import attributes_of, label, run_node
from hedge.graph.ports import true_inputs
from hedge.ops import OPS, op_of

Raw = NDArray[Any]
Value = Enclosure | Raw


@dataclass(frozen=True)
class Network:
    """A model as certification reads it."""

    model: ModelProto
    constants: Mapping[str, Raw]
    producers: Mapping[str, NodeProto]

    @property
    def parameters(self) -> int:
        """How many numbers its weights have."""
        return sum(
            int(values.size) for values in self.constants.values() if values.dtype.kind == "f"
        )

    def enclosed(self, arithmetic: Arithmetic, points: Enclosure) -> Enclosure:
        """All outputs side by side, (1, m), over the boxes of ``points`` (1, d).

        Raises ModelError, with the node, for what enclosures don't cover.
        """
        values: dict[str, Value] = {**self.constants, **_inputs(self.model, points)}
        for node in self.model.graph.node:
            found = _Reader(self, node, values, arithmetic).results()
            values.update(zip(node.output, found, strict=False))
        outputs = [_enclosure(values[value.name]) for value in self.model.graph.output]
        flat = [o.taken(np.arange(o.radius.shape[1]), (1, o.radius.shape[1])) for o in outputs]
        return flat[0] if len(flat) == 1 else _joined(flat, 1)


def network_of(model: ModelProto) -> Network:
    """The model, read once for many boxes. Raises ModelError for operators that are not covered."""
    for node in model.graph.node:
        if node.op_type not in _READERS and op_of(node.op_type).kind != "moving":
            raise ModelError(
                f"{label(node)} is not covered by certification; it covers {', '.join(covered())}"
            )
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    return Network(model, constants, {o: node for node in model.graph.node for o in node.output})


def covered() -> list[str]:
    """The operators that networks may consist of."""
    return sorted({*_READERS, *(name for name, op in OPS.items() if op.kind == "moving")})


def _inputs(model: ModelProto, points: Enclosure) -> dict[str, Enclosure]:
    found, start = {}, 0
    for value in true_inputs(model):
        dims = value.type.tensor_type.shape.dim
        width = int(dims[1].dim_value) if len(dims) == 2 else 1
        places = np.arange(start, start + width)
        found[value.name] = points.taken(places, (1, width) if len(dims) == 2 else (1,))
        start += width
    if start != points.shape[1]:
        raise ModelError(f"takes points of {input_dimension(model)} columns, not {points.shape[1]}")
    return found


def _enclosure(value: Value) -> Enclosure:
    return value if isinstance(value, Enclosure) else constant(value)


@dataclass(frozen=True)
class _Reader:
    """One node, and what its inputs are."""

    network: Network
    node: NodeProto
    values: Mapping[str, Value]
    arithmetic: Arithmetic

    @property
    def given(self) -> list[Value | None]:
        """The node's inputs in order, None where it leaves one out."""
        return [self.values[name] if name else None for name in self.node.input]

    def enclosures(self) -> list[Enclosure]:
        """Those that are given."""
        return [_enclosure(value) for value in self.given if value is not None]

    @property
    def attributes(self) -> dict[str, Any]:
        """The node's attributes by name."""
        return attributes_of(self.node)

    def results(self) -> Sequence[Value]:
        """The node's outputs."""
        if op_of(self.node.op_type).kind in ("moving", "of shapes"):
            return self._moved()
        return [_READERS[self.node.op_type](self)]

    def refused(self, why: str) -> ModelError:
        """The error that names the node."""
        return ModelError(f"{label(self.node)} is not covered by certification: {why}")

    def _moved(self) -> Sequence[Value]:
        """Run on the places of numbers, where some of these vary."""
        version = opset(self.network.model)
        names = [name for name in self.node.input if name]
        fixed = {n: v for n in names if not isinstance(v := self.values[n], Enclosure)}
        varying = {n: v for n in names if isinstance(v := self.values[n], Enclosure)}
        if not varying:
            return run_node(self.node, version, fixed)
        if self.node.op_type == "Concat":
            return [_joined(self.enclosures(), self.attributes["axis"])]
        (name, source), *others = varying.items()
        if others:
            raise self.refused("a place that varies")
        places = np.arange(1, source.radius.shape[1] + 1, dtype=np.float64).reshape(source.shape)
        return [
            self._at(source, each) for each in run_node(self.node, version, {**fixed, name: places})
        ]

    def _at(self, source: Enclosure, moved: Raw) -> Value:
        """The numbers at these places, which count from 1."""
        if op_of(self.node.op_type).kind == "of shapes":
            return moved
        if (moved < 1).any():
            raise self.refused("it fills in numbers")
        return source.taken(moved.astype(np.intp) - 1, moved.shape)


def _joined(parts: Sequence[Enclosure], axis: int) -> Enclosure:
    """Side by side along an axis."""
    boxes = max(len(part.radius) for part in parts)
    variables = max(len(part.radii) for part in parts)
    terms = max(len(part.coefficients) for part in parts)
    places = np.concatenate(
        [
            np.arange(part.radius.shape[1]).reshape(part.shape)
            + sum(before.radius.shape[1] for before in parts[:i])
            for i, part in enumerate(parts)
        ],
        axis=axis,
    )

    def wide(part: Enclosure) -> Enclosure:
        coefficients = np.zeros((terms, boxes, part.radius.shape[1]))
        coefficients[: len(part.coefficients)] = part.coefficients
        size = (boxes, part.radius.shape[1])
        return Enclosure(
            coefficients,
            np.broadcast_to(part.radii, (variables, *size)),
            np.broadcast_to(part.rounding, size),
            part.shape,
        )

    each = [wide(part) for part in parts]
    flat = places.ravel()
    return Enclosure(
        np.concatenate([part.coefficients for part in each], axis=2)[:, :, flat],
        np.concatenate([part.radii for part in each], axis=2)[:, :, flat],
        np.concatenate([part.rounding for part in each], axis=1)[:, flat],
        places.shape,
    )


# ------------------------------------------------------------------------------------------------- nodes


def _unary(reader: _Reader) -> Enclosure:
    op = OPS[reader.node.op_type]
    assert op.enclosure is not None
    (x,) = reader.enclosures()
    return compose(reader.arithmetic, x, op.enclosure, *op.error32)


def _matmul(reader: _Reader) -> Enclosure:
    x, weights = reader.enclosures()
    if not weights.is_constant or len(weights.shape) != 2:
        raise reader.refused("a product of two tensors that vary, or with a stack of matrices")
    return affine(reader.arithmetic, x, weights, weights.shape[0])


def _gemm(reader: _Reader) -> Enclosure:
    x, weights, *bias = reader.enclosures()
    attributes = reader.attributes
    if not weights.is_constant or attributes.get("transA", 0):
        raise reader.refused("a product of two tensors that vary, or one that is transposed")
    if attributes.get("transB", 0):
        rows, columns = weights.shape
        places = np.arange(rows * columns).reshape(rows, columns).T
        weights = weights.taken(places, places.shape)
    product = affine(reader.arithmetic, x, weights, weights.shape[0])
    product = _scaled(reader, product, attributes.get("alpha", 1.0))
    if not bias:
        return product
    shift = _scaled(reader, bias[0], attributes.get("beta", 1.0))
    return with_bias(reader.arithmetic, product, shift, weights.shape[0])


def _scaled(reader: _Reader, x: Enclosure, factor: float) -> Enclosure:
    if factor == 1.0:
        return x
    return multiply(reader.arithmetic, x, constant(np.array(factor)))


def _added(reader: _Reader) -> Enclosure:
    """A sum; that of a product and a constant may be run as one operation, with a bias."""
    found = reduce(partial(add, reader.arithmetic), reader.enclosures())
    for name, other in permutations(reader.node.input, 2):
        product = reader.network.producers.get(name)
        bias = _enclosure(reader.values[other])
        if product is not None and product.op_type in ("Gemm", "MatMul") and bias.is_constant:
            n = _enclosure(reader.values[product.input[0]]).shape[-1]
            return with_bias(reader.arithmetic, _enclosure(reader.values[name]), bias, n)
    return found


def _subtracted(reader: _Reader) -> Enclosure:
    x, y = reader.enclosures()
    return add(reader.arithmetic, x, y, sign=-1.0)


def _multiplied(reader: _Reader) -> Enclosure:
    """A product; z sigmoid(z) as the one function that it is."""
    x, y = reader.node.input
    for z, other in ((x, y), (y, x)):
        gate = reader.network.producers.get(other)
        if gate is not None and gate.op_type == "Sigmoid" and gate.input[0] == z:
            return _gated(reader.arithmetic, _enclosure(reader.values[z]))
    return multiply(reader.arithmetic, *reader.enclosures())


def _gated(arithmetic: Arithmetic, z: Enclosure) -> Enclosure:
    """z s(z), where s is off by a and b s(z), and the product by one rounding more."""
    a, b = OPS["Sigmoid"].error32
    unit = arithmetic.unit
    return compose(
        arithmetic, z, analytic.SILU, a * (1.0 + unit) * z.size, (1.0 + b) * (1.0 + unit) - 1.0
    )


def _negated(reader: _Reader) -> Enclosure:
    (x,) = reader.enclosures()
    return x.negated()


def _divided(reader: _Reader) -> Enclosure:
    x, y = reader.enclosures()
    return multiply(reader.arithmetic, x, _inverse(reader.arithmetic, y))


def _reciprocal(reader: _Reader) -> Enclosure:
    return _inverse(reader.arithmetic, *reader.enclosures())


def _inverse(arithmetic: Arithmetic, y: Enclosure) -> Enclosure:
    """1/y = sign(y)/|y|."""
    sign = np.where(y.coefficients[0] < 0.0, -1.0, 1.0)
    positive = replace(y, coefficients=sign * y.coefficients)
    found = compose(arithmetic, positive, analytic.RECIPROCAL, 0.0, arithmetic.unit)
    return replace(found, coefficients=sign * found.coefficients)


def _raised(reader: _Reader) -> Enclosure:
    """Small whole powers by products, of any sign; others of positive numbers."""
    x, exponents = reader.enclosures()
    values = np.unique(exponents.coefficients)
    if not exponents.is_constant or exponents.radius.any() or len(values) != 1:
        raise reader.refused("an exponent that varies")
    exponent = float(values[0])
    if exponent in (1.0, 2.0, 3.0, 4.0):
        found = reduce(partial(multiply, reader.arithmetic), [x] * int(exponent))
    else:
        found = compose(reader.arithmetic, x, analytic.power(exponent), 0.0, 0.0)
    # powf is taken to be within 4 units of roundoff
    rounding = found.rounding + 8.0 * reader.arithmetic.unit * found.size
    return replace(found, rounding=rounding)


def _relu(reader: _Reader) -> Enclosure:
    return rectified(*reader.enclosures())


def _larger(arithmetic: Arithmetic, x: Enclosure, y: Enclosure, sign: float) -> Enclosure:
    """max(x, y) = x + max(y − x, 0) for a sign of 1, min(x, y) = x − max(x − y, 0) for one of −1."""
    exact = Arithmetic(arithmetic.monomials)
    apart = add(exact, *((y, x) if sign > 0.0 else (x, y)), sign=-1.0)
    found = add(exact, x, rectified(apart), sign=sign)
    rounding = np.maximum(*np.broadcast_arrays(x.rounding, y.rounding))
    rounding = np.broadcast_to(rounding, found.radius.shape)
    return replace(found, rounding=rounding)


def _extreme(sign: float, reader: _Reader) -> Enclosure:
    return reduce(partial(_larger, reader.arithmetic, sign=sign), reader.enclosures())


def _clipped(reader: _Reader) -> Enclosure:
    x, lower, upper = (*reader.given, None, None)[:3]
    assert x is not None
    found = _enclosure(x)
    if lower is not None:
        found = _larger(reader.arithmetic, found, _enclosure(lower), 1.0)
    if upper is not None:
        found = _larger(reader.arithmetic, found, _enclosure(upper), -1.0)
    return found


def _leaky(reader: _Reader) -> Enclosure:
    """a x + (1 − a) max(x, 0)."""
    (x,) = reader.enclosures()
    slope = constant(np.array(float(np.float32(reader.attributes.get("alpha", 0.01)))))
    rest = constant(1.0 - slope.coefficients[0, 0])
    arithmetic = reader.arithmetic
    bent = multiply(arithmetic, rectified(x), rest)
    return add(arithmetic, multiply(arithmetic, x, slope), bent)


def _parametric(reader: _Reader) -> Enclosure:
    """max(x, 0) − a max(−x, 0) for slopes a that are constants."""
    x, slopes = reader.enclosures()
    if not slopes.is_constant:
        raise reader.refused("a slope that varies")
    below = multiply(reader.arithmetic, rectified(x.negated()), slopes)
    return add(reader.arithmetic, rectified(x), below, sign=-1.0)


def _absolute(reader: _Reader) -> Enclosure:
    """2 max(x, 0) − x, with no rounding of its own."""
    (x,) = reader.enclosures()
    exact = Arithmetic(reader.arithmetic.monomials)
    twice = multiply(exact, rectified(x), constant(np.array(2.0)))
    found = add(exact, twice, x, sign=-1.0)
    return replace(found, rounding=x.rounding)


def _same(reader: _Reader) -> Value:
    return reader.enclosures()[0]


def _summed(reader: _Reader, scale: bool = False) -> Enclosure:
    x, *axes = reader.enclosures()
    given = reader.attributes.get("axes") or (
        [int(a) for a in axes[0].coefficients.ravel()] if axes else range(len(x.shape))
    )
    places = tuple(sorted({int(a) % len(x.shape) for a in given}))
    if 0 in places:
        raise reader.refused("it adds up rows")
    found = summed(reader.arithmetic, x, places, bool(reader.attributes.get("keepdims", 1)))
    count = float(np.prod([x.shape[a] for a in places]))
    if not scale:
        return found
    return multiply(
        reader.arithmetic, found, _inverse(reader.arithmetic, constant(np.array(count)))
    )


_READERS: Mapping[str, Callable[[_Reader], Value]] = {
    **{name: _unary for name, op in OPS.items() if op.enclosure is not None},
    "Abs": _absolute,
    "Add": _added,
    "Clip": _clipped,
    "Div": _divided,
    "Gemm": _gemm,
    "Identity": _same,
    "LeakyRelu": _leaky,
    "MatMul": _matmul,
    "Max": partial(_extreme, 1.0),
    "Min": partial(_extreme, -1.0),
    "Mul": _multiplied,
    "Neg": _negated,
    "PRelu": _parametric,
    "Pow": _raised,
    "Reciprocal": _reciprocal,
    "ReduceMean": partial(_summed, scale=True),
    "ReduceSum": _summed,
    "Relu": _relu,
    "Sub": _subtracted,
    "Sum": _added,
}
