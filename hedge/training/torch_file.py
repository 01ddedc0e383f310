"""Files of torch.save, read as weights only, in no more memory than a few times the file."""

from __future__ import annotations

import mmap
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from hedge.errors import ModelError

WEIGHTS_ALONE = "save the weights alone: torch.save(net.state_dict(), 'weights.pt')"
ARCHIVE = b"PK\x03\x04"
# Python objects that torch would make of a few bytes as large as these say.
INFLATING = (
    ("_codecs", "encode"),
    ("builtins", "bytearray"),
    ("__builtin__", "bytearray"),
    ("torch._utils", "_rebuild_device_tensor_from_cpu_tensor"),
    ("torch._utils", "_rebuild_device_tensor_from_numpy"),
)


def read_torch(path: Path) -> Any:
    """What torch.save wrote: no code is run, tensors are on the CPU.

    Raises ModelError if the file is damaged, compressed, claims more than it holds, or holds Python
    objects.
    """
    try:
        _check_archive(path)
        _check_objects(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of formats that are refused anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except ModelError:
        raise
    except pickle.UnpicklingError as error:
        named = re.search(r"(?:GLOBAL|[cC]lass|function) (\w+(?:\.\w+)+)", str(error))
        if named is None:
            raise ModelError(f"{path}: is not a torch file, or is damaged") from error
        raise _of_objects(path, named.group(1)) from error
    except Exception as error:  # damaged pickles and archives make torch raise whatever comes up
        raise ModelError(f"{path}: is not a torch file, or is cut short") from error


def _of_objects(path: Path, name: str) -> ModelError:
    return ModelError(
        f"{path}: holds Python objects ({name}), which hedge never loads; {WEIGHTS_ALONE}"
    )


def _check_archive(path: Path) -> None:
    """Refuse records that would be larger than the file they are in; torch.save compresses none."""
    with path.open("rb") as file:
        if file.read(len(ARCHIVE)) != ARCHIVE:
            return  # torch's older format, which is no archive
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
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


def _check_objects(path: Path) -> None:
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        for module, name in INFLATING:
            if data.find(f"c{module}\n{name}\n".encode()) >= 0:
                raise _of_objects(path, f"{module}.{name}")
