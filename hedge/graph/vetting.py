"""Graphs that come from strangers: what is refused before anything else looks at them.

A graph is walked once, whole: functions, attributes and branches hold tensors and nodes, too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from functools import cache

import numpy as np
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from onnx import (
    AttributeProto,
    FunctionProto,
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    TensorShapeProto,
    numpy_helper,
)

from hedge.errors import ModelError
from hedge.ops import OF_ONNXRUNTIME, OPS

MOST_NODES = 10_000
MOST_IMPORTS = 16  # of sets of operators
# No size of a tensor or window is larger; onnx would multiply such numbers beyond 64 bits.
LARGEST_INTEGER = 2**40
MOST_BYTES = 2**31  # what protobuf reads
DEEPEST_FUNCTION = 64
OF_RUNTIMES = ("ai.onnx", "com.microsoft", "com.ms.")  # domains whose operators onnxruntime has
FLOAT_TYPES = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}

FunctionKey = tuple[str, str, str]


def vet(model: ModelProto) -> None:
    """Refuse what hedge does not read: control flow, sparse or text weights, endless functions.

    Raises ModelError for these, for texts that are not UTF-8, and for weights that are not in the file.
    """
    for part in parts_of(model):
        _check_text(part)
        if isinstance(part, NodeProto):
            _check_node(part)
        elif isinstance(part, SparseTensorProto):
            raise ModelError(
                f"holds sparse weights ({part.values.name!r}); export it with dense ones"
            )
        elif isinstance(part, TensorProto):
            _check_tensor(part)
        elif isinstance(part, TensorShapeProto.Dimension) and part.dim_value < 0:
            raise ModelError(f"a tensor has the size {part.dim_value}; export it again")
    if len(model.opset_import) > MOST_IMPORTS:
        raise ModelError(
            f"imports {len(model.opset_import):,} sets of operators; hedge reads up to {MOST_IMPORTS}"
        )
    for function in model.functions:
        if not function.domain or function.domain.startswith(OF_RUNTIMES):
            raise ModelError(
                f"its function {function.name!r} of the domain {function.domain!r} takes a name of "
                "standard operators, or of onnxruntime's own, which runs those"
            )
    _check_size_inlined(model)


def check_numbers(model: ModelProto) -> None:
    """Raise ModelError if a weight or an attribute anywhere is NaN or Inf, or does not fit its shape."""
    for part in parts_of(model):
        if isinstance(part, AttributeProto):
            if not np.isfinite([part.f, *part.floats]).all():
                raise ModelError(f"attribute {part.name!r} is NaN or Inf")
        elif isinstance(part, TensorProto):
            _check_values(part)


def check_references(model: ModelProto) -> None:
    """Raise ModelError if an attribute stands for one of a function that it is not in."""
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.ref_attr_name:
                raise ModelError(
                    f"attribute {attribute.name!r} of a {node.op_type} refers to "
                    f"{attribute.ref_attr_name!r} of a function that it is not in"
                )


def tensors_of(model: ModelProto) -> Iterator[TensorProto]:
    """Every tensor of a model, wherever it stands."""
    return (part for part in parts_of(model) if isinstance(part, TensorProto))


def parts_of(message: Message) -> Iterator[Message]:
    """A message and all that it holds, to any depth (protobuf itself reads no more than 100)."""
    yield message
    for name in _fields(message.DESCRIPTOR, FieldDescriptor.TYPE_MESSAGE):
        value = getattr(message, name)
        if not isinstance(value, Message):
            for inner in value:
                yield from parts_of(inner)
        elif message.HasField(name):
            yield from parts_of(value)


def _check_text(message: Message) -> None:
    """Protobuf hands out bytes for a text that is not UTF-8."""
    for name in _fields(message.DESCRIPTOR, FieldDescriptor.TYPE_STRING):
        value = getattr(message, name)
        values = [value] if isinstance(value, str | bytes) else value
        if not all(isinstance(text, str) for text in values):
            raise ModelError(f"its {name} is not UTF-8 text; the file is damaged")


@cache
def _fields(of: Descriptor, kind: int) -> tuple[str, ...]:
    """The names of fields of a type: to list all of a tensor copies its numbers."""
    return tuple(field.name for field in of.fields if field.type == kind)


def _check_node(node: NodeProto) -> None:
    if not any(node.output):
        raise ModelError(f"holds a {node.op_type or 'node'} that writes nothing")
    for attribute in node.attribute:
        if attribute.HasField("g") or attribute.graphs:
            raise ModelError(f"holds control flow ({node.op_type}); export it without")
        # Slices of old opsets say the end of an axis so.
        if node.op_type != "Slice" and any(
            abs(value) > LARGEST_INTEGER for value in (attribute.i, *attribute.ints)
        ):
            raise ModelError(f"attribute {attribute.name!r} of a {node.op_type} is out of range")


def _check_tensor(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.STRING:
        raise ModelError(f"weights {tensor.name!r} are text, not numbers")
    if any(size < 0 for size in tensor.dims):
        raise ModelError(f"weights {tensor.name!r} have the shape {tuple(tensor.dims)}")


def _check_values(tensor: TensorProto) -> None:
    try:
        values = numpy_helper.to_array(tensor)
    except (ValueError, TypeError, RuntimeError, KeyError) as error:
        raise ModelError(f"weights {tensor.name!r} don't fit their shape") from error
    if tensor.data_type not in FLOAT_TYPES:
        return
    if not np.isfinite(values if values.itemsize >= 4 else values.astype(np.float64)).all():
        raise ModelError(f"weights {tensor.name!r} contain NaN or Inf; train or export it again")


def _check_size_inlined(model: ModelProto) -> None:
    """Count what the graph is once its functions are written out: each call may hold two more."""
    functions = {_key(f): f for f in model.functions}
    sizes: dict[FunctionKey, tuple[int, int]] = {}

    def size(part: ModelProto | FunctionProto, depth: int) -> tuple[int, int]:
        """Nodes and bytes of a part with all that it calls."""
        if depth > DEEPEST_FUNCTION:
            raise ModelError(
                f"its functions call each other more than {DEEPEST_FUNCTION} deep, or in a circle; "
                "export it without them"
            )
        nodes = part.graph.node if isinstance(part, ModelProto) else part.node
        # (Whose bytes are counted by writing them; a model without functions has those of its file.)
        count, total = len(nodes), part.ByteSize() if functions else 0
        for node in nodes:
            called = (node.domain, node.op_type, node.overload)
            if called not in functions:
                continue
            if called not in sizes:
                sizes[called] = size(functions[called], depth + 1)
            inner_count, inner_total = sizes[called]
            # Every node inside may take over the attributes and names of the call, or the defaults.
            given = node.ByteSize() + sum(a.ByteSize() for a in functions[called].attribute_proto)
            count, total = count + inner_count, total + inner_total + given * inner_count
        return count, total

    count, total = size(model, 0)
    if count > MOST_NODES:
        raise ModelError(
            f"holds {count:,} nodes, functions written out; hedge reads up to {MOST_NODES:,}"
        )
    if total > MOST_BYTES:
        raise ModelError(
            f"takes {total:,} bytes, functions written out; hedge reads up to {MOST_BYTES:,}"
        )


def _key(function: FunctionProto) -> FunctionKey:
    return function.domain, function.name, function.overload


def check_not_fourier(model: ModelProto) -> None:
    """Raise ModelError for a graph with Fourier transforms, naming what in it is dense and what is not."""
    nodes = [part for part in parts_of(model) if isinstance(part, NodeProto)]
    transforms = [node for node in nodes if node.op_type in ("DFT", "STFT")]
    if not transforms:
        return
    kinds = Counter(node.op_type for node in nodes if node.op_type in ("Conv", "Gemm", "MatMul"))
    dense = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items())) or "none"
    raise ModelError(
        f"holds {len(transforms)} Fourier transform(s) ({transforms[0].op_type}), as Fourier neural "
        "operators do: what is multiplied mode by mode between them is no dense layer, and hedge does not "
        f"compress it; dense layers or convolutions beside it: {dense}"
    )


def check_operator(node: NodeProto) -> None:
    """Raise ModelError if a node is of no operator that hedge reads, or has attributes that none has."""
    known = {"": OPS, "ai.onnx": OPS, "com.microsoft": OF_ONNXRUNTIME}
    if node.op_type not in known.get(node.domain, ()):
        where = f" of the domain {node.domain!r}" if node.domain else ""
        raise ModelError(
            f"holds the operator {node.op_type!r}{where}, which hedge does not read; "
            "export it with dense layers, arithmetic and activations of standard ONNX"
        )
    # onnx and onnxruntime understand these values differently, or crash.
    for attribute in node.attribute:
        allowed = {
            "allowzero": (0, 1),
            "num_outputs": (len(node.output),),
            "batch_dims": (0, 1, 2, 3),
        }.get(attribute.name)
        if allowed is not None and attribute.i not in allowed:
            raise ModelError(
                f"attribute {attribute.name!r} of a {node.op_type} is out of range ({attribute.i})"
            )
