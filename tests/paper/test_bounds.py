"""The paper's bounds: both sides as computed here anew, the sound ones hold, the false ones fail.

Perturbations are random or the worst there is, which makes the sound bounds equalities.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hedge.errors import InputError
from hedge.paper.bounds import (
    Bound,
    block_sum_bound,
    condition_bound,
    convergence_bound,
    energy_bound,
    latency_bound,
    multiscale_bound,
    perturbed_condition_bound,
    solution_bound,
    training_error_bound,
)
from hedge.paper.kernel_bounds import (
    capacity,
    dependency_bound,
    dependency_eigenvalue_bound,
    effective_condition_bound,
    eigenvalue_shift_bound,
    loss_decay_bound,
    neuron_scaling,
    refined_width,
    refinement_decay_bound,
    tangent_kernel_bound,
)

seeds = st.integers(0, 2**32 - 1)
sizes = st.integers(1, 8)
kinds = st.sampled_from(["random", "worst"])
scales = st.sampled_from([1e-30, 1.0, 1e25])


def shares(most: float) -> st.SearchStrategy[float]:
    """Part of a threshold: none, or enough to be told from rounding."""
    return st.one_of(st.just(0.0), st.floats(1e-6, most))


found = settings(max_examples=50)


def norm(array: np.ndarray) -> float:
    return math.sqrt(sum(float(x) ** 2 for x in np.asarray(array).ravel()))


def rotation(rng: np.random.Generator, n: int) -> np.ndarray:
    return np.linalg.qr(rng.standard_normal((n, n)))[0]


def conditioned(rng: np.random.Generator, n: int, condition: float = 1e3) -> np.ndarray:
    """A matrix with singular values 1 … 1/condition; 1 alone for n = 1."""
    return (rotation(rng, n) * np.geomspace(1.0, 1.0 / condition, n)) @ rotation(rng, n)


def positive(rng: np.random.Generator, n: int, condition: float = 1e3) -> np.ndarray:
    q = rotation(rng, n)
    whole = (q * np.geomspace(1.0, 1.0 / condition, n)) @ q.T
    return (whole + whole.T) / 2


def disturbance(rng: np.random.Generator, A: np.ndarray, size: float, kind: str) -> np.ndarray:
    """A perturbation of spectral norm ``size``: random, or σ_max up and σ_min down."""
    n = len(A)
    if kind == "worst" and n > 1:
        u, _, vt = np.linalg.svd(A)
        return size * (np.outer(u[:, 0], vt[0]) - np.outer(u[:, -1], vt[-1]))
    E = rng.standard_normal((n, n))
    return E * (size / np.linalg.norm(E, 2))


def symmetric_disturbance(
    rng: np.random.Generator, A: np.ndarray, size: float, kind: str
) -> np.ndarray:
    _, q = np.linalg.eigh(A)
    if kind == "worst" and len(A) > 1:
        return size * (np.outer(q[:, -1], q[:, -1]) - np.outer(q[:, 0], q[:, 0]))
    E = rng.standard_normal((len(A), len(A)))
    return (E + E.T) * (size / np.linalg.norm(E + E.T, 2))


def assert_sides(bound: Bound, left: float, right: float, rel: float = 1e-9) -> None:
    assert bound.left == pytest.approx(left, rel=rel, abs=1e-300)
    assert bound.right == pytest.approx(right, rel=rel, abs=1e-300)


def assert_sound(*bounds: Bound) -> None:
    for bound in bounds:
        assert bound.applies, bound
        assert bound.holds, bound
        assert bound.reason == ""


def assert_false(bound: Bound, reason: str) -> None:
    """The hypothesis holds, the paper's claim does not, and the bound says why."""
    assert bound.applies, bound
    assert not bound.holds, bound
    assert reason in bound.reason


def assert_not_applying(bounds: Iterable[Bound], reason: str) -> None:
    for bound in bounds:
        assert not bound.applies, bound
        assert reason in bound.reason


def assert_proven_holds(*bounds: Bound) -> None:
    """What applies and has no reason against it is proven, so it holds."""
    for bound in bounds:
        assert bound.holds or not bound.applies or bound.reason, bound
        assert bound.applies or bound.reason, bound


# Bound


def test_a_bound_holds_within_rounding_and_no_further() -> None:
    def bound(left: float, right: float, slack: float = 0.0) -> Bound:
        return Bound("x", "x", left, right, True, "", slack)

    assert bound(1.0, 1.0).holds
    assert bound(1.0 + 0.9e-10, 1.0).holds
    assert not bound(1.0 + 1.1e-10, 1.0).holds
    assert bound(-1.0 + 0.9e-10, -1.0).holds
    assert not bound(-1.0 + 1.1e-10, -1.0).holds
    assert bound(0.9e-13, 0.0, 1e-13).holds
    assert not bound(1.1e-13, 0.0, 1e-13).holds
    assert not bound(math.nan, 1.0).holds
    assert not bound(math.inf, 1.0).holds


def last_bit(rng: np.random.Generator, n: int, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """An ill conditioned matrix, and the same with the last bit of its least entry changed."""
    A = positive(rng, n, 1e10) * scale
    H = A.copy()
    i, j = np.unravel_index(np.argmin(np.abs(A)), A.shape)
    H[i, j] = H[j, i] = np.nextafter(H[i, j], np.inf)
    return A, H


def test_the_last_bit_violates_no_condition_bound() -> None:
    # One in 30 of these differs by rounding of κ = 10¹⁰, thousands of times the relative slack.
    rng = np.random.default_rng(0)
    for _ in range(300):
        A, H = last_bit(rng, 8, 1.0)
        assert_sound(condition_bound(A, H)[1], perturbed_condition_bound(A, H - A)[1])


@found
@given(seed=seeds, n=st.integers(3, 8), scale=scales)
def test_the_last_bit_of_an_ill_conditioned_matrix_violates_nothing(
    seed: int, n: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    A, H = last_bit(rng, n, scale)
    b, D = rng.standard_normal(n), np.zeros((1, 1, 1, 1))
    assert_sound(solution_bound(A, H, b)[1], effective_condition_bound(A, H, norm(A - H))[1])
    weyl, sharp, _, kappa, _, wielandt = eigenvalue_shift_bound(A, H)
    assert_sound(weyl, sharp, kappa, wielandt)
    assert_sound(tangent_kernel_bound(A, H, 1.0, norm(A - H))[0])
    assert_sound(*dependency_bound(A, H, H, D)[1:], dependency_eigenvalue_bound(A, H, H, D)[1])
    error = float(np.linalg.norm(A - H, 2))
    assert_sound(multiscale_bound([A], [H], [b], [error])[1])


def test_slack_is_rounding_and_no_more() -> None:
    rng = np.random.default_rng(1)
    A = positive(rng, 8, 30.0)
    H, b, D = A + 1e-3 * np.eye(8), rng.standard_normal(8), np.zeros((1, 1, 1, 1))
    bounds = [
        *block_sum_bound(A, H, [norm(A - H)]),
        *condition_bound(A, H),
        *perturbed_condition_bound(A, H - A),
        *solution_bound(A, H, b),
        *multiscale_bound([A], [H], [b], [1e-3]),
        *tangent_kernel_bound(A, H, 1.0, 1e-3),
        *effective_condition_bound(A, H, 1e-3),
        *eigenvalue_shift_bound(A, H),
        *loss_decay_bound([1.0, 0.5], 0.1, A),
        *dependency_bound(A, H, H, D),
        *dependency_eigenvalue_bound(A, H, H, D),
    ]
    assert all(0 < bound.slack < 1e-10 for bound in bounds)


# Theorem 1


@found
@given(seed=seeds, rows=sizes, columns=sizes, scale=scales)
def test_block_errors_bound_the_error_and_their_squares_add_up_to_it(
    seed: int, rows: int, columns: int, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    A, H = (rng.standard_normal((rows, columns)) * scale for _ in range(2))
    down, right = rng.integers(0, rows + 1), rng.integers(0, columns + 1)
    blocks = [
        (slice(0, down), slice(0, right)),
        (slice(down, rows), slice(0, right)),
        (slice(0, rows), slice(right, columns)),
    ]
    errors = [norm((A - H)[b]) for b in blocks]
    loose, sharp = block_sum_bound(A, H, errors)
    assert_sides(loose, norm(A - H), sum(errors))
    assert_sides(sharp, norm(A - H), norm(A - H))
    assert_sound(loose, sharp)
    for wrong in ([*errors, norm(A - H)], [0.5 * e for e in errors]):
        for bound in block_sum_bound(A, H, wrong):
            assert not bound.applies
            assert "disjoint blocks" in bound.reason


@found
@given(seed=seeds, n=sizes, kind=kinds, share=shares(0.99), scale=scales)
def test_condition_number_of_an_approximation(
    seed: int, n: int, kind: str, share: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    A = conditioned(rng, n, 30.0) * scale
    least, most = np.linalg.norm(A, -2), np.linalg.norm(A, 2)
    H = A + disturbance(rng, A, share * least, kind)
    e = np.linalg.norm(A - H, 2)
    letter, sound = condition_bound(A, H)
    assert_sides(letter, np.linalg.cond(H), most / least * (1 + e / (least - e)))
    assert_sides(sound, np.linalg.cond(H), (most + e) / (least - e))
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    if kind == "worst" and n > 1:
        assert sound.left == pytest.approx(sound.right, rel=1e-6)
        assert letter.holds == (share == 0)
    far = A + disturbance(rng, A, (1.01 + share) * least, kind)
    assert_not_applying(condition_bound(A, far), "not below σ_min(A)")


def test_paper_condition_bound_fails_where_the_norm_grows() -> None:
    letter, _ = condition_bound(np.diag([2.0, 1.0]), np.diag([2.5, 0.5]))
    assert (letter.left, letter.right) == (5.0, 4.0)
    assert letter.applies
    assert not letter.holds
    assert "σ_max(H) ≤ σ_max(A)" in letter.reason
    shrunk, _ = condition_bound(np.diag([2.0, 1.0]), np.diag([2.0, 0.5]))
    assert (shrunk.left, shrunk.right, shrunk.reason) == (4.0, 4.0, "")


@found
@given(seed=seeds, n=sizes, kind=kinds, share=shares(0.99), scale=scales)
def test_condition_number_under_a_perturbation(
    seed: int, n: int, kind: str, share: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    H = conditioned(rng, n, 30.0) * scale
    least, most = np.linalg.norm(H, -2), np.linalg.norm(H, 2)
    change = disturbance(rng, H, 1.0, kind)
    change *= share * least / norm(change)
    delta = norm(change)
    letter, sound = perturbed_condition_bound(H, change)
    assert_sides(letter, np.linalg.cond(H + change), most / least * (1 + delta / least))
    assert_sides(sound, np.linalg.cond(H + change), (most + delta) / (least - delta))
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    assert bool(letter.reason) == (delta > 0)
    letter, sound = perturbed_condition_bound(H, change + 3 * H * most / least)
    assert letter.applies
    assert not sound.applies
    assert "not below σ_min(H)" in sound.reason


def test_sound_perturbed_bound_is_reached_and_the_paper_one_fails() -> None:
    # One singular value moves, so the Frobenius norm is the spectral norm and little is lost.
    letter, sound = perturbed_condition_bound(np.diag([1e6, 1.0]), np.diag([0.0, -0.9]))
    assert letter.left == pytest.approx(1e7)
    assert letter.right == pytest.approx(1.9e6)
    assert not letter.holds
    assert sound.right == pytest.approx(1e7, rel=1e-5)
    singular, far = perturbed_condition_bound(np.diag([1.0, 0.0]), np.zeros((2, 2)))
    assert not singular.applies
    assert not far.applies
    assert singular.reason == "H is singular"
    # δ = σ_min(H): the paper's right side stays finite while H + ΔA is singular.
    letter, sound = perturbed_condition_bound(np.eye(2), np.diag([0.0, -1.0]))
    assert (letter.left, letter.right, letter.holds) == (math.inf, 2.0, False)
    assert not sound.applies


@found
@given(error=st.floats(0, 1e3), tolerance=st.floats(0, 10), steps=st.integers(0, 100))
def test_training_error_is_compared_with_tolerance_times_steps(
    error: float, tolerance: float, steps: int
) -> None:
    bound = training_error_bound(error, tolerance, steps)
    assert_sides(bound, error, tolerance * steps)
    assert bound.holds == (error <= tolerance * steps * (1 + 1e-10))
    assert bound.applies
    assert bound.reason


def test_training_error_of_an_exact_matrix_is_above_the_paper_bound() -> None:
    # One weight can't fit two targets of one input, however exactly its matrix is kept.
    A, target = np.ones((2, 1)), np.array([1.0, -1.0])
    weights, *_ = np.linalg.lstsq(A, target, rcond=None)
    error = norm(A @ weights - target)
    assert all(b.left == 0.0 for b in block_sum_bound(A, A, [0.0, 0.0]))
    assert not training_error_bound(error, tolerance=0.1, steps=5).holds


# Theorems 2 and 3, corollary 1


@found
@given(seed=seeds, n=sizes, share=shares(0.9), stretch=st.sampled_from([1e-3, 1.0, 1e3]))
def test_solutions_move_by_no_more_than_the_bound(
    seed: int, n: int, share: float, stretch: float
) -> None:
    rng = np.random.default_rng(seed)
    A = conditioned(rng, n, 30.0)
    H = A + disturbance(rng, A, share * np.linalg.norm(A, -2), "random")
    b = rng.standard_normal(n) * stretch
    x, y = np.linalg.inv(A) @ b, np.linalg.inv(H) @ b
    letter, sound = solution_bound(A, H, b)
    assert letter.left == sound.left == pytest.approx(norm(x - y), rel=1e-8, abs=1e-10 * norm(x))
    right = norm(A - H) / np.linalg.norm(H, -2)
    assert letter.right == pytest.approx(right)
    assert sound.right == pytest.approx(right * norm(x))
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    assert bool(letter.reason) == (norm(x) > 1)


def test_paper_solution_bound_fails_for_a_solution_above_one() -> None:
    letter, sound = solution_bound(np.eye(1), np.array([[0.5]]), np.array([3.0]))
    assert (letter.left, letter.right) == (3.0, 1.0)
    assert_false(letter, "‖A⁻¹b‖")
    assert (sound.right, sound.holds) == (3.0, True)
    scaled, _ = solution_bound(np.eye(1), np.array([[0.5]]), np.array([1.0]))
    assert (scaled.left, scaled.right, scaled.reason) == (1.0, 1.0, "")


@pytest.mark.parametrize("singular", [0, 1])
def test_solution_bound_does_not_apply_to_singular_matrices(singular: int) -> None:
    pair = [np.eye(2), np.eye(2)]
    pair[singular] = np.ones((2, 2)) / 3
    assert_not_applying(solution_bound(*pair, np.ones(2)), "A or H is singular")


@found
@given(seed=seeds, n=sizes, steps=st.integers(1, 5))
def test_convergence_bounds_are_those_of_each_step_and_go_to_zero(
    seed: int, n: int, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    A, b = conditioned(rng, n, 30.0), rng.standard_normal(n)
    E = disturbance(rng, A, 0.5 * np.linalg.norm(A, -2), "random")
    sequence = [A + E / 10**i for i in range(steps)]
    bounds = convergence_bound(A, sequence, b)
    assert [x.item for x in bounds] == ["thm3", "thm3-sound"] * steps
    for i, H in enumerate(sequence):
        for bound, one in zip(bounds[2 * i : 2 * i + 2], solution_bound(A, H, b), strict=True):
            assert (bound.left, bound.right, bound.reason) == (one.left, one.right, one.reason)
            assert f"H_{i + 1}⁻¹b" in bound.claim
    assert all(x.applies and x.holds for x in bounds[1::2])
    limit = np.linalg.norm(A, 2) * norm(np.linalg.solve(A, b)) / np.linalg.norm(A, -2)
    assert all(x.right <= 2 * n * limit / 10**i for i, x in enumerate(bounds[1::2]))


def test_paper_convergence_inequality_fails_along_a_converging_sequence() -> None:
    sequence = [np.eye(1) * (1 - 0.5**n) for n in (1, 2, 3)]
    letters = convergence_bound(np.eye(1), sequence, np.array([10.0]))[::2]
    assert [b.left for b in letters] == pytest.approx([10.0, 10 / 3, 10 / 7])
    assert [b.right for b in letters] == pytest.approx([1.0, 1 / 3, 1 / 7])
    assert not any(b.holds for b in letters)
    stuck = convergence_bound(np.eye(1), [np.zeros((1, 1))], np.ones(1))
    assert not any(b.applies for b in stuck)


@found
@given(seed=seeds, scales_=st.integers(1, 4), stretch=st.sampled_from([1e-3, 1e3]))
def test_errors_of_several_scales_add_up(seed: int, scales_: int, stretch: float) -> None:
    rng = np.random.default_rng(seed)
    systems, errors = [], []
    left = letter_right = sound_right = 0.0
    for k in range(scales_):
        A = conditioned(rng, k + 1, 10.0)
        H = A + disturbance(rng, A, 0.5 * np.linalg.norm(A, -2), "random")
        b = rng.standard_normal(k + 1) * stretch
        x = np.linalg.inv(A) @ b
        errors.append(float(np.linalg.norm(A - H, 2)) * rng.uniform(1, 2))
        systems.append((A, H, b))
        left += norm(x - np.linalg.inv(H) @ b)
        letter_right += errors[-1] / np.linalg.norm(H, -2)
        sound_right += errors[-1] / np.linalg.norm(H, -2) * norm(x)
    matrices, approximations, right_sides = zip(*systems, strict=True)
    letter, sound = multiscale_bound(matrices, approximations, right_sides, errors)
    assert_sides(letter, left, letter_right, rel=1e-7)
    assert_sides(sound, left, sound_right, rel=1e-7)
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    late = [*errors[:-1], errors[-1] * 0.4]
    for bound in multiscale_bound(matrices, approximations, right_sides, late):
        assert not bound.applies
        assert bound.reason == f"the training error of scale {scales_} is below ‖A − H‖₂"


def test_paper_multiscale_bound_fails_for_a_large_solution() -> None:
    letter, sound = multiscale_bound([np.eye(1)], [2 * np.eye(1)], [np.array([4.0])], [1.0])
    assert (letter.left, letter.right) == (2.0, 0.5)
    assert_false(letter, "‖x_k‖")
    assert sound.holds
    pair = [np.eye(1), np.eye(1)]
    assert_not_applying(
        multiscale_bound(pair, [np.eye(1), np.zeros((1, 1))], [np.ones(1)] * 2, [9, 9]),
        "A or H is singular at scale 2",
    )


# Theorem 4


@found
@given(seed=seeds, n=sizes, kind=kinds, size=shares(2), constant=st.floats(0.1, 10))
def test_tangent_kernel_bounds(seed: int, n: int, kind: str, size: float, constant: float) -> None:
    rng = np.random.default_rng(seed)
    T = positive(rng, n) + 0.5 * np.eye(n)
    H = T + symmetric_disturbance(rng, T, size, kind)
    tolerance = float(rng.uniform(0.1, 1.5))
    before, after = np.linalg.eigvals(T).real.min(), np.linalg.eigvals(H).real.min()
    weyl, total, definite, sound = tangent_kernel_bound(T, H, constant, tolerance, [tolerance])
    assert weyl.left == pytest.approx(before - np.linalg.norm(T - H, 2), abs=1e-12)
    assert weyl.right == definite.right == sound.right == pytest.approx(after, abs=1e-12)
    assert_sound(weyl)
    assert total.left == pytest.approx(norm(T - H), abs=1e-12)
    assert total.right == pytest.approx(constant * tolerance)
    assert total.applies
    assert total.reason
    assert definite.left == pytest.approx(before - tolerance)
    assert definite.applies == (before > tolerance)
    assert sound.left == pytest.approx(before - constant * tolerance, abs=1e-12)
    assert sound.applies == total.holds
    assert_proven_holds(definite, sound)


def test_tangent_kernel_bounds_say_which_hypothesis_fails() -> None:
    eye = np.eye(2)
    weyl, total, definite, sound = tangent_kernel_bound(eye, eye, 1.0, 0.1, [0.05, 0.2])
    assert weyl.applies
    assert sound.applies
    assert not total.applies
    assert not definite.applies
    assert total.reason == definite.reason == "a block error is above the tolerance"
    skew = eye + np.array([[0.0, 0.1], [0.0, 0.0]])
    weyl, total, definite, sound = tangent_kernel_bound(eye, skew, 1.0, 0.2)
    assert total.applies
    assert not (weyl.applies)
    assert not (definite.applies)
    assert not (sound.applies)
    assert weyl.reason == "Θ_H is not symmetric"


def test_paper_drops_the_constant_when_it_concludes_a_positive_definite_kernel() -> None:
    # f(x) = w₂w₁x has Θ = x²(w₁² + w₂²). Both weights of 0.1 are approximated by 0, to rank 0.
    x, w, tolerance = 10.0, np.array([0.1, 0.1]), 0.1
    kernel, compressed = np.array([[x**2 * w @ w]]), np.zeros((1, 1))
    constants = [x**2 * w[0] ** 2 / tolerance, x**2 * w[1] ** 2 / tolerance]
    _, total, definite, sound = tangent_kernel_bound(
        kernel, compressed, sum(constants), tolerance, [0.1, 0.1]
    )
    assert total.left == pytest.approx(total.right)
    assert total.holds
    assert_false(definite, "drops C")
    assert_sound(sound)


def test_constants_measured_block_by_block_do_not_add_up() -> None:
    # f(x) = w₃w₂w₁x at x = 1 and w = (1, 1, 1); each weight is approximated by 1.1.
    def kernel(w: tuple[float, float, float]) -> np.ndarray:
        a, b, c = (v**2 for v in w)
        return np.array([[a * b + a * c + b * c]])

    dense = kernel((1.0, 1.0, 1.0))
    one_at_a_time = [kernel(w) for w in ((1.1, 1, 1), (1, 1.1, 1), (1, 1, 1.1))]
    constant = sum(norm(k - dense) / 0.1 for k in one_at_a_time)
    total = tangent_kernel_bound(dense, kernel((1.1, 1.1, 1.1)), constant, 0.1, [0.1] * 3)[1]
    assert total.left == pytest.approx(1.3923)
    assert total.right == pytest.approx(1.26)
    assert_false(total, "not linear")


# Theorem 5


@found
@given(seed=seeds, n=sizes, kind=kinds, share=shares(3), scale=scales)
def test_condition_number_after_regularization(
    seed: int, n: int, kind: str, share: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    A = conditioned(rng, n, 30.0) * scale
    least, most = np.linalg.norm(A, -2), np.linalg.norm(A, 2)
    tau = share * least
    H = A + disturbance(rng, A, tau, kind)
    values = np.sqrt(np.maximum(np.linalg.eigvalsh(H.T @ H / scale**2), 0)) * scale
    floor = 0.5 * least
    assume(np.all(np.abs(values / floor - 1) > 1e-3) and np.any(values > floor))
    effective = min(v for v in values if v > floor)
    letter, sound = effective_condition_bound(A, H, tau, floor)
    assert_sides(letter, values.max() / effective, most / least * (1 + tau / effective))
    assert_sides(sound, values.max() / effective, (most + tau) / effective)
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    if kind == "worst":
        assert sound.left == pytest.approx(sound.right) or n == 1
    if tau > 0:
        for bound in effective_condition_bound(A, H, 0.9 * tau, floor):
            assert not bound.applies
            assert bound.reason == "‖A − H‖₂ is above the tolerance"


def test_paper_effective_condition_bound_fails_where_the_norm_grows() -> None:
    A = np.diag([2.0, 1.0])
    letter, sound = effective_condition_bound(A, np.diag([2.5, 0.5]), 0.5)
    assert (letter.left, letter.right) == (5.0, 4.0)
    assert_false(letter, "last step")
    assert (sound.right, sound.holds) == (5.0, True)
    # A regularized H: its condition is that of the values kept.
    kept, _ = effective_condition_bound(A, np.diag([2.0, 1e-3]), 1.0, floor=0.1)
    assert (kept.left, kept.right, kept.holds, kept.reason) == (1.0, 3.0, True, "")
    assert_not_applying(
        effective_condition_bound(A, np.diag([2.0, 1.5]), 0.5, floor=3.0),
        "no singular value of H is above the floor",
    )
    letter, sound = effective_condition_bound(np.diag([1.0, 0.0]), np.diag([1.0, 0.0]), 0.0)
    assert (letter.applies, letter.reason, sound.applies) == (False, "A is singular", True)


# Theorem 6


@found
@given(seed=seeds, n=sizes, kind=kinds, share=shares(0.95), scale=scales)
def test_eigenvalues_shift_by_no_more_than_the_bound(
    seed: int, n: int, kind: str, share: float, scale: float
) -> None:
    rng = np.random.default_rng(seed)
    A = positive(rng, n, 30.0) * scale
    E = symmetric_disturbance(rng, A, 1.0, kind)
    least, most = np.linalg.norm(A, -2), np.linalg.norm(A, 2)
    H = A + E * (share * least / norm(E))
    a, h = (np.sort(np.linalg.eigvals(M).real) for M in (A, H))
    weyl, sharp, kappa, kappa_sound, identity, wielandt = eigenvalue_shift_bound(A, H)
    tiny = 1e-13 * n * scale
    e = norm(A - H)
    assert weyl.left == sharp.left == pytest.approx(np.abs(h - a).max(), abs=tiny)
    assert weyl.right == identity.left == wielandt.right == pytest.approx(e, rel=1e-12)
    assert sharp.right == pytest.approx(np.linalg.norm(A - H, 2))
    assert identity.right == wielandt.left == pytest.approx(norm(h - a), abs=tiny)
    change = abs(h[-1] / h[0] - a[-1] / a[0]) / (a[-1] / a[0])
    assert kappa.left == kappa_sound.left == pytest.approx(change, rel=1e-7, abs=1e-10)
    assert kappa.right == pytest.approx(e / least)
    worst = (most + e) / (least - e) * least / most - 1
    assert kappa_sound.right == pytest.approx(worst, rel=1e-7, abs=1e-10)
    assert_sound(weyl, sharp, kappa_sound, wielandt)
    assert kappa.applies
    assert identity.applies
    assert_proven_holds(kappa, identity)
    if kind == "worst":
        assert sharp.left == pytest.approx(sharp.right, abs=tiny)


@found
@given(seed=seeds, n=sizes, factor=st.floats(1.05, 5))
def test_condition_claims_need_an_error_below_the_least_eigenvalue(
    seed: int, n: int, factor: float
) -> None:
    rng = np.random.default_rng(seed)
    A = positive(rng, n, 30.0)
    E = symmetric_disturbance(rng, A, 1.0, "random")
    H = A + E * (factor * np.linalg.norm(A, -2) / norm(E))
    bounds = eigenvalue_shift_bound(A, H)
    assert [b.applies for b in bounds] == [True, True, False, False, True, True]
    assert bounds[2].reason == bounds[3].reason == "ε is not below λ_min(A)"
    assert bounds[0].holds
    assert bounds[1].holds
    assert bounds[5].holds
    low = eigenvalue_shift_bound(A, H, tolerance=0.9 * norm(A - H))
    assert [b.applies for b in low] == [False, True, False, False, True, True]
    assert low[0].right == pytest.approx(0.9 * norm(A - H))
    assert "above the tolerance" in low[0].reason
    high = eigenvalue_shift_bound(A, H, tolerance=2 * norm(A - H))[0]
    assert high.applies
    assert high.right == pytest.approx(2 * norm(A - H))


def test_eigenvalue_bounds_do_not_apply_to_a_skew_approximation() -> None:
    bounds = eigenvalue_shift_bound(np.eye(2), np.array([[1.0, 0.1], [0.0, 1.0]]))
    assert not any(b.applies for b in bounds)
    assert {b.reason for b in bounds} == {"H is not symmetric"}


def test_paper_change_of_the_condition_number_leaves_out_the_largest_eigenvalue() -> None:
    bounds = eigenvalue_shift_bound(np.eye(2), np.diag([1.01, 0.99]))
    kappa, sound = bounds[2:4]
    assert kappa.left == pytest.approx(1.01 / 0.99 - 1)
    assert kappa.right == pytest.approx(0.01 * math.sqrt(2))
    assert_false(kappa, "λ_max")
    assert sound.holds


@pytest.mark.parametrize(
    ("A", "H"),
    [
        (np.diag([2.0, 1.0]), np.diag([1.0, 2.0])),  # common eigenvectors, in another order
        (np.diag([2.0, 1.0]), np.array([[2.0, 0.5], [0.5, 1.0]])),  # other eigenvectors
    ],
)
def test_paper_identity_for_the_error_is_false(A: np.ndarray, H: np.ndarray) -> None:
    identity, wielandt = eigenvalue_shift_bound(A, H)[4:]
    assert_false(identity, "common eigenvectors")
    assert wielandt.holds
    assert wielandt.left < 0.5 * wielandt.right


# Section F, lemma 1, theorem 7


def test_example_1_grows_the_layer_from_30_to_36() -> None:
    assert refined_width(30, error=0.25, threshold=0.1, scale=2) == 36
    assert capacity([20, 30]) == 1300
    assert 0.07 / 0.01 > 7
    assert refined_width(30, error=0.07, threshold=0.01, scale=2) == 44


@found
@given(
    width=st.integers(0, 500),
    steps=st.integers(0, 1000),
    threshold=st.sampled_from([0.1, 0.3, 1e-3, 7.0]),
    scale=st.integers(0, 5),
    widths=st.lists(st.integers(0, 10**4), min_size=1, max_size=6),
)
def test_width_rule_rounds_up_but_not_for_rounding(
    width: int, steps: int, threshold: float, scale: int, widths: list[int]
) -> None:
    assert refined_width(width, steps * threshold, threshold, scale) == width + scale * steps
    above = refined_width(width, (steps + 1e-6) * threshold, threshold, scale)
    assert above == width + scale * (steps + 1)
    assert capacity(widths) == sum(n * n for n in widths)


@found
@given(
    exponent=st.floats(-3, 1),
    constant=st.floats(1e-3, 1e3),
    widths=st.lists(st.integers(1, 1000), min_size=2, max_size=8, unique=True),
)
def test_exponent_of_a_power_law_is_found(
    exponent: float, constant: float, widths: list[int]
) -> None:
    errors = [constant * n**exponent for n in widths]
    bound = neuron_scaling(widths, errors)
    assert bound.left == pytest.approx(exponent, abs=1e-9)
    assert bound.right == -1.0
    assert bound.applies
    assert bound.reason
    assert bound.holds == (exponent <= -1) or abs(exponent + 1) < 1e-8


def test_exponent_is_the_least_squares_slope() -> None:
    widths, errors = [4, 8, 16, 64], [1.0, 0.7, 0.1, 0.09]
    slope = np.polyfit(np.log(widths), np.log(errors), 1)[0]
    assert neuron_scaling(widths, errors).left == pytest.approx(slope)
    one = neuron_scaling([8, 8], [0.1, 0.2])
    assert not one.applies
    assert one.reason == "one width only shows no scaling"


def test_paper_scaling_fails_though_the_rank_grows_with_the_width() -> None:
    widths, errors = [4, 8, 16, 32], []
    for n in widths:
        A = np.eye(n)
        u, s, vt = np.linalg.svd(A)
        k = n // 2
        errors.append(norm(A - (u[:, :k] * s[:k]) @ vt[:k]))
    bound = neuron_scaling(widths, errors)
    assert bound.left == pytest.approx(0.5)
    assert bound.applies
    assert not bound.holds


@found
@given(
    start=st.floats(1e-3, 1e3),
    factors=st.lists(st.floats(0.01, 1.2), min_size=1, max_size=8),
)
def test_decay_of_the_error_is_compared_with_exponential_decay(
    start: float, factors: list[float]
) -> None:
    errors = start * np.cumprod([1.0, *factors])
    bounds = refinement_decay_bound(errors.tolist())
    assert len(bounds) == len(factors)
    for T, bound in enumerate(bounds, 1):
        assert_sides(bound, errors[T], start / math.e**T)
        assert bound.applies == all(f < 1 for f in factors[:T])
        assert bound.holds == (errors[T] <= start * math.exp(-T) * (1 + 1e-10))
    assert_proven_holds(*bounds)
    quick = refinement_decay_bound([0.3**T for T in range(6)])
    assert all(b.holds and b.applies and not b.reason for b in quick)


def test_paper_error_decay_fails_for_slower_refinement() -> None:
    # Raising the rank of a 4 × 4 identity by one a step: 2, √3, √2, 1, 0.
    errors = [norm(np.eye(4)[k:]) for k in range(5)]
    bounds = refinement_decay_bound(errors)
    assert [b.holds for b in bounds] == [False, False, False, True]
    assert bounds[0].left == pytest.approx(math.sqrt(3))
    assert bounds[0].right == pytest.approx(2 / math.e)
    assert all("refinement 1 gave 0.866" in b.reason for b in bounds)
    assert all(b.applies for b in bounds)
    stalled = refinement_decay_bound([1.0, 1.0, 0.1])
    assert not any(b.applies for b in stalled)
    assert stalled[1].reason == "refinement 1 does not lower the error"
    assert all(b.applies and b.holds for b in refinement_decay_bound([0.0, 0.0]))


def descend(kernel: np.ndarray, start: np.ndarray, rate: float, steps: int) -> list[float]:
    losses, r = [], start
    for _ in range(steps + 1):
        losses.append(float(r @ r) / 2)
        r = r - rate * kernel @ r
    return losses


@found
@given(seed=seeds, n=sizes, share=st.floats(0.01, 1.0), steps=st.integers(1, 20))
def test_kernel_gradient_descent_obeys_the_loss_bound(
    seed: int, n: int, share: float, steps: int
) -> None:
    rng = np.random.default_rng(seed)
    H = positive(rng, n, 100.0)
    values = np.linalg.eigvals(H).real
    rate = share * 2 / (values.min() + values.max())
    losses = descend(H, rng.standard_normal(n), rate, steps)
    bounds = loss_decay_bound(losses, rate, H)
    assert len(bounds) == steps
    for T, bound in enumerate(bounds, 1):
        assert_sides(bound, losses[T], losses[0] * math.exp(-rate * values.min() * T))
        assert bound.applies
        assert bound.holds
        assert "constant kernel" in bound.reason or share > 1 - 1e-9


def test_paper_loss_bound_fails_for_large_steps_and_for_another_kernel() -> None:
    H = np.diag([1.0, 10.0])
    diverging = loss_decay_bound(descend(H, np.ones(2), 0.3, 3), 0.3, H)
    assert all(b.applies and not b.holds for b in diverging)
    assert "above 2/(λ_min + λ_max)" in diverging[0].reason
    # The compressed kernel has lost the slow direction of the one that trains.
    A = np.diag([0.01, 1.0])
    other = loss_decay_bound(descend(A, np.ones(2), 0.1, 30), 0.1, np.eye(2))
    assert all(b.applies for b in other)
    assert not other[-1].holds
    assert "constant kernel equal to H(A)" in other[-1].reason


@pytest.mark.parametrize(
    ("kernel", "reason"),
    [
        (np.array([[1.0, 0.5], [0.0, 1.0]]), "the kernel is not symmetric"),
        (np.diag([1.0, -0.1]), "the kernel has a negative eigenvalue"),
    ],
)
def test_loss_bound_needs_a_tangent_kernel(kernel: np.ndarray, reason: str) -> None:
    (bound,) = loss_decay_bound([1.0, 0.5], 0.1, kernel)
    assert not bound.applies
    assert bound.reason == reason


# Theorems 8 and 9


def adjust(H: np.ndarray, D: np.ndarray) -> np.ndarray:
    """H_ij + Σ_kl D_kl,ij H_kl, by loops."""
    p, q = D.shape[:2]
    G = H.copy()
    blocks = [np.hsplit(row, q) for row in np.vsplit(H, p)]
    added = [np.hsplit(row, q) for row in np.vsplit(G, p)]
    for k, c, i, j in np.ndindex(D.shape):
        added[i][j] += D[k, c, i, j] * blocks[k][c]
    return G


def block_norms(H: np.ndarray, p: int, q: int) -> np.ndarray:
    return np.array([[norm(b) for b in np.hsplit(row, q)] for row in np.vsplit(H, p)])


def paper_dependency(H: np.ndarray, p: int, gamma: float) -> np.ndarray:
    """D_kl,ij = γ‖H_ij H_klᵀ‖_F."""
    blocks = [np.hsplit(row, p) for row in np.vsplit(H, p)]
    D = np.empty((p, p, p, p))
    for k, c, i, j in np.ndindex(D.shape):
        D[k, c, i, j] = gamma * norm(blocks[i][j] @ blocks[k][c].T)
    return D


@found
@given(
    seed=seeds,
    p=st.integers(1, 3),
    q=st.integers(1, 3),
    m=st.integers(1, 2),
    n=st.integers(1, 2),
    kind=st.sampled_from(["random", "even", "single"]),
)
def test_dependencies_add_no_more_than_the_sound_bounds(
    seed: int, p: int, q: int, m: int, n: int, kind: str
) -> None:
    rng = np.random.default_rng(seed)
    H = rng.standard_normal((p * m, q * n))
    D = rng.standard_normal((p, q, p, q))
    if kind == "even":
        # The worst there is for ‖D‖_F ‖H‖_F: every update adds up without cancellation.
        H, D = np.ones_like(H), np.ones_like(D)
    if kind == "single":
        D *= rng.permutation(np.eye(1, D.size)[0]).reshape(D.shape)
    A = H + 0.1 * rng.standard_normal(H.shape) * (kind != "even")
    G = adjust(H, D)
    h = block_norms(H, p, q)
    letter, sound, cauchy = dependency_bound(A, H, G, D)
    base = norm(A - H)
    assert_sides(letter, norm(A - G), base + norm(D) * h.max())
    assert_sides(cauchy, norm(A - G), base + norm(D) * norm(H))
    summed = sum(abs(D[index]) * h[index[:2]] for index in np.ndindex(D.shape))
    assert_sides(sound, norm(A - G), base + summed)
    assert letter.applies
    assert_sound(sound, cauchy)
    assert_proven_holds(letter)
    if kind == "even":
        assert cauchy.left == pytest.approx(cauchy.right)
        assert letter.holds == (p * q == 1)
    if kind == "single":
        assert letter.holds
        assert letter.reason == ""
    assert_not_applying(dependency_bound(A, H, G + 1e-3, D), "is not H + Σ")


def test_paper_dependency_bound_fails_with_the_paper_dependencies() -> None:
    H = np.ones((2, 2))
    D = paper_dependency(H, 2, gamma=1.0)
    letter, sound, cauchy = dependency_bound(H, H, adjust(H, D), D)
    assert (letter.left, letter.right) == (8.0, 4.0)
    assert_false(letter, "here larger")
    assert (sound.right, cauchy.right) == (16.0, 8.0)


@found
@given(seed=seeds, p=st.integers(1, 3), m=st.integers(1, 2), gamma=st.floats(0, 0.5))
def test_least_eigenvalue_moves_by_no_more_than_the_sound_bound(
    seed: int, p: int, m: int, gamma: float
) -> None:
    rng = np.random.default_rng(seed)
    A = positive(rng, p * m, 30.0)
    H = A + symmetric_disturbance(rng, A, 0.01, "random")
    D = rng.standard_normal((p, p, p, p)) * gamma
    D += D.transpose(1, 0, 3, 2)  # D_lk,ji = D_kl,ij keeps H̃ symmetric
    G = adjust(H, D)
    least = [np.linalg.eigvals(M).real.min() for M in (A, G)]
    letter, sound = dependency_eigenvalue_bound(A, H, G, D)
    assert letter.left == sound.left == pytest.approx(abs(least[1] - least[0]), abs=1e-12)
    assert letter.right == pytest.approx(norm(A - H) + norm(D) * block_norms(H, p, p).max())
    assert sound.right == pytest.approx(norm(A - H) + norm(D) * norm(H))
    assert letter.applies
    assert_sound(sound)
    assert_proven_holds(letter)
    assert bool(letter.reason) == (dependency_bound(A, H, G, D)[0].reason != "")


def test_eigenvalue_bound_does_not_apply_to_other_matrices() -> None:
    A, D = np.eye(2), np.zeros((2, 2, 2, 2))
    D[0, 0, 0, 1] = 0.5
    assert_not_applying(dependency_eigenvalue_bound(A, A, adjust(A, D), D), "H̃ is not symmetric")
    assert_not_applying(dependency_eigenvalue_bound(A, A, 2 * A, D), "is not H + Σ")


def test_paper_eigenvalue_bound_fails_with_the_paper_dependencies() -> None:
    H = np.array([[1.0, -0.2], [-0.2, 1.0]])
    D = paper_dependency(H, 2, gamma=0.1)
    letter, sound = dependency_eigenvalue_bound(H, H, adjust(H, D), D)
    assert letter.left == pytest.approx(0.2304)
    assert letter.right == pytest.approx(0.208)
    assert_false(letter, "here larger")
    assert sound.holds


def test_sound_eigenvalue_bound_is_near_for_even_dependencies() -> None:
    H = np.ones((2, 2))
    D = np.zeros((2, 2, 2, 2))
    D[:, :, 0, 0] = D[:, :, 1, 1] = 0.25  # adds the identity
    letter, sound = dependency_eigenvalue_bound(H, H, H + np.eye(2), D)
    assert letter.left == pytest.approx(1.0)
    assert letter.right == pytest.approx(math.sqrt(0.5))
    assert not letter.holds
    assert sound.right == pytest.approx(math.sqrt(2))


# Theorems 10 and 11


@found
@given(
    energy=st.floats(0, 1e3),
    rank=st.integers(0, 50),
    alpha=st.floats(1e-3, 10),
    beta=st.floats(1e-3, 10),
)
def test_energy_is_compared_with_the_square_of_the_rank(
    energy: float, rank: int, alpha: float, beta: float
) -> None:
    bound = energy_bound(energy, rank, alpha, beta)
    assert_sides(bound, energy, alpha * rank * rank + beta)
    assert bound.holds == (energy <= (alpha * rank**2 + beta) * (1 + 1e-10))
    assert bound.applies
    assert bound.reason


def test_energy_constants_of_small_blocks_fail_for_larger_ones() -> None:
    # 1 nJ per number of U and V; α and β fitted to 8 × 8 blocks of rank 1 and 2.
    def energy(n: int, k: int) -> float:
        return float(2 * n * k)

    alpha = (energy(8, 2) - energy(8, 1)) / 3
    beta = energy(8, 1) - alpha
    assert all(energy_bound(energy(8, k), k, alpha, beta).holds for k in (1, 2, 3))
    assert not energy_bound(energy(16, 1), 1, alpha, beta).holds


@found
@given(
    seconds=st.floats(0, 1e3),
    blocks=st.lists(st.tuples(st.integers(0, 64), st.integers(0, 4096)), min_size=1, max_size=8),
    throughput=st.floats(1, 1e6),
    bandwidth=st.floats(1, 1e6),
)
def test_latency_is_compared_with_the_paper_sum(
    seconds: float, blocks: list[tuple[int, int]], throughput: float, bandwidth: float
) -> None:
    ranks, sizes_ = zip(*blocks, strict=True)
    bound = latency_bound(seconds, ranks, sizes_, throughput, bandwidth)
    right = sum(k**2 / throughput + size / bandwidth for k, size in blocks)
    assert_sides(bound, seconds, right)
    assert bound.holds == (seconds <= bound.right * (1 + 1e-10))
    assert bound.applies
    assert bound.reason


def test_latency_of_a_device_that_keeps_its_rates_is_above_the_paper_bound() -> None:
    # The device of ex3, C = 10³ op/s and B = 10² byte/s: 64 blocks of 8 × 8 in float32, rank 2.
    ranks, sizes_ = [2] * 64, [4 * 2 * (8 + 8)] * 64
    seconds = sum(2 * k * (8 + 8) for k in ranks) / 1e3 + sum(sizes_) / 1e2
    assert not latency_bound(seconds, ranks, sizes_, 1e3, 1e2).holds


# Arguments


EYE, BAD = np.eye(2), np.array([[1.0, np.nan], [0.0, 1.0]])
WIDE, SKEW = np.ones((2, 3)), np.array([[1.0, 0.3], [0.0, 1.0]])
D1 = np.ones((1, 1, 1, 1))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: block_sum_bound(BAD, EYE, [1.0]), "matrix: holds NaN"),
        (lambda: block_sum_bound(EYE, BAD, [1.0]), "approximation: holds NaN"),
        (lambda: block_sum_bound(EYE * 1e61, EYE, [1.0]), "matrix: holds entries beyond"),
        (lambda: block_sum_bound(np.full((2, 2), np.inf), EYE, [1.0]), "matrix: holds NaN or Inf"),
        (lambda: block_sum_bound(EYE * 1j, EYE, [1.0]), "matrix: is complex"),
        (lambda: block_sum_bound(np.array([["a"]]), EYE, [1.0]), "matrix: holds <U1"),
        (lambda: block_sum_bound([[1.0], [1.0, 2.0]], EYE, [1.0]), "matrix: its rows differ"),  # type: ignore[arg-type]
        (lambda: block_sum_bound(np.ones(2), EYE, [1.0]), r"matrix: has shape \(2,\)"),
        (lambda: block_sum_bound(np.ones((0, 2)), EYE, [1.0]), r"matrix: has shape \(0, 2\)"),
        (lambda: block_sum_bound(EYE, WIDE, [1.0]), r"approximation: has shape \(2, 3\)"),
        (lambda: block_sum_bound(EYE, EYE, []), "block_errors: is empty"),
        (lambda: block_sum_bound(EYE, EYE, [-1.0]), "block_errors: is empty, nested or negative"),
        (lambda: block_sum_bound(EYE, EYE, [[1.0]]), "block_errors: is empty, nested"),  # type: ignore[list-item]
        (lambda: block_sum_bound(EYE, EYE, [math.nan]), "block_errors: holds NaN"),
        (lambda: condition_bound(WIDE, WIDE), "matrix: .* give a square matrix"),
        (lambda: perturbed_condition_bound(WIDE, WIDE), "approximation: .* square"),
        (lambda: perturbed_condition_bound(EYE, BAD), "perturbation: holds NaN"),
        (lambda: training_error_bound(-1.0, 0.1, 1), "training_error: -1.0 is out of range"),
        (lambda: training_error_bound(1.0, math.nan, 1), "tolerance: nan is out of range"),
        (lambda: training_error_bound(1.0, 0.1, -1), "steps: -1 is out of range"),
        (lambda: solution_bound(EYE, EYE, np.ones(3)), r"right_side: .* needs \(2,\)"),
        (lambda: solution_bound(EYE, EYE, np.ones((2, 1))), r"right_side: has shape \(2, 1\)"),
        (lambda: solution_bound(WIDE, WIDE, np.ones(3)), "matrix: .* square"),
        (lambda: convergence_bound(EYE, [], np.ones(2)), "approximations: is empty"),
        (lambda: convergence_bound(EYE, [EYE, WIDE], np.ones(2)), "approximation: has shape"),
        (lambda: multiscale_bound([EYE], [EYE], [], [1.0]), "matrices: lists differ in length"),
        (lambda: multiscale_bound([EYE], [EYE], [np.ones(1)], [1.0]), "right_sides: has shape"),
        (lambda: energy_bound(-1.0, 1, 1.0, 1.0), "energy: -1.0 is out of range"),
        (lambda: energy_bound(1.0, -1, 1.0, 1.0), "rank: -1 is out of range"),
        (lambda: energy_bound(1.0, 1, 0.0, 1.0), "alpha: 0.0 .* above 0"),
        (lambda: energy_bound(1.0, 1, 1.0, 0.0), "beta: 0.0 .* above 0"),
        (lambda: latency_bound(-1.0, [1], [1], 1.0, 1.0), "seconds: -1.0 is out of range"),
        (lambda: latency_bound(1.0, [1], [1, 2], 1.0, 1.0), "block_bytes: has 2 entries for 1"),
        (lambda: latency_bound(1.0, [1], [1], 0.0, 1.0), "throughput: 0.0"),
        (lambda: latency_bound(1.0, [1], [1], 1.0, math.inf), "bandwidth: inf"),
        (lambda: tangent_kernel_bound(SKEW, EYE, 1.0, 1.0), "kernel: is not symmetric"),
        (lambda: tangent_kernel_bound(EYE, EYE, -1.0, 1.0), "constant: -1.0"),
        (lambda: tangent_kernel_bound(EYE, EYE, 1.0, -1.0), "tolerance: -1.0"),
        (lambda: tangent_kernel_bound(EYE, EYE, 1.0, 1.0, [-1.0]), "block_errors: is"),
        (lambda: effective_condition_bound(WIDE, WIDE, 1.0), "matrix: .* square"),
        (lambda: effective_condition_bound(EYE, EYE, -1.0), "tolerance: -1.0"),
        (lambda: effective_condition_bound(EYE, EYE, 1.0, -1.0), "floor: -1.0"),
        (lambda: eigenvalue_shift_bound(SKEW, EYE), "matrix: is not symmetric"),
        (lambda: eigenvalue_shift_bound(EYE, EYE, -1.0), "tolerance: -1.0"),
        (lambda: capacity([]), "widths: is empty"),
        (lambda: refined_width(-1, 0.1, 0.1, 2), "width: -1"),
        (lambda: refined_width(1, -0.1, 0.1, 2), "error: -0.1"),
        (lambda: refined_width(1, 0.1, 0.0, 2), "threshold: 0.0"),
        (lambda: refined_width(1, 0.1, 0.1, -2), "scale: -2"),
        (lambda: refined_width(1, 1.0, 1e-300, 2), "error: is 1e.300 times the threshold"),
        (lambda: neuron_scaling([1, 2], [0.1]), "errors: give a positive error"),
        (lambda: neuron_scaling([1, 2], [0.1, 0.0]), "errors: give a positive error"),
        (lambda: neuron_scaling([0, 2], [0.1, 0.1]), "errors: give a positive error"),
        (lambda: refinement_decay_bound([1.0]), "errors: has one entry"),
        (lambda: loss_decay_bound([1.0], 0.1, EYE), "losses: has one entry"),
        (lambda: loss_decay_bound([1.0, 0.5], 0.0, EYE), "learning_rate: 0.0"),
        (lambda: loss_decay_bound([1.0, 0.5], 0.1, WIDE), "kernel: .* square"),
        (lambda: dependency_bound(EYE, EYE, WIDE, D1), "adjusted: has shape"),
        (lambda: dependency_bound(EYE, EYE, EYE, EYE), r"dependency: has shape \(2, 2\)"),
        (lambda: dependency_bound(EYE, EYE, EYE, np.ones((1, 2, 2, 1))), "dependency: has shape"),
        (lambda: dependency_bound(EYE, EYE, EYE, np.ones((3, 1, 3, 1))), "dependency: 3 × 1 equal"),
        (lambda: dependency_bound(EYE, EYE, EYE, D1 * np.nan), "dependency: holds NaN"),
        (lambda: dependency_eigenvalue_bound(SKEW, EYE, EYE, D1), "matrix: is not symmetric"),
        (lambda: dependency_eigenvalue_bound(WIDE, WIDE, WIDE, D1), "matrix: .* square"),
    ],
)
def test_bad_arguments_are_named_in_one_line(call: Callable[[], object], message: str) -> None:
    with pytest.raises(InputError, match=f"^{message}") as raised:
        call()
    assert "\n" not in str(raised.value)
