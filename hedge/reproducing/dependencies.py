"""Cross-block dependencies: Algorithm 2, Theorems 8 and 9, example 2, on a real 8 × 8 kernel."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from hedge.arrays import Array
from hedge.hmatrix import HMatrix, refit
from hedge.ntk import uniform_blocks
from hedge.paper import Adjusted, dependency_adjusted, dependency_bound, dependency_eigenvalue_bound
from hedge.reproducing.drawing import BLUE, ORANGE, labelled
from hedge.reproducing.item import Claim, Item, Items, Picture, agree, claims_of, sides
from hedge.reproducing.materials import Materials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITEMS = Items()

# Example 2: ‖A − H‖_F before and after, and D₁₁,₂₂.
ERROR_BEFORE, ERROR_AFTER, FIRST_DEPENDENCY = 0.2, 0.15, 0.05
BLOCKS = 2  # blocks of 4 × 4, of rank 1
STRENGTHS = np.linspace(0.0, 0.1, 21)


@dataclass(frozen=True, eq=False)
class _Example:
    """Example 2 on a real kernel: A and H scaled to its error, γ such that D₁₁,₂₂ is the paper's."""

    matrix: Array
    h: HMatrix
    gamma: float

    @cached_property
    def adjusted(self) -> Adjusted:
        return dependency_adjusted(self.h, gamma=self.gamma)

    def error(self, h: HMatrix) -> float:
        return float(np.linalg.norm(self.matrix - h.to_dense()))

    def sides(self) -> tuple[Array, Array, Array, Array]:
        """A, H, H̃, and D_kl,ij at [k, l, i, j], for the theorems' bounds."""
        d = self.adjusted.dependencies.T.reshape(BLOCKS, BLOCKS, BLOCKS, BLOCKS)
        return self.matrix, self.h.to_dense(), self.adjusted.matrix.to_dense(), np.asarray(d)


def _example(m: Materials) -> _Example:
    kernel = m.poisson_kernel
    error = np.linalg.norm(kernel - uniform_blocks(kernel, BLOCKS, 1).to_dense())
    kernel = kernel * ERROR_BEFORE / error
    h = uniform_blocks(kernel, BLOCKS, 1)
    first, last = h.leaves[0].values(), h.leaves[-1].values()
    return _Example(kernel, h, FIRST_DEPENDENCY / float(np.linalg.norm(first @ last.T)))


@ITEMS("alg2", "Dependency-aware construction")
def _algorithm_2(m: Materials) -> Item:
    """To the letter for γ from 0 up, beside the sound form in the kernel's own metric."""
    example = _example(m)
    gammas = example.gamma * STRENGTHS / FIRST_DEPENDENCY
    adjusted = [
        dependency_adjusted(example.h, gamma=g).matrix if g > 0 else example.h for g in gammas
    ]
    errors = [example.error(h) for h in adjusted]
    sound = refit(
        example.matrix, example.h, row_metric=example.matrix, column_metric=example.matrix
    )
    before, after = sound.errors[0], sound.errors[-1]

    def draw(figure: Figure) -> None:
        axes = labelled(figure, "D₁₁,₂₂", "‖A − H̃‖_F")
        axes.plot(STRENGTHS, errors, "o-", color=BLUE, label="Algorithm 2 to the letter")
        axes.axhline(ERROR_BEFORE, linestyle="--", color=ORANGE, label="without it")
        axes.legend()

    return Item(
        (
            Claim("the error falls", "falls", f"least at γ = {gammas[int(np.argmin(errors))]:.3g}",
                  min(errors[1:]) < errors[0],
                  "on a real kernel it grows with γ from the start: blocks are added onto blocks "
                  "they have nothing to do with"),
            Claim("sound form: refit of blocks to each other, weighted error", None,
                  f"{before:.3g} → {after:.3g}", None,
                  "in the metric of the kernel itself, where blocks do depend on each other; "
                  "ranks unchanged, no sweep increases it"),
        ),
        {"gammas": gammas, "errors": errors, "refit_errors": sound.errors},
        picture=Picture("Error of Algorithm 2 against the strength of dependencies", draw),
    )  # fmt: skip


@ITEMS("thm8", "Error after adjustment")
def _theorem_8(m: Materials) -> Item:
    """The error after Algorithm 2."""
    example = _example(m)
    bounds = dependency_bound(*example.sides())
    ones, d = np.ones((2, 2)), np.ones((2, 2, 2, 2))
    counter = dependency_bound(ones, ones, 5.0 * ones, d)[0]
    return Item(
        (
            *claims_of(bounds),
            Claim("the same for four 1 × 1 blocks of 1 and D = 1", f"≤ {counter.right:.4g}",
                  counter.left, counter.holds,
                  "‖D‖_F max ‖H_ij‖_F is short by up to the root of the number of blocks, of the proof's "
                  "sum by up to their number"),
        ),
        {"bounds": sides((*bounds, counter))},
    )  # fmt: skip


@ITEMS("thm9", "Smallest eigenvalue after adjustment")
def _theorem_9(m: Materials) -> Item:
    """The smallest eigenvalue after Algorithm 2."""
    example = _example(m)
    bounds = dependency_eigenvalue_bound(*example.sides())
    values = np.linalg.eigvalsh(example.matrix)
    after = np.linalg.eigvals(example.adjusted.matrix.to_dense()).real
    return Item(
        (
            *claims_of(bounds),
            Claim("λ_min is preserved", "preserved", f"{values[0]:.2e} → {after.min():.2e}",
                  bool(after.min() > 0.5 * values[0]),
                  "the bound allows for far more than λ_min itself, so it preserves nothing"),
        ),
        {"bounds": sides(bounds), "smallest_before": values[0], "smallest_after": after.min()},
    )  # fmt: skip


@ITEMS("ex2", "Poisson: from 0.2 to 0.15 by dependencies")
def _example_2(m: Materials) -> Item:
    """The Poisson kernel, scaled so that ‖A − H‖_F is the paper's 0.2."""
    example = _example(m)
    adjusted = example.adjusted
    whole = example.error(adjusted.matrix)
    one = example.h.to_dense()
    one[:4, :4] += FIRST_DEPENDENCY * example.h.leaves[-1].values()
    first = float(np.linalg.norm(example.matrix - one))
    plain = refit(example.matrix, example.h).errors[-1]
    second = example.error(uniform_blocks(example.matrix, BLOCKS, 2))
    return Item(
        (
            Claim("D₁₁,₂₂", FIRST_DEPENDENCY, float(adjusted.dependencies[0, -1]),
                  agree(FIRST_DEPENDENCY, float(adjusted.dependencies[0, -1])),
                  f"γ = {example.gamma:.3g} is chosen so; the kernel is scaled to an error of 0.2"),
            Claim("‖A − H̃‖_F, all blocks adjusted", ERROR_AFTER, whole,
                  agree(ERROR_AFTER, whole),
                  "to the letter it grows"),
            Claim("‖A − H̃‖_F, block (1, 1) alone as in the example", ERROR_AFTER, first,
                  agree(ERROR_AFTER, first),
                  "grows, too"),
            Claim("sound form: best blocks of rank 1", ERROR_AFTER, plain,
                  agree(ERROR_AFTER, plain),
                  "by Eckart and Young truncated blocks are the best of their rank: no adjustment "
                  "that keeps ranks goes below 0.2"),
            Claim("rank 2 in each block", None, second, None,
                  "more rank is what lowers this error"),
        ),
        {"gamma": example.gamma, "dependencies": adjusted.dependencies, "error_adjusted": whole,
         "error_first_block": first, "error_refitted": plain, "error_rank_2": second},
    )  # fmt: skip
