"""The promise, over random networks of kinks and shocks whose columns have any scale and offset."""

from __future__ import annotations

import pytest

from hedge.compression import Allowance, compress
from hedge.recovery import Recovery, recover
from tests.compression.promises import case_of, random_promise, worst_of

# benchmarks/promise.py has thousands, on more points: a sum of 20,000 has an error of its own.
CASES, AT_ONCE, POINTS, OWN_ERROR = 80, 10, 20_000, 1.01


@pytest.mark.parametrize("first", range(0, CASES, AT_ONCE))
def test_random_networks_keep_it(first: int) -> None:
    broken = {}
    for seed in range(first, first + AT_ONCE):
        promise = random_promise(seed, "max" if seed % 4 == 1 else "l2")
        case = case_of(promise)
        small = compress(case)
        if seed % 20 == 0:
            small = recover(case, small, Recovery(Allowance(30), "outputs"))
        part = worst_of(promise, small.to_onnx(), POINTS)
        if part > OWN_ERROR:
            broken[promise.what] = part
        assert small.plan.promised_error <= promise.tolerance
    assert not broken
