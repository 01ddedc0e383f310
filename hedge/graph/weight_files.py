"""Weights in files beside a model: ONNX lets a tensor name any file, so that a model could read any."""

from __future__ import annotations

from collections import Counter
from math import prod
from pathlib import Path, PurePosixPath, PureWindowsPath

from onnx import ModelProto, TensorProto, helper

from hedge.errors import ModelError
from hedge.graph.vetting import MOST_BYTES, tensors_of

HALF_BYTES = {TensorProto.INT4, TensorProto.UINT4, TensorProto.FLOAT4E2M1}


def read_weight_files(model: ModelProto, path: Path) -> None:
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


def refuse_weight_files(model: ModelProto) -> None:
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
