"""Reading model files that come from strangers: check everything, trust nothing, run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError, Message
from onnx import (
    ModelProto,
    TensorProto,
    ValueInfoProto,
    external_data_helper,
    numpy_helper,
    version_converter,
)
from onnx.reference import ReferenceEvaluator

from hedge.errors import ModelError, first_line, naming
from hedge.files import require_file
from hedge.graph.ports import true_inputs

BATCH = "n"
# Weights need not be listed among the inputs since IR version 4; 8 belongs to opset 17.
LEAST_IR_VERSION = 8
LEAST_OPSET = 17
# The oldest onnxruntime hedge supports on a Pi (1.22) reads IR version 10 and below.
NEWEST_IR_VERSION = 10
FLOAT_TYPES = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def load_model(path: Path) -> ModelProto:
    """Read an ``.onnx`` file, check it, make its batch dynamic and bring it to opset 17 if older.

    Raises InputError if the file is missing; ModelError if it is cut short, not ONNX, refers to
    data outside its folder, holds NaN or Inf, or has an input that is not float32 [n, d] or [n].
    """
    require_file(path)
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(f"{path}: is not an ONNX file, or is cut short") from error
    if not model.graph.node or not model.ir_version:
        raise ModelError(f"{path}: is not an ONNX file, or holds no graph")
    with naming(path):
        check_text(model)
        _load_external_data(model, path.resolve().parent)
        _check_numbers(model)
        try:
            onnx.checker.check_model(model)
        except (onnx.checker.ValidationError, ValueError) as error:
            raise ModelError(f"is not valid ONNX ({first_line(error)})") from error
        return _with_dynamic_batch(_modernised(model))


def opset(model: ModelProto) -> int:
    """The version of the standard operators that the model uses."""
    versions = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    return max(versions, default=1)


def metadata(model: ModelProto) -> dict[str, str]:
    """The model's ``metadata_props`` as a dictionary."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


def check_text(message: Message) -> None:
    """Raise ModelError if a text anywhere in a model is not UTF-8: protobuf hands out bytes instead."""
    for field, value in message.ListFields():
        values = [value] if isinstance(value, str | bytes | Message) else value
        if field.type == field.TYPE_MESSAGE:
            for inner in values:
                check_text(inner)
        elif field.type == field.TYPE_STRING and not all(isinstance(v, str) for v in values):
            raise ModelError(f"its {field.name} is not UTF-8 text; the file is damaged")


def _load_external_data(model: ModelProto, folder: Path) -> None:
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        foreign = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
        target = (folder / location).resolve()
        if not location or foreign or not target.is_relative_to(folder):
            raise ModelError(
                f"weights {tensor.name!r} lie outside the model's folder ({location!r}); "
                "hedge does not read them: save the model as one file"
            )
        if not target.is_file():
            raise ModelError(f"its weight file {location!r} is missing; put it beside it")
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
        except ValueError as error:
            raise ModelError(f"weights {tensor.name!r} have a damaged address") from error
        if offset < 0 or length < 0 or offset + length > target.stat().st_size:
            raise ModelError(f"weight file {location!r} is shorter than the model says")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"weight file {location!r} can't be read") from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _check_numbers(model: ModelProto) -> None:
    for node in model.graph.node:
        for attribute in node.attribute:
            if not np.isfinite([attribute.f, *attribute.floats]).all():
                raise ModelError(f"attribute {attribute.name!r} of a {node.op_type} is NaN or Inf")
    for tensor in _tensors(model):
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, RuntimeError, KeyError) as error:
            raise ModelError(f"weights {tensor.name!r} don't fit their shape") from error
        if tensor.data_type in FLOAT_TYPES and not np.isfinite(values.astype(np.float64)).all():
            raise ModelError(
                f"weights {tensor.name!r} contain NaN or Inf; train or export it again"
            )


def _with_dynamic_batch(model: ModelProto) -> ModelProto:
    inputs = true_inputs(model)
    if not inputs or not model.graph.output:
        raise ModelError("has no input or no output, so it is not a function of points")
    for value in inputs:
        _check_input(value)
        value.type.tensor_type.shape.dim[0].dim_param = BATCH
    for value in model.graph.output:
        dims = value.type.tensor_type.shape.dim
        if len(dims) > 0:
            dims[0].dim_param = BATCH
    del model.graph.value_info[:]
    # Weights among the inputs, as old exporters list them, would be overridable by the caller.
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, LEAST_IR_VERSION)
    return model


def _check_input(value: ValueInfoProto) -> None:
    """Each input is [n, d] with a fixed d, or [n] with a free n: a fixed [d] may be one point."""
    dims = value.type.tensor_type.shape.dim
    is_matrix = len(dims) == 2 and dims[1].dim_value >= 1
    is_column = len(dims) == 1 and not dims[0].HasField("dim_value")
    if value.type.tensor_type.elem_type != TensorProto.FLOAT or not (is_matrix or is_column):
        raise ModelError(
            f"input {value.name!r} is not float32 [n, d] with a fixed d; "
            "export it again with such an input"
        )


def _constants_to_initializers(model: ModelProto) -> None:
    """Constant nodes as initializers, so that there is one kind of constant to look for."""
    graph = model.graph
    rest = []
    for node in graph.node:
        values = None
        if node.op_type == "Constant" and not node.domain:
            found: Any = ReferenceEvaluator(node).run(None, {})
            values = np.asarray(found[0])
        if values is None or values.dtype.kind not in "fiub":
            rest.append(node)
        else:
            graph.initializer.append(numpy_helper.from_array(values, node.output[0]))
    del graph.node[:]
    graph.node.extend(rest)


def _modernised(model: ModelProto) -> ModelProto:
    """The model with its local functions inlined, at opset 17 or newer where onnx can convert it."""
    if model.functions:
        model = onnx.inliner.inline_local_functions(model)
    _constants_to_initializers(model)
    if opset(model) >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, LEAST_OPSET)
    except (RuntimeError, ValueError):
        return model  # it still runs and can be timed; export says that it must be newer
