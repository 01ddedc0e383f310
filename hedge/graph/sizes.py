"""How many numbers a call of a graph makes, told from its file alone: a few bytes can ask for terabytes.

Shapes are inferred node by node for a given number of rows; the whole numbers that sizes are made of
(Shape, Gather, Concat, … before a Reshape or an Expand) are computed on the way.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import (
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    TypeProto,
    ValueInfoProto,
    helper,
    numpy_helper,
)

from hedge.errors import ModelError, first_line
from hedge.graph.nodes import label, run_node
from hedge.graph.ports import true_inputs
from hedge.ops import op_of

# Numbers that a call on two rows may make beside those that the file holds: 1 GiB in float64.
MOST_OF_TWO_ROWS = 2**27
# Each stored number may occur again so often: a layer's width in its activations, a weight widened.
COPIES = 16
# Numbers that a call may make on all its rows: 32 GiB in float64 if all are kept.
MOST_OF_A_CALL = 2**32
# Multiplications of a call on two rows that are no graph of layers any more: some minutes.
MOST_MULTIPLICATIONS = 2**38
# Values are computed of tensors up to this size: shapes, index ranges, grids.
MOST_FOLLOWED = 2**16
# What sizes are computed by; cheap in the size of what they read and write.
_FOLLOWED = frozenset({
    "Abs", "Add", "And", "Cast", "Ceil", "Concat", "ConstantOfShape", "Div", "Equal", "Expand",
    "Flatten", "Floor", "Gather", "Greater", "Identity", "Less", "Max", "Min", "Mod", "Mul", "Neg",
    "NonZero", "Not", "Or", "Range", "ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "Reshape",
    "Shape", "Size", "Slice", "Split", "Sqrt", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze",
    "Where",
})  # fmt: skip
# What these write may be far larger than what they read, by the values of an input.
_GROWING = frozenset({"ConstantOfShape", "Expand", "OneHot", "Pad", "Range", "Tile"})
# onnx multiplies sizes in 64 bits, where larger factors wrap around to small ones.
LARGEST_FACTOR = 2**40
TEXT = TensorProto.STRING
# What onnx raises of a node whose inputs do not fit each other.
_MISFITS = (onnx.checker.ValidationError, onnx.shape_inference.InferenceError, ValueError)


def check_size(model: ModelProto) -> None:
    """Raise ModelError if a call on two rows makes far more numbers than the file holds.

    Sizes that the file declares of its outputs are corrected in place where they are others.
    """
    stored = sum(prod(tensor.dims) for tensor in model.graph.initializer)
    types, _, made = _followed(model, 2)
    most = MOST_OF_TWO_ROWS + COPIES * stored
    if made > most:
        raise ModelError(
            f"makes {made:,} numbers of two rows; hedge runs models that make up to {most:,}"
        )
    for value in model.graph.output:
        _declare(value, types.get(value.name))


def _declare(output: ValueInfoProto, kind: TypeProto | None) -> None:
    """Put the sizes beside the batch that an output has in the place of those that are declared."""
    declared = output.type.tensor_type.shape.dim
    if kind is None or _count(kind) is None or len(_dims(kind)) != len(declared):
        return
    for dim, size in list(zip(declared, _dims(kind), strict=True))[1:]:
        if dim.HasField("dim_value") and dim.dim_value != size:
            dim.dim_value = size


def check_room(model: ModelProto, rows: int) -> None:
    """Raise ModelError if a call on ``rows`` rows makes more numbers than a machine has room for."""
    made = numbers_made(model, rows)
    if made > MOST_OF_TWO_ROWS and made > rows * numbers_made(model, 2):
        raise ModelError(
            f"makes {made:,} numbers of {rows:,} rows, more than rows that are independent of each "
            f"other: it mixes the rows of a batch; {_product_of_rows(model) or 'export it row by row'}"
        )
    if made > MOST_OF_A_CALL:
        raise ModelError(
            f"makes {made:,} numbers of {rows:,} rows; hedge runs calls that make up to "
            f"{MOST_OF_A_CALL:,}: give fewer rows"
        )


def _product_of_rows(model: ModelProto) -> str:
    """What to do about an operator network that gives all rows of one input at all rows of another."""
    varying = {value.name for value in true_inputs(model)}
    for node in model.graph.node:
        if varying & set(node.input):
            varying |= set(node.output)
        is_product = node.op_type in ("Einsum", "Gemm", "MatMul") and not node.domain
        if is_product and set(node.input[:2]) <= varying:
            return (
                f"{label(node)} multiplies all rows of one input with all of another, a product grid: export "
                "(branch * trunk).sum(1, keepdim=True) in its place, or import the module by "
                "hedge.import_model, which does that"
            )
    return ""


def numbers_made(model: ModelProto, rows: int) -> int:
    """The numbers in all tensors of a runnable model, weights apart, in a call on ``rows`` rows.

    What onnx can't tell is not counted: nodes of other domains, and what is behind them.

    Raises ModelError where a size hangs on the values of the inputs, shapes do not fit each other, or a
    node writes no numbers.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> numbers_made(load_model(Path("models/heat-64x3.onnx")), 2)
    804
    """
    return _followed(model, rows)[2]


def values_of_sizes(model: ModelProto, rows: int) -> dict[str, NDArray[Any]]:
    """The small tensors, constants among them, that hang on no input but on how many rows there are."""
    return _followed(model, rows)[1]


def shapes_of_a_row(model: ModelProto) -> dict[str, tuple[int, ...]]:
    """The shapes of all tensors, weights among them, in a call on one row; of those that onnx can tell."""
    types, _, _ = _followed(model, 1)
    return {name: _dims(kind) for name, kind in types.items() if _count(kind) is not None}


def _followed(
    model: ModelProto, rows: int
) -> tuple[dict[str, TypeProto], dict[str, NDArray[Any]], int]:
    """Types of all tensors, values of those that are followed, and how many numbers a call makes."""
    types: dict[str, TypeProto] = {v.name: _with_rows(v.type, rows) for v in true_inputs(model)}
    values: dict[str, NDArray[Any]] = {}
    for tensor in model.graph.initializer:
        types[tensor.name] = helper.make_tensor_type_proto(tensor.data_type, tensor.dims)
        if prod(tensor.dims) <= MOST_FOLLOWED:
            values[tensor.name] = numpy_helper.to_array(tensor)
    versions = {entry.domain: entry.version for entry in model.opset_import}
    imports = list(model.opset_import)
    made = sum(_count(types[value.name]) or 0 for value in true_inputs(model))
    multiplied = 0
    for node in model.graph.node:
        kinds = _inferred(node, versions, imports, types, values)
        computed = _computed(node, versions, types, values, kinds)
        kinds |= {name: _type_of(array) for name, array in computed.items()}
        made += sum(_size(node, kind) for kind in kinds.values())
        multiplied += _multiplications(node, {**types, **kinds})
        types |= kinds
        values |= computed
    if multiplied > MOST_MULTIPLICATIONS * max(1, rows // 2):
        raise ModelError(
            f"multiplies {multiplied:,} times for {rows:,} rows; hedge runs models that do "
            f"{MOST_MULTIPLICATIONS:,} times for two"
        )
    return types, values, made


def _multiplications(node: NodeProto, types: Mapping[str, TypeProto]) -> int:
    """What a node multiplies, where that may be far more than what it reads and writes."""
    if node.domain or not all(name in types for name in (*node.input, node.output[0]) if name):
        return 0
    written = _count(types[node.output[0]]) or 0
    sizes = [_dims(types[name]) for name in node.input if name]
    if node.op_type in ("Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"):
        return written * max((max(shape, default=1) for shape in sizes[:2]), default=1)
    if node.op_type == "Conv":
        return written * int(prod(sizes[1][1:]))
    if node.op_type in ("AveragePool", "MaxPool"):
        kernel = next(a.ints for a in node.attribute if a.name == "kernel_shape")
        return written * int(prod(kernel))
    if node.op_type == "Einsum":
        return _index_count(node, sizes)
    return 0


def _index_count(node: NodeProto, sizes: Sequence[tuple[int, ...]]) -> int:
    """The product of the sizes of all letters of an Einsum; an ellipsis counts as what it stands for."""
    equation = next(a.s for a in node.attribute if a.name == "equation").decode()
    terms = equation.replace(" ", "").partition("->")[0].split(",")
    letters: dict[str, int] = {}
    rest = 1
    for term, shape in zip(terms, sizes, strict=False):
        before, _, behind = term.partition("...")
        named = [*zip(before, shape, strict=False)]
        named += [*zip(reversed(behind), reversed(shape), strict=False)]
        letters |= {letter: max(size, letters.get(letter, 1)) for letter, size in named}
        rest = max(rest, prod(shape[len(before) : len(shape) - len(behind)]))
    return rest * prod(letters.values())


def _inferred(
    node: NodeProto,
    versions: Mapping[str, int],
    imports: list[OperatorSetIdProto],
    types: Mapping[str, TypeProto],
    values: Mapping[str, NDArray[Any]],
) -> dict[str, TypeProto]:
    """The types of what a node writes, by name; none where onnx can't tell."""
    read = [name for name in node.input if name]
    grows = node.op_type in _GROWING and not node.domain
    if not all(name in types for name in read) or node.domain not in versions:
        return {name: TypeProto() for name in node.output if name} if grows else {}
    if grows and any(_is_beyond(values[name]) for name in read if name in values):
        raise ModelError(f"{label(node)} is given numbers beyond {LARGEST_FACTOR:,}")
    try:
        schema = onnx.defs.get_schema(node.op_type, versions[node.domain], node.domain)
        found: dict[str, TypeProto] = onnx.shape_inference.infer_node_outputs(
            schema,
            node,
            {name: types[name] for name in read},
            {name: numpy_helper.from_array(values[name], name) for name in read if name in values},
            opset_imports=imports,
        )
    except onnx.defs.SchemaError:
        return {}
    except _MISFITS as error:
        raise ModelError(
            f"{label(node)} does not fit what it reads, of two rows or more ({first_line(error)})"
        ) from error
    if node.op_type == "Expand" and node.input[1] not in values:
        # onnx takes a shape that it doesn't know for that of the input.
        return {name: TypeProto() for name in found}
    return found


def _computed(
    node: NodeProto,
    versions: Mapping[str, int],
    types: Mapping[str, TypeProto],
    values: Mapping[str, NDArray[Any]],
    kinds: Mapping[str, TypeProto],
) -> dict[str, NDArray[Any]]:
    """The values of what a node writes, by name, where they are followed."""
    read = [name for name in node.input if name]
    if not kinds or node.domain or node.op_type not in _FOLLOWED:
        return {}
    if any((_count(kind) or 0) > MOST_FOLLOWED for kind in kinds.values()):
        return {}
    if op_of(node.op_type).kind == "of shapes" and _count(types[read[0]]) is not None:
        feed: dict[str, NDArray[Any]] = {
            read[0]: np.broadcast_to(np.zeros(()), _dims(types[read[0]]))
        }
    elif all(name in values for name in read):
        feed = {name: values[name] for name in read}
    else:
        return {}
    written = [name for name in node.output if name]
    return dict(zip(written, run_node(node, versions[""], feed), strict=True))


def _size(node: NodeProto, kind: TypeProto) -> int:
    tensor = kind.tensor_type
    if kind.WhichOneof("value") not in ("tensor_type", None) or tensor.elem_type == TEXT:
        raise ModelError(f"{label(node)} writes no tensor of numbers; export it without")
    count = _count(kind)
    if any(size < 0 for size in _dims(kind)):
        raise ModelError(f"{label(node)} writes a tensor of the shape {_dims(kind)}")
    if count is None:
        raise ModelError(
            f"the size of what {label(node)} writes hangs on the values of the inputs; "
            "export it with fixed sizes"
        )
    return count


def _count(kind: TypeProto) -> int | None:
    """The numbers in a tensor of this type; None where its shape is not known."""
    shape = kind.tensor_type.shape
    known = kind.tensor_type.HasField("shape") and all(d.HasField("dim_value") for d in shape.dim)
    return prod(_dims(kind)) if known else None


def _dims(kind: TypeProto) -> tuple[int, ...]:
    return tuple(dim.dim_value for dim in kind.tensor_type.shape.dim)


def _is_beyond(values: NDArray[Any]) -> bool:
    return values.dtype.kind in "iuf" and bool(
        (np.abs(values.astype(float)) > LARGEST_FACTOR).any()
    )


def _type_of(values: NDArray[Any]) -> TypeProto:
    element = helper.np_dtype_to_tensor_dtype(values.dtype)
    return helper.make_tensor_type_proto(element, values.shape)


def _with_rows(kind: TypeProto, rows: int) -> TypeProto:
    found = TypeProto()
    found.CopyFrom(kind)
    found.tensor_type.shape.dim[0].dim_value = rows
    return found
