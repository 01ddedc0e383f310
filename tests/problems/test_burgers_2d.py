"""Burgers in the plane: the scheme against Cole and Hopf, what is stored against the scheme."""

from __future__ import annotations

import numpy as np

from benchmarks.burgers_2d import evolved, start_on
from hedge.problems import cole_hopf, find_problem
from hedge.problems.burgers_2d import END, FINEST, MEANS, SPREAD, VISCOSITY, packed, unpacked


def test_the_scheme_takes_slanted_waves_where_cole_and_hopf_say() -> None:
    """u = w(x + y), v = 0: then w_t + w w' = 2ν w'', a front across both axes."""
    line, viscosity, end = np.arange(64) / 64.0, 0.0125, 0.3
    slant = line[:, None] + line
    start = np.stack([-np.sin(2.0 * np.pi * slant), np.zeros((64, 64))])
    _, (u, v) = evolved(start, viscosity, np.array([0.0, end]), 200)
    x = (2.0 * slant.ravel() + 1.0) % 2.0 - 1.0
    exact = cole_hopf(np.column_stack([x, np.full(x.shape, 2.0 * end)]), 4.0 * viscosity)
    np.testing.assert_allclose(u.ravel(), exact[:, 0], atol=1e-4)
    assert np.abs(v).max() < 1e-14


def test_a_shear_that_is_carried_along_fades_as_heat_does() -> None:
    """u = c, v = sin 2πx: each term of the equation of v counts."""
    line, viscosity, end = np.arange(32) / 32.0, 0.05, 0.2
    x = np.broadcast_to(line[:, None], (32, 32))
    start = np.stack([np.full((32, 32), 1.5), np.sin(2.0 * np.pi * x)])
    _, (u, v) = evolved(start, viscosity, np.array([0.0, end]), 200)
    fading = np.exp(-viscosity * (2.0 * np.pi) ** 2 * end)
    np.testing.assert_allclose(v, fading * np.sin(2.0 * np.pi * (x - 1.5 * end)), atol=1e-5)
    np.testing.assert_allclose(u, 1.5, atol=1e-12)


def test_the_start_is_of_the_kind_that_is_asked_for() -> None:
    start = start_on(64)
    np.testing.assert_allclose(start.mean(axis=(1, 2)), 0.0, atol=1e-14)
    np.testing.assert_allclose(start.std(axis=(1, 2)), SPREAD, rtol=1e-12)
    power = np.abs(np.fft.fft2(start)).max(axis=0)
    numbers = np.abs(np.fft.fftfreq(64, 1.0 / 64.0))
    longest = np.maximum(numbers[:, None], numbers)
    assert power[longest > 3.5].max() < 1e-12 * power.max()


def test_the_reference_is_what_the_scheme_has_while_that_needs_few_points() -> None:
    """At a time that is stored, and between two."""
    across, times = 96, np.array([0.0, 0.02, 0.03])
    states = evolved(start_on(across), VISCOSITY, times, 400)
    i, j = np.random.default_rng(0).integers(0, across, (2, 500))
    for end, now, within in zip(times, states, (1e-12, 3e-3, 1e-2), strict=True):
        x = np.column_stack([i, j]) / across + end * np.array(MEANS)
        found = find_problem("burgers-2d").reference(np.column_stack([x, np.full(500, end)]))
        assert np.sqrt(np.mean((found - MEANS - now[:, i, j].T) ** 2)) < within


def test_the_reference_has_the_period_one() -> None:
    problem = find_problem("burgers-2d")
    x = problem.sample(500, 1) * (0.25, 0.25, END)
    u = problem.reference(x)
    for step in ((1.0, 0.0, 0.0), (0.0, 3.0, 0.0)):
        np.testing.assert_allclose(problem.reference(x + step), u, atol=1e-9)


def test_what_is_stored_is_as_fine_as_it_says() -> None:
    values = np.random.default_rng(2).uniform(-3.0, 3.0, (2, 2, 16, 16))
    assert np.abs(unpacked(packed(values)) - values).max() < 0.5001 * FINEST
