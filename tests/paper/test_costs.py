"""The constants with which Theorem 11 holds."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hedge.paper import tightest_constants

runs = st.lists(
    st.tuples(st.floats(1.0, 1e4), st.floats(1.0, 1e4), st.floats(1e-6, 1e-3)),
    min_size=2,
    max_size=12,
)


@given(runs)
def test_the_bound_holds_for_every_run_and_no_tighter_scale_does(
    made_up: list[tuple[float, float, float]],
) -> None:
    squares, moved, seconds = np.array(made_up).T
    C, B = tightest_constants(squares, moved, seconds)
    ratios = (squares / C + moved / B) / seconds
    assert C > 0.0
    assert B > 0.0
    assert ratios.min() >= 1.0 - 1e-6
    assert ratios.min() <= 1.0 + 1e-3  # it touches a run


@given(st.floats(1e6, 1e12), st.floats(1e6, 1e12))
def test_constants_that_times_were_made_with_are_found(C: float, B: float) -> None:
    rng = np.random.default_rng(0)
    squares, moved = rng.uniform(0.1, 1.0, (2, 20)) * np.array([[C], [B]])
    found = tightest_constants(squares, moved, squares / C + moved / B)
    np.testing.assert_allclose(found, (C, B), rtol=1e-5)


def test_c_stays_below_what_the_device_can_do() -> None:
    """Where all runs are of one row the bytes alone would do; more rows need the first term."""
    squares, moved, seconds = np.array([4.0, 9.0]), np.array([1e3, 2e3]), np.array([1e-5, 2e-5])
    C, _ = tightest_constants(squares, moved, seconds, fastest=1e9)
    assert C <= 0.5e9 * (1 + 1e-9)
