"""Reading model files that come from strangers: check everything, trust nothing, run nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import ModelProto, TensorProto, external_data_helper, numpy_helper

from hedge.errors import ModelError

BATCH = "n"
FLOAT_TYPES = {TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16, TensorProto.BFLOAT16}


def load_model(path: Path) -> ModelProto:
    """Read an ``.onnx`` file, check it, and make its batch dynamic.

    Raises ModelError if the file is missing, truncated, not ONNX, refers to data outside its
    folder, holds NaN or Inf, or has other than one [n, d] input and one output.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no such file")
    try:
        model = onnx.load(str(path), load_external_data=False)
    except (DecodeError, OSError, ValueError) as error:
        raise ModelError(f"{path}: is not an ONNX file, or is cut short") from error
    if not model.graph.node or not model.ir_version:
        raise ModelError(f"{path}: is not an ONNX file, or holds no graph")
    _load_external_data(model, path)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        reason = str(error).strip().splitlines()[0]
        raise ModelError(f"{path}: is not valid ONNX ({reason})") from error
    _check_numbers(model, path)
    return _with_dynamic_batch(model, str(path))


def input_dimension(model: ModelProto) -> int:
    """The d of the model's [n, d] input."""
    return int(_true_inputs(model)[0].type.tensor_type.shape.dim[1].dim_value)


def input_name(model: ModelProto) -> str:
    """The name of the model's one input."""
    return str(_true_inputs(model)[0].name)


def metadata(model: ModelProto) -> dict[str, str]:
    """The model's ``metadata_props`` as a dictionary."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _true_inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    # Old exporters list the weights among the inputs.
    initializers = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in initializers]


def _tensors(model: ModelProto) -> Iterator[TensorProto]:
    yield from model.graph.initializer
    for node in model.graph.node:
        for attribute in node.attribute:
            if attribute.type == onnx.AttributeProto.TENSOR:
                yield attribute.t


def _load_external_data(model: ModelProto, path: Path) -> None:
    folder = path.resolve().parent
    for tensor in _tensors(model):
        if tensor.data_location != TensorProto.EXTERNAL:
            continue
        entries = {entry.key: entry.value for entry in tensor.external_data}
        location = entries.get("location", "")
        foreign = PurePosixPath(location).is_absolute() or PureWindowsPath(location).is_absolute()
        target = (folder / location).resolve()
        if not location or foreign or not target.is_relative_to(folder):
            raise ModelError(
                f"{path}: weights {tensor.name!r} lie outside the model's folder ({location!r}); "
                "hedge does not read them: save the model as one file"
            )
        if not target.is_file():
            raise ModelError(f"{path}: its weight file {location!r} is missing; put it beside it")
        try:
            offset, length = int(entries.get("offset", 0)), int(entries.get("length", 0))
        except ValueError as error:
            raise ModelError(f"{path}: weights {tensor.name!r} have a damaged address") from error
        if offset < 0 or length < 0 or offset + length > target.stat().st_size:
            raise ModelError(f"{path}: weight file {location!r} is shorter than the model says")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(folder))
        except (OSError, ValueError, onnx.checker.ValidationError) as error:
            raise ModelError(f"{path}: weight file {location!r} can't be read") from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]


def _check_numbers(model: ModelProto, path: Path) -> None:
    for tensor in _tensors(model):
        try:
            values = numpy_helper.to_array(tensor)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ModelError(f"{path}: weights {tensor.name!r} don't fit their shape") from error
        if tensor.data_type in FLOAT_TYPES and not np.isfinite(values.astype(np.float64)).all():
            raise ModelError(
                f"{path}: weights {tensor.name!r} contain NaN or Inf; train or export it again"
            )


def _with_dynamic_batch(model: ModelProto, label: str) -> ModelProto:
    inputs, outputs = _true_inputs(model), list(model.graph.output)
    if len(inputs) != 1 or len(outputs) != 1:
        raise ModelError(
            f"{label}: has {len(inputs)} inputs and {len(outputs)} outputs; hedge needs one "
            "input [n, d] and one output: join them with Concat before exporting"
        )
    tensor_type = inputs[0].type.tensor_type
    dims = tensor_type.shape.dim
    if tensor_type.elem_type != TensorProto.FLOAT or len(dims) != 2 or dims[1].dim_value < 1:
        raise ModelError(
            f"{label}: input {inputs[0].name!r} is not float32 [n, d] with a fixed d; "
            "export it again with such an input"
        )
    dims[0].dim_param = BATCH
    output_shape = outputs[0].type.tensor_type.shape
    if len(output_shape.dim) > 0:
        output_shape.dim[0].dim_param = BATCH
    del model.graph.value_info[:]
    return model
