"""Arrays from elsewhere: the one in a ``.npy`` file, those in an ``.npz``."""

from __future__ import annotations

import os
import warnings
import zipfile
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.errors import InputError
from hedge.files import open_file

MOST_BYTES = 2**30  # which are held in memory


def read_array(path: Path) -> NDArray[Any]:
    """The one array in a ``.npy`` file; nothing is unpickled.

    Raises InputError if there is no such file, or it is another one.
    """
    with open_file(path) as file:
        size = os.fstat(file.fileno()).st_size
        if size > MOST_BYTES:
            raise InputError(
                f"{path}: has {size} bytes; give fewer rows, at most {MOST_BYTES} bytes"
            )
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes in a header
                values = np.load(file, allow_pickle=False)
        except Exception as error:  # numpy raises many kinds for files that are not its own
            raise InputError(
                f"{path}: is not a .npy file of numbers; write it with numpy.save"
            ) from error
    if not isinstance(values, np.ndarray):
        raise InputError(f"{path}: is an .npz of several arrays; write one with numpy.save")
    return values


def read_arrays(path: Path) -> dict[str, NDArray[Any]]:
    """The arrays in an ``.npz`` file by their names; nothing is unpickled.

    Raises InputError if there is no such file, it is another one, or claims more than it may hold.
    """
    with open_file(path) as file:
        try:
            with zipfile.ZipFile(file) as archive, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of odd escapes in a header
                records = archive.infolist()
                if sum(record.file_size for record in records) > MOST_BYTES:
                    raise InputError(f"{path}: holds more than {MOST_BYTES} bytes; give fewer rows")
                return {
                    record.filename.removesuffix(".npy"): _array_of(archive, record)
                    for record in records
                }
        except InputError:
            raise
        except (
            Exception
        ) as error:  # numpy and zipfile raise many kinds for files that are not theirs
            raise InputError(
                f"{path}: is not an .npz file of arrays of numbers; write it with numpy.savez"
            ) from error


def _array_of(archive: zipfile.ZipFile, record: zipfile.ZipInfo) -> NDArray[Any]:
    """One array, once its header claims no more than the record holds."""
    with archive.open(record) as stream:
        version = np.lib.format.read_magic(stream)
        header = {1: np.lib.format.read_array_header_1_0, 2: np.lib.format.read_array_header_2_0}
        shape, _, dtype = header[version[0]](stream)
        if prod(shape) * dtype.itemsize > record.file_size:
            raise ValueError("it claims more than it holds")
    with archive.open(record) as stream:
        values: NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return values
