"""Networks that grow and kernels that are refined: section F, lemma 1, example 1, Theorem 7."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from hedge.hmatrix import most_accurate
from hedge.ntk import uniform_blocks
from hedge.paper import (
    capacity,
    loss_decay_bound,
    neuron_scaling,
    refined_width,
    refinement_decay_bound,
)
from hedge.problems import find_problem
from hedge.reproducing.drawing import BLUE, ORANGE, labelled
from hedge.reproducing.item import Claim, Item, Items, Picture, claims_of, sides
from hedge.reproducing.making import relative_change, train
from hedge.reproducing.materials import Materials
from hedge.reproducing.theorems import symmetric

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ITEMS = Items()

LEMMA_WIDTHS, LEMMA_STEPS = (8, 12, 16, 24, 32), 60
DESCENT_STEPS = 2001
EXAMPLE_WIDTH = 36.0


@ITEMS("secF", "Widths by the rule n + α⌈‖A − H‖_F/τ_refine⌉")
def _section_f(m: Materials) -> Item:
    """The rule on a Burgers network trained in this run; its function stays what it was."""
    from hedge import training
    from hedge.training.growth import refined_widths

    network = m.trained.network
    errors = training.localized_errors(network)
    widths = refined_widths(network.widths, errors)
    larger = training.grown(network, widths, m.seed)
    problem = find_problem("burgers")
    points = problem.domain.sample(1000, m.seed)
    before, after = (training.solution(problem, net, points) for net in (network, larger))
    moved = relative_change(after, before)
    return Item(
        (
            Claim("widths after one refinement", None, f"{network.widths} → {widths}", None,
                  "α = 2, τ_refine = 0.1, ‖A − H‖_F relative to ‖A‖_F with H of half the storage; "
                  "the paper fixes neither H nor the scale of the error"),
            Claim("the network's output when neurons are added", None, moved, None,
                  "relative change: new neurons start without outgoing weights; the paper does not "
                  "say how they start"),
            Claim("capacity Σ n_l²", "of the network", f"{capacity(network.widths)} → {capacity(widths)}",
                  None, "of the hidden layers; it is no count of weights, which is Σ n_l n_(l−1)"),
        ),
        {"errors": errors, "widths_before": network.widths, "widths_after": widths,
         "output_moved": moved},
    )  # fmt: skip


@ITEMS("lem1", "‖A − H‖_F ∝ 1/n")
def _lemma_1(m: Materials) -> Item:
    """‖A − H‖_F of a hidden layer over the width of networks trained alike."""
    widths = LEMMA_WIDTHS[::2] if m.quick else LEMMA_WIDTHS
    errors, relative = [], []
    for width in widths:
        weight = train("poisson", width, LEMMA_STEPS, m.seed).network.weights[1].numpy()
        best = most_accurate(weight, budget=0.5 * weight.size, leaf_size=4)
        errors.append(best.error)
        relative.append(best.error / float(np.linalg.norm(weight)))
    bound = neuron_scaling(widths, errors)
    return Item(
        (
            Claim("exponent of ‖A − H‖_F in n", "-1", bound.left, bound.holds,
                  f"second layer of Poisson networks of widths {', '.join(map(str, widths))}, "
                  f"H the best at half the storage; {bound.reason}"),
        ),
        {"widths": widths, "errors": errors, "relative_errors": relative,
         "bounds": sides((bound,))},
    )  # fmt: skip


@ITEMS("ex1", "Burgers: 30 neurons grow to 36")
def _example_1(m: Materials) -> Item:
    """From 30 to 36 neurons for an error of 0.25, α = 2 and τ_refine = 0.1."""
    width = refined_width(30, error=0.25, threshold=0.1, scale=2)
    return Item(
        (
            Claim("n₂ for an error of 0.25", EXAMPLE_WIDTH, float(width), width == EXAMPLE_WIDTH,
                  "with ⌈ ⌉; the brackets in print are square, and with ⌊ ⌋ it would be 34"),
            Claim("capacity Σ n_l²", None, f"{capacity((20, 30))} → {capacity((20, 36))}", None,
                  "of the widths 20, 30 and 20, 36; the paper does not print it"),
        ),
        {"width": width, "capacity": capacity((20, 36))},
    )  # fmt: skip


@ITEMS("thm7", "Decay of the error and of the loss")
def _theorem_7(m: Materials) -> Item:
    """Errors after T refinements, and the loss of gradient descent in the kernel's regime."""
    kernel = m.heat_kernel / np.linalg.norm(m.heat_kernel, 2)
    errors = [
        float(np.linalg.norm(kernel - uniform_blocks(kernel, 2**t, 1).to_dense())) for t in range(5)
    ]
    decay = refinement_decay_bound(errors)
    regular, h = m.conditioned
    losses = _descent(regular, m.seed)
    checked = [1, DESCENT_STEPS // 2, DESCENT_STEPS - 1]
    loss = loss_decay_bound(losses, 1.0, symmetric(h.to_dense()))

    def draw(figure: Figure) -> None:
        axes = labelled(figure, "refinements T", "‖A − H_T‖_F, ‖A‖₂ = 1")
        axes.set_yscale("log")
        axes.plot(range(5), errors, "o-", color=BLUE, label="measured, rank 1")
        axes.plot(range(5), [errors[0] * np.exp(-t) for t in range(5)], "--", color=ORANGE,
                  label="ε₀ e^(−T)")  # fmt: skip
        axes.set_xticks(range(5))
        axes.legend()

    worst = decay[-1]
    return Item(
        (
            Claim("‖A − H_T‖_F ≤ ε₀e^(−T) for T = 1 … 4", "for every T",
                  f"{sum(b.holds for b in decay)} of {len(decay)} hold", all(b.holds for b in decay),
                  f"halving all blocks of rank 1: factors {_factors(errors)} a step; "
                  f"{worst.reason or 'ρ ≤ 1/e at each step, which the proof simply assumes'}"),
            *claims_of(loss[t - 1] for t in checked),  # descent with A itself, the rate is H's
        ),
        {"errors": errors, "losses": losses[:: DESCENT_STEPS // 20], "decay": sides(decay)},
        picture=Picture("Error of the H-matrix against the number of refinements", draw),
    )  # fmt: skip


def _descent(kernel: np.ndarray, seed: int) -> list[float]:
    """‖r‖²/2 over steps r ← r − Θr from a random residual: gradient descent with a fixed kernel."""
    r = np.random.default_rng(seed).standard_normal(len(kernel))
    losses = []
    for _ in range(DESCENT_STEPS):
        losses.append(float(r @ r) / 2.0)
        r = r - kernel @ r
    return losses


def _factors(errors: list[float]) -> str:
    return ", ".join(f"{b / a:.2f}" for a, b in pairwise(errors))
