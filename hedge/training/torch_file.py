"""Files of torch.save, read as weights only, in no more memory than a few times the file."""

from __future__ import annotations

import pickletools
import re
import warnings
import zipfile
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from hedge.errors import ModelError
from hedge.training.foreign_files import check_no_foreign_archive

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


def read_torch(path: Path) -> Any:
    """What torch.save wrote: no code is run, tensors are on the CPU, values of numpy are NumpyValues.

    Raises ModelError if the file is damaged, of torch before 1.6, compressed, claims more than it holds, or
    holds Python objects.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of formats that are refused anyway, texts with odd escapes
            for pickled in _checked_objects(path):
                _check_objects(path, pickled)
            stands_for: list[Any] = [(NumpyValue, name) for name in OF_NUMPY]
            with torch.serialization.safe_globals(stands_for):
                return torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except Exception as error:  # damaged pickles and archives make torch raise whatever comes up
        raise ModelError(f"{path}: is not a torch file, or is cut short") from error


def _checked_objects(path: Path) -> list[bytes]:
    """The pickles of the archive, once no record is larger than the file; torch.save compresses none.

    The older format is no archive. Its tensors name memory that is filled from the file, or is not.
    """
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            raise ModelError(
                f"{path}: is not a torch file, or is one of torch before 1.6; save it again with a newer one"
            )
        with zipfile.ZipFile(file) as archive:
            check_no_foreign_archive(path, archive.namelist())
            _check_records(path, archive.infolist())
            return [
                archive.read(record)
                for record in archive.infolist()
                if PurePosixPath(record.filename).name.lower() == OBJECTS
            ]


def _check_records(path: Path, records: list[zipfile.ZipInfo]) -> None:
    for record in records:
        if record.compress_type != zipfile.ZIP_STORED or record.compress_size != record.file_size:
            raise ModelError(
                f"{path}: its record {record.filename!r} is compressed, {record.compress_size} bytes "
                f"that stand for {record.file_size}; torch.save compresses nothing: save it again"
            )
    claimed, held = sum(record.file_size for record in records), path.stat().st_size
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
