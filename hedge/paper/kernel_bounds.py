"""The paper's bounds on the tangent kernel: its eigenvalues, widths, refinement, dependencies.

Theorems 4 to 9 and lemma 1, in the manner of bounds: each function computes both sides as the paper
prints them, and adds a "-sound" Bound where that is not always true.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import linalg

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.paper.bounds import (
    RELATIVE_SLACK,
    ROUNDING,
    Bound,
    checked_array,
    checked_number,
    checked_numbers,
    checked_pair,
    frobenius,
    judge,
    quotient,
    rounding,
    singular_ends,
    spectral,
)


def tangent_kernel_bound(
    kernel: Array,
    approximation: Array,
    constant: float,
    tolerance: float,
    block_errors: Sequence[float] = (0.0,),
) -> tuple[Bound, Bound, Bound, Bound]:
    """thm4: the tangent kernel Θ_H of a network with compressed weights against the dense Θ.

    kernel Θ and approximation Θ_H are (n, n), Θ symmetric. constant C is the sum over the blocks of
    the measured ‖Θ − Θ_H‖_F/‖W_ij − W̃_ij‖_F, tolerance ε_tol bounds the block errors ‖W_ij − W̃_ij‖_F;
    those in block_errors are compared with it. thm4.1 is Weyl's inequality. thm4.2, ‖Θ − Θ_H‖_F ≤
    Cε_tol, adds up constants measured one block at a time, though Θ is not linear in the weights. For
    thm4.3, that Θ_H is positive definite if λ_min(Θ) > ε_tol, the proof drops C; the sound form keeps
    it. Raises InputError for a Θ that is not symmetric, other shapes, or a negative number.

    >>> weyl, size, definite, _ = tangent_kernel_bound(np.eye(2), 0.5 * np.eye(2), 10.0, 0.1)
    >>> weyl.left, weyl.right, size.right, definite.left, definite.holds
    (0.5, 0.5, 1.0, 0.9, False)
    """
    T, H = checked_pair(kernel, approximation, ("kernel", "approximation"), True)
    before, after, slack = _spectra(T, H, "kernel")
    C, epsilon = checked_number("constant", constant), checked_number("tolerance", tolerance)
    kept = float(np.max(checked_numbers("block_errors", block_errors))) <= epsilon
    left, right, distance = float(before[-1]), float(after[-1]), frobenius(T - H)
    skew = "" if _is_symmetric(H) else "Θ_H is not symmetric"
    missing = "" if kept else "a block error is above the tolerance"
    step = "constants measured block by block need not add up, for Θ is not linear in the weights"
    small = "" if left > epsilon else "λ_min(Θ) is not above ε_tol"
    dropped = "" if distance <= epsilon else "the proof drops C and takes ‖Θ − Θ_H‖_F ≤ ε_tol"
    far = "" if distance <= C * epsilon + 0.5 * slack else "‖Θ − Θ_H‖_F is above Cε_tol"
    definite, weyl = skew or missing or small, left - spectral(T - H)
    claims = (
        "λ_min(Θ) − ‖Θ − Θ_H‖₂ ≤ λ_min(Θ_H)",
        "‖Θ − Θ_H‖_F ≤ Cε_tol",
        "λ_min(Θ) − ε_tol ≤ λ_min(Θ_H)",
        "λ_min(Θ) − Cε_tol ≤ λ_min(Θ_H)",
    )
    return (
        judge("thm4.1", claims[0], weyl, right, slack, skew, ""),
        judge("thm4.2", claims[1], distance, C * epsilon, slack, missing, step),
        judge("thm4.3", claims[2], left - epsilon, right, slack, definite, dropped),
        judge("thm4.3-sound", claims[3], left - C * epsilon, right, slack, skew or far, ""),
    )


def effective_condition_bound(
    matrix: Array, approximation: Array, tolerance: float, floor: float = 0.0
) -> tuple[Bound, Bound]:
    """thm5: the condition number of H regularized, σ₁(H)/σ_k^eff, as the paper's proof has it.

    Both are (n, n). σ_k^eff is the smallest singular value of H above floor and above rounding: the
    regularization cuts off the rest. The hypothesis is ‖A − H‖₂ ≤ tolerance τ. As in thm1.2 the last
    step loses the growth of the norm; (σ₁(A) + τ)/σ_k^eff is right. Raises InputError for matrices
    that are not square or not alike, or negative numbers.

    >>> letter, sound = effective_condition_bound(np.diag([2.0, 1.0]), np.diag([2.5, 0.5]), 0.5)
    >>> letter.left, letter.right, letter.holds, sound.right
    (5.0, 4.0, False, 5.0)
    """
    A, H = checked_pair(matrix, approximation, square=True)
    n, tau = len(A), checked_number("tolerance", tolerance)
    (largest, smallest), values = singular_ends(A), linalg.svdvals(H)
    cut = max(checked_number("floor", floor), 0.1 * ROUNDING * n * float(values[0]))
    effective = float(np.min(values[values > cut], initial=math.inf))
    missing = "" if effective < math.inf else "no singular value of H is above the floor"
    if spectral(A - H) > tau * (1.0 + RELATIVE_SLACK) + ROUNDING * n * largest:
        missing = missing or "‖A − H‖₂ is above the tolerance"
    regular = missing or ("" if smallest > 0.0 else "A is singular")
    left = float(values[0]) / effective if effective < math.inf else math.inf
    letter = quotient(largest, smallest) * (1.0 + tau / effective)
    sound = (largest + tau) / effective if effective < math.inf else math.inf
    kept = (largest + tau) * smallest <= largest * (effective + tau)
    step = "" if kept else "the last step needs (σ₁ + τ)σ_min ≤ σ₁(σ_k^eff + τ), which fails here"
    slack = rounding(left, n) + rounding(sound, n)
    claims = "κ(H) ≤ κ(A)(1 + τ/σ_k^eff)", "κ(H) ≤ (σ₁(A) + τ)/σ_k^eff"
    return (
        judge("thm5", claims[0], left, letter, slack, regular, step),
        judge("thm5-sound", claims[1], left, sound, slack, missing, ""),
    )


def eigenvalue_shift_bound(
    matrix: Array, approximation: Array, tolerance: float | None = None
) -> tuple[Bound, Bound, Bound, Bound, Bound, Bound]:
    """thm6: how far the eigenvalues of a symmetric A move, and with them κ = λ_max/λ_min.

    Both are (n, n); ε is tolerance, ‖A − H‖_F without one. thm6.1 is Weyl's inequality, "-sharp" with
    ‖A − H‖₂; it needs no positive definite A. thm6.2, |κ(H) − κ(A)|/κ(A) ≤ ε/λ_min(A), leaves out the
    shift of λ_max; both its forms need ε < λ_min(A). thm6.3, ‖A − H‖_F = √Σ(λ_i(A) − λ_i(H))², is
    true where A and H share eigenvectors in the same order; in general the right side is at most the
    left (Hoffman–Wielandt), which is the sound form. Raises InputError for an A that is not symmetric
    or an H of another shape.

    >>> A, H = np.diag([2.0, 1.0]), np.diag([1.0, 2.0])
    >>> [(b.item, round(b.left, 3), b.right) for b in eigenvalue_shift_bound(A, H) if not b.holds]
    [('thm6.3', 1.414, 0.0)]
    """
    A, H = checked_pair(matrix, approximation, square=True)
    before, after, slack = _spectra(A, H, "matrix")
    distance = frobenius(A - H)
    epsilon = distance if tolerance is None else checked_number("tolerance", tolerance)
    skew = "" if _is_symmetric(H) else "H is not symmetric"
    missing = skew or ("" if distance <= epsilon + slack else "‖A − H‖_F is above the tolerance")
    shift, root = float(np.max(np.abs(after - before))), frobenius(after - before)
    least, most = float(before[-1]), float(before[0])
    near = least - epsilon > 2.0 * slack
    far = missing or ("" if near else "ε is not below λ_min(A)")
    change = letter = sound = math.inf
    kappa_slack = 0.0
    if near and not far:
        conditions = most / least, float(after[0] / after[-1])
        change = abs(conditions[1] / conditions[0] - 1.0)
        letter = epsilon / least
        sound = (epsilon / most + letter) / (1.0 - letter)
        worst = (most + epsilon) / (least - epsilon)
        kappa_slack = ROUNDING * len(A) * (conditions[0] + conditions[1] + worst) * (1.0 + sound)
    step = "the proof leaves out the shift of λ_max(A), ε/λ_max(A)" if epsilon else ""
    identity = "true for common eigenvectors in one order; else right ≤ left" if distance else ""
    claims = (
        "max |λ_i(H) − λ_i(A)| ≤ ε",
        "max |λ_i(H) − λ_i(A)| ≤ ‖A − H‖₂",
        "|κ(H) − κ(A)|/κ(A) ≤ ε/λ_min(A)",
        "|κ(H) − κ(A)|/κ(A) ≤ (ε/λ_max(A) + ε/λ_min(A))/(1 − ε/λ_min(A))",
        "‖A − H‖_F = √Σ(λ_i(A) − λ_i(H))²",
        "√Σ(λ_i(A) − λ_i(H))² ≤ ‖A − H‖_F",
    )
    return (
        judge("thm6.1", claims[0], shift, epsilon, slack, missing, ""),
        judge("thm6.1-sharp", claims[1], shift, spectral(A - H), slack, skew, ""),
        judge("thm6.2", claims[2], change, letter, kappa_slack, far, step),
        judge("thm6.2-sound", claims[3], change, sound, kappa_slack, far, ""),
        judge("thm6.3", claims[4], distance, root, slack, skew, identity),
        judge("thm6.3-sound", claims[5], root, distance, slack, skew, ""),
    )


def capacity(widths: Sequence[int]) -> int:
    """secF: the paper's capacity of a network, Σ n_l² over the widths of its layers.

    Raises InputError for no widths or a negative one.

    >>> capacity([20, 30])
    1300
    """
    return int(np.sum(checked_numbers("widths", widths) ** 2))


def refined_width(width: int, error: float, threshold: float, scale: int) -> int:
    """secF, ex1: the width n + α⌈‖A − H‖_F/τ_refine⌉ that a layer of n neurons grows to.

    error is ‖A − H‖_F, threshold τ_refine, scale α. A ratio that is above an integer by rounding
    only is taken for that integer. Raises InputError for a threshold that is not positive, another
    argument that is negative, or a ratio beyond 1e9.

    >>> refined_width(30, error=0.25, threshold=0.1, scale=2)
    36
    """
    for name, value in (("width", width), ("scale", scale)):
        checked_number(name, value)
    ratio = checked_number("error", error) / checked_number("threshold", threshold, positive=True)
    if not ratio <= 1e9:
        raise InputError(f"error: is {ratio:.3g} times the threshold; raise the threshold")
    return width + scale * math.ceil(ratio * (1.0 - 1e-12))


def neuron_scaling(widths: Sequence[float], errors: Sequence[float]) -> Bound:
    """lem1: the exponent p of ‖A − H‖_F ∝ n^p, fitted over networks of different widths.

    widths n and errors ‖A − H‖_F have one entry for each network. left is the least squares slope of
    log error over log n, right is −1: the bound holds where the error falls at least as fast as 1/n.
    The proof gives C·m/k at most, takes the rank k ∝ n for granted and the number of blocks m for
    constant, so reason is never empty. It applies to two or more different widths. Raises InputError
    for lists of different lengths or entries that are not positive.

    >>> bound = neuron_scaling([10, 20, 40], [0.4, 0.1, 0.025])
    >>> round(bound.left, 6), bound.right, bound.holds
    (-2.0, -1.0, True)
    """
    n, error = checked_numbers("widths", widths), checked_numbers("errors", errors)
    if len(n) != len(error) or not (np.all(n > 0.0) and np.all(error > 0.0)):
        raise InputError("errors: give a positive error for each positive width, as many of both")
    x, y = np.log(n) - np.log(n).mean(), np.log(error) - np.log(error).mean()
    spread = float(x @ x)
    missing = "" if len(set(n.tolist())) > 1 else "one width only shows no scaling"
    left = math.inf if missing else float(x @ y) / spread
    step = "the proof assumes that the rank grows with n and the number of blocks does not"
    return judge("lem1", "‖A − H‖_F ∝ n^p, p ≤ −1", left, -1.0, 0.0, missing, step)


def refinement_decay_bound(errors: Sequence[float]) -> tuple[Bound, ...]:
    """thm7.1: ‖A − H‖_F after T = 1, 2, … refinements against ε₀e^(−T).

    errors[T] is ‖A − H‖_F after T refinements, errors[0] = ε₀; one Bound for each T above 0. The
    theorem assumes that every refinement lowers the error by a factor ρ below 1; the proof then
    simply sets ρ = 1/e. Raises InputError for fewer than two errors, or one that is negative.

    >>> [(round(b.right, 3), b.holds) for b in refinement_decay_bound([1.0, 0.3, 0.2])]
    [(0.368, True), (0.135, False)]
    """
    measured = _curve("errors", errors)
    bounds, missing, step = [], "", ""
    for T in range(1, len(measured)):
        last, error = float(measured[T - 1]), float(measured[T])
        if error >= last > 0.0 or error > last:
            missing = missing or f"refinement {T} does not lower the error"
        elif error > last / math.e:
            step = step or f"the proof sets ρ = 1/e, refinement {T} gave {error / last:.3g}"
        claim, right = f"‖A − H_{T}‖_F ≤ ε₀e^(−{T})", float(measured[0]) * math.exp(-T)
        bounds.append(judge("thm7.1", claim, error, right, 0.0, missing, step))
    return tuple(bounds)


def loss_decay_bound(
    losses: Sequence[float], learning_rate: float, kernel: Array
) -> tuple[Bound, ...]:
    """thm7.2: the loss after T = 1, 2, … steps against L₀e^(−ηλ_min(H)T).

    losses[T] is the loss after T steps, kernel H(A) the compressed tangent kernel (n, n). The paper
    states the rate without a proof. It is right for gradient descent on ‖r‖²/2 with this kernel,
    r ← r − ηHr, and η ≤ 2/(λ_min + λ_max); beyond that it can fail, and where the network trains with
    another kernel, A for instance, or a changing one. So reason is never empty. It applies to symmetric
    kernels without negative eigenvalues. Raises InputError for fewer than two losses, a kernel that
    is not square or a learning rate that is not positive.

    >>> [(round(b.right, 3), b.holds) for b in loss_decay_bound([1.0, 0.7], 0.5, np.eye(2))]
    [(0.607, False)]
    """
    measured = _curve("losses", losses)
    H, _ = checked_pair(kernel, kernel, ("kernel", "kernel"), True)
    rate = checked_number("learning_rate", learning_rate, positive=True)
    most, least = (float(_eigenvalues(H)[i]) for i in (0, -1))
    missing = "" if _is_symmetric(H) else "the kernel is not symmetric"
    if least < -ROUNDING * len(H) * spectral(H):
        missing = missing or "the kernel has a negative eigenvalue"
    step = "the rate is that of a constant kernel equal to H(A), which training does not keep"
    if rate * (least + most) > 2.0:
        step = "η is above 2/(λ_min + λ_max), up to which gradient descent has this rate"
    bounds = []
    for T in range(1, len(measured)):
        right = float(measured[0]) * math.exp(-rate * max(least, 0.0) * T)
        slack = right * rate * T * ROUNDING * len(H) * spectral(H)
        claim, left = f"L({T}) ≤ L₀e^(−{T}ηλ_min)", float(measured[T])
        bounds.append(judge("thm7.2", claim, left, right, slack, missing, step))
    return tuple(bounds)


def dependency_bound(
    matrix: Array, approximation: Array, adjusted: Array, dependency: Array
) -> tuple[Bound, Bound, Bound]:
    """thm8: ‖A − H̃‖_F of the matrix H̃ whose blocks are H_ij + Σ_kl D_kl,ij H_kl.

    matrix A, approximation H and adjusted H̃ are (m, n), cut into p × q equal blocks; dependency
    (p, q, p, q) holds D_kl,ij at [k, l, i, j]. The last step of the paper's proof bounds
    Σ_ij Σ_kl |D_kl,ij| ‖H_kl‖_F by ‖D‖_F max ‖H_ij‖_F, which is short by a factor of up to pq.
    "thm8-sound" keeps the sum; "thm8-cauchy" has ‖D‖_F ‖H‖_F, at most √(pq) times the letter's
    term. All apply where H̃ is what H and D give. Raises InputError for shapes that do not fit.

    >>> H, D = np.ones((2, 2)), np.ones((2, 2, 2, 2))
    >>> [(b.left, b.right) for b in dependency_bound(H, H, 5 * H, D)]
    [(8.0, 4.0), (8.0, 16.0), (8.0, 8.0)]
    """
    A, H = checked_pair(matrix, approximation)
    _, G = checked_pair(approximation, adjusted, ("approximation", "adjusted"))
    parts = _dependency(H, G, dependency)
    left, base = frobenius(A - G), frobenius(A - H)
    slack = ROUNDING * A.size**0.5 * (frobenius(A) + frobenius(H) + frobenius(G))
    letter = "‖A − H̃‖_F ≤ ‖A − H‖_F + ‖D‖_F max ‖H_ij‖_F"
    sound = "‖A − H̃‖_F ≤ ‖A − H‖_F + Σ_ij Σ_kl |D_kl,ij| ‖H_kl‖_F"
    cauchy = "‖A − H̃‖_F ≤ ‖A − H‖_F + ‖D‖_F ‖H‖_F"
    return (
        judge("thm8", letter, left, base + parts.letter, slack, parts.missing, parts.step),
        judge("thm8-sound", sound, left, base + parts.summed, slack, parts.missing, ""),
        judge("thm8-cauchy", cauchy, left, base + parts.cauchy, slack, parts.missing, ""),
    )


def dependency_eigenvalue_bound(
    matrix: Array, approximation: Array, adjusted: Array, dependency: Array
) -> tuple[Bound, Bound]:
    """thm9: |λ_min(H̃) − λ_min(A)| ≤ ε + δ, with ε = ‖A − H‖_F, δ = ‖D‖_F max ‖H_ij‖_F.

    Arguments as in dependency_bound, all square, A symmetric. The paper's proof needs an H̃ that is
    symmetric too, and δ has the gap of thm8; the sound δ is ‖D‖_F ‖H‖_F. For another H̃ neither
    applies, and λ_min is the least real part. Raises InputError as dependency_bound does, and for an
    A that is not symmetric.

    >>> H, D = np.ones((2, 2)), np.ones((2, 2, 2, 2)) * np.eye(2) / 4
    >>> letter, sound = dependency_eigenvalue_bound(H, H, H + np.eye(2), D)
    >>> round(letter.left, 3), round(letter.right, 3), round(sound.right, 3)
    (1.0, 0.707, 1.414)
    """
    A, H = checked_pair(matrix, approximation, square=True)
    _, G = checked_pair(approximation, adjusted, ("approximation", "adjusted"))
    parts = _dependency(H, G, dependency)
    before, after, slack = _spectra(A, G, "matrix")
    left, base = abs(float(after[-1] - before[-1])), frobenius(A - H)
    missing = parts.missing or ("" if _is_symmetric(G) else "H̃ is not symmetric")
    claim = "|λ_min(H̃) − λ_min(A)| ≤ ‖A − H‖_F + ‖D‖_F max ‖H_ij‖_F"
    sound = "|λ_min(H̃) − λ_min(A)| ≤ ‖A − H‖_F + ‖D‖_F ‖H‖_F"
    return (
        judge("thm9", claim, left, base + parts.letter, slack, missing, parts.step),
        judge("thm9-sound", sound, left, base + parts.cauchy, slack, missing, ""),
    )


@dataclass(frozen=True)
class _Dependency:
    """Three bounds of what D adds to H; why H̃ is not H with D, why the paper's bound is not proven."""

    letter: float
    summed: float
    cauchy: float
    missing: str
    step: str


def _dependency(H: Array, G: Array, dependency: Array) -> _Dependency:
    """Measure D on the blocks of H and compare H̃ = G with the H + Σ D H of the paper."""
    D = checked_array("dependency", dependency)
    if D.ndim != 4 or D.size == 0 or D.shape[:2] != D.shape[2:]:
        raise InputError(f"dependency: has shape {D.shape}; give (p, q, p, q) for p × q blocks")
    p, q = D.shape[:2]
    if H.shape[0] % p or H.shape[1] % q:
        raise InputError(f"dependency: {p} × {q} equal blocks don't fit a matrix {H.shape}")
    blocks = H.reshape(p, H.shape[0] // p, q, H.shape[1] // q)
    update = np.einsum("klij,kmln->imjn", D, blocks).reshape(H.shape)
    norms = np.sqrt(np.einsum("kmln,kmln->kl", blocks, blocks))
    letter = frobenius(D) * float(norms.max())
    summed = float(np.einsum("klij,kl->", np.abs(D), norms))
    cauchy = frobenius(D) * frobenius(H)
    same = frobenius(G - H - update) <= RELATIVE_SLACK * (frobenius(H) + cauchy)
    missing = "" if same else "the adjusted matrix is not H + Σ D_kl,ij H_kl"
    kept = summed <= letter * (1.0 + RELATIVE_SLACK)
    step = "" if kept else "the proof puts ‖D‖_F max ‖H_ij‖_F for Σ |D_kl,ij| ‖H_kl‖_F, here larger"
    return _Dependency(letter, summed, cauchy, missing, step)


def _curve(name: str, values: Sequence[float]) -> Array:
    """A value before the first step and one after each; raises InputError for fewer than two."""
    curve = checked_numbers(name, values)
    if len(curve) < 2:
        raise InputError(f"{name}: has one entry; give the value at the start and after each step")
    return curve


def _spectra(A: Array, H: Array, name: str) -> tuple[Array, Array, float]:
    """Eigenvalues of a symmetric A and of H, descending, and their rounding."""
    if not _is_symmetric(A):
        raise InputError(f"{name}: is not symmetric; give its symmetric part (A + Aᵀ)/2")
    return _eigenvalues(A), _eigenvalues(H), ROUNDING * len(A) * (frobenius(A) + frobenius(H))


def _eigenvalues(matrix: Array) -> Array:
    """Eigenvalues, descending; their real parts where the matrix is not symmetric."""
    if _is_symmetric(matrix):
        return np.asarray(linalg.eigvalsh((matrix + matrix.T) / 2.0))[::-1]
    return np.sort(linalg.eigvals(matrix).real)[::-1]


def _is_symmetric(matrix: Array) -> bool:
    """Whether a square matrix equals its transpose within 1e-10 of its largest entry."""
    return bool(np.all(np.abs(matrix - matrix.T) <= RELATIVE_SLACK * np.max(np.abs(matrix))))
