"""Graphs that compute with how many rows they are given, so that one row gives another result than many.

The number of rows may be part of a size: of what a Reshape or an Expand makes. Compared, or turned into a
number, it could choose between two networks, of which points that are run together only see one.
"""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.errors import ModelError
from hedge.graph.nodes import label
from hedge.graph.sizes import values_of_sizes

_OF_SHAPES = frozenset({"Shape", "Size"})
# Which of their inputs are sizes of what they write.
_SIZES = {"ConstantOfShape": {0}, "Expand": {1}, "Reshape": {1}, "Tile": {1}}
# What they write holds the number of rows only if it differs between two numbers of them.
_PLAIN = frozenset({
    "Add", "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Mul", "Neg", "Reshape",
    "Slice", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip


def check_row_counts(model: ModelProto) -> None:
    """Raise ModelError if a runnable graph computes with the number of its rows."""
    if not any(node.op_type in _OF_SHAPES for node in model.graph.node):
        return
    few, more = values_of_sizes(model, 2), values_of_sizes(model, 3)
    known = few.keys() & more.keys()
    same = {name for name in known if np.array_equal(few[name], more[name])}
    telling: set[str] = set()  # what is, or may be, another value for another number of rows
    for node in model.graph.node:
        sizes = _SIZES.get(node.op_type, set())
        read = {name for position, name in enumerate(node.input) if position not in sizes} & telling
        if not read and node.op_type not in _OF_SHAPES:
            continue
        is_plain = node.op_type in (_PLAIN | _OF_SHAPES) and not read & same
        found = {name for name in node.output if name and not (is_plain and name in same)}
        if any(name not in known or few[name].dtype.kind == "f" for name in found):
            raise ModelError(
                f"{label(node)} computes with how many rows there are, so that one row may give another "
                "result than many; export it without"
            )
        telling |= found
