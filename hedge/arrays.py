"""What arrays hold: float64 inside, float32 in deployed files only."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Indices = NDArray[np.intp]

# A weight of more numbers stays the float32 that its file holds: float64 would take twice as much beside it.
MOST_WIDENED = 2**25
# Of these so many numbers are widened at a time: a product of few rows then stays near the processor.
WIDENED_AT_ONCE = 2**21


def widened(values: NDArray[Any]) -> Array:
    """Weights of a file as float64, in which they are worked with, or as they are where they are too many.

    numpy widens those where they meet float64, part by part if :func:`rows_times` takes them.
    """
    return values if values.size > MOST_WIDENED else values.astype(np.float64)


def rows_times(rows: Array, matrix: Array) -> Array:
    """rows (N, n_in) times the transpose of a matrix (n_out, n_in), of float32 a part at a time."""
    if matrix.dtype == np.float64:
        return np.asarray(rows @ matrix.T)
    result = np.empty((len(rows), len(matrix)))
    height = max(WIDENED_AT_ONCE // matrix.shape[1], 1)
    for top in range(0, len(matrix), height):
        part = slice(top, top + height)
        result[:, part] = rows @ matrix[part].T.astype(np.float64)
    return result
