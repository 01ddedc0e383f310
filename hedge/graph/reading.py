"""Reading model files that come from strangers: check everything, trust nothing, run nothing.

Weights may lie in files beside a model: ONNX lets a tensor name any file, so that a model could read any.
The one operator that converters of scikit-learn put before a network is written in standard ones.
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

import numpy as np
import onnx
import onnx.inliner
from google.protobuf.message import DecodeError
from onnx import (
    ModelProto,
    NodeProto,
    OperatorSetIdProto,
    TensorProto,
    helper,
    numpy_helper,
    version_converter,
)

from hedge.arrays import Array
from hedge.errors import InputError, ModelError, RoundingWarning, first_line, naming
from hedge.files import require_file
from hedge.graph.batches import check_ports, with_free_batch
from hedge.graph.doubles import in_double_again, in_single, rounding
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.nodes import attributes_of
from hedge.graph.pairing import as_pairs
from hedge.graph.product_grids import grid_of
from hedge.graph.shapes import without_large_weights
from hedge.graph.sizes import check_size
from hedge.graph.versions import LEAST_OPSET, lower_versions, opset
from hedge.graph.vetting import (
    MOST_BYTES,
    check_not_fourier,
    check_numbers,
    check_operator,
    check_references,
    parts_of,
    tensors_of,
    vet,
)

HALF_BYTES = {TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1}


def _read_weight_files(model: ModelProto, path: Path) -> None:
    """Put the weights that lie in files beside the model at ``path`` into it.

    Raises ModelError for a file that lies elsewhere, is hidden, or is not as long as its weights.
    """
    taken: Counter[Path] = Counter()
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            file, size = _read(tensor, path)
            taken[file] += size
            if taken.total() > MOST_BYTES:
                raise ModelError(
                    f"its weight files take more than {MOST_BYTES:,} bytes, which is all that hedge reads"
                )
            if taken[file] > file.stat().st_size:
                raise ModelError(
                    f"its weights take more of {file.name!r} than the {file.stat().st_size:,} bytes "
                    "that it has"
                )


def _refuse_weight_files(model: ModelProto) -> None:
    """Raise ModelError if a tensor of the model names a file."""
    for tensor in tensors_of(model):
        if tensor.data_location == TensorProto.EXTERNAL:
            raise ModelError(f"weights {tensor.name!r} lie in another file; hedge does not read it")


def _read(tensor: TensorProto, path: Path) -> tuple[Path, int]:
    """Fill in the tensor's numbers; the file and how many bytes of it they were."""
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    file = _beside(path, location, tensor.name)
    offset = _whole_number(entries.get("offset", "0"), tensor.name)
    size = _bytes_of(tensor)
    length = _whole_number(entries.get("length", str(size)), tensor.name)
    if length != size:
        raise ModelError(f"weights {tensor.name!r} don't fit their shape")
    if offset + size > file.stat().st_size:
        raise ModelError(f"weight file {location!r} is shorter than the model says ({tensor.name})")
    if size > MOST_BYTES:
        raise ModelError(
            f"weights {tensor.name!r} take {size:,} bytes; hedge reads up to {MOST_BYTES:,}"
        )
    try:
        with file.open("rb") as stream:
            stream.seek(offset)
            data = stream.read(size)
    except OSError as error:
        raise ModelError(f"weight file {location!r} can't be read: {error.strerror}") from error
    del tensor.external_data[:]
    tensor.data_location = TensorProto.DEFAULT
    tensor.raw_data = data
    return file, size


def _beside(path: Path, location: str, name: str) -> Path:
    """The file of that name beside the model, or beside what the model is a link to.

    Not in a folder below and not hidden, for a home has .netrc, .ssh/id_rsa and other files that no weights
    are; not through a link to another place, as an archive may hold one.
    """
    plain = PurePosixPath(location).name == location == PureWindowsPath(location).name
    if not plain or location.startswith("."):
        raise ModelError(
            f"weights {name!r} lie outside the model's folder or hidden in it ({location!r}); "
            "hedge does not read them: save the model as one file"
        )
    file = path.parent / location
    try:
        target = file.resolve(strict=True)
        is_file = target.is_file()
    except (OSError, ValueError) as error:
        raise ModelError(f"its weight file {location!r} is missing; put it beside it") from error
    folders = {path.parent.resolve(), path.resolve().parent}
    if target.parent not in folders or target.name.startswith("."):
        raise ModelError(
            f"its weight file {location!r} is a link to a place outside the model's folder; "
            "hedge does not follow it: put a copy beside the model"
        )
    if not is_file:
        raise ModelError(f"its weight file {location!r} is no file; put it beside it")
    return target


def _bytes_of(tensor: TensorProto) -> int:
    """The bytes that the tensor's numbers take; those of 4 bits share bytes."""
    try:
        itemsize: int = helper.tensor_dtype_to_np_dtype(tensor.data_type).itemsize
    except KeyError as error:
        raise ModelError(f"weights {tensor.name!r} are of an unknown type") from error
    count: int = prod(tensor.dims)
    return (count + 1) // 2 if tensor.data_type in HALF_BYTES else count * itemsize


def _whole_number(text: str, name: str) -> int:
    """The number in an address; raises ModelError unless it is 0 or more and of sane length."""
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise ModelError(f"weights {name!r} have a damaged address ({text[:20]!r})")
    return int(text)


OF_CONVERTERS = "ai.onnx.ml"
SOURCES = {".c", ".h"}


def _write_out_scalers(model: ModelProto) -> None:
    """Scaler, (x − offset) scale with a number per column, as Sub and Mul, in place."""
    nodes = [each for node in model.graph.node for each in _written_out(model, node)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _written_out(model: ModelProto, node: NodeProto) -> Iterator[NodeProto]:
    given = attributes_of(node) if node.op_type == "Scaler" else {}
    if node.domain != OF_CONVERTERS or not {"offset", "scale"} <= given.keys():
        yield node
        return
    moved, names, source = f"{node.output[0]}.moved", {}, node.input[0]
    for key in ("offset", "scale"):
        names[key] = f"{node.output[0]}.{key}"
        values = np.array([given[key]], np.float32)
        model.graph.initializer.append(numpy_helper.from_array(values, names[key]))
    if source in _doubles(model):  # what a Scaler writes is float32 whatever it reads
        source = f"{moved}.x"
        yield helper.make_node("Cast", [node.input[0]], [source], to=TensorProto.FLOAT)
    yield helper.make_node("Sub", [source, names["offset"]], [moved], name=moved)
    yield helper.make_node("Mul", [moved, names["scale"]], [node.output[0]], name=node.name)


def _doubles(model: ModelProto) -> set[str]:
    return {
        value.name
        for value in model.graph.input
        if value.type.tensor_type.elem_type == TensorProto.DOUBLE
    }


# What onnx raises of a graph that it can't check, infer or convert.
ONNX_ERRORS = (
    onnx.checker.ValidationError,
    onnx.shape_inference.InferenceError,
    version_converter.ConvertError,
    RuntimeError,
    ValueError,
    KeyError,
    IndexError,
)


def load_model(path: Path, *, exact: bool = False) -> ModelProto:
    """Read an ``.onnx`` file, check it, make its batch dynamic and bring it to opset 17.

    One that needs a newer opset is brought to the lowest that its operators allow.

    A model of doubles becomes one of float32, with a RoundingWarning that says what that changes; if
    ``exact``, it is in double precision throughout, for :class:`hedge.graph.Evaluator` and to be trained on.

    Raises InputError if the file is missing; ModelError if it is cut short, not ONNX, refers to
    data that does not lie beside it, holds control flow, NaN or Inf, asks for far more memory than its
    weights, or has an input that is not float32 [n, d] or [n].
    """
    require_file(path)
    with naming(path):
        model, doubles = _checked(_parsed(path), path)
        if doubles and exact:
            model = in_double_again(model, doubles)
        elif doubles:
            text = (
                f"{path.name}: is in double precision; hedge works on it in float32, which moves its outputs "
                f"by {rounding(model, doubles):.1e} of their size (at random points of [-1, 1])"
            )
            warnings.warn(text, RoundingWarning, stacklevel=2)
    return model


def check_readable(model: ModelProto) -> None:
    """Raise ModelError unless :func:`load_model` reads a file of this model."""
    copy = deepcopy(model)
    _refuse_weight_files(copy)
    _checked(copy, Path())


def _checked(model: ModelProto, path: Path) -> tuple[ModelProto, dict[str, Array]]:
    """The model as everything else may rely on it, and weights that were rounded, as they were.

    ``path`` is what its weight files lie beside.
    """
    vet(model)
    _write_out_scalers(model)
    _check_operators(model)
    _name_standard_domain(model)
    # What belongs to training is not run, and may name files, too.
    del model.training_info[:]
    _read_weight_files(model, path)
    check_numbers(model)
    try:  # of large weights, whose numbers were looked at, it would make two copies
        onnx.checker.check_model(model if model.functions else without_large_weights(model))
    except ONNX_ERRORS as error:
        raise ModelError(f"is not valid ONNX ({first_line(error)})") from error
    model = _modernised(_inlined(model))
    _constants_to_initializers(model)
    check_references(model)
    doubles = in_single(model)
    lower_versions(model)
    model = with_free_batch(as_pairs(model))
    check_size(model)
    return model, doubles


def files_of(path: Path) -> list[Path]:
    """The file and, where it is an ``.onnx``, the files beside it that hold its weights."""
    try:
        require_file(path)
        model = _parsed(path)
    except (InputError, ModelError):  # whoever reads it says so
        return [path]
    entries = (entry for tensor in tensors_of(model) for entry in tensor.external_data)
    places = {entry.value for entry in entries if entry.key == "location"}
    return [path, *(path.parent / place for place in places if isinstance(place, str))]


def check_skeleton(skeleton: ModelProto) -> None:
    """Raise ModelError for a graph of a compressed model that no hedge wrote: it is whole in itself."""
    vet(skeleton)
    _name_standard_domain(skeleton)
    _refuse_weight_files(skeleton)
    check_numbers(skeleton)
    check_references(skeleton)
    grid_of(skeleton)
    if skeleton.functions or skeleton.training_info:
        raise ModelError("its graph holds functions or training")
    for node in skeleton.graph.node:
        if node.domain != PLACEHOLDER_DOMAIN:
            check_operator(node)


def check_runnable(model: ModelProto) -> None:
    """Raise ModelError unless an assembled model is valid, takes points, and is of sane size."""
    try:
        onnx.checker.check_model(without_large_weights(model), full_check=True)
    except ONNX_ERRORS as error:
        raise ModelError(f"its graph is damaged ({first_line(error)})") from error
    check_ports(model)
    check_size(model)


def _parsed(path: Path) -> ModelProto:
    if path.stat().st_size > MOST_BYTES:
        raise ModelError(
            f"is larger than {MOST_BYTES:,} bytes, which no ONNX file is; save its weights beside it"
        )
    model = ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except (DecodeError, OSError) as error:
        if path.suffix in SOURCES:
            raise ModelError(
                "is C, which is not read again; give the .onnx or .hedge.safetensors of that model, which "
                "hedge compress --out writes as well"
            ) from error
        raise ModelError("is not an ONNX file, or is cut short") from error
    if not model.graph.node or not model.ir_version:
        raise ModelError("is not an ONNX file, or holds no graph")
    return model


def metadata(model: ModelProto) -> dict[str, str]:
    """The model's ``metadata_props`` as a dictionary."""
    return {entry.key: entry.value for entry in model.metadata_props}


def _check_operators(model: ModelProto) -> None:
    """All nodes but calls of the model's own functions; those of a placeholder are no model's."""
    check_not_fourier(model)
    own = {(function.domain, function.name, function.overload) for function in model.functions}
    for part in parts_of(model):
        if isinstance(part, NodeProto) and (part.domain, part.op_type, part.overload) not in own:
            check_operator(part)


def _name_standard_domain(model: ModelProto) -> None:
    """The standard operators have two names, ``ai.onnx`` and none; from here on there is one."""
    for part in parts_of(model):
        if isinstance(part, NodeProto | OperatorSetIdProto) and part.domain == "ai.onnx":
            part.domain = ""


def _inlined(model: ModelProto) -> ModelProto:
    """The model with its local functions written out."""
    if not model.functions:
        return model
    try:
        inlined = onnx.inliner.inline_local_functions(model, convert_version=True)
    except ONNX_ERRORS as error:
        raise ModelError(f"its functions can't be written out ({first_line(error)})") from error
    if inlined.functions:
        raise ModelError(
            f"its function {inlined.functions[0].name!r} can't be written out; export it without"
        )
    return inlined


def _constants_to_initializers(model: ModelProto) -> None:
    """Constant nodes as initializers, so that there is one kind of constant to look for."""
    graph = model.graph
    constants = [node for node in graph.node if node.op_type == "Constant" and not node.domain]
    rest = [node for node in graph.node if node.op_type != "Constant" or node.domain]
    graph.initializer.extend(_value(node) for node in constants)
    del graph.node[:]
    graph.node.extend(rest)


def _value(node: NodeProto) -> TensorProto:
    """What a Constant holds, as a tensor of its name."""
    name = node.output[0]
    for attribute in node.attribute:
        if attribute.name == "value":
            tensor = TensorProto()
            tensor.CopyFrom(attribute.t)
            tensor.name = name
            return tensor
        if attribute.name in ("value_float", "value_floats"):
            numbers = attribute.f if attribute.name == "value_float" else attribute.floats
            return numpy_helper.from_array(np.array(numbers, np.float32), name)
        if attribute.name in ("value_int", "value_ints"):
            numbers = attribute.i if attribute.name == "value_int" else attribute.ints
            return numpy_helper.from_array(np.array(numbers, np.int64), name)
    raise ModelError(f"its constant {name!r} holds no number")


def _modernised(model: ModelProto) -> ModelProto:
    """The model at opset 17 or newer where onnx can convert it."""
    if opset(model) >= LEAST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, LEAST_OPSET)
    except ONNX_ERRORS:
        return model  # it still runs and can be timed; export says that it must be newer
