"""Slopes of functions of one variable, as further nodes: f'(z) from z and y = f(z)."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, Protocol


class Writer(Protocol):
    """What adds a node whose result has the shape of the tensor that it is ``like``."""

    def add(self, op: str, *operands: Any, like: str, **attributes: Any) -> str:
        """A tensor's name; operands are names and constants."""


Slope = Callable[[Writer, str, str, Mapping[str, Any]], str]
"""(where nodes are added, z, y, the node's attributes) -> f'(z)."""

# Half a unit off; the product with it is enclosed with room for some units.
TWO_BY_ROOT_PI = 2.0 / math.sqrt(math.pi)
ROOT_HALF = math.sqrt(0.5)


def _tanh(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Sub", 1.0, d.add("Mul", y, y, like=y), like=y)


def _sigmoid(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Mul", y, d.add("Sub", 1.0, y, like=y), like=y)


def _bell(d: Writer, z: str) -> str:
    """exp(−z²)."""
    return d.add("Exp", d.add("Neg", d.add("Mul", z, z, like=z), like=z), like=z)


def _erf(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Mul", TWO_BY_ROOT_PI, _bell(d, z), like=y)


def _reciprocal(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Neg", d.add("Mul", y, y, like=y), like=y)


def _atan(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    below = d.add("Add", d.add("Mul", z, z, like=y), 1.0, like=y)
    return d.add("Reciprocal", below, like=y)


def _root(d: Writer, z: str, square: float, rest: float) -> str:
    """√(square z² + rest)."""
    scaled = d.add("Mul", d.add("Mul", z, z, like=z), square, like=z)
    return d.add("Sqrt", d.add("Add", scaled, rest, like=z), like=z)


def _asin(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Reciprocal", _root(d, z, -1.0, 1.0), like=y)


def _atanh(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    rest = d.add("Sub", 1.0, d.add("Mul", z, z, like=y), like=y)
    return d.add("Reciprocal", rest, like=y)


def _tan(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    return d.add("Add", d.add("Mul", y, y, like=y), 1.0, like=y)


def _softsign(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    """Of z/(1 + |z|): 1/(1 + |z|)², without a kink, though its own slope jumps."""
    below = d.add("Add", d.add("Abs", z, like=y), 1.0, like=y)
    return d.add("Reciprocal", d.add("Mul", below, below, like=y), like=y)


def _gelu(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    """Of z Φ(z): Φ + z φ; of its approximation z (1 + tanh g)/2: (1 + t)/2 + z (1 − t²) g'/2."""
    if given.get("approximate", b"none") == b"tanh":
        return _gelu_by_tanh(d, z)
    scaled = d.add("Mul", z, ROOT_HALF, like=y)
    share = d.add("Mul", d.add("Add", d.add("Erf", scaled, like=y), 1.0, like=y), 0.5, like=y)
    bell = d.add("Mul", _bell(d, scaled), TWO_BY_ROOT_PI * ROOT_HALF / 2.0, like=y)
    return d.add("Add", share, d.add("Mul", z, bell, like=y), like=y)


def _gelu_by_tanh(d: Writer, z: str) -> str:
    root, cubic = math.sqrt(2.0 / math.pi), 0.044715
    square = d.add("Mul", z, z, like=z)
    inner = d.add("Add", d.add("Mul", square, root * cubic, like=z), root, like=z)
    bent = d.add("Tanh", d.add("Mul", z, inner, like=z), like=z)
    steep = d.add("Add", d.add("Mul", square, 3.0 * root * cubic, like=z), root, like=z)
    rising = d.add("Mul", _tanh(d, z, bent, {}), d.add("Mul", z, steep, like=z), like=z)
    whole = d.add("Add", d.add("Add", bent, 1.0, like=z), rising, like=z)
    return d.add("Mul", whole, 0.5, like=z)


def _swish(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    """Of z σ(αz): σ + α y (1 − σ)."""
    alpha = float(given.get("alpha", 1.0))
    gate = d.add("Sigmoid", d.add("Mul", z, alpha, like=y), like=y)
    rest = d.add("Mul", d.add("Sub", 1.0, gate, like=y), alpha, like=y)
    return d.add("Add", gate, d.add("Mul", y, rest, like=y), like=y)


def _mish(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    """Of z t, t = tanh(softplus z): t + z (1 − t²) σ(z)."""
    bent = d.add("Tanh", d.add("Softplus", z, like=y), like=y)
    rising = d.add("Mul", _tanh(d, z, bent, {}), d.add("Sigmoid", z, like=y), like=y)
    return d.add("Add", bent, d.add("Mul", z, rising, like=y), like=y)


SMOOTH: Mapping[str, Slope] = {
    "Acos": lambda d, z, y, given: d.add("Neg", _asin(d, z, y, given), like=y),
    "Acosh": lambda d, z, y, _: d.add("Reciprocal", _root(d, z, 1.0, -1.0), like=y),
    "Asin": _asin,
    "Asinh": lambda d, z, y, _: d.add("Reciprocal", _root(d, z, 1.0, 1.0), like=y),
    "Atan": _atan,
    "Atanh": _atanh,
    "Cos": lambda d, z, y, _: d.add("Neg", d.add("Sin", z, like=y), like=y),
    "Cosh": lambda d, z, y, _: d.add("Sinh", z, like=y),
    "Erf": _erf,
    "Exp": lambda d, z, y, _: y,
    "Gelu": _gelu,
    "Log": lambda d, z, y, _: d.add("Reciprocal", z, like=y),
    "Mish": _mish,
    "Reciprocal": _reciprocal,
    "Sigmoid": _sigmoid,
    "Sin": lambda d, z, y, _: d.add("Cos", z, like=y),
    "Sinh": lambda d, z, y, _: d.add("Cosh", z, like=y),
    "Softsign": _softsign,
    "Softplus": lambda d, z, y, _: d.add("Sigmoid", z, like=y),
    "Sqrt": lambda d, z, y, _: d.add("Div", 0.5, y, like=y),
    "Swish": _swish,
    "Tan": _tan,
    "Tanh": _tanh,
}


# ------------------------------------------------------------- kinks: slopes wherever there is one


def _left_or(d: Writer, z: str, right: Any, left: Any) -> str:
    """One slope where z > 0, another one else."""
    return d.add("Where", d.add("Greater", z, 0.0, like=z), right, left, like=z)


def _between(d: Writer, inner: str, within: Any, above: float) -> str:
    """0 up to 0, then one slope up to 1, then another one."""
    is_above = d.add("Greater", inner, 1.0, like=inner)
    return _left_or(d, inner, d.add("Where", is_above, above, within, like=inner), 0.0)


def _hard_sigmoid(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    alpha, beta = (float(given.get(*each)) for each in (("alpha", 0.2), ("beta", 0.5)))
    return _between(d, d.add("Add", d.add("Mul", z, alpha, like=y), beta, like=y), alpha, 0.0)


def _hard_swish(d: Writer, z: str, y: str, _: Mapping[str, Any]) -> str:
    """Of z (z/6 + ½) up to 1: z/3 + ½."""
    inner, steep = (
        d.add("Add", d.add("Mul", z, share, like=y), 0.5, like=y)
        for share in (1.0 / 6.0, 1.0 / 3.0)
    )
    return _between(d, inner, steep, 1.0)


def _elu(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    alpha = float(given.get("alpha", 1.0))
    return _left_or(d, z, 1.0, d.add("Add", y, alpha, like=y))


def _celu(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    alpha = float(given.get("alpha", 1.0))
    return _left_or(d, z, 1.0, d.add("Add", d.add("Mul", y, 1.0 / alpha, like=y), 1.0, like=y))


def _selu(d: Writer, z: str, y: str, given: Mapping[str, Any]) -> str:
    alpha, gamma = (
        float(given.get(*each))
        for each in (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875))
    )
    return _left_or(d, z, gamma, d.add("Add", y, alpha * gamma, like=y))


KINKED: Mapping[str, Slope] = {
    "Abs": lambda d, z, y, _: d.add("Sign", z, like=y),
    "Celu": _celu,
    "Elu": _elu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": lambda d, z, y, given: _left_or(d, z, 1.0, float(given.get("alpha", 0.01))),
    "Relu": lambda d, z, y, _: d.add("Sign", y, like=y),
    "Selu": _selu,
}
