"""Derivatives' nodes, less what needs no run: what is the same in all rows is computed once, here.

The derivative of a first layer is a row of its weights, those of conditions are numbers and zeros; factors
that do not vary are gathered, and the same node is not run twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.graph.derivatives import Derivatives
from hedge.graph.nodes import attributes_of, run_node
from hedge.graph.versions import opset

JOINING = ("Add", "Div", "Mul", "Sub", "Sum", "Where")


@dataclass(frozen=True)
class _Multiple:
    """A tensor times numbers that broadcast to its shape."""

    base: str
    factor: Array


class Lean:
    """The nodes of a model and its derivatives; those of the model stay as they are.

    ``nodes`` are what is left of them; many may be read by nothing.
    """

    def __init__(self, derived: Derivatives) -> None:
        self.derived = derived
        self.nodes: list[NodeProto] = []
        self._version = opset(derived.model)
        self._prefix = derived.graph.prefix
        self._values: dict[str, Array] = dict(derived.values)  # constants; and of one row
        self._values |= {
            name: numpy_helper.to_array(t) for name, t in derived.graph.constants.items()
        }
        self._instead: dict[str, str] = {}
        self._multiples: dict[str, _Multiple] = {}
        self._written: dict[tuple[object, ...], str] = {}
        self._stored: dict[tuple[str, tuple[int, ...], bytes], str] = {}
        self._tensors: dict[str, TensorProto] = {}
        own = {name for node in derived.model.graph.node for name in node.output}
        for node in derived.graph.nodes:
            self._own(node) if node.output[0] in own else self._read(node)

    def output(self, name: str, tensor: str | None, like: str) -> str:
        """The tensor under the name of an output, in all rows; zeros of the shape of another for None."""
        if tensor is None:
            tensor = self._constant(np.zeros((1,) * len(self.derived.shapes[like])))
            found = self._spread(tensor, like)
        else:
            found = self._in_full(tensor, like)
        if found != name:
            self.nodes.append(helper.make_node("Identity", [found], [name], name=f"{name}.node"))
        return name

    def constants(self, needed: Iterable[str]) -> list[TensorProto]:
        """Those of the derivatives that are among these."""
        found = {**self.derived.graph.constants, **self._tensors}
        return [found[name] for name in sorted(set(needed) & set(found))]

    def _own(self, node: NodeProto) -> None:
        """A node of the model, whose value is followed where it hangs on constants alone."""
        self.nodes.append(node)
        self._written.setdefault(_key(node), node.output[0])
        if node.input and all(name in self._values for name in node.input if name):
            self._evaluate(node, list(node.input))

    def _read(self, node: NodeProto) -> None:
        inputs = [self._instead.get(name, name) for name in node.input]
        if node.op_type == "Shape":
            self.nodes.append(node)
        elif node.op_type == "Expand" and inputs[0] in self._values:
            shape = self.derived.shapes[node.output[0]]
            self._values[node.output[0]] = np.broadcast_to(self._values[inputs[0]], shape)
        elif all(name in self._values for name in inputs if name):
            self._evaluate(node, inputs)
        elif node.op_type in ("Mul", "Neg"):
            self._multiply(node.output[0], inputs, is_negative=node.op_type == "Neg")
        elif not self._is_zero_or_same(node, inputs):
            self._write(node, inputs)

    def _evaluate(self, node: NodeProto, inputs: Sequence[str]) -> None:
        renamed = NodeProto()
        renamed.CopyFrom(node)
        renamed.input[:] = inputs
        feed = {name: self._values[name] for name in inputs if name}
        if node.op_type != "Cast":
            feed = {name: _wide(values) for name, values in feed.items()}
        for name, values in zip(node.output, run_node(renamed, self._version, feed), strict=True):
            self._values[name] = values

    def _multiply(self, target: str, inputs: Sequence[str], *, is_negative: bool) -> None:
        """Numbers go into one factor, which is multiplied by where the product is read."""
        factor = -np.ones(()) if is_negative else np.ones(())
        bases = []
        for name in inputs:
            if name in self._values:
                factor = factor * _wide(self._values[name])
            else:
                multiple = self._multiples.get(name, _Multiple(name, np.ones(())))
                bases.append(multiple.base)
                factor = factor * multiple.factor
        if not factor.any():
            self._values[target] = np.zeros(self.derived.shapes[target])
            return
        base = bases[0]
        if len(bases) == 2:
            name = f"{target}.base"
            base = self._once(helper.make_node("Mul", sorted(bases), [name], name=f"{name}.node"))
            self.derived.shapes[base] = np.broadcast_shapes(*map(self._shape, bases))
        if self._shape(base) != self.derived.shapes[target]:
            written = [base, self._constant(factor)]
            self._instead[target] = self._once(
                helper.make_node("Mul", written, [target], name=f"{target}.node")
            )
        elif (factor == 1.0).all():
            self._instead[target] = base
        else:
            self._multiples[target] = _Multiple(base, _small(factor))

    def _shape(self, name: str) -> tuple[int, ...]:
        return self.derived.shapes[name]

    def _is_zero_or_same(self, node: NodeProto, inputs: Sequence[str]) -> bool:
        """Whether a zero among the operands makes the result one, or the other operand."""
        (target, *_), shape = node.output, self.derived.shapes[node.output[0]]
        zero = [name in self._values and not self._values[name].any() for name in inputs]
        if not any(zero) or node.op_type not in ("Add", "Div", "Sub"):
            return False
        if node.op_type == "Div":
            if zero[0]:
                self._values[target] = np.zeros(shape)
            return zero[0]
        other = inputs[zero.index(False)]
        if self._shape(other) != shape:
            return False
        if node.op_type == "Sub" and zero[0]:
            self._multiply(target, [other], is_negative=True)
        elif other in self._multiples:
            self._multiples[target] = self._multiples[other]
        else:
            self._instead[target] = other
        return True

    def _write(self, node: NodeProto, inputs: Sequence[str]) -> None:
        """The node, of operands as they are at run time."""
        op = node.op_type
        if op in ("Add", "Sub"):
            op, inputs = self._signs(op, inputs)
        operand = self._joined if op in JOINING else self._operand
        read = [operand(name, node, inputs) if name else "" for name in inputs]
        made = helper.make_node(op, read, node.output, name=node.name, **attributes_of(node))
        self._instead[node.output[0]] = self._once(made)

    def _signs(self, op: str, inputs: Sequence[str]) -> tuple[str, Sequence[str]]:
        """x ± (−y) as x ∓ y."""
        last = self._multiples.get(inputs[1])
        if last is None or last.factor.size != 1 or float(last.factor.ravel()[0]) != -1.0:
            return op, inputs
        return "Sub" if op == "Add" else "Add", [inputs[0], last.base]

    def _joined(self, name: str, node: NodeProto, inputs: Sequence[str]) -> str:
        """An operand that broadcasts over rows; over columns, too, where another one has all of them."""
        if name not in self._values or not name.startswith(self._prefix):
            return self._materialized(name)
        others = [self._shape(other) for other in inputs if other not in self._values]
        is_whole = np.broadcast_shapes(*others) == self._shape(node.output[0])
        return self._constant(_small(self._values[name]) if is_whole else self._values[name])

    def _operand(self, name: str, node: NodeProto, inputs: Sequence[str]) -> str:
        """An operand in all its rows; weights, axes and shapes are those of the model."""
        if name in self.derived.primals and name in self._values:
            return self._in_full(name, self.derived.primals[name])
        return self._materialized(name)

    def _in_full(self, name: str, like: str) -> str:
        name = self._instead.get(name, name)
        if name in self._values and name in self.derived.primals:
            return self._spread(self._constant(_small(self._values[name])), like)
        return self._materialized(name)

    def _materialized(self, name: str) -> str:
        multiple = self._multiples.get(name)
        if multiple is None:
            return name
        if (multiple.factor == -1.0).all():
            return self._once(helper.make_node("Neg", [multiple.base], [name], name=f"{name}.node"))
        factor = self._constant(multiple.factor)
        return self._once(
            helper.make_node("Mul", [multiple.base, factor], [name], name=f"{name}.node")
        )

    def _once(self, node: NodeProto) -> str:
        """Add a node, unless there is the same; returns the first tensor that it writes."""
        key = _key(node)
        if key in self._written and len(node.output) == 1:
            return self._written[key]
        self._written[key] = str(node.output[0])
        self.nodes.append(node)
        return self._written[key]

    def _spread(self, constant: str, like: str) -> str:
        shape = self._once(helper.make_node("Shape", [like], [f"{self._prefix}shape.{like}"]))
        target = f"{self._prefix}{constant}.{like}"
        return self._once(helper.make_node("Expand", [constant, shape], [target]))

    def _constant(self, values: Array) -> str:
        """Stored once, as constants of derivatives are. Raises ModelError for a number that is too large."""
        real = self.derived.graph.real
        with np.errstate(over="ignore"):
            stored = np.asarray(values, real if values.dtype.kind == "f" else None, order="C")
        if not np.isfinite(stored).all():
            raise ModelError(f"has a derivative that is too large for {real.__name__}")
        key = (stored.dtype.str, stored.shape, stored.tobytes())
        if key not in self._stored:
            name = f"{self._prefix}row{len(self._stored)}"
            self._stored[key] = name
            self._tensors[name] = numpy_helper.from_array(stored, name)
        return self._stored[key]


def _key(node: NodeProto) -> tuple[object, ...]:
    """What nodes that compute the same have in common."""
    given = sorted((a.name, a.SerializeToString(deterministic=True)) for a in node.attribute)
    return (node.domain, node.op_type, *node.input, *given)


def _wide(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype.kind == "f" else values


def _small(values: Array) -> Array:
    """A single number where all are equal, of as many axes."""
    same = values.size > 1 and (values == values.ravel()[0]).all()
    return values.ravel()[:1].reshape((1,) * values.ndim) if same else values
