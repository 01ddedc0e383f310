"""Conditioning and generalization: figures 7 and 8."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from hedge.arrays import Array
from hedge.graph import SiteMatrix, SplitModel, assemble, run_float32
from hedge.reproducing.drawing import BLUE, ORANGE, labelled, logarithmic
from hedge.reproducing.item import Claim, Item, Items, Picture
from hedge.reproducing.making import exponent, relative_change, train
from hedge.reproducing.materials import Materials

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from hedge.training import Record

ITEMS = Items()

CONDITIONS = tuple(float(k) for k in np.geomspace(1e1, 1e7, 13))
PERTURBATION, TRIALS = 1e-9, 20
WEIGHT_PERTURBATION = 1e-3
OVERFIT_EPOCH = 1200  # where the paper's test loss begins to rise
OVERFIT = 10.0  # test losses so many times the training loss are overfitting
SETTLED = 400


@ITEMS("fig7", "Stability loss against condition number")
def _figure_7(m: Materials) -> Item:
    """The relative change of an output under a fixed relative perturbation, against κ.

    Of the solution x of (Θ + ρI) x = b under a perturbation of the kernel, which is what training
    solves; and of the network's own output under one of its weights.
    """
    theta = m.heat_kernel / np.linalg.norm(m.heat_kernel, 2)
    solves = [_solution_change(theta, kappa, m.seed) for kappa in CONDITIONS]
    networks = [_output_change(m, kappa) for kappa in CONDITIONS]
    slope, network_slope = exponent(CONDITIONS, solves), exponent(CONDITIONS, networks)

    def draw(figure: Figure) -> None:
        axes = logarithmic(figure, "condition number κ", "relative change of the result")
        axes.plot(CONDITIONS, solves, "o-", color=BLUE,
                  label=f"kernel system, moved by {PERTURBATION:g}: κ^{slope:.2f}")  # fmt: skip
        name = f"network, weights moved by {WEIGHT_PERTURBATION:g}"
        axes.plot(CONDITIONS, networks, "s--", color=ORANGE, label=f"{name}: κ^{network_slope:.2f}")
        axes.legend()

    return Item(
        (
            Claim("slope in log-log of a kernel system's solution", "near 1 (linear)", slope,
                  0.7 <= slope <= 1.3,
                  "(Θ + ρI) x = b for heat-64x3, κ set by ρ; the paper defines neither the loss nor κ"),
            Claim("slope of the network's own output", "near 1 (linear)", network_slope,
                  0.7 <= network_slope <= 1.3,
                  "the weights' small singular values are raised to set κ: evaluating a network "
                  "multiplies by its matrices and does not invert them"),
        ),
        {"conditions": CONDITIONS, "kernel": solves, "network": networks, "slope": slope,
         "network_slope": network_slope},
        picture=Picture("Relative change of results against the condition number", draw),
    )  # fmt: skip


def _solution_change(theta: Array, kappa: float, seed: int) -> float:
    """Mean relative change of x over random symmetric perturbations of norm PERTURBATION."""
    n = len(theta)
    least, most = np.linalg.eigvalsh(theta)[[0, -1]]
    ridge = (most - kappa * least) / (kappa - 1.0)  # κ = (λ_max + ρ)/(λ_min + ρ)
    matrix = theta + ridge * np.eye(n)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal(n)
    b = matrix @ x
    changes = []
    for _ in range(TRIALS):
        push = rng.standard_normal((n, n))
        push = push + push.T
        push *= PERTURBATION * np.linalg.norm(matrix, 2) / np.linalg.norm(push, 2)
        changes.append(float(np.linalg.norm(np.linalg.solve(matrix + push, b) - x)))
    return float(np.mean(changes)) / float(np.linalg.norm(x))


def _output_change(m: Materials, kappa: float) -> float:
    """Relative change of Burgers' output when its weights move, singular values above σ₁/κ."""
    parts = m.burgers.split
    rng = np.random.default_rng(m.seed)
    matrices = {
        name: SiteMatrix((_with_condition(one.dense(), kappa),), one.bias)
        for name, one in parts.matrices.items()
    }
    moved = {}
    for name, one in matrices.items():
        weight = one.dense()
        push = rng.standard_normal(weight.shape)
        push *= WEIGHT_PERTURBATION * np.linalg.norm(weight) / np.linalg.norm(push)
        moved[name] = SiteMatrix((weight + push,), one.bias)
    return _distance(parts, moved, matrices, m.burgers.points.validation)


def _with_condition(weight: Array, kappa: float) -> Array:
    u, s, vt = np.linalg.svd(weight, full_matrices=False)
    return np.asarray((u * np.maximum(s, s[0] / kappa)) @ vt)


def _distance(
    parts: SplitModel, one: dict[str, SiteMatrix], other: dict[str, SiteMatrix], points: Array
) -> float:
    a, b = (run_float32(assemble(parts.skeleton, matrices), points) for matrices in (one, other))
    return relative_change(a, b)


@ITEMS("fig8", "Train and test loss over epochs")
def _figure_8(m: Materials) -> Item:
    """Mean squared residuals on training and on held-out points, step by step."""
    width, steps = max(m.trained.run.hidden), m.trained.steps
    fixed = train("burgers", width, steps, m.seed, sampling="attention").history
    renewed = m.trained.history

    def draw(figure: Figure) -> None:
        axes = labelled(figure, "steps", "mean squared residual")
        axes.set_yscale("log")
        for history, colour, name in (
            (renewed, BLUE, "new points"),
            (fixed, ORANGE, "fixed points"),
        ):
            x = [r.step for r in history]
            axes.plot(x, [r.train_loss for r in history], "-", color=colour, label=f"train, {name}")
            axes.plot(x, [r.held_out_loss for r in history], "--", color=colour,
                      label=f"test, {name}")  # fmt: skip
        axes.axvline(
            OVERFIT_EPOCH, color="grey", linestyle=":", label="the paper's test loss rises"
        )
        axes.legend(fontsize=8)

    enough = steps > OVERFIT_EPOCH
    short = "" if enough else "; too few steps to tell (--quick)"
    claims = []
    for name, history, how in (
        ("points drawn anew", renewed, "sets of fewer points than parameters are learned by heart, "
         "too, until hedge doubles them: then it closes"),
        ("points kept", fixed, "the gap is that of the paper, until hedge, which watches it, doubles "
         "the points: then it closes"),
    ):  # fmt: skip
        gap, rise = _gap(history), _rise(history)
        claims += [
            Claim(f"test loss over training loss, {name}", "large: training loss is near zero",
                  f"at most {gap:.3g}", gap > OVERFIT if enough else None, how + short),
            Claim(f"test loss rises late, {name}", "from epoch 1,200 on",
                  f"at most {rise:.3g} times its lowest so far", rise > 2.0 if enough else None,
                  f"{steps} steps of a Burgers network of widths {max(m.trained.run.hidden)}{short}"),
        ]  # fmt: skip
    return Item(
        tuple(claims),
        {
            "renewed": [_losses(r) for r in renewed], "fixed": [_losses(r) for r in fixed],
            "relative_l2": m.trained.relative_l2, "parameters": m.trained.parameters,
        },
        picture=Picture("Training and test loss against steps, with new and with fixed "
                          "points", draw),
    )  # fmt: skip


def _settled(history: Sequence[Record]) -> list[Record]:
    """The records after the first steps, in which the loss falls by decades."""
    return [record for record in history if record.step >= SETTLED] or list(history)


def _gap(history: Sequence[Record]) -> float:
    """The largest test loss over training loss."""
    return max(record.held_out_loss / record.train_loss for record in _settled(history))


def _rise(history: Sequence[Record]) -> float:
    """The largest test loss over the lowest before it."""
    losses = np.array([record.held_out_loss for record in _settled(history)])
    return float(np.max(losses / np.minimum.accumulate(losses)))


def _losses(record: Record) -> dict[str, object]:
    return {k: v for k, v in vars(record).items() if k != "seconds"}
