"""Taylor coefficients and suprema of derivatives against 50 digits."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge import analytic
from hedge.analytic import Analytic

ORDER = 8
# Differentiated numerically in 45 digits, so that tails are known to 1e-25 or so.
REFERENCES = {
    "TANH": mpmath.tanh,
    "SIGMOID": lambda x: 1 / (1 + mpmath.exp(-x)),
    "SOFTPLUS": lambda x: mpmath.log1p(mpmath.exp(x)),
    "SILU": lambda x: x / (1 + mpmath.exp(-x)),
    "ERF": mpmath.erf,
    "GELU": lambda x: x * mpmath.ncdf(x),
    "SIN": mpmath.sin,
    "COS": mpmath.cos,
    "EXP": mpmath.exp,
    "LOG": mpmath.log,
    "SQRT": mpmath.sqrt,
    "RECIPROCAL": lambda x: 1 / x,
}


def truth(name: str, x: float) -> list[mpmath.mpf]:
    with mpmath.workdps(45):
        return list(mpmath.taylor(REFERENCES[name], mpmath.mpf(x), ORDER))


def least(f: Analytic) -> float:
    return 0.05 if f.beyond == 0.0 else -7.0


@pytest.mark.parametrize("name", REFERENCES)
def test_coefficients_are_within_their_error(name: str) -> None:
    f: Analytic = getattr(analytic, name)
    points = np.random.default_rng(0).uniform(least(f), 7.0, 6)
    values, errors = f.series(points, ORDER)
    for i, x in enumerate(points):
        for k, exact in enumerate(truth(name, x)):
            error = float(np.broadcast_to(errors[k], points.shape)[i])
            assert abs(mpmath.mpf(float(values[k][i])) - exact) <= error + 1e-25, (x, k)


@pytest.mark.parametrize("name", REFERENCES)
def test_suprema_hold_and_are_sharp(name: str) -> None:
    f: Analytic = getattr(analytic, name)
    rng = np.random.default_rng(1)
    lower = rng.uniform(least(f), 6.0, 6)
    upper = lower + np.array([0.0, 0.0, 0.01, 0.1, 0.3, 1.0])
    for i in range(6):
        inside = [truth(name, x) for x in np.linspace(lower[i], upper[i], 3)]
        around = [*inside, *(truth(name, x) for x in (lower[i] - 0.04, upper[i] + 0.04))]
        for k in range(1, ORDER + 1):
            bound = float(f.supremum(k, lower[i : i + 1], upper[i : i + 1])[0])
            assert max(abs(each[k]) for each in inside) <= bound + 1e-25
            if upper[i] < lower[i] + 0.05 and name not in ("SIN", "COS"):
                assert bound <= 1.1 * max(abs(each[k]) for each in around) + 1e-10


@pytest.mark.parametrize("name", ["TANH", "SIGMOID", "SOFTPLUS", "SILU", "ERF", "GELU"])
def test_suprema_hold_in_the_tails(name: str) -> None:
    f: Analytic = getattr(analytic, name)
    points = np.array([-1000.0, -60.0, -45.0, -19.0, -9.0, 9.0, 19.0, 45.0, 60.0, 1000.0])
    values, errors = f.series(points, ORDER)
    for k in range(1, ORDER + 1):
        assert (np.abs(values[k]) <= f.supremum(k, points, points) + errors[k]).all()


@given(st.floats(-50.0, 50.0), st.floats(0.0, 60.0), st.integers(1, 6))
def test_a_wider_interval_has_no_smaller_supremum(lower: float, width: float, k: int) -> None:
    ends = np.array([lower]), np.array([lower + width])
    inner = np.array([lower + 0.25 * width]), np.array([lower + 0.75 * width])
    assert analytic.TANH.supremum(k, *inner) <= analytic.TANH.supremum(k, *ends)


def test_functions_of_numpy_and_scipy_are_as_close_as_is_assumed() -> None:
    """4 ulp are assumed; every function that series call, at points of all sizes."""
    rng = np.random.default_rng(2)
    small = rng.uniform(-1, 1, 300) * 10.0 ** rng.integers(-6, 2, 300)
    cases = {
        np.tanh: (mpmath.tanh, small),
        np.sin: (mpmath.sin, small),
        np.cos: (mpmath.cos, small),
        np.exp: (mpmath.exp, small),
        np.log: (mpmath.log, np.abs(small) + 1e-9),
        analytic.erf: (mpmath.erf, small),
    }
    for function, (exact, points) in cases.items():
        with mpmath.workdps(40):
            for x, y in zip(points, function(points), strict=True):
                apart = abs(mpmath.mpf(float(y)) - exact(mpmath.mpf(x)))
                assert apart <= analytic.LIBRARY * abs(y), (function, x)
