"""A model's inputs as the columns of one matrix of points, its outputs as those of one matrix.

Points are (n, d) with the columns of all inputs side by side, in the graph's order; outputs are
flattened per row and put side by side, (n, m). The model keeps its own inputs and outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from hedge.errors import ModelError


def true_inputs(model: ModelProto) -> list[ValueInfoProto]:
    """The inputs a caller must give: old exporters list the weights among them."""
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def input_names(model: ModelProto) -> tuple[str, ...]:
    """The names of the model's inputs, in the graph's order."""
    return tuple(value.name for value in true_inputs(model))


def input_dimension(model: ModelProto) -> int:
    """The d of the points (n, d) that the model takes: the columns of all its inputs."""
    return sum(_columns(value) for value in true_inputs(model))


def input_widths(model: ModelProto) -> dict[str, int]:
    """How many columns of the points each input takes, by name, in the graph's order."""
    return {value.name: _columns(value) for value in true_inputs(model)}


def column_names(model: ModelProto) -> tuple[str, ...]:
    """What each column of the points is called: x, or x[0], x[1], … of an input x of several."""
    return tuple(
        value.name if _columns(value) == 1 else f"{value.name}[{column}]"
        for value in true_inputs(model)
        for column in range(_columns(value))
    )


def feeds(model: ModelProto, points: NDArray[Any]) -> dict[str, NDArray[Any]]:
    """The arrays to run the model with, by input name, in the dtype of ``points`` (n, d).

    An input [n, k] takes the next k columns, an input [n] the next one.

    Raises ModelError if the model takes another number of columns.
    """
    if points.shape[1:] != (input_dimension(model),):
        raise ModelError(
            f"takes points of {input_dimension(model)} columns, those given have shape {points.shape}"
        )
    found, start = {}, 0
    for value in true_inputs(model):
        columns = points[:, start : start + _columns(value)]
        start += _columns(value)
        is_flat = len(value.type.tensor_type.shape.dim) == 1
        found[value.name] = np.ascontiguousarray(columns[:, 0] if is_flat else columns)
    return found


def joined(outputs: Sequence[NDArray[Any]], count: int) -> NDArray[np.float64]:
    """All outputs flattened per row and side by side, (count, m), as float64.

    Raises ModelError if the first axis of one is not the batch, or one is empty.
    """
    for values in outputs:
        if values.shape[:1] != (count,) or values.size == 0:
            raise ModelError(
                f"its output has shape {values.shape} for {count} points; "
                "its first axis must be the batch"
            )
    wide = [np.asarray(v, dtype=np.float64).reshape(count, -1) for v in outputs]
    return wide[0] if len(wide) == 1 else np.hstack(wide)


def _columns(value: ValueInfoProto) -> int:
    dims = value.type.tensor_type.shape.dim
    return int(dims[1].dim_value) if len(dims) == 2 else 1
