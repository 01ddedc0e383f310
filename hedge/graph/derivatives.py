"""Derivatives of a graph's tensors with respect to its input columns, as further nodes.

Forward mode, node by node: the derivative of a result is written with those of the operands. What has been
written can be differentiated again, so that one rule an operator gives derivatives of every order, and
what several of them share is computed once. A derivative has the shape of what it is the derivative of.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, numpy_helper

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.graph.builder import GraphBuilder
from hedge.graph.kinks import BENT, CONDITIONS, bends, cast, condition
from hedge.graph.nodes import attributes_of, label
from hedge.graph.ports import true_inputs
from hedge.graph.sizes import shapes_of_a_row
from hedge.graph.slopes import KINKED, SMOOTH
from hedge.ops import op_of


class Derivatives:
    """A model's nodes, to which those of derivatives are added.

    >>> from hedge.graph.builder import GraphBuilder
    >>> graph = GraphBuilder()
    >>> square = graph.model({"x": 1}, {graph.add("Mul", "x", "x", output="u"): 1})
    >>> with_slope = Derivatives(square)
    >>> slope = with_slope.of("u", [0])  # 2 (x' x)
    >>> [node.op_type for node in with_slope.graph.nodes if slope in node.output]
    ['Mul']
    """

    def __init__(
        self,
        model: ModelProto,
        real: type[np.floating[Any]] = np.float64,
        *,
        almost_everywhere: bool = False,
    ) -> None:
        """Its weights are kept as they are; new constants are ``real``. Shapes are those of one row.

        A function with a kink has no derivative, or ``almost_everywhere`` its first one, taken at the kink
        from the left (that of the modulus is 0 there). One that jumps has none.
        """
        self.graph = GraphBuilder(own_prefix(model), real)
        self.graph.nodes.extend(model.graph.node)
        self.model = model
        self.values = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
        self.shapes = shapes_of_a_row(model)
        self.producers = {name: node for node in model.graph.node for name in node.output}
        self._seeds = {(name, column): seed for name, column, seed in _seeds(model, self.shapes)}
        self._found: dict[tuple[str, int], str | None] = {}
        self._slopes: dict[str, str] = {}
        self.almost_everywhere = almost_everywhere
        self.steps: dict[
            str, NodeProto
        ] = {}  # what slopes that step are made of, and whose they are
        self.rows: dict[str, Array] = {}  # what derivatives of the points are in every row
        self.primals: dict[str, str] = {}  # a tensor of the model in the shape of each new one

    def of(self, tensor: str, columns: Sequence[int]) -> str | None:
        """The tensor's derivative in these columns of the points, one after the other; None if it is 0.

        Raises ModelError for operators whose derivatives are not known, or don't exist.
        """
        found: str | None = tensor
        for column in columns:
            if found is not None:
                for node in self._before(found):
                    self._once(node, column)
                found = self.known(found, column)
        return found

    def known(self, tensor: str, column: int) -> str | None:
        """What has been found before."""
        if (tensor, column) in self._seeds:
            seed = self._seeds.pop((tensor, column))
            found = self.spread(self.graph.constant(seed), tensor)
            self._found[tensor, column], self.rows[found] = found, seed
        return self._found.get((tensor, column))

    def add(self, op: str, *operands: Any, like: str, **attributes: Any) -> str:
        """A new node, whose result has the shape of the tensor that it is ``like``."""
        name = self.graph.add(op, *operands, **attributes)
        self.producers[name] = self.graph.nodes[-1]
        self.shapes[name] = self.shapes[like]
        self.primals[name] = self.primals.get(like, like)
        return name

    def slope(self, node: NodeProto, write: Callable[[], str]) -> str:
        """f' of a node's operand, written once for all columns."""
        if node.output[0] not in self._slopes:
            self._slopes[node.output[0]] = write()
        return self._slopes[node.output[0]]

    def spread(self, tensor: str, like: str) -> str:
        """The same in the shape of another, all rows included."""
        if self.shapes.get(tensor) == self.shapes[like]:
            return tensor
        return self.add("Expand", tensor, self.graph.add("Shape", like), like=like)

    def constant_of(self, tensor: str) -> Array | None:
        """The numbers of a constant; None of what a node writes."""
        if tensor in self.graph.constants:
            return numpy_helper.to_array(self.graph.constants[tensor])
        return self.values.get(tensor)

    def _before(self, tensor: str) -> list[NodeProto]:
        """The nodes that it hangs on, each behind those that it reads."""
        needed, wanted = [], {tensor}
        for node in reversed(self.graph.nodes):
            if wanted & set(node.output):
                needed.append(node)
                wanted |= set(node.input)
        return needed[::-1]

    def _once(self, node: NodeProto, column: int) -> None:
        if (node.output[0], column) in self._found:
            return
        moved = [self.known(name, column) if name else None for name in node.input]
        for name in node.output:
            self._found[name, column] = None
        if any(each is not None for each in moved) and op_of(node.op_type).kind != "of shapes":
            found = _differentiated(self, node, moved)
            for name, derivative in zip(node.output, found, strict=True):
                self._found[name, column] = derivative


def own_prefix(model: ModelProto) -> str:
    """What no tensor's name in the model begins with, so that none is taken for another."""
    taken = {t.name for t in (*model.graph.initializer, *model.graph.input)}
    taken |= {name for node in model.graph.node for name in node.output}
    prefix = "d."
    while any(name.startswith(prefix) for name in taken):
        prefix = f"d{prefix}"
    return prefix


def _seeds(
    model: ModelProto, shapes: Mapping[str, tuple[int, ...]]
) -> Iterator[tuple[str, int, Array]]:
    """Of each input and column of the points among its own, its derivative."""
    start = 0
    for value in true_inputs(model):
        shape = shapes[value.name]
        width = math.prod(shape)
        for column in range(width):
            yield value.name, start + column, np.eye(width)[column].reshape(shape)
        start += width


Moved = Sequence[str | None]
Rule = Callable[[Derivatives, NodeProto, Moved], Sequence[str | None]]


def _differentiated(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """The derivatives of a node's results, some of whose operands vary."""
    if (kinked := d.steps.get(node.output[0])) is not None:
        raise ModelError(f"{label(kinked)} has a kink, and so no second derivative")
    if node.op_type not in KINKED and not bends(node, moved):
        return _rule(d, node)(d, node, moved)
    if not d.almost_everywhere:
        raise ModelError(f"{label(node)} has no derivative that is known here: it has a kink")
    before = len(d.graph.nodes)
    found = BENT.get(node.op_type, _unary)(d, node, moved)
    d.steps |= {new.output[0]: node for new in d.graph.nodes[before:]}
    return found


def _rule(d: Derivatives, node: NodeProto) -> Rule:
    """Of a node without kinks."""
    op = op_of(node.op_type)
    if (rule := {**_RULES, **BENT}.get(node.op_type)) is not None:
        return rule
    if node.op_type in CONDITIONS:
        return condition
    if node.op_type in SMOOTH:
        return _unary
    if op.kind == "moving":
        return _moving
    known = ", ".join(sorted(differentiated(almost_everywhere=d.almost_everywhere)))
    why = "it jumps" if op.jumps else f"differentiated are {known} and what moves numbers"
    raise ModelError(f"{label(node)} has no derivative that is known here: {why}")


def differentiated(*, almost_everywhere: bool) -> set[str]:
    """The operators that have derivatives, beside those that move numbers."""
    return {*_RULES, *SMOOTH, *((*KINKED, *BENT) if almost_everywhere else ())}


# ---------------------------------------------------------------------------- functions of one variable


def _unary(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """f(z)' = f'(z) z'."""
    (z,), (y,), write = node.input, node.output, {**SMOOTH, **KINKED}[node.op_type]
    slope = d.slope(node, lambda: write(d, z, y, attributes_of(node)))
    return [d.add("Mul", slope, moved[0], like=y)]


def _softmax(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """y' = y (z' − Σ y z')."""
    (y,), axis = node.output, attributes_of(node).get("axis", -1)
    if axis not in (-1, len(d.shapes[y]) - 1):
        raise ModelError(
            f"{label(node)} has no derivative that is known here: not of the last axis"
        )
    weighted = d.add("Mul", y, moved[0], like=y)
    share = d.add("MatMul", weighted, np.ones((d.shapes[y][-1],) * 2), like=y)
    return [d.add("Sub", weighted, d.add("Mul", y, share, like=y), like=y)]


# ------------------------------------------------------------------------------------ linear operators


def _same(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """An operator that is linear in its first operand, and reads no other one that varies."""
    _check_only_first(node, moved)
    operands = [moved[0], *node.input[1:]]
    attributes = attributes_of(node)
    return [d.add(node.op_type, *operands, like=node.output[0], **attributes)]


def _moving(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    if len(node.output) == 1:
        return _same(d, node, moved)
    _check_only_first(node, moved)
    first = d.add(
        node.op_type, moved[0], *node.input[1:], like=node.output[0], **attributes_of(node)
    )
    split = d.graph.nodes[-1]
    others = [f"{first}.{i}" for i in range(1, len(node.output))]
    split.output.extend(others)
    for name, primal in zip(others, node.output[1:], strict=True):
        d.producers[name], d.shapes[name], d.primals[name] = split, d.shapes[primal], primal
    return [
        name if varies else None
        for name, varies in zip((first, *others), _varying_parts(d, node, moved[0]), strict=True)
    ]


def _varying_parts(d: Derivatives, node: NodeProto, moved: str | None) -> list[bool]:
    """Which results of a Split vary: of the points one that has other columns does not."""
    sizes = d.constant_of(node.input[1]) if len(node.input) > 1 else None
    if moved not in d.rows or sizes is None:
        return [True] * len(node.output)
    ends = np.cumsum(sizes.astype(int))[:-1]
    parts = np.split(d.rows[moved], ends, axis=attributes_of(node).get("axis", 0))
    return [bool(part.any()) for part in parts]


def _pad(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """What it fills in does not vary: its derivative is filled up with zeros."""
    _check_only_first(node, moved)
    pads, axes = node.input[1], node.input[3:]
    operands = [moved[0], pads, *(["", *axes] if axes else [])]
    return [d.add("Pad", *operands, like=node.output[0], **attributes_of(node))]


def _check_only_first(node: NodeProto, moved: Moved) -> None:
    if any(each is not None for each in moved[1:]):
        raise ModelError(f"{label(node)} has no derivative that is known here: its sizes vary")


def _gemm(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """The bias, which does not vary, is left out."""
    if any(each is not None for each in moved[1:]):
        raise ModelError(f"{label(node)} has no derivative that is known here: its weights vary")
    attributes = {k: v for k, v in attributes_of(node).items() if k != "beta"}
    return [d.add("Gemm", moved[0], node.input[1], like=node.output[0], **attributes)]


def _concat(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    parts = [
        d.spread(d.graph.constant(0.0), name) if each is None else each
        for name, each in zip(node.input, moved, strict=True)
    ]
    return [d.add("Concat", *parts, like=node.output[0], **attributes_of(node))]


# ------------------------------------------------------------------------------- sums, products, quotients


def _sum(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """Each term in the shape of the sum, which may be that of one that does not vary."""
    (out,) = node.output
    terms = [d.spread(each, out) for each in moved if each is not None]
    if len(terms) == 1:
        return terms
    return [d.add("Add" if len(terms) == 2 else "Sum", *terms, like=out)]


def _difference(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    x, y = moved
    (out,) = node.output
    if y is None:
        return [d.spread(str(x), out)]
    if x is None:
        return [d.spread(d.add("Neg", y, like=node.input[1]), out)]
    return [d.add("Sub", x, y, like=out)]


def _product(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """(x y)' = x' y + x y'; x² is written once."""
    (x, y), (out,) = node.input, node.output
    if x == y:
        half = d.add(node.op_type, moved[0], y, like=out)
        return [d.add("Mul", 2.0, half, like=out)]
    terms = [
        d.add(node.op_type, *pair, like=out)
        for pair, each in (((moved[0], y), moved[0]), ((x, moved[1]), moved[1]))
        if each is not None
    ]
    return [terms[0] if len(terms) == 1 else d.add("Add", *terms, like=out)]


def _matrix_product(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    if node.input[0] == node.input[1]:
        raise ModelError(f"{label(node)} has no derivative that is known here: it squares a matrix")
    return _product(d, node, moved)


def _quotient(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """q = x/y: q' = (x' − q y')/y."""
    (_, y), (q,) = node.input, node.output
    top = moved[0]
    if moved[1] is not None:
        less = d.add("Mul", q, moved[1], like=q)
        top = d.add("Neg", less, like=q) if top is None else d.add("Sub", top, less, like=q)
    return [d.add("Div", top, y, like=q)]


def _power(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """(xᶜ)' = c xᶜ⁻¹ x' + xᶜ log x c'."""
    (x, exponents), (out,) = node.input, node.output
    values = d.constant_of(exponents)
    if values is not None and len(np.unique(values)) == 1:
        return [_power_of_one(d, node, float(values.ravel()[0]), str(moved[0]))]
    terms = []
    if moved[0] is not None:
        lower = d.add("Pow", x, d.add("Sub", exponents, 1.0, like=exponents), like=out)
        terms.append(d.add("Mul", d.add("Mul", exponents, lower, like=out), moved[0], like=out))
    if moved[1] is not None:
        bent = d.add("Mul", node.output[0], d.add("Log", x, like=x), like=out)
        terms.append(d.add("Mul", bent, moved[1], like=out))
    return [terms[0] if len(terms) == 1 else d.add("Add", *terms, like=out)]


def _power_of_one(d: Derivatives, node: NodeProto, c: float, moved: str) -> str:
    """c xᶜ⁻¹ x' for one constant c."""
    x, (out,) = node.input[0], node.output
    if c == 1.0:
        return d.spread(moved, out)

    def write() -> str:
        lower = x if c == 2.0 else d.add("Pow", x, np.array(c - 1.0), like=x)
        return d.add("Mul", c, lower, like=x)

    return d.add("Mul", d.slope(node, write), moved, like=out)


def _batch_norm(d: Derivatives, node: NodeProto, moved: Moved) -> Sequence[str | None]:
    """With constant statistics: the same of x', without mean and offset."""
    _check_only_first(node, moved)
    if attributes_of(node).get("training_mode", 0):
        raise ModelError(f"{label(node)} has no derivative that is known here: it is being trained")
    scale, variance = node.input[1], node.input[4]
    zeros = np.zeros(d.shapes[scale])
    operands = [moved[0], scale, zeros, zeros, variance]
    return [d.add(node.op_type, *operands, like=node.output[0], **attributes_of(node))]


_RULES: Mapping[str, Rule] = {
    "Add": _sum,
    "BatchNormalization": _batch_norm,
    "Cast": cast,
    "Concat": _concat,
    "Div": _quotient,
    "Gemm": _gemm,
    "Identity": _same,
    "MatMul": _matrix_product,
    "Mul": _product,
    "Neg": _same,
    "Pad": _pad,
    "Pow": _power,
    "ReduceMean": _same,
    "ReduceSum": _same,
    "Softmax": _softmax,
    "Sub": _difference,
    "Sum": _sum,
}
