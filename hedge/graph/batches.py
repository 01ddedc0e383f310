"""Batches made free: exporters write the number of rows of their example into a graph.

The inputs of every model here are [n, d] or [n]. One point [d], [k, d] of a fixed k and [k, 1, 1, d] become
that where the graph lets go of k: what it gives for 1, 2 and 17 rows is compared with what it gave for k.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

from hedge.errors import ModelError, first_line, quoted
from hedge.graph.nodes import attributes_of, label
from hedge.graph.ports import true_inputs
from hedge.graph.runtime import ORT_ERRORS, quiet_options
from hedge.graph.shapes import inferred_shapes
from hedge.graph.sizes import MOST_OF_TWO_ROWS, check_size, numbers_made, values_of_sizes
from hedge.ops import op_of

BATCH = "n"
TRIED_ROWS = (1, 2, 17)
# Relative to the largest output; rows in other batches are rounded otherwise.
AGREEMENT = 1e-3
EXPORT_AGAIN = "export it again with a free batch (dynamic_axes or dynamic_shapes)"

Arrays = dict[str, NDArray[Any]]


def with_free_batch(model: ModelProto) -> ModelProto:
    """The model with float32 inputs [n, d] or [n] for any n, and without weights among its inputs.

    It is the one given, changed, unless that has a batch, for a large one would be there twice.

    Raises ModelError for other inputs, naming one; and for a batch that the graph doesn't let go, naming the
    node that holds it.
    """
    check_ports(model)
    inputs = true_inputs(model)
    fixed = {_rows(value) for value in inputs} - {None}
    if len(fixed) > 1 or (fixed and None in map(_rows, inputs)):
        names = ", ".join(quoted(value.name) for value in inputs)
        raise ModelError(f"its inputs {names} have batches of different sizes; {EXPORT_AGAIN}")
    count = fixed.pop() if fixed else None
    freed = model if count is None else deepcopy(model)
    _name_squeezed_axes(freed)
    if count is not None and not _is_point(inputs[0]):
        _Freed(freed, count).rewrite()
    for value in true_inputs(freed):
        _flatten(freed, value)
    _declare(freed)
    if count is not None:
        _verify(model, freed, count)
    return freed


def check_ports(model: ModelProto) -> None:
    """Raise ModelError if the model has no input or output, or an input that can't become [n, d] or [n]."""
    inputs = true_inputs(model)
    if not inputs or not model.graph.output:
        raise ModelError("its graph has no input or no output, so it is no function of points")
    for value in inputs:
        dims = value.type.tensor_type.shape.dim
        sizes = _sizes(value)
        if len(sizes) == 2 and sizes[0] is not None and not sizes[1]:
            first = "d" if dims[0].dim_value < 1 else dims[0].dim_value
            raise ModelError(
                f"input {value.name!r} is [{first}, n], features first; hedge needs points in rows, [n, "
                f"{first}] with features on the last axis: transpose, export x -> net(x.T).T"
            )
        is_deep = len(sizes) > 1 and sizes[-1] and all(size == 1 for size in sizes[1:-1])
        if value.type.tensor_type.elem_type != TensorProto.FLOAT or not (
            is_deep or len(sizes) == 1
        ):
            raise ModelError(
                f"input {value.name!r} is not float32 [n, d] with a fixed d; "
                "export it again with such an input"
            )


def _sizes(value: ValueInfoProto) -> list[int | None]:
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.HasField("dim_value") else None for dim in dims]


def _is_point(value: ValueInfoProto) -> bool:
    """[d], without a batch."""
    return len(_sizes(value)) == 1 and _sizes(value)[0] is not None


def _rows(value: ValueInfoProto) -> int | None:
    """The number of rows that the input has by the file; None where it is free."""
    return 1 if _is_point(value) else _sizes(value)[0]


def _name_squeezed_axes(model: ModelProto) -> None:
    """Squeeze without axes takes a batch of one away, too: name the axes that it takes of larger ones."""
    if not any(_squeezes_all(node) for node in model.graph.node):
        return
    shapes = inferred_shapes(model)
    for node in model.graph.node:
        shape = shapes.get(node.input[0]) if _squeezes_all(node) else None
        if shape is not None and None not in shape[1:]:
            axes = [axis for axis, size in enumerate(shape) if axis > 0 and size == 1]
            node.input[:] = [node.input[0], _constant(model, np.array(axes), "axes")]


def _squeezes_all(node: NodeProto) -> bool:
    return node.op_type == "Squeeze" and not node.domain and not any(node.input[1:])


def _flatten(model: ModelProto, value: ValueInfoProto) -> None:
    """Make an input [n, d] or [n], and put its other axes back behind it where a node needs them."""
    sizes = _sizes(value)
    is_point = _is_point(value)
    kept: list[int | str | None] = [BATCH, *(sizes if is_point else sizes[1:][-1:])]
    deep = not is_point and len(sizes) > 2
    value.CopyFrom(helper.make_tensor_value_info(value.name, TensorProto.FLOAT, kept))
    if not deep:
        return
    readers = [node for node in model.graph.node if value.name in node.input]
    if all(_flattens(node) for node in readers):
        for node in readers:
            node.op_type = "Identity"
            del node.attribute[:]
        return
    shape = _constant(model, np.array([-1, *sizes[1:]]), "axes")
    restored = _unused(model, f"{value.name}_axes")
    for node in readers:
        node.input[:] = [restored if name == value.name else name for name in node.input]
    model.graph.node.insert(0, helper.make_node("Reshape", [value.name, shape], [restored]))


def _flattens(node: NodeProto) -> bool:
    return node.op_type == "Flatten" and not node.domain and attributes_of(node).get("axis", 1) == 1


class _Freed:
    """A graph made for ``count`` rows, whose constants that hold that number are replaced in place."""

    def __init__(self, model: ModelProto, count: int) -> None:
        self._model, self._count = model, count
        self._shapes = inferred_shapes(model)
        self._varying = set(_varying(model))
        self._values = values_of_sizes(model, count)
        self._batch = ""

    def rewrite(self) -> None:
        for node in list(self._model.graph.node):
            if node.domain or not self._varying & set(node.output):
                continue
            if node.op_type in ("Reshape", "Expand"):
                self._free_shape(node)
            elif node.op_type == "Concat" or op_of(node.op_type).elementwise:
                self._free_operands(node)

    def _free_shape(self, node: NodeProto) -> None:
        name, shape = node.input[1], self._shapes.get(node.output[0], ())
        if name in self._varying or not shape or shape[0] != self._count or None in shape:
            return
        first = -1 if node.op_type == "Reshape" else 1
        node.input[1] = _constant(self._model, np.array([first, *shape[1:]]), "shape")

    def _free_operands(self, node: NodeProto) -> None:
        """Constants with a row for each of the batch: one row, repeated as often as there are rows."""
        rank = len(self._shapes.get(node.output[0], ()))
        for position, name in enumerate(node.input):
            values = self._values.get(name)
            if name in self._varying or values is None or values.shape[:1] != (self._count,):
                continue
            if values.ndim != rank or (
                node.op_type == "Concat" and attributes_of(node)["axis"] == 0
            ):
                continue
            if (values != values[:1]).any():
                raise ModelError(
                    f"has a batch of {self._count} baked in: {label(node)} reads {name!r}, which has "
                    f"another row for each; {EXPORT_AGAIN}"
                )
            row = _constant(self._model, values[:1], "row")
            node.input[position] = self._repeated(row, values) if node.op_type == "Concat" else row

    def _repeated(self, row: str, values: NDArray[Any]) -> str:
        """A row as often as the first input has rows."""
        shape, repeated = _unused(self._model, "shape"), _unused(self._model, "rows")
        rest = _constant(self._model, np.array(values.shape[1:]), "rest")
        batch = _unused(self._model, "batch")
        source = true_inputs(self._model)[0].name
        self._model.graph.node.insert(0, helper.make_node("Expand", [row, shape], [repeated]))
        self._model.graph.node.insert(0, helper.make_node("Concat", [batch, rest], [shape], axis=0))
        self._model.graph.node.insert(
            0, helper.make_node("Shape", [source], [batch], start=0, end=1)
        )
        return repeated


def _varying(model: ModelProto) -> Iterator[str]:
    """The tensors that hang on the inputs."""
    found = {value.name for value in true_inputs(model)}
    yield from found
    for node in model.graph.node:
        if found & set(node.input):
            found.update(node.output)
            yield from node.output


def _constant(model: ModelProto, values: NDArray[Any], name: str) -> str:
    name = _unused(model, name)
    model.graph.initializer.append(numpy_helper.from_array(values, name))
    return name


def _unused(model: ModelProto, name: str) -> str:
    graph = model.graph
    taken = {t.name for t in (*graph.initializer, *graph.input)}
    taken |= {each for node in graph.node for each in (*node.input, *node.output)}
    while name in taken:
        name += "."
    return name


def _declare(model: ModelProto) -> None:
    """Inputs without the weights, and outputs whose batch is free."""
    inputs = true_inputs(model)
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 0:
            dims[0].dim_param = BATCH
    del model.graph.value_info[:]
    # Weights among the inputs, as old exporters list them, would be overridable by the caller.
    del model.graph.input[:]
    model.graph.input.extend(inputs)


def _verify(model: ModelProto, freed: ModelProto, count: int) -> None:
    """Compare with the model as it was, and give the outputs the shapes that they have.

    Raises ModelError where they differ.
    """
    held = "has a batch baked in" if count == 1 else f"has a batch of {count} baked in"
    if _is_point(true_inputs(model)[0]):
        held = "takes one point at a time"
    for value in freed.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        check_size(freed)
        _check_size_of(model)
        points = _points(model)
        expected = _as_exported(model, points, count)
        found = {n: _run(freed, {k: v[:n] for k, v in points.items()}) for n in TRIED_ROWS}
    except (ModelError, *ORT_ERRORS) as error:
        way = _features_first(model) or EXPORT_AGAIN
        raise ModelError(f"{held} ({first_line(error)}); {way}") from error
    for n, outputs in found.items():
        for value, rows, wanted in zip(freed.graph.output, outputs, expected, strict=True):
            if rows.shape[:1] != (n,) or not _agree(rows, wanted[:n]):
                raise ModelError(
                    f"{held}: output {value.name!r} is another one for {n} row(s); {EXPORT_AGAIN}"
                )
    for value, rows in zip(freed.graph.output, found[TRIED_ROWS[-1]], strict=True):
        shape = [BATCH, *rows.shape[1:]]
        value.CopyFrom(
            helper.make_tensor_value_info(value.name, value.type.tensor_type.elem_type, shape)
        )


def _features_first(model: ModelProto) -> str:
    """What to do about a graph that multiplies its inputs from the left; nothing if it is no such graph."""
    varying = set(_varying(model))
    for node in model.graph.node:
        if node.op_type == "MatMul" and node.input[1] in varying and node.input[0] not in varying:
            return (
                f"{label(node)} multiplies them from the left, features first: transpose, "
                "export x -> net(x.T).T with points in rows, [n, d]"
            )
    return ""


def _check_size_of(model: ModelProto) -> None:
    """Raise ModelError if the model, at the batch that it has, makes more numbers than any is let."""
    rows = _sizes(true_inputs(model)[0])[0] or 1
    if numbers_made(model, rows) > MOST_OF_TWO_ROWS:
        raise ModelError(f"makes more than {MOST_OF_TWO_ROWS:,} numbers of {rows} rows")


def _points(model: ModelProto) -> Arrays:
    rng = np.random.default_rng(0)
    return {
        value.name: rng.uniform(-1.0, 1.0, (TRIED_ROWS[-1], *_row_shape(value))).astype(np.float32)
        for value in true_inputs(model)
    }


def _row_shape(value: ValueInfoProto) -> tuple[int, ...]:
    """What one row of the input has once it is flat."""
    sizes = _sizes(value)
    return tuple(size or 1 for size in (sizes if _is_point(value) else sizes[1:][-1:]))


def _as_exported(
    model: ModelProto, points: Mapping[str, NDArray[Any]], count: int
) -> list[NDArray[Any]]:
    """The outputs at the points, from calls on as many rows as the model was exported for."""
    session = _session(model)
    parts = []
    for start in range(0, TRIED_ROWS[-1], count):
        rows = np.minimum(np.arange(start, start + count), TRIED_ROWS[-1] - 1)
        feed = {
            value.name: points[value.name][rows].reshape([size or 1 for size in _sizes(value)])
            for value in true_inputs(model)
        }
        parts.append(session.run(None, feed))
    is_point = _is_point(true_inputs(model)[0])
    whole = [[o[None] if is_point else o for o in part] for part in parts]
    return [
        np.concatenate([np.atleast_1d(o) for o in outputs]) for outputs in zip(*whole, strict=True)
    ]


def _run(model: ModelProto, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    return list(_session(model).run(None, dict(feed)))


def _session(model: ModelProto) -> onnxruntime.InferenceSession:
    return onnxruntime.InferenceSession(
        model.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"]
    )


def _agree(found: NDArray[Any], wanted: NDArray[Any]) -> bool:
    if found.size != wanted.size:
        return False
    a, b = (np.asarray(v, np.float64).reshape(len(found), -1) for v in (found, wanted))
    allowed = AGREEMENT * np.nanmax(np.abs(b), initial=1e-30)
    return bool(np.allclose(a, b, rtol=0.0, atol=allowed, equal_nan=True))
