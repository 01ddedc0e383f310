"""Storage precisions: how near, how small, and that storing twice changes nothing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hedge.graph import STORED_DTYPES, Precision, decode, encode, stored_bytes

# Half the distance of neighbours, relative to the number, or for int8 to the largest of its row.
STEPS: dict[Precision, float] = {
    "float64": 0.0, "float32": 2.0**-24, "float16": 2.0**-11, "bfloat16": 2.0**-8, "int8": 0.5 / 127,
}  # fmt: skip
matrices = arrays(np.float64, (3, 5), elements=st.floats(-1e4, 1e4, width=32))


@pytest.mark.parametrize("precision", STORED_DTYPES)
@given(values=matrices)
def test_numbers_are_rounded_to_the_nearest_and_stay(
    precision: Precision, values: np.ndarray
) -> None:
    stored, scale = encode(values, precision)
    assert stored.dtype == STORED_DTYPES[precision]
    back = decode(stored, scale, precision)
    size = np.abs(values).max(axis=1, keepdims=True) if precision == "int8" else np.abs(values)
    smallest = (
        2.0**-25 if precision == "float16" else 2.0**-134
    )  # half a step below the normal numbers
    assert (np.abs(back - values) <= STEPS[precision] * size * (1 + 1e-6) + smallest).all()
    again, scale_again = encode(back, precision)
    np.testing.assert_array_equal(again, stored)
    np.testing.assert_array_equal(decode(again, scale_again, precision), back)


@pytest.mark.parametrize("precision", STORED_DTYPES)
def test_what_is_stored_is_in_c_order_and_counted(precision: Precision) -> None:
    transposed = np.random.default_rng(0).standard_normal((6, 4)).T
    stored, scale = encode(transposed, precision)
    assert stored.flags.c_contiguous
    scales = 0 if scale is None else scale.nbytes
    assert stored_bytes(transposed.shape, precision) == stored.nbytes + scales


def test_what_is_too_large_becomes_infinite() -> None:
    assert np.isinf(decode(*encode(np.array([[1e6]]), "float16"), "float16"))
    assert np.isinf(decode(*encode(np.array([[1e39]]), "bfloat16"), "bfloat16"))
