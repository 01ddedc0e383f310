"""The paper's error bounds on given matrices: approximation, conditioning, solutions, cost.

Theorems 1, 2, 3, 10 and 11 and corollary 1; theorems 4 to 9 are in kernel_bounds. Each function
computes both sides of the inequality as the paper prints it. Where that is not always true, a second
Bound, whose item ends in "-sound", holds whenever it applies.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import ArrayLike
from scipy import linalg

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.hmatrix.checks import real_array

# Both sides of a bound are computed in float64 themselves: this much is a tie.
RELATIVE_SLACK = 1e-10
# Rounding of a singular value or eigenvalue, in units of n times the norm. LAPACK's is below eps.
ROUNDING = 10.0 * float(np.finfo(np.float64).eps)
# Above this, products of three entries, squared, leave the range of float64.
LARGEST = 1e60
NAMES = ("matrix", "approximation")


@dataclass(frozen=True)
class Bound:
    """One inequality of the paper, left ≤ right, with both sides computed.

    item is the paper's item ("thm1.2"), claim its formula. applies says whether the hypothesis holds;
    where it does not, right may be inf and holds means nothing. reason is empty where the claim is
    proven for these arguments; else it says which hypothesis fails or which step of the paper's proof
    does. slack is the rounding of the two sides, in their unit.

    >>> Bound("thm6.1", "max |λ_i(H) − λ_i(A)| ≤ ε", 0.5, 0.4, True, "").holds
    False
    """

    item: str
    claim: str
    left: float
    right: float
    applies: bool
    reason: str
    slack: float = 0.0

    @property
    def holds(self) -> bool:
        """Whether left ≤ right + 1e-10 |right| + slack."""
        return self.left <= self.right + RELATIVE_SLACK * abs(self.right) + self.slack


def judge(
    item: str, claim: str, left: float, right: float, slack: float, missing: str, step: str
) -> Bound:
    """A Bound from the hypothesis that is missing and the step that fails, each empty if none."""
    return Bound(item, claim, float(left), float(right), not missing, missing or step, float(slack))


def block_sum_bound(
    matrix: Array, approximation: Array, block_errors: Sequence[float]
) -> tuple[Bound, Bound]:
    """thm1.1: ‖A − H‖_F is at most the sum of the block errors; and what it equals.

    matrix A and approximation H are (m, n), block_errors the ‖A_i − H_i‖_F of disjoint blocks that
    cover A. For these the root of the sum of squares is ‖A − H‖_F itself ("thm1.1-sharp"); errors for
    which it is not belong to no such blocks, and neither bound applies. Raises InputError for
    matrices of other shapes or errors that are negative or not finite.

    >>> loose, sharp = block_sum_bound(np.diag([3.0, 4.0]), np.zeros((2, 2)), [3.0, 4.0])
    >>> loose.left, loose.right, sharp.right
    (5.0, 7.0, 5.0)
    """
    A, H = checked_pair(matrix, approximation)
    errors = checked_numbers("block_errors", block_errors)
    left, root, total = frobenius(A - H), frobenius(errors), float(np.sum(errors))
    # Errors stated from a decomposition carry its rounding, which is relative to A, not to A − H.
    slack = ROUNDING * (A.size**0.5 * (frobenius(A) + frobenius(H)) + len(errors) * root)
    cover = abs(left - root) <= RELATIVE_SLACK * max(left, root) + slack
    missing = "" if cover else "the errors are not those of disjoint blocks that cover A"
    return (
        judge("thm1.1", "‖A − H‖_F ≤ Σ ‖A_i − H_i‖_F", left, total, slack, missing, ""),
        judge("thm1.1-sharp", "‖A − H‖_F = √Σ ‖A_i − H_i‖_F²", left, root, slack, missing, ""),
    )


def condition_bound(matrix: Array, approximation: Array) -> tuple[Bound, Bound]:
    """thm1.2: how much worse than A its approximation H can be conditioned.

    Both are (n, n). The paper's proof takes σ_max(H) ≤ σ_max(A), but H can have the larger norm, so
    the letter can fail; (σ_max(A) + ‖A − H‖₂)/(σ_min(A) − ‖A − H‖₂) is right. Both need
    ‖A − H‖₂ < σ_min(A). Raises InputError for matrices that are not square or not alike.

    >>> letter, sound = condition_bound(np.diag([2.0, 1.0]), np.diag([2.5, 0.5]))
    >>> letter.left, letter.right, letter.holds, sound.right
    (5.0, 4.0, False, 5.0)
    """
    A, H = checked_pair(matrix, approximation, square=True)
    difference = spectral(A - H)
    (largest, smallest), (top, bottom) = singular_ends(A), singular_ends(H)
    left, gap = quotient(top, bottom), smallest - difference
    applies = gap > ROUNDING * len(A) * (largest + difference)
    letter = (largest / smallest) * (1.0 + difference / gap) if applies else math.inf
    sound = (largest + difference) / gap if applies else math.inf
    missing = "" if applies else "‖A − H‖₂ is not below σ_min(A)"
    norm_falls = top <= largest + ROUNDING * len(A) * largest
    step = "" if norm_falls else "the proof takes σ_max(H) ≤ σ_max(A), which fails here"
    slack = rounding(left, len(A)) + rounding(sound, len(A))
    claim = "κ(H) ≤ κ(A)(1 + ‖A − H‖₂/(σ_min(A) − ‖A − H‖₂))"
    sound_claim = "κ(H) ≤ (σ_max(A) + ‖A − H‖₂)/(σ_min(A) − ‖A − H‖₂)"
    return (
        judge("thm1.2", claim, left, letter, slack, missing, step),
        judge("thm1.2-sound", sound_claim, left, sound, slack, missing, ""),
    )


def perturbed_condition_bound(approximation: Array, perturbation: Array) -> tuple[Bound, Bound]:
    """thm1.3: the condition number of H + ΔA, with δ = ‖ΔA‖_F.

    Both are (n, n). The last step of the paper's proof puts 1 + x in the place of 1/(1 − x), which is
    larger for every x between 0 and 1, and the one before it takes σ_max(H + ΔA) ≤ σ_max(H). The sound
    form needs δ < σ_min(H). Raises InputError for matrices that are not square or not alike.

    >>> letter, sound = perturbed_condition_bound(np.eye(2), np.diag([0.3, -0.4]))
    >>> round(letter.left, 3), round(letter.right, 3), letter.holds, round(sound.right, 3)
    (2.167, 1.5, False, 3.0)
    """
    H, change = checked_pair(approximation, perturbation, ("approximation", "perturbation"), True)
    delta, (largest, smallest) = frobenius(change), singular_ends(H)
    left, gap = quotient(*singular_ends(H + change)), smallest - delta
    regular, near = smallest > 0.0, gap > ROUNDING * len(H) * (largest + delta)
    letter = quotient(largest, smallest) * (1.0 + delta / smallest) if regular else math.inf
    sound = (largest + delta) / gap if near else math.inf
    missing = "" if regular else "H is singular"
    step = "the proof puts 1 + δ/σ_min(H) for 1/(1 − δ/σ_min(H)), which is larger" if delta else ""
    slack = rounding(left, len(H)) + rounding(sound, len(H))
    far = "" if near else "‖ΔA‖_F is not below σ_min(H)"
    claim = "κ(H + ΔA) ≤ κ(H)(1 + δ/σ_min(H))"
    sound_claim = "κ(H + ΔA) ≤ (σ_max(H) + δ)/(σ_min(H) − δ)"
    return (
        judge("thm1.3", claim, left, letter, slack, missing, step),
        judge("thm1.3-sound", sound_claim, left, sound, slack, far, ""),
    )


def training_error_bound(training_error: float, tolerance: float, steps: int) -> Bound:
    """thm1.4: the training error after T = steps refinements against τT, τ the tolerance.

    The paper gives no argument for it: nothing in its hypotheses bounds a training error, which does
    not vanish with A − H, and the right side grows with the number of refinements. So reason is never
    empty. Raises InputError for an argument that is negative or not finite.

    >>> training_error_bound(0.3, tolerance=0.1, steps=2).holds
    False
    """
    left = checked_number("training_error", training_error)
    right = checked_number("tolerance", tolerance) * checked_number("steps", steps)
    step = "the proof assumes an error of τ for each step and shows none"
    return judge("thm1.4", "training error ≤ τT", left, right, 0.0, "", step)


def solution_bound(matrix: Array, approximation: Array, right_side: Array) -> tuple[Bound, Bound]:
    """thm2 for the map f(A) = A⁻¹b: how far the solution moves when H replaces A.

    matrix A and approximation H are (n, n), right_side b is (n,); ε = ‖A − H‖_F. From
    A⁻¹b − H⁻¹b = H⁻¹(H − A)A⁻¹b the solution moves by at most ε‖A⁻¹b‖/σ_min(H). The paper leaves
    out ‖A⁻¹b‖: the letter is right for solutions scaled to at most 1. It is stated there for any f
    whatever; no such bound exists. Raises InputError for shapes that do not fit.

    >>> letter, sound = solution_bound(np.eye(1), np.array([[0.5]]), np.array([3.0]))
    >>> letter.left, letter.right, letter.holds, sound.right
    (3.0, 1.0, False, 3.0)
    """
    A, H = checked_pair(matrix, approximation, square=True)
    moved = _moved(A, H, _checked_vector("right_side", right_side, len(A)))
    missing = "" if moved.regular else "A or H is singular"
    step = "" if moved.size <= 1.0 else "the proof bounds the derivative without the factor ‖A⁻¹b‖"
    letter = quotient(frobenius(A - H), moved.smallest)
    sound = letter * moved.size if moved.regular else math.inf
    claim, sound_claim = "‖A⁻¹b − H⁻¹b‖ ≤ ε/σ_min(H)", "‖A⁻¹b − H⁻¹b‖ ≤ ε‖A⁻¹b‖/σ_min(H)"
    return (
        judge("thm2", claim, moved.distance, letter, moved.slack, missing, step),
        judge("thm2-sound", sound_claim, moved.distance, sound, moved.slack, missing, ""),
    )


def convergence_bound(
    matrix: Array, approximations: Sequence[Array], right_side: Array
) -> tuple[Bound, ...]:
    """thm3: the bounds of thm2 along a sequence H_1, H_2, …, letter and sound for each in turn.

    Shapes as in solution_bound. No finite part of a sequence shows convergence; what is computed is
    the inequality from which the paper concludes it. (The conclusion needs continuity at A alone; the
    global Lipschitz constant of the proof does not exist for every differentiable f.) Raises
    InputError as solution_bound does, and for an empty sequence.

    >>> steps = convergence_bound(np.eye(1), [np.array([[0.5]]), np.array([[0.8]])], np.ones(1))
    >>> [(b.item, round(b.left, 3), round(b.right, 3)) for b in steps[::2]]
    [('thm3', 1.0, 1.0), ('thm3', 0.25, 0.25)]
    """
    if not len(approximations):
        raise InputError("approximations: is empty; give at least one matrix")
    return tuple(
        replace(b, item=b.item.replace("thm2", "thm3"), claim=b.claim.replace("H", f"H_{n}"))
        for n, approximation in enumerate(approximations, 1)
        for b in solution_bound(matrix, approximation, right_side)
    )


def multiscale_bound(
    matrices: Sequence[Array],
    approximations: Sequence[Array],
    right_sides: Sequence[Array],
    training_errors: Sequence[float],
) -> tuple[Bound, Bound]:
    """cor1: the summed error of S systems A_k x_k = b_k solved with H_k in place of A_k.

    For each scale one A_k and H_k (n_k, n_k), b_k (n_k,) and training error, which by the paper's
    proof is a bound of ‖A_k − H_k‖; the spectral norm is taken. As in thm2 the factor ‖x_k‖ is
    missing in the letter. Raises InputError for lists of different lengths or shapes that do not fit.

    >>> letter, sound = multiscale_bound([np.eye(1)], [2 * np.eye(1)], [np.array([4.0])], [1.0])
    >>> letter.left, letter.right, letter.holds, sound.right
    (2.0, 0.5, False, 2.0)
    """
    errors = checked_numbers("training_errors", training_errors)
    if not len(matrices) == len(approximations) == len(right_sides) == len(errors):
        raise InputError("matrices: lists differ in length; give one entry for each scale")
    left = letter = sound = slack = 0.0
    missing = step = ""
    for k, (matrix, approximation) in enumerate(zip(matrices, approximations, strict=True)):
        A, H = checked_pair(matrix, approximation, square=True)
        moved = _moved(A, H, _checked_vector("right_sides", right_sides[k], len(A)))
        if not moved.regular:
            missing = missing or f"A or H is singular at scale {k + 1}"
        elif spectral(A - H) > errors[k] * (1.0 + RELATIVE_SLACK) + len(A) * ROUNDING * spectral(A):
            missing = missing or f"the training error of scale {k + 1} is below ‖A − H‖₂"
        if moved.size > 1.0:
            step = f"the proof leaves out the factor ‖x_k‖, {moved.size:.3g} at scale {k + 1}"
        share = float(errors[k]) / moved.smallest if moved.regular else math.inf
        left, letter, sound = left + moved.distance, letter + share, sound + share * moved.size
        slack += moved.slack
    claim, sound_claim = "Σ ‖e_k‖ ≤ Σ TE_k/σ_min(H_k)", "Σ ‖e_k‖ ≤ Σ TE_k ‖x_k‖/σ_min(H_k)"
    return (
        judge("cor1", claim, left, letter, slack, missing, step),
        judge("cor1-sound", sound_claim, left, sound, slack, missing, ""),
    )


def energy_bound(energy: float, rank: int, alpha: float, beta: float) -> Bound:
    """thm10: the energy of one block against αk² + β, k the rank.

    energy and beta are in one unit, alpha in that unit per k². The paper takes α for the hardware and
    β for a constant, though a rank-k block of m × n moves and multiplies k(m + n) numbers; constants
    fitted to blocks of one size fail for larger ones. So reason is never empty. Raises InputError for
    a negative energy or rank, or constants that are not positive.

    >>> energy_bound(0.7, rank=4, alpha=0.01, beta=0.5).right
    0.66
    """
    left, k = checked_number("energy", energy), checked_number("rank", rank)
    per_square = checked_number("alpha", alpha, positive=True)
    right = per_square * k**2 + checked_number("beta", beta, positive=True)
    step = "the proof takes the energy of a block not to depend on its size"
    return judge("thm10", "E_ij ≤ αk² + β", left, right, 0.0, "", step)


def latency_bound(
    seconds: float,
    ranks: Sequence[float],
    block_bytes: Sequence[float],
    throughput: float,
    bandwidth: float,
) -> Bound:
    """thm11: a measured time against (1/C) Σ k² + (1/B) Σ |H_ij|.

    ranks and block_bytes have one entry for each block; throughput C is in operations per second,
    bandwidth B in bytes per second. A product with a rank-k block of m × n takes 2k(m + n)
    operations, more than k² whenever the factors save anything, so reason is never empty. Raises
    InputError for lists of different lengths, negative numbers or rates that are not positive.

    >>> bound = latency_bound(0.4, ranks=[2, 3], block_bytes=[8, 12], throughput=1e3, bandwidth=1e2)
    >>> round(bound.right, 6), bound.holds
    (0.213, False)
    """
    left = checked_number("seconds", seconds)
    k, size = checked_numbers("ranks", ranks), checked_numbers("block_bytes", block_bytes)
    if len(k) != len(size):
        raise InputError(f"block_bytes: has {len(size)} entries for {len(k)} ranks; give as many")
    computing = float(np.sum(k**2)) / checked_number("throughput", throughput, positive=True)
    right = computing + float(np.sum(size)) / checked_number("bandwidth", bandwidth, positive=True)
    step = "the proof counts k² operations for a block; U Vᵀ x takes 2k(m + n)"
    return judge("thm11", "T ≤ (1/C) Σ k² + (1/B) Σ |H_ij|", left, right, 0.0, "", step)


@dataclass(frozen=True)
class _Moved:
    """Two solutions: their distance, ‖A⁻¹b‖, σ_min(H), the rounding of the distance."""

    regular: bool
    distance: float
    size: float
    smallest: float
    slack: float


def _moved(A: Array, H: Array, b: Array) -> _Moved:
    """Solve with A and with H, unless one of them is singular in float64."""
    (top, bottom), (largest, smallest) = singular_ends(A), singular_ends(H)
    if bottom == 0.0 or smallest == 0.0:
        return _Moved(False, math.inf, math.inf, smallest, 0.0)
    x, y = (np.asarray(np.linalg.solve(M, b), dtype=np.float64) for M in (A, H))
    relative = ROUNDING * len(A) * (top / bottom + largest / smallest)
    slack = relative * (frobenius(x) + frobenius(y))
    return _Moved(True, frobenius(x - y), frobenius(x), smallest, slack)


def frobenius(array: Array) -> float:
    """The root of the sum of squares of all entries, ‖·‖_F."""
    return float(linalg.norm(array.ravel()))


def spectral(matrix: Array) -> float:
    """The largest singular value, ‖·‖₂."""
    return float(linalg.svdvals(matrix)[0])


def singular_ends(matrix: Array) -> tuple[float, float]:
    """The largest and the smallest singular value; the latter 0 where it is lost in rounding."""
    values = linalg.svdvals(matrix)
    largest, smallest = float(values[0]), float(values[-1])
    lost = smallest <= 0.1 * ROUNDING * len(values) * largest
    return largest, 0.0 if lost else smallest


def quotient(numerator: float, denominator: float) -> float:
    """Numerator over denominator, inf for a denominator of 0."""
    return numerator / denominator if denominator > 0.0 else math.inf


def rounding(condition: float, size: int) -> float:
    """Rounding of a condition number of matrices (size, size); 0 for inf."""
    return ROUNDING * size * condition**2 if math.isfinite(condition) else 0.0


def checked_array(name: str, value: ArrayLike) -> Array:
    """The value as float64; raises InputError for entries not real, not finite or beyond 1e60."""
    array = real_array(name, value)
    if array.size and np.abs(array).max() > LARGEST:
        raise InputError(f"{name}: holds entries beyond {LARGEST:g}; scale it")
    return array


def checked_pair(
    first: Array, second: Array, names: tuple[str, str] = NAMES, square: bool = False
) -> tuple[Array, Array]:
    """Two matrices of one shape, square if asked; raises InputError otherwise."""
    A, H = checked_array(names[0], first), checked_array(names[1], second)
    if A.ndim != 2 or A.size == 0 or (square and A.shape[0] != A.shape[1]):
        kind = "square matrix (n, n)" if square else "matrix (m, n)"
        raise InputError(f"{names[0]}: has shape {A.shape}; give a {kind}")
    if A.shape != H.shape:
        raise InputError(f"{names[1]}: has shape {H.shape}; {names[0]} has {A.shape}; match")
    return A, H


def _checked_vector(name: str, value: Array, length: int) -> Array:
    """A vector of this length; raises InputError otherwise."""
    array = checked_array(name, value)
    if array.shape != (length,):
        raise InputError(f"{name}: has shape {array.shape}; the matrix needs ({length},)")
    return array


def checked_numbers(name: str, values: Sequence[float]) -> Array:
    """One or more finite numbers of at least 0, as an array; raises InputError otherwise."""
    array = checked_array(name, values)
    if array.ndim != 1 or array.size == 0 or np.any(array < 0.0):
        raise InputError(f"{name}: is empty, nested or negative; give a list of numbers from 0 up")
    return array


def checked_number(name: str, value: float, positive: bool = False) -> float:
    """A finite number of at least 0, above 0 if asked; raises InputError otherwise."""
    if not 0.0 <= value <= LARGEST or (positive and value == 0.0):
        least = "above 0" if positive else "from 0 up"
        raise InputError(f"{name}: {value} is out of range; give a finite number {least}")
    return float(value)
