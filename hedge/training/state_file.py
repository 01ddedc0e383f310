"""Files of weights: state dicts of torch, alone or inside a training's state, and ``.safetensors``.

torch.save's are read as weights only, in no more memory than a few times the file; those of other
frameworks are told apart, with the way out.
"""

from __future__ import annotations

import io
import pickletools
import re
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from hedge.errors import InputError, ModelError, quoted
from hedge.files import require_file
from hedge.training.weight_norm import folded

WEIGHTS_ALONE = "save the weights alone: torch.save(net.state_dict(), 'weights.pt')"
ARCHIVE = b"PK\x03\x04"
OBJECTS = "data.pkl"  # the record of an archive that says what its tensors are
# What files of weights name. torch would call others that make a tensor or a text of any size out of a few
# bytes, and leave its numbers as the memory was.
HARMLESS = re.compile(
    r"collections\.(OrderedDict|Counter)|(builtins|__builtin__)\.(set|complex)"
    r"|torch\.(Size|device|[a-z]\w*)|torch\.(cuda\.)?\w+Storage|torch\.nn\.parameter\.Parameter"
    r"|torch\.serialization\._get_layout|torch\._tensor\._rebuild_from_type_v2"
    r"|torch\._utils\._rebuild_(tensor(_v2|_v3)?|parameter(_with_state)?|sparse_tensor|qtensor"
    r"|nested_tensor|meta_tensor_no_storage)"
    r"|_codecs\.encode|numpy\.(dtype|ndarray|dtypes\.\w+|_?core\.multiarray\.(scalar|_reconstruct))"
)
# Objects that are named again count again: a tuple of itself twice, sixty times over, takes for ever.
MOST_OBJECTS = 10_000_000
# A text counts as many objects as it has characters, and a call makes four times what it is given: codecs
# make bytes of a text, and more bytes of these.
TEXTS = ("UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8")
GROWTH = 4
# Numbers and arrays of numpy lie beside the weights in states of a training.
OF_NUMPY = (
    "numpy.dtype",
    "numpy.ndarray",
    "numpy._core.multiarray.scalar",
    "numpy._core.multiarray._reconstruct",
    "numpy.core.multiarray.scalar",
    "numpy.core.multiarray._reconstruct",
)


class NumpyValue:
    """Stands for whatever numpy would make: nothing is made of it."""

    def __init__(self, *_: object) -> None:
        pass

    def __setstate__(self, _: object) -> None:
        pass


def read_torch(path: Path, held: bytes | None = None) -> Any:
    """What torch.save wrote: no code is run, tensors are on the CPU, values of numpy are NumpyValues.

    held are its bytes where they are a part of the file only.

    Raises ModelError if the file is damaged, of torch before 1.6, compressed, claims more than it holds, or
    holds Python objects.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of formats that are refused anyway, texts with odd escapes
            for pickled in _checked_objects(path, held):
                _check_objects(path, pickled)
            stands_for: list[Any] = [(NumpyValue, name) for name in OF_NUMPY]
            with torch.serialization.safe_globals(stands_for):
                source = path if held is None else io.BytesIO(held)
                return torch.load(source, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # damaged pickles and archives make torch raise whatever comes up
        raise ModelError(f"{path}: is not a torch file, or is cut short") from error


def _checked_objects(path: Path, held: bytes | None) -> list[bytes]:
    """The pickles of the archive, once no record is larger than the file; torch.save compresses none.

    The older format is no archive. Its tensors name memory that is filled from the file, or is not.
    """
    with path.open("rb") if held is None else io.BytesIO(held) as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            raise ModelError(
                f"{path}: is not a torch file, or is one of torch before 1.6; save it again with a newer one"
            )
        with zipfile.ZipFile(file) as archive:
            _check_no_foreign_archive(path, archive.namelist())
            size = path.stat().st_size if held is None else len(held)
            _check_records(path, archive.infolist(), size)
            return [
                archive.read(record)
                for record in archive.infolist()
                if PurePosixPath(record.filename).name.lower() == OBJECTS
            ]


def _check_records(path: Path, records: list[zipfile.ZipInfo], held: int) -> None:
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise ModelError(
                f"{path}: its record {record.filename!r} is compressed, {record.compress_size} bytes "
                f"that stand for {record.file_size}; torch.save compresses nothing: save it again"
            )
    claimed = sum(record.file_size for record in records)
    if claimed > held:
        raise ModelError(
            f"{path}: its records claim {claimed} bytes, the file has {held}; save it again"
        )


def _check_objects(path: Path, pickled: bytes) -> None:
    """Follow the pickle without making anything of it: what it names, and how much it makes of that."""
    stack: list[int] = []  # how many objects each one stands for; 0 is a mark
    memo: dict[object, int] = {}
    total = 0
    for code, argument, _ in pickletools.genops(pickled):
        if code.name in ("GLOBAL", "INST"):
            name = str(argument).replace(" ", ".")
            if HARMLESS.fullmatch(name) is None:
                raise ModelError(
                    f"{path}: holds Python objects ({name[:80]}), which hedge never loads; {WEIGHTS_ALONE}"
                )
        if code.name in ("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"):
            memo[len(memo) if argument is None else argument] = stack[-1]
            continue
        taken = _taken(stack, code)
        total += sum(taken[1:])
        if total > MOST_OBJECTS:
            raise ModelError(
                f"{path}: its objects stand for more than {MOST_OBJECTS:,} others; {WEIGHTS_ALONE}"
            )
        if code.name in ("GET", "BINGET", "LONG_BINGET"):
            stack.append(memo[argument])
        else:
            made = 0 if code.name == "MARK" else 1 + sum(taken)
            made += len(str(argument)) if code.name in TEXTS else 0
            made *= GROWTH if code.name == "REDUCE" else 1
            stack += [made] * len(code.stack_after)


def _taken(stack: list[int], code: pickletools.OpcodeInfo) -> list[int]:
    """What an operation takes off the stack, the lowest first."""
    count = len(code.stack_before)
    if pickletools.stackslice in code.stack_before:
        place = len(stack) - 1 - stack[::-1].index(0)
        count = len(stack) - place + code.stack_before.index(pickletools.markobject)
    start = len(stack) - count
    taken = stack[start:]
    del stack[start:]
    return taken


HDF5 = b"\x89HDF\r\n\x1a\n"
OF_TENSORFLOW = (".index", ".meta", ".data-00000-of-00001")
TENSORFLOW = (
    "is a checkpoint of TensorFlow, which hedge does not read; export it there: "
    "python -m tf2onnx.convert --checkpoint {stem}.meta --inputs x:0 --outputs u:0 --output net.onnx"
)
SAVED_MODEL = (
    "is a SavedModel of TensorFlow, which hedge does not read; export it there: "
    "python -m tf2onnx.convert --saved-model {stem} --output net.onnx"
)
KERAS = (
    "is a file of HDF5 or Keras, which hedge does not read; export it there: "
    "keras.saving.load_model('{stem}').export('net.onnx', format='onnx')"
)
TORCHSCRIPT = (
    "is a TorchScript file, whose code hedge never loads; save its weights alone: "
    "torch.save(torch.jit.load('{stem}').state_dict(), 'weights.pt'), or the whole function with "
    "torch.onnx.export"
)
EXPORTED = (
    "is a program of torch.export; give its module to hedge.import_model in Python: "
    "torch.export.load('{stem}').module()"
)
NUMPY = (
    "is an .npz of numpy; make a state dict of its arrays: "
    "torch.save({{name: torch.tensor(array) for name, array in numpy.load('{stem}').items()}}, 'weights.pt')"
)


def _check_no_foreign_file(path: Path) -> None:
    """Raise ModelError, with the way out, for what is told by its name or its first bytes."""
    if path.is_dir() and (path / "saved_model.pb").exists():
        raise _refusal(path, SAVED_MODEL)
    part = next((end for end in OF_TENSORFLOW if path.name.endswith(f".ckpt{end}")), "")
    whole = path.with_name(path.name.removesuffix(part))
    if part or (not path.exists() and whole.with_name(f"{path.name}.index").exists()):
        raise _refusal(path, TENSORFLOW, whole.name)
    if path.is_file() and _begins_with(path, HDF5):
        raise _refusal(path, KERAS)


def _check_no_foreign_archive(path: Path, records: Iterable[str]) -> None:
    """The same, told by the names of the records in an archive."""
    names = [name.partition("/")[2] or name for name in records]
    if "constants.pkl" in names or any(name.startswith("code/") for name in names):
        raise _refusal(path, TORCHSCRIPT)
    if "archive_format" in names or "serialized_exported_program.json" in names:
        raise _refusal(path, EXPORTED)
    if "model.weights.h5" in names:
        raise _refusal(path, KERAS)
    if names and all(name.endswith(".npy") for name in names):
        raise _refusal(path, NUMPY)


def _begins_with(path: Path, mark: bytes) -> bool:
    with path.open("rb") as file:
        return file.read(len(mark)) == mark


def _refusal(path: Path, reason: str, stem: str = "") -> ModelError:
    return ModelError(f"{path}: {reason.format(stem=stem or path.name)}")


# Under which key DeepXDE and Lightning (so PINA, too) keep the state dict in their checkpoints.
CONTAINERS = ("model_state_dict", "state_dict")
# Where PINA's solvers keep their network; the others, if any, only help to train it.
PINA_NETWORK = "_pina_models.0."
FLOATS = (torch.float16, torch.bfloat16, torch.float32, torch.float64)
MOST_NAMED = 8


def read_state_dict(
    path: Path, *, key: str | None = None, prefix: str | None = None, ignore: Sequence[str] = ()
) -> dict[str, Tensor]:
    """The weights in a ``.pt``, ``.pth`` or ``.ckpt`` of torch, or in a ``.safetensors``, by their keys.

    ``key`` names where in the file they stand, ``prefix`` the network among several: its keys lose that.
    ``ignore`` are keys, or what keys begin with before a dot, that are left out. Checkpoints of DeepXDE,
    Lightning and PINA are opened up, and of a PINA solver its network is taken. No code in the file is
    run. Tensors are on the CPU, in the order of the layers.

    Raises InputError if there is no such file, key or prefix; ModelError if it is damaged, of another
    kind, holds anything that isn't weights, or if the order of a ``.safetensors`` can't be told from its
    names.
    """
    _check_no_foreign_file(path)
    require_file(path)
    is_safetensors = path.suffix == ".safetensors"
    found = _read_safetensors(path) if is_safetensors else _contained(path, read_torch(path), key)
    found = checked_state(path, _chosen(path, found, prefix, ignore))
    return _in_order(path, folded(found)) if is_safetensors else found


def checked_state(path: Path, found: Any) -> dict[str, Tensor]:
    """The same, if it is a state dict of plain tensors that do not claim more than the file has.

    Raises ModelError, naming the key, if not.
    """
    if not isinstance(found, dict):
        raise ModelError(f"{path}: holds no state dict ({type(found).__name__}); {WEIGHTS_ALONE}")
    for name, value in found.items():
        _check_tensor(path, name, value)
    _check_size(path, found.values())
    return found


def _contained(path: Path, found: Any, key: str | None) -> dict[str, Any]:
    """The state dict in what torch.save wrote: under ``key``, or where the usual tools put it."""
    if key is not None:
        if not isinstance(found, dict) or key not in found:
            raise InputError(f"key: {path} has no {quoted(key)}; it has {_named(found)}")
        found = found[key]
    for container in CONTAINERS:
        if isinstance(found, dict) and isinstance(found.get(container), dict):
            found = found[container]
    if not isinstance(found, dict) or not found:
        raise ModelError(f"{path}: holds no state dict ({type(found).__name__}); {WEIGHTS_ALONE}")
    inside = [name for name, value in found.items() if _is_state(value)]
    if inside:
        raise ModelError(
            f"{path}: is the state of a training, of {_named(found)}; say which of them holds the weights: "
            f"--key {inside[0]}"
        )
    return found


def _is_state(value: object) -> bool:
    return isinstance(value, dict) and any(isinstance(part, Tensor) for part in value.values())


def _named(found: object) -> str:
    keys = [quoted(key) for key in found] if isinstance(found, dict) else []
    more = [f"{len(keys) - MOST_NAMED} more"] if len(keys) > MOST_NAMED else []
    return ", ".join([*keys[:MOST_NAMED], *more]) or f"no keys ({type(found).__name__})"


def _chosen(
    path: Path, found: dict[str, Any], prefix: str | None, ignore: Sequence[str]
) -> dict[str, Any]:
    """What begins with ``prefix``, without that, less what is to be ignored."""
    for name in ignore:
        if not any(_is_named_by(key, name) for key in found):
            raise InputError(f"ignore: {path} has no {quoted(name)}; it has {_named(found)}")
    kept = {
        key: value
        for key, value in found.items()
        if not any(_is_named_by(key, name) for name in ignore)
    }
    if prefix is None:
        prefix = PINA_NETWORK if any(str(key).startswith(PINA_NETWORK) for key in kept) else ""
    chosen = {key: value for key, value in kept.items() if str(key).startswith(prefix)}
    if prefix and not chosen:
        raise InputError(f"prefix: no key of {path} begins with {quoted(prefix)}: {_named(found)}")
    return {key.removeprefix(prefix): v for key, v in chosen.items()} if prefix else chosen


def _is_named_by(key: object, name: str) -> bool:
    return key == name or str(key).startswith(f"{name}.")


def _read_safetensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError, KeyError, AttributeError) as error:
        raise ModelError(f"{path}: is not a safetensors file, or is cut short") from error


def _in_order(path: Path, found: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A .safetensors does not keep the order of its tensors, so numbers in the names must tell it."""
    layers = {key.rpartition(".")[0] for key in found}
    patterns = {re.sub(r"[0-9]+", "#", layer) for layer in layers}
    orders = {tuple(_numbers(layer)[0]) for layer in layers}  # 01 and 1 are one number
    if len(patterns) > 1 or len(orders) < len(layers):
        raise ModelError(
            f"{path}: the order of {', '.join(sorted(found)[:3])} … isn't in a .safetensors; if that are "
            f"several networks, name one with --prefix, else {WEIGHTS_ALONE}"
        )
    return {key: found[key] for key in sorted(found, key=_numbers)}


def _numbers(key: str) -> tuple[list[tuple[int, str]], str]:
    """The numbers in a key in an order by size; as text, since Python reads none of thousands of digits."""
    found = [number.lstrip("0") for number in re.findall(r"[0-9]+", key)]
    return [(len(digits), digits) for digits in found], key


def _check_tensor(path: Path, key: object, value: object) -> None:
    if not isinstance(key, str) or not isinstance(value, Tensor):
        raise ModelError(
            f"{path}: {quoted(key)} is of type {type(value).__name__}, not a weight; "
            f"{WEIGHTS_ALONE}, or leave it out: --ignore {key!s:.80}"
        )
    plain = value.layout == torch.strided and value.device.type == "cpu" and not value.is_nested
    if not plain or value.dtype not in FLOATS:
        raise ModelError(
            f"{path}: {quoted(key)} ({value.dtype}) is not a dense tensor of floats of 16 bits or more"
        )
    # A tensor that repeats few numbers by its strides could claim any size.
    if value.numel() == 0 or value.nbytes > value.untyped_storage().nbytes():
        raise ModelError(
            f"{path}: {quoted(key)} {quoted(tuple(value.shape))} is empty, or larger than its data"
        )


def _check_size(path: Path, tensors: Iterable[Tensor]) -> None:
    """Refuse tensors that share their numbers so often that together they exceed the file."""
    claimed, held = sum(value.nbytes for value in tensors), path.stat().st_size
    if claimed > held:
        raise ModelError(
            f"{path}: its tensors claim {claimed} bytes, the file has {held}: they share numbers; "
            "save a copy of each, {key: value.clone() for key, value in net.state_dict().items()}"
        )
