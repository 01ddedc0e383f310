"""Derivatives, wherever there are some, of what chooses between operands: the chosen one's.

Where two operands are equal that from the left is taken, if one of them does not vary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from onnx import NodeProto, TensorProto

from hedge.errors import ModelError
from hedge.graph.nodes import attributes_of, label
from hedge.ops import op_of

if TYPE_CHECKING:
    from hedge.graph.derivatives import Derivatives, Moved, Rule

CONDITIONS = frozenset({
    "And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Xor",
})  # fmt: skip


def condition(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """A condition that varies has no derivative; it stands for itself, so that what reads it knows."""
    return list(node.output)


def cast(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """From reals to reals; as a number, a condition jumps."""
    to, (out,) = attributes_of(node)["to"], node.output
    if to not in (TensorProto.FLOAT, TensorProto.DOUBLE) or _is_condition(d, node.input[0]):
        raise ModelError(f"{label(node)} has no derivative that is known here: it jumps")
    return [d.add("Cast", moved[0], like=out, to=to)]


def _is_condition(d: Derivatives, tensor: str) -> bool:
    """Whether comparing wrote it, or moving what comparing wrote."""
    node = d.producers.get(tensor)
    while node is not None and (op_of(node.op_type).kind == "moving" or node.op_type == "Identity"):
        node = d.producers.get(node.input[0])
    return node is not None and node.op_type in CONDITIONS


def _where(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """The derivative of what is chosen."""
    (chosen, *_), (out,) = node.input, node.output
    if moved[1] is None and moved[2] is None:
        raise ModelError(f"{label(node)} has no derivative that is known here: it jumps")
    return [_chosen(d, chosen, moved[1], moved[2], out)]


def _clip(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """Of x between bounds that don't vary."""
    (x, *bounds), (out,) = node.input, node.output
    if any(each is not None for each in moved[1:]):
        raise ModelError(f"{label(node)} has no derivative that is known here: its bounds vary")
    lower, upper = (*bounds, "", "")[:2]
    slope = moved[0]
    if lower:
        slope = _chosen(d, d.add("Greater", x, lower, like=out), slope, None, out)
    if upper:
        slope = _chosen(d, d.add("Greater", x, upper, like=out), None, slope, out)
    return [slope]


def _extreme(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """Of the largest or the smallest, one operand after the other."""
    (out,), (best, *others), (slope, *slopes) = node.output, node.input, moved
    if len(others) > 1:
        best = d.spread(best, out)
    for other, its in zip(others, slopes, strict=True):
        if slope is not None or its is not None:
            (x, dx), (y, dy) = sorted(
                [(best, slope), (other, its)], key=lambda pair: pair[1] is None
            )
            pair = (dx, dy) if node.op_type == "Max" else (dy, dx)
            slope = _chosen(d, d.add("Greater", x, y, like=out), *pair, out)
        if other != others[-1]:
            best = d.add(node.op_type, best, other, like=out)
    return [slope]


def _prelu(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """(x or s x)' = (1 or s) x' + (0 or x) s'."""
    (x, share), (out,) = node.input, node.output
    right = d.add("Greater", x, 0.0, like=x)
    terms = []
    if moved[0] is not None:
        steep = d.add("Where", right, 1.0, share, like=out)
        terms.append(d.add("Mul", steep, moved[0], like=out))
    if moved[1] is not None:
        below = d.add("Where", right, 0.0, x, like=out)
        terms.append(d.add("Mul", below, moved[1], like=out))
    return [terms[0] if len(terms) == 1 else d.add("Add", *terms, like=out)]


def _chosen(d: Derivatives, chosen: str, one: str | None, other: str | None, like: str) -> str:
    zeros = d.spread(d.graph.constant(0.0), like)
    return d.add("Where", chosen, one or zeros, other or zeros, like=like)


BENT: Mapping[str, Rule] = {
    "Clip": _clip, "Max": _extreme, "Min": _extreme, "PRelu": _prelu, "Where": _where,
}  # fmt: skip


def bends(node: NodeProto, moved: Moved) -> bool:
    """Whether the result may have a kink: of what the first operand chooses only where that varies."""
    chooses = node.op_type in ("PRelu", "Where")
    return node.op_type in BENT and (moved[0] is not None or not chooses)
