"""Reference solutions against independent mathematics: 30-digit quadrature, the equation itself."""

from __future__ import annotations

import mpmath
import numpy as np
import pytest

from hedge.errors import InputError
from hedge.problems import Domain, cole_hopf, find_problem, parse_domain
from hedge.problems.burgers import VISCOSITY
from tests.problems.differences import reference_residual


def burgers_by_quadrature(x: float, t: float, nu: float) -> float:
    """Cole–Hopf in 30 digits, integrated over pieces around every peak of the weight."""
    with mpmath.workdps(30):

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
    assert abs(cole_hopf(np.array([[x, t]]))[0, 0] - burgers_by_quadrature(x, t, VISCOSITY)) < 1e-10


@pytest.mark.parametrize("nu", [0.003, 0.01, 0.03])
@pytest.mark.parametrize(("x", "t"), [(-0.7, 0.5), (0.002, 0.6), (0.01, 1.0)])
def test_burgers_reference_is_exact_for_every_viscosity(x: float, t: float, nu: float) -> None:
    found = find_problem("burgers-nu").reference(np.array([[x, t, nu], [x, t, 0.02]]))
    assert abs(found[0, 0] - burgers_by_quadrature(x, t, nu)) < 1e-12


def test_viscosities_per_point_agree_with_one_for_all() -> None:
    points = find_problem("burgers").domain.sample(5000, 4)
    viscosity = np.full((5000, 1), VISCOSITY)
    np.testing.assert_array_equal(cole_hopf(points, viscosity), cole_hopf(points))


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


@pytest.mark.parametrize(
    "point", [(0.2, 3.1, -0.4, 5.0), (0.2, -2.0, 8.0, -5.0), (0.13, 0.1, 0.0, 0.0)]
)
def test_pendulum_reference_is_exact_to_1e12(point: tuple[float, ...]) -> None:
    """Against Taylor series in 20 digits, also beside points with other times."""
    t, q, v, f = point
    with mpmath.workdps(20):
        rates = mpmath.odefun(
            lambda _, y: [y[1], f - 0.1 * y[1] - 9.81 * mpmath.sin(y[0])], 0, [q, v]
        )
        expected = float(rates(t)[0])
    pendulum = find_problem("pendulum")
    found = pendulum.reference(np.vstack([point, pendulum.sample(50, 0)]))[0, 0]
    assert abs(found - expected) < 1e-12


CLOSED_FORMS = [
    "heat", "heat-family", "wave", "poisson", "poisson-5d", "poisson-10d", "helmholtz",
    "kovasznay", "beam", "heat-multiscale", "poisson-5d-fixed", "wave-long", "advection",
]  # fmt: skip


@pytest.mark.parametrize("name", CLOSED_FORMS)
def test_closed_forms_solve_their_equation(name: str) -> None:
    problem = find_problem(name)
    lower, upper = problem.domain.lower, problem.domain.upper
    margin = (upper - lower) / 10
    x = Domain(tuple(zip(lower + margin, upper - margin, strict=True))).sample(200, 1)
    # Fourth derivatives lose more digits.
    step, allowed = (1e-2, 1e-5) if name == "beam" else (2e-3, 1e-6)
    assert np.abs(reference_residual(problem, x, step)).max() < allowed


@pytest.mark.parametrize(
    ("name", "domain"),
    [
        ("pendulum", "0.05:0.15,-3:3,-8:8,-5:5"),
        ("burgers", "0.2:0.8,0.05:0.25"),
        ("burgers-nu", "0.2:0.8,0.05:0.25,0.01:0.03"),
    ],
)
def test_references_solve_their_equation_where_they_are_smooth(name: str, domain: str) -> None:
    x = parse_domain(domain).sample(200, 1)
    assert np.abs(reference_residual(find_problem(name), x, 2e-3)).max() < 1e-6


def test_sampling_covers_the_domain_and_follows_its_seed() -> None:
    domain = parse_domain("-1:1,0:1")
    x = domain.sample(4000, 3)
    assert (x >= domain.lower).all()
    assert (x <= domain.upper).all()
    counts, *_ = np.histogram2d(x[:, 0], x[:, 1], bins=4, range=domain.intervals)
    assert counts.min() > 170
    np.testing.assert_array_equal(x, domain.sample(4000, 3))
    assert not np.array_equal(x, domain.sample(4000, 4))


def test_intervals_that_are_alike_are_written_once() -> None:
    many = parse_domain(",".join(["-1:1"] * 400))
    assert str(many) == "-1:1*400"
    assert parse_domain(str(many)) == many == parse_domain("-1:1", 400)
    assert str(parse_domain("0:1,-1:1*9,0:1")) == "0:1,-1:1*9,0:1"
    assert str(parse_domain("-1:1*2")) == "-1:1,-1:1"
    assert parse_domain("-1:1,0:1", 3).dimension == 2


@pytest.mark.parametrize(
    "text",
    [
        "",
        "0",
        "1:0",
        "0:0",
        "a:b",
        "0:1:2",
        "0:inf",
        "nan:1",
        "0:1,",
        "0:1*0",
        "0:1*x",
        "0:1*",
        "0:1*-1",
        "0:1*999999999",
    ],
)
def test_bad_domains_are_refused(text: str) -> None:
    with pytest.raises(InputError, match="domain"):
        parse_domain(text)


def test_misspelt_problems_are_refused_with_those_that_are_like_them() -> None:
    with pytest.raises(InputError, match="take burgers-half or"):
        find_problem("burgers-halv")
