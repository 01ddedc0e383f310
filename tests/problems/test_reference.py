"""Reference solutions against independent mathematics: 30-digit quadrature, the equation itself."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import GALLERY, Domain, Problem, cole_hopf, find_problem, parse_domain
from hedge.problems.burgers import VISCOSITY


def burgers_by_quadrature(x: float, t: float) -> float:
    """Cole–Hopf in 30 digits, integrated over pieces around every peak of the weight."""
    with mpmath.workdps(30):
        nu = mpmath.mpf("0.01") / mpmath.pi

        def weight(eta: mpmath.mpf) -> mpmath.mpf:
            y = x - eta
            return mpmath.exp(
                -mpmath.cos(mpmath.pi * y) / (2 * mpmath.pi * nu) - eta**2 / (4 * nu * t)
            )

        pieces = mpmath.linspace(-2.5, 2.5, 81)
        top = mpmath.quad(lambda e: mpmath.sin(mpmath.pi * (x - e)) * weight(e), pieces)
        return float(-top / mpmath.quad(weight, pieces))


@pytest.mark.parametrize(
    ("x", "t"), [(0.3, 0.2), (-0.7, 0.5), (0.01, 1.0), (-0.002, 0.6), (0.95, 0.05), (0.5, 0.9)]
)
def test_burgers_reference_is_exact_to_1e10(x: float, t: float) -> None:
    assert abs(cole_hopf(np.array([[x, t]]))[0, 0] - burgers_by_quadrature(x, t)) < 1e-10


def test_burgers_reference_takes_the_initial_and_boundary_values() -> None:
    x = np.linspace(-1, 1, 101)
    initial = cole_hopf(np.column_stack([x, np.zeros_like(x)]))
    np.testing.assert_allclose(initial[:, 0], -np.sin(np.pi * x), atol=1e-14)
    t = np.linspace(0, 1, 101)
    for edge in (-1.0, 0.0, 1.0):
        assert np.abs(cole_hopf(np.column_stack([np.full_like(t, edge), t]))).max() < 1e-12


def test_burgers_reference_does_not_overflow_for_a_small_viscosity() -> None:
    u = cole_hopf(Domain(((-1.0, 1.0), (0.0, 1.0))).sample(500, 0), viscosity=VISCOSITY / 3)
    assert np.isfinite(u).all()
    assert np.abs(u).max() <= 1.0


def difference(problem: Problem, x: np.ndarray, axes: tuple[int, ...], h: float) -> np.ndarray:
    """Sixth-order central differences of the reference."""
    if not axes:
        return problem.reference(x)[:, 0]
    weights = {-3: -1 / 60, -2: 3 / 20, -1: -3 / 4, 1: 3 / 4, 2: -3 / 20, 3: 1 / 60}
    moved = x.copy()
    total = np.zeros(len(x))
    for offset, weight in weights.items():
        moved[:, axes[0]] = x[:, axes[0]] + offset * h
        total += weight * difference(problem, moved, axes[1:], h)
    return total / h


@pytest.mark.parametrize("name", ["heat", "poisson"])
def test_closed_forms_solve_their_equation(name: str) -> None:
    problem = find_problem(name)
    x = Domain(tuple((a + 0.1, b - 0.1) for a, b in problem.domain.intervals)).sample(200, 1)
    named = {d: difference(problem, x, problem.axes(d), 1e-2) for d in problem.derivatives}
    assert np.abs(problem.residual(list(x.T), named, np)).max() < 1e-7


def test_burgers_reference_solves_its_equation_where_it_is_smooth() -> None:
    problem = find_problem("burgers")
    x = Domain(((0.2, 0.8), (0.05, 0.25))).sample(200, 1)
    named = {d: difference(problem, x, problem.axes(d), 2e-3) for d in problem.derivatives}
    assert np.abs(problem.residual(list(x.T), named, np)).max() < 1e-6


@pytest.mark.parametrize("problem", GALLERY.values(), ids=GALLERY)
def test_the_form_of_the_solution_meets_the_conditions(problem: Problem) -> None:
    """distance is zero, and offset the reference, wherever u is prescribed; nowhere else."""
    inside = problem.domain.sample(1000, 2)
    lower, upper = problem.domain.lower, problem.domain.upper
    faces = [(0, lower[0]), (0, upper[0])]
    faces += [(1, lower[1])] if "t" in problem.inputs else [(1, lower[1]), (1, upper[1])]
    for axis, value in faces:
        x = inside.copy()
        x[:, axis] = value
        columns = list(x.T)
        offset = 0.0 if problem.offset is None else problem.offset(columns, np)
        assert np.abs(problem.distance(columns, np)).max() < 1e-12
        assert np.abs(offset - problem.reference(x)[:, 0]).max() < 1e-12
    assert np.abs(problem.distance(list(inside.T), np)).min() > 0


def test_sampling_covers_the_domain_and_follows_its_seed() -> None:
    domain = parse_domain("-1:1,0:1")
    x = domain.sample(4000, 3)
    assert (x >= domain.lower).all()
    assert (x <= domain.upper).all()
    counts, *_ = np.histogram2d(x[:, 0], x[:, 1], bins=4, range=domain.intervals)
    assert counts.min() > 170
    np.testing.assert_array_equal(x, domain.sample(4000, 3))
    assert not np.array_equal(x, domain.sample(4000, 4))


@pytest.mark.parametrize("text", ["", "0", "1:0", "0:0", "a:b", "0:1:2", "0:inf", "nan:1", "0:1,"])
def test_bad_domains_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="domain"):
        parse_domain(text)


def test_unknown_problems_are_refused_with_the_known_ones() -> None:
    with pytest.raises(InputError, match="burgers-half"):
        find_problem("navier-stokes")
