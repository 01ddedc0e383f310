"""What each operator's result lies within, one function an operator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, reduce
from itertools import permutations

import numpy as np
from onnx import TensorProto

from hedge import analytic
from hedge.certifying.composition import compose, rectified
from hedge.certifying.enclosure import (
    Arithmetic,
    Enclosure,
    add,
    added_up,
    affine,
    constant,
    multiply,
    summed,
    with_bias,
)
from hedge.certifying.reader import Reader, Value, enclosure_of
from hedge.ops import OPS

SCALE = 2.0**20


def _unary(reader: Reader) -> Enclosure:
    op = OPS[reader.node.op_type]
    assert op.enclosure is not None
    (x,) = reader.enclosures()
    return compose(reader.arithmetic, x, op.enclosure, *op.error32)


def _matmul(reader: Reader) -> Enclosure:
    x, weights = reader.enclosures()
    if not weights.is_constant or len(weights.shape) != 2:
        raise reader.refused("a product of two tensors that vary, or with a stack of matrices")
    return affine(reader.arithmetic, x, weights, weights.shape[0])


def _gemm(reader: Reader) -> Enclosure:
    x, weights, *bias = reader.enclosures()
    attributes = reader.attributes
    factors = [attributes.get("alpha", 1.0), attributes.get("beta", 1.0) if bias else 1.0]
    if not all(1.0 / SCALE <= abs(each) <= SCALE for each in factors):  # the checker's limits
        raise reader.refused("its alpha or beta is very small or large")
    if not weights.is_constant or attributes.get("transA", 0):
        raise reader.refused("a product of two tensors that vary, or one that is transposed")
    if attributes.get("transB", 0):
        rows, columns = weights.shape
        places = np.arange(rows * columns).reshape(rows, columns).T
        weights = weights.taken(places, places.shape)
    product = affine(reader.arithmetic, x, weights, weights.shape[0])
    product = _scaled(reader, product, factors[0])
    if not bias:
        return product
    shift = _scaled(reader, bias[0], factors[1])
    return with_bias(reader.arithmetic, product, shift, weights.shape[0])


def _scaled(reader: Reader, x: Enclosure, factor: float) -> Enclosure:
    if factor == 1.0:
        return x
    return multiply(reader.arithmetic, x, constant(np.array(factor)))


def _added(reader: Reader) -> Enclosure:
    """A sum; that of a product and a constant may be run as one operation, with a bias."""
    terms = reader.enclosures()
    if len(terms) != 2:
        return added_up(reader.arithmetic, terms)
    for name, other in permutations(reader.node.input):
        product = reader.producers.get(name)
        bias = enclosure_of(reader.values[other])
        if product is not None and product.op_type in ("Gemm", "MatMul") and bias.is_constant:
            n = enclosure_of(reader.values[product.input[0]]).shape[-1]
            return with_bias(reader.arithmetic, enclosure_of(reader.values[name]), bias, n)
    return reduce(partial(add, reader.arithmetic), terms)


def _subtracted(reader: Reader) -> Enclosure:
    x, y = reader.enclosures()
    return add(reader.arithmetic, x, y, sign=-1.0)


def _multiplied(reader: Reader) -> Enclosure:
    """A product; z sigmoid(z) as the one function that it is."""
    x, y = reader.node.input
    for z, other in ((x, y), (y, x)):
        gate = reader.producers.get(other)
        if gate is not None and gate.op_type == "Sigmoid" and gate.input[0] == z:
            return _gated(reader.arithmetic, enclosure_of(reader.values[z]))
    return multiply(reader.arithmetic, *reader.enclosures())


def _gated(arithmetic: Arithmetic, z: Enclosure) -> Enclosure:
    """z s(z), where s is off by a and b s(z), and the product by one rounding more."""
    a, b = OPS["Sigmoid"].error32
    unit = arithmetic.unit
    return compose(
        arithmetic, z, analytic.SILU, a * (1.0 + unit) * z.size, (1.0 + b) * (1.0 + unit) - 1.0
    )


def _negated(reader: Reader) -> Enclosure:
    (x,) = reader.enclosures()
    return x.negated()


def _divided(reader: Reader) -> Enclosure:
    x, y = reader.enclosures()
    return multiply(reader.arithmetic, x, _inverse(reader.arithmetic, y))


def _reciprocal(reader: Reader) -> Enclosure:
    return _inverse(reader.arithmetic, *reader.enclosures())


def _inverse(arithmetic: Arithmetic, y: Enclosure) -> Enclosure:
    """1/y = sign(y)/|y|."""
    sign = np.where(y.coefficients[0] < 0.0, -1.0, 1.0)
    positive = replace(y, coefficients=sign * y.coefficients)
    found = compose(arithmetic, positive, analytic.RECIPROCAL, 0.0, arithmetic.unit)
    return replace(found, coefficients=sign * found.coefficients)


def _raised(reader: Reader) -> Enclosure:
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
    if np.broadcast_shapes(x.shape, exponents.shape) != found.shape:
        raise reader.refused("its exponent has more numbers than its base")
    # powf is taken to be within 4 units of roundoff
    rounding = found.rounding + 8.0 * reader.arithmetic.unit * found.size
    return replace(found, rounding=rounding)


def _relu(reader: Reader) -> Enclosure:
    return rectified(*reader.enclosures())


def _larger(arithmetic: Arithmetic, x: Enclosure, y: Enclosure, sign: float) -> Enclosure:
    """max(x, y) = x + max(y − x, 0) for a sign of 1, min(x, y) = x − max(x − y, 0) for one of −1."""
    exact = Arithmetic(arithmetic.monomials)
    apart = add(exact, *((y, x) if sign > 0.0 else (x, y)), sign=-1.0)
    # It rounds nothing, and is no further off than the further one; the sum's rounding is larger than both.
    return add(exact, x, rectified(apart), sign=sign)


def _extreme(sign: float, reader: Reader) -> Enclosure:
    return reduce(partial(_larger, reader.arithmetic, sign=sign), reader.enclosures())


def _clipped(reader: Reader) -> Enclosure:
    x, lower, upper = (*reader.given, None, None)[:3]
    assert x is not None
    found = enclosure_of(x)
    if lower is not None:
        found = _larger(reader.arithmetic, found, enclosure_of(lower), 1.0)
    if upper is not None:
        found = _larger(reader.arithmetic, found, enclosure_of(upper), -1.0)
    return found


def _leaky(reader: Reader) -> Enclosure:
    """a x + (1 − a) max(x, 0)."""
    (x,) = reader.enclosures()
    slope = constant(np.array(float(np.float32(reader.attributes.get("alpha", 0.01)))))
    rest = constant(1.0 - slope.coefficients[0, 0])
    arithmetic = reader.arithmetic
    bent = multiply(arithmetic, rectified(x), rest)
    return add(arithmetic, multiply(arithmetic, x, slope), bent)


def _parametric(reader: Reader) -> Enclosure:
    """max(x, 0) − a max(−x, 0) for slopes a that are constants."""
    x, slopes = reader.enclosures()
    if not slopes.is_constant:
        raise reader.refused("a slope that varies")
    below = multiply(reader.arithmetic, rectified(x.negated()), slopes)
    return add(reader.arithmetic, rectified(x), below, sign=-1.0)


def _absolute(reader: Reader) -> Enclosure:
    """2 max(x, 0) − x, with no rounding of its own."""
    (x,) = reader.enclosures()
    exact = Arithmetic(reader.arithmetic.monomials)
    twice = multiply(exact, rectified(x), constant(np.array(2.0)))
    found = add(exact, twice, x, sign=-1.0)
    return replace(found, rounding=x.rounding)


def _cast(reader: Reader) -> Value:
    """To float32, which holds every number of float32, float16, bfloat16 and int8."""
    if reader.attributes["to"] != TensorProto.FLOAT:
        raise reader.refused("it casts to another type than float32")
    (x,) = reader.enclosures()
    if x.is_constant and reader.node.input[0] in reader.producers:
        raise reader.refused("it casts what is computed, maybe from the number of rows")
    return x


def _same(reader: Reader) -> Value:
    return reader.enclosures()[0]


def _summed(reader: Reader, scale: bool = False) -> Enclosure:
    x, *axes = reader.enclosures()
    given = reader.attributes.get("axes") or (
        [int(a) for a in axes[0].coefficients.ravel()] if axes else range(len(x.shape))
    )
    places = tuple(sorted({int(a) % len(x.shape) for a in given}))
    if not places:
        raise reader.refused("it names no axes")
    if 0 in places:
        raise reader.refused("it adds up rows")
    found = summed(reader.arithmetic, x, places, bool(reader.attributes.get("keepdims", 1)))
    count = float(np.prod([x.shape[a] for a in places]))
    if not scale:
        return found
    return multiply(
        reader.arithmetic, found, _inverse(reader.arithmetic, constant(np.array(count)))
    )


READERS: Mapping[str, Callable[[Reader], Value]] = {
    **{name: _unary for name, op in OPS.items() if op.enclosure is not None},
    "Abs": _absolute,
    "Add": _added,
    "Cast": _cast,
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
