"""Arrays from elsewhere: the one in a ``.npy`` file."""

from __future__ import annotations

import os
import warnings
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
