"""Which tensors of a graph are known at export, and which axis of the others is that of rows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.errors import ModelError
from hedge.graph import (
    Evaluator,
    Matrix,
    SplitModel,
    assemble,
    constants_of,
    input_dimension,
    input_names,
)
from hedge.ops import op_of

Tensor = NDArray[Any]

# Two batches tell which axis is that of rows.
ROWS, MORE_ROWS = 3, 5


def survey(
    skeleton: ModelProto, matrices: Mapping[str, Matrix]
) -> tuple[dict[str, Tensor], dict[str, tuple[tuple[int, ...], int]]]:
    """Values of all tensors known at export, and (shape, axis of rows) of all others.

    Raises ModelError where a tensor has no such axis or no numbers, or a known number depends on the
    batch.
    """
    few, many = (_evaluated(skeleton, matrices, rows) for rows in (ROWS, MORE_ROWS))
    known: dict[str, Tensor] = dict(constants_of(SplitModel(skeleton, ())))
    for node in skeleton.graph.node:
        if op_of(node.op_type).kind == "of shapes" or all(
            name in known for name in node.input if name
        ):
            known |= {name: few[name] for name in node.output if name}
    axes = {}
    for name, values in few.items():
        sizes = list(zip(values.shape, many[name].shape, strict=True))
        changed = [axis for axis, pair in enumerate(sizes) if pair[0] != pair[1]]
        has_rows = len(changed) == 1 and sizes[changed[0]] == (ROWS, MORE_ROWS)
        if has_rows:
            axes[name] = values.shape, changed[0]
        if name not in known:
            if not has_rows:
                raise ModelError(
                    f"tensor {name!r} has no axis of its own for the batch; export it row by row"
                )
            if values.size == 0:
                raise ModelError(f"tensor {name!r} has no numbers; remove it")
        elif values.dtype.kind == "f" and (values != many[name][_within(values)]).any():
            raise ModelError(f"tensor {name!r} depends on how many rows there are")
    return known, axes


def _within(values: Tensor) -> tuple[slice, ...]:
    """The part of a larger tensor that has the shape of ``values``."""
    return tuple(slice(size) for size in values.shape)


def _evaluated(
    skeleton: ModelProto, matrices: Mapping[str, Matrix], rows: int
) -> dict[str, Tensor]:
    """All tensors at ``rows`` equal points; only shapes and known values are of use."""
    names = [*input_names(skeleton), *(n for node in skeleton.graph.node for n in node.output if n)]
    points = np.full((rows, input_dimension(skeleton)), 0.5)
    return Evaluator(assemble(skeleton, matrices), names).intermediates(points)
