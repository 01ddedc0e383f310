"""Theorems 1 to 6 and corollary 1, both sides computed on the kernels of trained networks."""

from __future__ import annotations

from functools import partial

import numpy as np

from hedge.arrays import Array
from hedge.graph import Evaluator, SiteMatrix, assemble, load_model
from hedge.methods.paper import ALGORITHMS, partition_sites
from hedge.ntk import compare_kernels, output_kernel
from hedge.paper import (
    adaptive,
    block_sum_bound,
    condition_bound,
    convergence_bound,
    effective_condition_bound,
    eigenvalue_shift_bound,
    multiscale_bound,
    perturbed_condition_bound,
    solution_bound,
    training_error_bound,
)
from hedge.problems import find_problem
from hedge.reproducing.item import Claim, Item, Items, claims_of, sides
from hedge.reproducing.making import compressed, conditioned
from hedge.reproducing.materials import CONDITIONED_TOLERANCE, Materials

ITEMS = Items()

KERNEL_TOLERANCE = 1e-3
SCALES = (16, 32, 64)  # points of the coarse, the middle and the fine scale of corollary 1


@ITEMS("thm1", "Convergence of adaptive H-matrices")
def _theorem_1(m: Materials) -> Item:
    """Approximation, condition number, perturbation, training error."""
    matrix, h = m.conditioned
    approximation = symmetric(h.to_dense())
    dense = h.to_dense()
    errors = [
        float(np.linalg.norm((matrix - dense)[a.top : a.bottom, a.start : a.stop]))
        for a in h.leaves
    ]
    smallest = float(np.linalg.svd(approximation, compute_uv=False)[-1])
    push = _towards_singular(approximation, 0.5 * smallest)
    network = load_model(m.models["heat"])
    training_error = find_problem("heat").residual_rms(Evaluator(network), m.seed)
    bounds = (
        *block_sum_bound(matrix, dense, errors),
        *condition_bound(matrix, approximation),
        *perturbed_condition_bound(approximation, push),
    )
    steps = training_error_bound(training_error, CONDITIONED_TOLERANCE, 3)
    small = training_error_bound(training_error, 1e-8, 3)
    return Item(
        (
            *claims_of(bounds),
            Claim("training error ≤ τT with τ = 2e-5, and with τ = 1e-8",
                  f"≤ {steps.right:.1e}, ≤ {small.right:.1e}", f"{training_error:.1e}",
                  steps.holds and small.holds,
                  "the error of training (rms residual of heat-64x3) does not know τ: "
                  "the bound can be made to hold or fail at will; no step of the proof links them"),
        ),
        {"bounds": sides((*bounds, steps, small))},
    )  # fmt: skip


def _towards_singular(matrix: Array, size: float) -> Array:
    """ΔA of Frobenius norm ``size`` that lowers the smallest singular value as far as possible."""
    u, _, vt = np.linalg.svd(matrix)
    return np.asarray(-size * np.outer(u[:, -1], vt[-1]))


@ITEMS("thm2", "Stability of solutions")
def _theorem_2(m: Materials) -> Item:
    """How far the solution of A x = b moves for a smooth b of norm 1."""
    matrix, h = m.conditioned
    bounds = solution_bound(matrix, symmetric(h.to_dense()), _right_side(len(matrix)))
    return Item(claims_of(bounds), {"bounds": sides(bounds)})


@ITEMS("thm3", "Convergence of solutions")
def _theorem_3(m: Materials) -> Item:
    """The same along H-matrices that converge."""
    matrix, _ = m.conditioned
    tolerances = [CONDITIONED_TOLERANCE * 10.0**-n for n in range(4)]
    sequence = [
        symmetric(adaptive(matrix, tolerance=t, rank=4, leaf_size=4).to_dense()) for t in tolerances
    ]
    bounds = convergence_bound(matrix, sequence, _right_side(len(matrix)))
    letter, sound = bounds[::2], bounds[1::2]
    moved = [bound.left for bound in letter]
    return Item(
        (
            Claim("f(H_n) → f(A)", "converges", f"{moved[0]:.1e} → {moved[-1]:.1e}",
                  moved[-1] < 1e-2 * moved[0],
                  "‖A⁻¹b − H_n⁻¹b‖ for tolerances 2e-5 to 2e-8; it needs f continuous at A only"),
            Claim("‖f(A) − f(H_n)‖ ≤ ‖A − H_n‖_F/σ_min(H_n)", "for every n",
                  f"{sum(b.holds for b in letter)} of {len(letter)} hold",
                  all(b.holds for b in letter), letter[0].reason),
            Claim("sound form: times ‖A⁻¹b‖", None,
                  f"{sum(b.holds for b in sound)} of {len(sound)} hold", None),
        ),
        {"bounds": sides(bounds)},
    )  # fmt: skip


@ITEMS("cor1", "Errors over scales")
def _corollary_1(m: Materials) -> Item:
    """The summed error of three scales, kernels at the first 16, 32 and all 64 points."""
    scales = [conditioned(m.heat_kernel[:n, :n]) for n in SCALES]
    approximations = [
        symmetric(adaptive(a, tolerance=CONDITIONED_TOLERANCE, rank=4, leaf_size=8).to_dense())
        for a in scales
    ]
    errors = [float(np.linalg.norm(a - h, 2)) for a, h in zip(scales, approximations, strict=True)]
    bounds = multiscale_bound(scales, approximations, [_right_side(n) for n in SCALES], errors)
    return Item(claims_of(bounds), {"bounds": sides(bounds)})


@ITEMS("thm4", "The tangent kernel under compression")
def _theorem_4(m: Materials) -> Item:
    """The kernel of the heat network before and after its weights are compressed.

    By Algorithm 4, which keeps each matrix within 1e-3 of itself as the theorem asks; and by hedge,
    which keeps the output within 1e-3.
    """
    case = m.case("heat")
    parts = case.split
    blocks = partition_sites(parts, m.edge, ALGORITHMS["Algorithm 4"], KERNEL_TOLERANCE)
    near = {name: SiteMatrix((one.dense(),), one.bias) for name, one in blocks.items()}
    points = case.points.practice(128 if m.quick else 512)
    small = compressed(case, KERNEL_TOLERANCE, keep_widths=True)
    found, ours = (
        compare_kernels(case.dense, model, partial(output_kernel, points=points), 1e-6, m.seed)
        for model in (assemble(parts.skeleton, near), small.to_onnx())
    )
    bounds = [bound for bound in found.bounds if bound.item.startswith("thm4")]
    return Item(
        (
            *claims_of(bounds),
            Claim("‖Θ − Θ_H‖_F/‖Θ‖_F, each W within 1e-3 of itself", "small", found.difference,
                  found.difference is not None and found.difference < 0.1,
                  "Algorithm 4 on the weights of heat-64x3"),
            Claim("‖Θ − Θ_H‖_F/‖Θ‖_F, the output within 1e-3", None, ours.difference, None,
                  f"hedge, {small.plan.parameters} of {small.plan.dense_parameters} parameters: what "
                  "keeps the output need not keep the kernel, which training has no more use for"),
        ),
        {"bounds": sides(bounds), "difference": found.difference,
         "difference_hedge": ours.difference},
    )  # fmt: skip


@ITEMS("thm5", "Condition number after regularization")
def _theorem_5(m: Materials) -> Item:
    """κ(H) against κ(A)(1 + τ/σ_k^eff)."""
    matrix, h = m.conditioned
    approximation = symmetric(h.to_dense())
    shift = float(np.linalg.norm(matrix - approximation, 2))
    bounds = effective_condition_bound(matrix, approximation, shift)
    # The letter loses the growth of the norm; the smallest case that shows it is 2 × 2.
    counter = effective_condition_bound(np.diag([2.0, 1.0]), np.diag([2.5, 0.5]), 0.5)[0]
    return Item(
        (
            *claims_of(bounds),
            Claim("the same for diag(2, 1) and H = diag(2.5, 0.5)", f"≤ {counter.right:.4g}",
                  counter.left, counter.holds, counter.reason),
        ),
        {"bounds": sides((*bounds, counter))},
    )  # fmt: skip


@ITEMS("thm6", "Eigenvalue shifts")
def _theorem_6(m: Materials) -> Item:
    """How far eigenvalues and the condition number move."""
    matrix, h = m.conditioned
    bounds = eigenvalue_shift_bound(matrix, symmetric(h.to_dense()))
    return Item(claims_of(bounds), {"bounds": sides(bounds)})


def symmetric(matrix: Array) -> Array:
    """The symmetric part of an approximation of a symmetric matrix: never further away."""
    return np.asarray((matrix + matrix.T) / 2.0)


def _right_side(count: int) -> Array:
    """A smooth right side of norm 1: half a wave over the points in their order."""
    b = np.cos(np.linspace(0.0, np.pi, count))
    return np.asarray(b / np.linalg.norm(b))
