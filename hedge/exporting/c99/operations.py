"""Elementwise ops of ONNX as C expressions; {f} is the suffix of libm's functions for the precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from hedge.exporting.c99.program import Operand

# Of one operand. Names without {f} are functions of FUNCTIONS.
UNARY: dict[str, str] = {
    "Abs": "fabs{f}({0})", "Acos": "acos{f}({0})", "Acosh": "acosh{f}({0})",
    "Asin": "asin{f}({0})", "Asinh": "asinh{f}({0})", "Atan": "atan{f}({0})",
    "Atanh": "atanh{f}({0})", "Ceil": "ceil{f}({0})", "Cos": "cos{f}({0})",
    "Cosh": "cosh{f}({0})", "Erf": "erf{f}({0})", "Exp": "exp{f}({0})",
    "Floor": "floor{f}({0})", "Log": "log{f}({0})",
    "Mish": "mish({0})", "Neg": "-{0}", "Reciprocal": "1 / {0}", "Relu": "relu({0})",
    "Round": "rint{f}({0})", "Sigmoid": "sigmoid({0})", "Sign": "sign({0})", "Sin": "sin{f}({0})",
    "Sinh": "sinh{f}({0})", "Softplus": "softplus({0})", "Softsign": "softsign({0})",
    "Sqrt": "sqrt{f}({0})", "Tan": "tan{f}({0})", "Tanh": "{tanh}({0})",
}  # fmt: skip
# Of one operand, with attributes that become further operands: name and default of each.
WITH_ATTRIBUTES: dict[str, tuple[str, dict[str, float]]] = {
    "Celu": ("celu({0}, {1})", {"alpha": 1.0}),
    "Elu": ("elu({0}, {1})", {"alpha": 1.0}),
    "HardSigmoid": ("hard_sigmoid({0}, {1}, {2})", {"alpha": 0.2, "beta": 0.5}),
    "HardSwish": ("{0} * hard_sigmoid({0}, {1}, {2})", {"alpha": 1.0 / 6.0, "beta": 0.5}),
    "LeakyRelu": ("leaky_relu({0}, {1})", {"alpha": 0.01}),
    "Selu": (
        "selu({0}, {1}, {2})",
        {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
    ),
    "Swish": ("{0} * sigmoid({1} * {0})", {"alpha": 1.0}),
    "ThresholdedRelu": ("thresholded_relu({0}, {1})", {"alpha": 1.0}),
}
# Of two operands or, where their result can meet a third one, of any number.
VARIADIC: dict[str, str] = {
    "Add": "{0} + {1}", "Div": "{0} / {1}", "Max": "larger({0}, {1})", "Min": "smaller({0}, {1})",
    "Mul": "{0} * {1}", "Pow": "pow{f}({0}, {1})", "Sub": "{0} - {1}", "Sum": "{0} + {1}",
}  # fmt: skip
ELEMENTWISE = frozenset({*UNARY, *WITH_ATTRIBUTES, *VARIADIC, "Clip", "Gelu"})

# Functions that expressions call, as C; {real} is the type. Each stands alone. NaN stays NaN, as in ONNX:
# C's fmax and fmin would hide a sensor that failed.
FUNCTIONS: dict[str, str] = {
    "celu": "{real} celu({real} x, {real} a) {{ return x > 0 ? x : a * expm1{f}(x / a); }}",
    "cube": "{real} cube({real} x) {{ return x * x * x; }}",
    "elu": "{real} elu({real} x, {real} a) {{ return x > 0 ? x : a * expm1{f}(x); }}",
    "gelu": "{real} gelu({real} x) {{ return 0.5{f} * x * erfc{f}(-0.70710678118654752{f} * x); }}",
    "gelu_by_tanh": (
        "{real} gelu_by_tanh({real} x) {{ return 0.5{f} * x * "
        "(1 + tanh{f}(0.79788456080286536{f} * (x + 0.044715{f} * x * x * x))); }}"
    ),
    "hard_sigmoid": (
        "{real} hard_sigmoid({real} x, {real} a, {real} b) "
        "{{ const {real} y = a * x + b; return y < 0 ? 0 : y > 1 ? 1 : y; }}"
    ),
    "larger": "{real} larger({real} a, {real} b) {{ return a > b || a != a ? a : b; }}",
    "leaky_relu": "{real} leaky_relu({real} x, {real} a) {{ return x < 0 ? a * x : x; }}",
    "mish": (
        "{real} mish({real} x) {{ return x * tanh{f}(fmax{f}(x, 0) + log1p{f}(exp{f}(-fabs{f}(x)))); }}"
    ),
    "relu": "{real} relu({real} x) {{ return x < 0 ? 0 : x; }}",
    "selu": (
        "{real} selu({real} x, {real} a, {real} g) {{ return g * (x > 0 ? x : a * expm1{f}(x)); }}"
    ),
    "sigmoid": "{real} sigmoid({real} x) {{ return 1 / (1 + exp{f}(-x)); }}",
    "sign": "{real} sign({real} x) {{ return x > 0 ? 1 : x < 0 ? -1 : x; }}",
    "smaller": "{real} smaller({real} a, {real} b) {{ return a < b || a != a ? a : b; }}",
    "softplus": (
        "{real} softplus({real} x) {{ return fmax{f}(x, 0) + log1p{f}(exp{f}(-fabs{f}(x))); }}"
    ),
    "softsign": "{real} softsign({real} x) {{ return x / (1 + fabs{f}(x)); }}",
    "square": "{real} square({real} x) {{ return x * x; }}",
    "thresholded_relu": ("{real} thresholded_relu({real} x, {real} a) {{ return x > a ? x : 0; }}"),
}
_POWERS: dict[Operand, str] = {2.0: "square({0})", 3.0: "cube({0})", 0.5: "sqrt{f}({0})"}


def expression(
    node: NodeProto, operands: Sequence[Operand | None]
) -> tuple[str, tuple[Operand, ...]]:
    """The C expression of an elementwise node, and what its {0}, {1}, … are.

    operands are the node's inputs in order, None where it leaves one out.
    """
    op = node.op_type
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = tuple(operand for operand in operands if operand is not None)
    if op == "Clip":
        return _clip(operands)
    if op == "Gelu":
        by_tanh = attributes.get("approximate", b"none") == b"tanh"
        return ("gelu_by_tanh({0})" if by_tanh else "gelu({0})"), given
    if op in WITH_ATTRIBUTES:
        text, defaults = WITH_ATTRIBUTES[op]
        # Attributes are float32 in files, their defaults in every runtime.
        values = (float(np.float32(attributes.get(k, v))) for k, v in defaults.items())
        return text, (*given, *values)
    if op in UNARY:
        return UNARY[op], given
    if op == "Pow" and isinstance(given[1], float) and given[1] in _POWERS:
        return _POWERS[given[1]], given[:1]
    text = "{0}"
    for position in range(1, len(given)):
        text = VARIADIC[op].replace("{1}", f"{{{position}}}").replace("{0}", text)
    return text, given


def _clip(operands: Sequence[Operand | None]) -> tuple[str, tuple[Operand, ...]]:
    x, lower, upper = (*operands, None, None)[:3]
    assert x is not None
    text, given = "{0}", [x]
    for bound, function in ((lower, "larger"), (upper, "smaller")):
        if bound is not None:
            text = f"{function}({text}, {{{len(given)}}})"
            given.append(bound)
    return text, tuple(given)
