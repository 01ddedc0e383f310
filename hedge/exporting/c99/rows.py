"""A graph of batches as a program of one row.

Every tensor of the graph that depends on the input has an axis of rows. With indices in place of numbers,
the ops of ONNX themselves say where each number of a result comes from, whatever the shapes on the way
are; a row that reads another row is found and refused.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, helper

from hedge.errors import ModelError
from hedge.exporting.c99.builder import Builder, Constants, Slots
from hedge.exporting.c99.operations import expression
from hedge.exporting.c99.program import Program
from hedge.exporting.c99.sites import multiply_site, weights_key, with_writers
from hedge.exporting.c99.survey import ROWS, Tensor, survey
from hedge.graph import (
    Matrix,
    input_dimension,
    input_names,
    opset,
    pairs_of,
    split_with_jacobian,
)
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.layer_norm import with_layer_norms_written_out
from hedge.graph.nodes import label, run_node
from hedge.ops import OPS, op_of

KINDS = ("moving", "of shapes", "reducing")  # of operators that need no text of their own
WITHOUT_TEXT = ("Cast", "Identity", "MatMul")


def supported() -> list[str]:
    """The operators that can be written in C."""
    return sorted(n for n, op in OPS.items() if op.c or op.kind in KINDS or n in WITHOUT_TEXT)


@dataclass(frozen=True, eq=False)
class _Rows:
    """A tensor: its shape with ROWS rows along ``axis``, and the slots of one row, (width,)."""

    shape: tuple[int, ...]
    axis: int
    slots: Slots

    @property
    def row_shape(self) -> tuple[int, ...]:
        """The shape without the axis of rows."""
        return self.shape[: self.axis] + self.shape[self.axis + 1 :]

    def indices(self) -> Tensor:
        """An index for every number, in its shape: of its slot and its row, or a known slot alone."""
        rows = np.arange(ROWS)[:, None]
        found = np.where(self.slots < 0, self.slots, self.slots * ROWS + rows)
        return np.moveaxis(found.reshape(ROWS, *self.row_shape), 0, self.axis)


def row_program(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    constants: Constants,
    *,
    double: bool = False,
) -> Program:
    """The steps that compute all outputs of one row, side by side, from its inputs side by side.

    They are to be computed in float or in ``double``. What they read is added to ``constants``.

    Raises ModelError for ops that are not :func:`supported`, for numbers of other types, and for rows that
    are not independent.
    """
    return _Reading(skeleton, matrices, constants, double=double).program()


def jacobian_program(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    constants: Constants,
    *,
    double: bool = False,
    outputs: Sequence[str] = (),
    letters: str = "",
    hessian: bool = False,
) -> Program:
    """As :func:`row_program`, and the derivatives J of all outputs in all inputs, by rows.

    ``outputs`` with these ``letters`` take the place of the model's own where there are any. With ``hessian``
    it gives their second derivatives H, too, a matrix of each output by rows.

    Raises ModelError, too, for what can't be differentiated.
    """
    real = np.float64 if double else np.float32
    parts = split_with_jacobian(skeleton, matrices, real, outputs, letters, hessian=hessian)
    own = len(outputs or skeleton.graph.output)
    return _Reading(*parts, constants, double=double).program(own)


class _Reading:
    """The skeleton read node by node; tensors are ``Rows``, or known values."""

    def __init__(
        self,
        skeleton: ModelProto,
        matrices: Mapping[str, Matrix],
        constants: Constants,
        *,
        double: bool,
    ) -> None:
        skeleton, matrices = with_writers(skeleton, matrices)
        skeleton = with_layer_norms_written_out(skeleton)
        self.skeleton, self.matrices = skeleton, matrices
        self.types = [np.float32, np.float64] if double else [np.float32]
        self.version = opset(skeleton)
        self.build = Builder(input_dimension(skeleton), constants)
        self.known, self.axes = survey(skeleton, matrices)
        self.rows: dict[str, _Rows] = {}
        self.weights = {name: weights_key(matrix) for name, matrix in matrices.items()}
        self.sites: dict[object, list[NodeProto]] = defaultdict(list)
        for node in skeleton.graph.node:
            if node.domain == PLACEHOLDER_DOMAIN:
                self.sites[self.weights[node.name]].append(node)

    def program(self, own: int | None = None) -> Program:
        """All nodes in order, then the outputs; those behind the first ``own`` ones are derivatives."""
        start = 0
        for name in input_names(self.skeleton):
            shape, axis = self.axes[name]
            width = int(np.prod(shape)) // ROWS
            self.rows[name] = _Rows(shape, axis, np.arange(start, start + width))
            start += width
        for node in self.skeleton.graph.node:
            if not all(name in self.known or name in self.rows for name in node.output if name):
                self.read(node)
        slots = [self._output(value.name) for value in self.skeleton.graph.output]
        results = {"u": np.concatenate(slots[:own])}
        if own is not None:
            further = np.concatenate(slots[own:]).reshape(-1, len(results["u"])).T
            columns = input_dimension(self.skeleton)
            results["J"] = further[:, :columns]
            if further.shape[1] > columns:
                results["H"] = further[:, columns:][:, _places_of_pairs(columns)]
        return self.build.program(results)

    def _output(self, name: str) -> Slots:
        if name not in self.axes or self.axes[name][1] != 0:
            raise ModelError(f"output {name!r} does not have the batch as its first axis")
        if name in self.rows:
            return self.rows[name].slots
        values = self.known[name].astype(np.float64)
        if (values != values[:1]).any():
            raise ModelError(f"output {name!r} depends on how many rows there are")
        return self.build.known(values[0].reshape(-1))

    def read(self, node: NodeProto) -> None:
        """The node's steps, and its outputs as rows."""
        name, op = node.op_type, op_of(node.op_type)
        if node.domain == PLACEHOLDER_DOMAIN:
            self._multiply_site(node)
        elif node.domain or name not in supported():
            raise ModelError(
                f"{label(node)} can't be written in C; supported are linear layers and "
                f"{', '.join(supported())}"
            )
        elif name == "Cast":
            self._cast(node)
        elif op.kind == "moving" or name == "Identity":
            self._move(node)
        elif op.c:
            self._compute(node)
        elif name == "MatMul":
            self._multiply(node)
        else:
            self._reduce(node)

    def _set(self, node: NodeProto, slots: Slots, position: int = 0) -> None:
        name = node.output[position]
        self.rows[name] = _Rows(*self.axes[name], slots)

    def _multiply_site(self, node: NodeProto) -> None:
        """The site, and all others that multiply the same weights by what no other site stands before."""
        alike = self.sites[self.weights[node.name]]
        if len(alike) > 1:
            for before in self._before({each.input[0] for each in alike}):
                self.read(before)
        nodes = [
            each for each in alike if each.input[0] in self.rows and each.output[0] not in self.rows
        ]
        name = min((each.name for each in nodes), key=len)  # those of derivatives are longer
        found = multiply_site(
            self.build,
            name,
            [self.matrices[each.name] for each in nodes],
            [self.rows[each.input[0]].slots for each in nodes],
        )
        for each, slots in zip(nodes, found, strict=True):
            self._set(each, slots)

    def _before(self, wanted: set[str]) -> list[NodeProto]:
        """The nodes to read for those of these tensors that hang on no site that is not read yet."""
        there = {*self.known, *self.rows}
        near = []
        for node in self.skeleton.graph.node:
            is_ready = node.domain != PLACEHOLDER_DOMAIN and there.issuperset(
                filter(None, node.input)
            )
            if is_ready and not there.issuperset(filter(None, node.output)):
                near.append(node)
                there.update(node.output)
        found, needed = [], wanted & there
        for node in reversed(near):
            if needed & set(node.output):
                found.append(node)
                needed |= set(node.input)
        return found[::-1]

    def _cast(self, node: NodeProto) -> None:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        to = helper.tensor_dtype_to_np_dtype(attributes["to"])
        if to not in self.types:
            hint = "; give --precision double" if to == np.float64 else ""
            raise ModelError(
                f"{label(node)} makes {to} of numbers, which can't be written in C{hint}"
            )
        self._set(node, self.rows[node.input[0]].slots)

    def _indices(self, name: str) -> Tensor:
        """Of a tensor that moves: indices of numbers, or values of shapes and positions."""
        if name in self.rows:
            return self.rows[name].indices()
        values = self.known[name]
        return self.build.known(values) if values.dtype.kind == "f" else values

    def _numbers(self, name: str) -> Tensor:
        """Of a tensor that is computed with: indices of numbers; an exponent may be a whole one."""
        if name in self.rows:
            return self.rows[name].indices()
        return self.build.known(self.known[name].astype(np.float64))

    def _row_of(self, node: NodeProto, indices: Tensor, axis: int) -> Slots:
        """The slots of one row, from the indices of all.

        Raises ModelError if a row reads another one.
        """
        by_row = np.moveaxis(indices, axis, 0).reshape(ROWS, -1)
        slots = np.where(by_row < 0, by_row, by_row // ROWS)
        own = (by_row < 0) | (by_row % ROWS == np.arange(ROWS)[:, None])
        if not own.all() or (slots != slots[0]).any():
            raise ModelError(f"{label(node)} mixes the rows of a batch; export it row by row")
        return np.asarray(slots[0])

    def _move(self, node: NodeProto) -> None:
        feed = {name: self._indices(name) for name in node.input if name}
        zero = 0
        if node.op_type == "Pad" and not any(node.input[2:3]):
            # It fills with zeros: then zero has to be the index of the number zero.
            zero = int(self.build.known(np.zeros(1))[0])
            feed[node.input[0]] = feed[node.input[0]] - zero
        for position, moved in enumerate(run_node(node, self.version, feed)):
            axis = self.axes[node.output[position]][1]
            self._set(node, self._row_of(node, moved + zero, axis), position)

    def _compute(self, node: NodeProto) -> None:
        shape, axis = self.axes[node.output[0]]
        operands = [
            self.build.operand(
                self._row_of(node, np.broadcast_to(self._numbers(name), shape), axis)
            )
            if name
            else None
            for name in node.input
        ]
        text, given = expression(node, operands)
        width = int(np.prod(shape)) // ROWS
        self._set(node, self.build.elementwise(text, given, width))

    def _reduce(self, node: NodeProto) -> None:
        source = self.rows[node.input[0]]
        axes = self._reduced_axes(node, len(source.shape))
        if source.axis in axes:
            raise ModelError(f"{label(node)} mixes the rows of a batch; export it row by row")
        inside = [axis - (axis > source.axis) for axis in axes]
        numbers = source.slots.reshape(source.row_shape)
        length = int(np.prod([source.row_shape[axis] for axis in inside]))
        last = np.moveaxis(numbers, inside, range(-len(inside), 0)).reshape(-1)
        found = self.build.sums(last, len(last) // length)
        if node.op_type == "ReduceMean":
            operands = (self.build.operand(found), float(length))
            found = self.build.elementwise("{0} / {1}", operands, len(found))
        self._set(node, found)

    def _reduced_axes(self, node: NodeProto, rank: int) -> list[int]:
        attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        if len(node.input) > 1 and node.input[1]:
            axes = [int(axis) for axis in self.known[node.input[1]].reshape(-1)]
        else:
            axes = list(attributes.get("axes", ()))
        if not axes and attributes.get("noop_with_empty_axes", 0):
            raise ModelError(f"{label(node)} reduces nothing; remove it")
        return sorted({axis % rank for axis in axes} or range(rank))

    def _multiply(self, node: NodeProto) -> None:
        left, right = node.input
        if left in self.rows and right in self.known:
            slots = self._times_known(node, self.rows[left], self.known[right])
            self._set(node, slots.reshape(-1))
            return
        if right not in self.rows or left not in self.known or self.known[left].ndim < 2:
            raise ModelError(f"{label(node)} multiplies two tensors that vary; C can't do that yet")
        # (A B)ᵀ = Bᵀ Aᵀ.
        turned = _swapped(self.rows[right])
        found = self._times_known(node, turned, np.swapaxes(self.known[left], -1, -2))
        if turned.axis < len(turned.shape) - 2:
            found = np.swapaxes(found, -1, -2)
        self._set(node, found.reshape(-1))

    def _times_known(self, node: NodeProto, source: _Rows, matrix: Tensor) -> Slots:
        """Slots of source @ matrix for one row, in the shape without the axis of rows."""
        self.build.count(matrix.size, [matrix])
        if matrix.ndim == 1:
            matrix = matrix[:, None]
        rank = len(source.shape)
        stack = matrix.shape[:-2]
        if source.axis == rank - 1 or len(stack) > rank - 2:
            raise ModelError(f"{label(node)} mixes the rows of a batch; export it row by row")
        stack = (1,) * (rank - 2 - len(stack)) + stack
        keeps_axis = source.axis == rank - 2
        vectors = source.slots.reshape(source.row_shape)
        outer = vectors.shape[:-1]
        stack = stack if keeps_axis else (*_without(stack, source.axis), 1)
        weights = np.broadcast_to(
            matrix.reshape(*stack, *matrix.shape[-2:]), (*outer, *matrix.shape[-2:])
        )
        inputs, outputs = matrix.shape[-2:]
        count = int(np.prod(outer))
        target = self.build.elementwise("{0}", (0.0,), count * outputs, node.op_type)
        self.build.multiply(
            np.split(target, count),
            list(vectors.reshape(count, inputs)),
            weights.reshape(count, inputs, outputs).transpose(0, 2, 1),
        )
        return target.reshape(*outer, outputs)


def _places_of_pairs(columns: int) -> NDArray[np.intp]:
    """Which of the pairs each number of a symmetric matrix by rows is, (columns²,)."""
    places = np.zeros((columns, columns), dtype=np.intp)
    for place, (i, j) in enumerate(pairs_of(columns)):
        places[i, j] = places[j, i] = place
    return places.ravel()


def _swapped(source: _Rows) -> _Rows:
    """The tensor with its last two axes exchanged."""
    order = list(range(len(source.shape)))
    order[-2:] = order[:-3:-1]
    inside = [axis - (axis > source.axis) for axis in order if axis != source.axis]
    slots = source.slots.reshape(source.row_shape).transpose(inside).reshape(-1)
    return _Rows(tuple(source.shape[axis] for axis in order), order.index(source.axis), slots)


def _without(sizes: tuple[int, ...], axis: int) -> tuple[int, ...]:
    return sizes[:axis] + sizes[axis + 1 :]
