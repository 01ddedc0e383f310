"""Elementwise ops of ONNX as C expressions; {f} is the suffix of libm's functions for the precision."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from onnx import NodeProto, helper

from hedge.errors import once
from hedge.exporting.c99.program import Operand
from hedge.ops import OPS

# Functions that expressions call, as C; {real} is the type. Each stands alone. NaN stays NaN, as in ONNX:
# C's fmax and fmin would hide a sensor that failed.
_FUNCTIONS: dict[str, str] = {
    "cube": "{real} cube({real} x) {{ return x * x * x; }}",
    "gelu_by_tanh": (
        "{real} gelu_by_tanh({real} x) {{ return 0.5{f} * x * "
        "(1 + tanh{f}(0.79788456080286536{f} * (x + 0.044715{f} * x * x * x))); }}"
    ),
    "square": "{real} square({real} x) {{ return x * x; }}",
}


def functions() -> dict[str, str]:
    """All of them by name, those of the table of operators too; raises ValueError if two have one name."""
    of_ops = ((op.c.partition("(")[0], op.function) for op in OPS.values() if op.function)
    return once(_FUNCTIONS.items(), of_ops)


_POWERS: dict[Operand, str] = {2.0: "square({0})", 3.0: "cube({0})", 0.5: "sqrt{f}({0})"}


def expression(
    node: NodeProto, operands: Sequence[Operand | None]
) -> tuple[str, tuple[Operand, ...]]:
    """The C expression of an elementwise node, and what its {0}, {1}, … are.

    operands are the node's inputs in order, None where it leaves one out.
    """
    name, op = node.op_type, OPS[node.op_type]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    given = tuple(operand for operand in operands if operand is not None)
    if name == "Clip":
        return _clip(operands)
    if name == "Where":
        return op.c, given
    if name == "Gelu" and attributes.get("approximate", b"none") == b"tanh":
        return "gelu_by_tanh({0})", given
    if name == "Pow" and isinstance(given[1], float) and given[1] in _POWERS:
        return _POWERS[given[1]], given[:1]
    if op.kind == "unary":
        # Attributes are float32 in files, their defaults in every runtime.
        values = (float(np.float32(attributes.get(k, v))) for k, v in op.attributes.items())
        return op.c, (*given, *values)
    text = "{0}"
    for position in range(1, len(given)):
        text = op.c.replace("{1}", f"{{{position}}}").replace("{0}", text)
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
