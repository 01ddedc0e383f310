"""What every function of this package asks of its arguments."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from hedge.arrays import Array, Indices
from hedge.errors import InputError

SMALLEST, LARGEST = 1e-140, 1e140  # largest entry of a matrix, so that sums of squares are normal


def real_array(name: str, values: ArrayLike) -> Array:
    """``values`` in float64. Raises InputError if they are complex, not numbers, or not finite."""
    if hasattr(values, "to_dense"):
        raise InputError(
            f"{name}: is of type {type(values).__name__}, no array; give its to_dense() here"
        )
    try:
        array = np.asarray(values)
    except ValueError:
        raise InputError(f"{name}: its rows differ in length; give a rectangular array") from None
    if np.iscomplexobj(array):
        raise InputError(f"{name}: is complex; give its real and imaginary part separately")
    if array.dtype.kind not in "fiub":
        raise InputError(f"{name}: holds {array.dtype}, not numbers; give a real array")
    array = array.astype(np.float64, copy=False)
    if not np.isfinite(array).all():
        raise InputError(f"{name}: holds NaN or Inf; remove them first")
    return array


def real_matrix(name: str, values: ArrayLike) -> Array:
    """The same for a matrix with at least one row and column."""
    array = real_array(name, values)
    if array.ndim != 2 or not array.size:
        raise InputError(
            f"{name}: has shape {array.shape}; give one of shape (m, n) that is not empty"
        )
    return array


def squarable_matrix(name: str, values: ArrayLike) -> Array:
    """The same, and sums of its squares must be normal numbers."""
    array = real_matrix(name, values)
    largest = float(np.abs(array).max())
    if largest and not SMALLEST <= largest <= LARGEST:
        raise InputError(
            f"{name}: its largest entry is {largest:.1e}, whose square float64 can't hold; scale it"
        )
    return array


def vectors_of(values: ArrayLike, size: int, dtype: DTypeLike) -> Array:
    """The same for a vector (size,), or several (size, p), in ``dtype``."""
    x = real_array("vector", values)
    if x.ndim not in (1, 2) or len(x) != size:
        raise InputError(
            f"vector: has shape {x.shape}; this product needs ({size},) or ({size}, p)"
        )
    return x.astype(dtype, copy=False)


def check_float(dtype: DTypeLike) -> None:
    """Raise InputError unless it is float32 or float64."""
    if dtype not in ("float32", "float64", np.float32, np.float64):
        raise InputError(f"dtype: {dtype!r} is not float32 or float64; give one of them")


def indices_below(name: str, indices: ArrayLike, size: int) -> Indices:
    """The same for indices (s,) from 0 to size − 1."""
    array = np.asarray(indices)
    inside = (
        array.dtype.kind in "iu" and array.ndim == 1 and bool(((array >= 0) & (array < size)).all())
    )
    if not inside:
        raise InputError(f"{name}: are not whole numbers (s,) from 0 to {size - 1}; give such")
    return array.astype(np.intp)


def number(name: str, value: float) -> float:
    """Raises InputError unless ``value`` is one finite real number."""
    array = real_array(name, value)
    if array.ndim:
        raise InputError(f"{name}: has shape {array.shape}; give a single number")
    return float(array)


def positive(name: str, value: float) -> float:
    """Raises InputError unless ``value`` is finite and above zero."""
    real = isinstance(value, int | float | np.integer | np.floating)
    if not (real and math.isfinite(value) and value > 0):
        raise InputError(f"{name}: {value!r} is not a positive number; give one above 0")
    return float(value)


def positive_integer(name: str, value: int) -> int:
    """Raises InputError unless ``value`` is an integer above zero."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise InputError(f"{name}: {value!r} is not a positive integer; give 1 or more")
    return int(value)
