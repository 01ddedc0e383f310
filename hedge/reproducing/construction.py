"""H-matrices and what they cost: definition 1, Algorithm 1, the example of section V, example 5."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hedge.arrays import Array
from hedge.devices import gemm_work
from hedge.graph import load_model
from hedge.hmatrix import Leaf, cheapest, plot
from hedge.paper import adaptive
from hedge.reproducing.drawing import BLUE, ORANGE, logarithmic
from hedge.reproducing.item import Claim, Item, Items, Picture, agree
from hedge.reproducing.making import exponent, kernel_of
from hedge.reproducing.materials import Materials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITEMS = Items()

KERNEL_TOLERANCE = 1e-6
# Â₁₁ as section V prints it.
PRINTED_BLOCK = np.array([[1.811, 3.622], [8.255, 16.522]])
PRINTED_VALUES = (8.485, 0.707)
WIDTHS, RANKS, POINTS = (32, 64, 128, 256, 512), (1, 2, 4, 8, 16), 1000


@ITEMS("def1", "H-matrix: leaves U Vᵀ or dense")
def _definition(m: Materials) -> Item:
    """The cheapest H-matrix of a trained network's tangent kernel."""
    kernel = m.heat_kernel
    best = cheapest(kernel, tolerance=KERNEL_TOLERANCE, leaf_size=8)
    h = best.matrix
    error = best.error / float(np.linalg.norm(kernel))
    ranks = [leaf.rank for leaf in h.leaves if not leaf.is_dense]
    dense = len(h.leaves) - len(ranks)

    def draw(figure: Figure) -> None:
        axes = plot(h, figure.subplots())
        axes.set(xlabel="point (k-d tree order)", ylabel="point (k-d tree order)")

    why = (
        "a trained network's kernel is so smooth that few blocks, even a single one, are cheapest"
        if len(h.leaves) < 4
        else "blocks are low rank or dense as defined"
    )
    return Item(
        (
            Claim("numbers kept of a dense n²", "O(n log n)", h.numbers, h.numbers < kernel.size,
                  f"n = {len(kernel)}, n² = {kernel.size}, ‖Θ − H‖_F = {error:.1e} ‖Θ‖_F; {why}"),
            Claim("low-rank and dense leaves", "ranks k far below the sides",
                  f"{len(ranks)} of rank {min(ranks)} to {max(ranks)}, {dense} dense",
                  2 * max(ranks) < len(kernel),
                  "Θ (64, 64) of heat-64x3"),
        ),
        {"leaves": len(h.leaves), "ranks": ranks, "numbers": h.numbers, "relative_error": error},
        picture=Picture("Leaves and ranks of the tangent kernel's H-matrix", draw),
    )  # fmt: skip


@ITEMS("alg1", "Adaptive construction")
def _algorithm_1(m: Materials) -> Item:
    """Cut while a block's error is above the tolerance; then the global bound τ√n_r."""
    kernel = m.heat_kernel / np.linalg.norm(m.heat_kernel)
    rows = []
    for tolerance in (1e-3, 1e-4, 1e-5):
        h = adaptive(kernel, tolerance=tolerance, rank=2, leaf_size=4)
        blocks = [np.linalg.norm(_block(kernel, leaf) - leaf.values()) for leaf in h.leaves]
        total = float(np.linalg.norm(kernel - h.to_dense()))
        rows.append({
            "tolerance": tolerance, "leaves": len(h.leaves), "numbers": h.numbers,
            "largest_block_error": float(max(blocks)), "error": total,
            "bound": tolerance * len(h.leaves) ** 0.5,
            "optimum_numbers": cheapest(kernel, tolerance=total, leaf_size=4).matrix.numbers,
        })  # fmt: skip
    last = rows[-1]
    within = all(r["largest_block_error"] <= r["tolerance"] for r in rows)
    return Item(
        (
            Claim("every block ends within ε_tol", "yes", "yes" if within else "no", within,
                  "rank 2 a block, three tolerances from 1e-3 to 1e-5"),
            Claim("‖A − H‖_F ≤ τ√n_r", f"≤ {last['bound']:.3g}", last["error"],
                  all(r["error"] <= r["bound"] for r in rows),
                  f"at τ = 1e-5 with {last['leaves']} blocks; it holds at each tolerance"),
            Claim("numbers kept at that error", None, f"{last['numbers']}; best {last['optimum_numbers']}",
                  None, "the paper fixes the rank and only cuts; the best choice of blocks and ranks "
                  "on the same tree, at the same error, keeps fewer numbers"),
        ),
        {"runs": rows},
    )  # fmt: skip


def _block(matrix: Array, leaf: Leaf) -> Array:
    return matrix[leaf.top : leaf.bottom, leaf.start : leaf.stop]


@ITEMS("exV", "The 4 × 4 example of section V; storage O(k n log n)")
def _section_5(m: Materials) -> Item:
    """The 4 × 4 matrix of 1 … 16 in quadrants of rank 1; storage of a real kernel against n."""
    matrix = np.arange(1.0, 17.0).reshape(4, 4)
    h = adaptive(matrix, tolerance=1.0, leaf_size=2)
    values = np.linalg.svd(matrix[:2, :2], compute_uv=False)
    ours = h.leaves[0].values()
    errors = [float(np.linalg.norm(_block(matrix, leaf) - leaf.values())) for leaf in h.leaves]
    printed = float(np.linalg.norm(matrix[:2, :2] - PRINTED_BLOCK))
    network = load_model(m.models["heat"])
    sizes = (128, 256, 512) if m.quick else (256, 512, 1024, 2048)
    kernels = {n: kernel_of(network, "heat", n, m.seed) for n in sizes}
    numbers = [k.hierarchical(KERNEL_TOLERANCE).numbers for k in kernels.values()]
    power = exponent(sizes, numbers)

    def draw(figure: Figure) -> None:
        axes = logarithmic(figure, "points n", "numbers kept")
        axes.plot(sizes, [n * n for n in sizes], "--", color=ORANGE, label="dense, n²")
        axes.plot(sizes, numbers, "o-", color=BLUE, label=f"H-matrix, n^{power:.2f}")
        axes.legend()

    return Item(
        (
            Claim("singular values of [[1, 2], [5, 6]]", "8.485, 0.707",
                  f"{values[0]:.3f}, {values[1]:.3f}",
                  np.allclose(values, PRINTED_VALUES, atol=5e-4),
                  "their product must be |det| = 4 and the sum of their squares 66; the paper's are "
                  f"{PRINTED_VALUES[0] * PRINTED_VALUES[1]:.2f} and "
                  f"{sum(v * v for v in PRINTED_VALUES):.2f}"),
            Claim("‖A₁₁ − Â₁₁‖_F at rank 1", printed, errors[0], agree(printed, errors[0]),
                  "the best is σ₂; row 2 of the paper's Â₁₁ is (8.255, 16.522) where A has (5, 6)"),
            Claim("blocks after Algorithm 1", "four of rank 1",
                  f"{len(h.leaves)} of rank {max(leaf.rank for leaf in h.leaves)}",
                  [leaf.rank for leaf in h.leaves] == [1] * 4,
                  "with ε_tol = 1 all four are kept as they are"),
            Claim("exponent of storage in n", "1 (k n log n)", power, power < 1.3,
                  f"real tangent kernels of heat-64x3, n from {sizes[0]} to {sizes[-1]}, relative "
                  "error 1e-6; dense is 2"),
        ),
        {
            "singular_values": values, "block": ours, "block_errors": errors,
            "printed_block_error": printed, "sizes": sizes, "numbers": numbers, "exponent": power,
        },
        picture=Picture("Numbers kept of a tangent kernel against its size", draw),
    )  # fmt: skip


@ITEMS("ex5", "Burgers network with three hidden layers: parameters and operations")
def _example_5(m: Materials) -> Item:
    """Parameters and operations of a Burgers network against N_h and the rank."""
    dense = [_flops(n, None) for n in WIDTHS]
    factored = [_flops(n, 8) for n in WIDTHS]
    by_rank = [_flops(256, k) for k in RANKS]
    widths = [2, 20, 20, 20, 1]
    parameters = sum(a * b + b for a, b in pairwise(widths))
    printed = sum(a * b + b for a, b in zip((2, 20, 20), (20, 20, 1), strict=True)) + 1
    powers = exponent(WIDTHS, dense), exponent(WIDTHS, factored), exponent(RANKS, by_rank)

    def draw(figure: Figure) -> None:
        axes = logarithmic(figure, "neurons per layer N_h", f"operations for {POINTS} points")
        axes.plot(WIDTHS, dense, "o-", color=ORANGE, label=f"dense, N_h^{powers[0]:.2f}")
        axes.plot(WIDTHS, factored, "s-", color=BLUE, label=f"rank 8, N_h^{powers[1]:.2f}")
        axes.legend()

    return Item(
        (
            Claim("parameters for N_h = 20", printed, parameters, printed == parameters,
                  "the paper's sum ends at n₃ = 1, so that it has two hidden layers, not three"),
            Claim("exponent of dense operations in N_h", 3.0, powers[0], agree(3.0, powers[0]),
                  "a layer costs 2 N_h² operations a point, forwards or backwards; N_f (L − 1) N_h³ "
                  "counts one factor too many"),
            Claim("exponent at rank 8 in N_h", None, powers[1], None,
                  "2k(m + n) operations a layer: linear in the width"),
            Claim("exponent of evaluation in the rank k", 1.0, powers[2], agree(1.0, powers[2]),
                  "the term k N_f log P; the other, k² P log P, is for building and compressing"),
            Claim("O(N_h²) to O(k log N_h²)", "logarithmic in N_h", f"N_h^{powers[1]:.2f}",
                  powers[1] < 0.5,
                  "the paper's two formulas contradict each other: a product that reads N_h inputs "
                  "takes at least N_h operations, and P ∝ N_h² in k² P log P is more than linear"),
        ),
        {
            "parameters": parameters, "printed_parameters": printed, "widths": WIDTHS, "ranks": RANKS,
            "dense_flops": dense, "factored_flops": factored, "flops_by_rank": by_rank,
            "exponents": powers,
        },
        picture=Picture("Operations against neurons per layer, dense and rank 8", draw),
    )  # fmt: skip


def _flops(width: int, rank: int | None) -> float:
    """Of the two matrices between three hidden layers, for all points at once."""
    if rank is None:
        return float(2 * gemm_work(POINTS, width, width).flops)
    return float(2 * (gemm_work(POINTS, rank, width).flops + gemm_work(POINTS, width, rank).flops))
