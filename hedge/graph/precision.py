"""Storage precision: how the numbers of a matrix lie in a file. Models compute in float32 regardless.

But for those in double precision, whose matrices are of float64.
"""

from __future__ import annotations

from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array, widened

Stored = NDArray[np.generic]
FilePrecision = Literal["float32", "float16", "bfloat16", "int8"]
Precision = Literal[FilePrecision, "float64"]

PRECISIONS: tuple[FilePrecision, ...] = get_args(FilePrecision)
BYTES_PER_NUMBER: dict[Precision, int] = {
    "float32": 4, "float16": 2, "bfloat16": 2, "int8": 1, "float64": 8,
}  # fmt: skip
# The dtypes in safetensors files; numpy has no bfloat16, so its bits lie there as uint16.
STORED_DTYPES: dict[Precision, str] = {
    "float32": "float32", "float16": "float16", "bfloat16": "uint16", "int8": "int8",
    "float64": "float64",
}  # fmt: skip
LARGEST_INT8 = 127.0


def encode(values: Array, precision: Precision) -> tuple[Stored, NDArray[np.float32] | None]:
    """The numbers as stored, and for int8 one float32 scale per row, (…, 1).

    Symmetric int8: a row r is q · s with s = max|r| / 127 and integers |q| ≤ 127 (Jacob et al. 2018).
    What was decoded encodes to itself again. Numbers beyond a precision's range become infinite.

    >>> stored, scale = encode(np.array([[1.0, -2.54]]), "int8")
    >>> stored, scale.round(3)
    (array([[  50, -127]], dtype=int8), array([[0.02]], dtype=float32))
    """
    values = np.ascontiguousarray(values)  # files hold C order
    with np.errstate(over="ignore"):  # a candidate out of range is refused by its error
        if precision == "int8":
            largest = np.abs(values).max(axis=-1, keepdims=True, initial=0.0)
            scale = (largest / LARGEST_INT8).astype(np.float32)
            steps = values / np.where(scale > 0.0, scale, 1.0).astype(np.float64)
            return np.clip(np.rint(steps), -LARGEST_INT8, LARGEST_INT8).astype(np.int8), scale
        if precision == "bfloat16":
            return _to_bfloat16(values.astype(np.float32)), None
        if precision == "float64":
            return values, None
        dtype = np.float16 if precision == "float16" else np.float32
        return values.astype(dtype, copy=False), None


def decode(stored: Stored, scale: NDArray[np.float32] | None, precision: Precision) -> Array:
    """The numbers that :func:`encode` stored, widened to float64."""
    if precision == "bfloat16":
        bits = stored.astype(np.uint32) << np.uint32(16)
        stored = bits.view(np.float32)
    # 0 times an infinite scale: refused by its error; NaNs that signal: by whoever reads them.
    with np.errstate(invalid="ignore"):
        if precision == "float32":
            return widened(stored.astype(np.float32, copy=False))
        wide = stored.astype(np.float64)
        return wide if scale is None else wide * scale.astype(np.float64)


def rounded(values: Array, precision: Precision) -> Array:
    """What is left of the numbers after storage."""
    return decode(*encode(values, precision), precision)


def stored_bytes(shape: tuple[int, ...], precision: Precision) -> int:
    """Bytes of an array of this shape, scales included."""
    count = int(np.prod(shape))
    scales = count // shape[-1] if precision == "int8" and shape[-1] else 0
    return BYTES_PER_NUMBER[precision] * count + BYTES_PER_NUMBER["float32"] * scales


def _to_bfloat16(values: NDArray[np.float32]) -> NDArray[np.uint16]:
    """The upper halves of float32s, rounded to nearest, ties to even."""
    bits = values.view(np.uint32)
    even = (bits >> np.uint32(16)) & np.uint32(1)
    return ((bits + np.uint32(0x7FFF) + even) >> np.uint32(16)).astype(np.uint16)
