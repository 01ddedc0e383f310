"""Accuracy, generalization and speed against the compression ratio: figures 2a, 3a, 3b and 4."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np

from hedge.benching import median_seconds
from hedge.reproducing.drawing import COLOURS, MARKERS, logarithmic
from hedge.reproducing.item import Claim, Item, Items, Picture, agree
from hedge.reproducing.materials import BATCH, Materials
from hedge.reproducing.sweeps import HEDGE, PAPER, SVD, SweepPoint, ratios

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

ITEMS = Items()

LEAST_RATIO, MOST_RATIO = 2.0, 50.0
RATIO, ERROR = "compression ratio (dense bytes / bytes)", "relative L2 error to the solution"


@ITEMS("fig2a", "Accuracy against compression, SVD and H-matrix")
def _figure_2a(m: Materials) -> Item:
    """Accuracy against compression for SVD tolerances and for H-matrices."""
    trials = [t for t in m.sweep if t.method in (SVD, PAPER, HEDGE)]
    at_two = {name: _best_error(trials, name, LEAST_RATIO) for name in _methods_of(trials)}

    def draw(figure: Figure) -> None:
        _errors(logarithmic(figure, RATIO, ERROR), trials)

    return Item(
        (
            Claim("accuracy of SVD at ratio 2 or more", "0.975–0.978", 1.0 - at_two[SVD],
                  0.975 <= 1.0 - at_two[SVD] <= 0.978,
                  "truncating weights that a network uses in full costs far more; a plateau over "
                  "all ratios is not seen at any tolerance"),
            Claim("accuracy of H-matrices at ratio 2 or more", "above SVD", 1.0 - at_two[PAPER],
                  at_two[PAPER] < at_two[SVD],
                  "Algorithm 4 on the weights: with the paper's energy as the cost it needs more "
                  "bytes than the dense matrices until its error is large"),
            Claim("accuracy of hedge at ratio 2 or more", None, 1.0 - at_two[HEDGE], None,
                  "truncation in the norm of the output, and fewer neurons; no retraining"),
        ),
        {"trials": [t.numbers() for t in trials]},
        picture=Picture("Error against compression ratio for SVD, the paper's H-matrices "
                          "and hedge", draw),
    )  # fmt: skip


@ITEMS("fig3a", "Train and test accuracy against compression")
def _figure_3a(m: Materials) -> Item:
    """Accuracy on the points that were fitted and on fresh ones."""
    trials = [t for t in m.sweep if t.method == HEDGE]
    gaps = [t.error / t.fitted for t in trials]
    best = min(trials, key=lambda t: t.error)

    def draw(figure: Figure) -> None:
        axes = logarithmic(figure, RATIO, ERROR)
        x = [t.ratio for t in trials]
        axes.plot(x, [t.fitted for t in trials], "o-", color=COLOURS[0], label="train")
        axes.plot(x, [t.error for t in trials], "s--", color=COLOURS[1], label="test")
        axes.legend()

    return Item(
        (
            Claim("train accuracy", 0.99, 1.0 - best.fitted, 1.0 - best.fitted >= 0.99,
                  f"at ratio {best.ratio:.3g}; 1 − relative L2 error on the points of the fit"),
            Claim("test accuracy", 0.975, 1.0 - best.error, 1.0 - best.error >= 0.975,
                  "the same on fresh points"),
            Claim("test error over train error, over all ratios", "about 2.5",
                  f"{min(gaps):.3g} to {max(gaps):.3g}", 2.0 < max(gaps) < 3.0,
                  "near 1: points cost nothing, so that a fit sees far more of them than it has weights"),
        ),
        {"trials": [t.numbers() for t in trials]},
        picture=Picture("Train and test error against compression ratio", draw),
    )  # fmt: skip


@ITEMS("fig3b", "H-matrix, SVD, pruning, quantization")
def _figure_3b(m: Materials) -> Item:
    """Every method at its best at each ratio from 2 to 50."""
    grid = ratios(LEAST_RATIO, MOST_RATIO)
    errors = {name: [_best_error(m.sweep, name, r) for r in grid] for name in _methods_of(m.sweep)}
    others = {name: values for name, values in errors.items() if name != HEDGE}
    rival = [min(values[i] for values in others.values()) for i in range(len(grid))]
    best = [ours < theirs for ours, theirs in zip(errors[HEDGE], rival, strict=True)]
    margin = min(t / o for o, t in zip(errors[HEDGE], rival, strict=True))
    lowest = errors[PAPER][0]
    reached = max(t.ratio for t in m.sweep if t.method != HEDGE)

    def draw(figure: Figure) -> None:
        _errors(logarithmic(figure, RATIO, ERROR), m.sweep)

    return Item(
        (
            Claim("the paper's method is the most accurate at ratio 2", "0.96, the best",
                  1.0 - lowest, lowest <= min(errors[name][0] for name in errors),
                  "the paper does not say what is compressed; on the weights, which have no geometry, "
                  "Algorithm 4 loses to most"),
            Claim("ratios from 2 to 50 at which hedge is the most accurate", "its H-matrices, always",
                  f"{sum(best)} of {len(grid)}", all(best),
                  f"no retraining by any method; its error is at least {margin:.2g} times lower than "
                  f"the next best's; no other gets beyond {reached:.0f}"),
            *(
                Claim(f"accuracy of {name} at ratios 2, 10, 50", None, _three(errors[name], grid),
                      None)
                for name in errors
            ),
        ),
        {"ratios": grid, "errors": errors, "hedge_is_best": all(best), "least_margin": margin},
        picture=Picture("Error against compression ratio for six methods", draw),
    )  # fmt: skip


def _three(errors: Sequence[float], grid: Sequence[float]) -> str:
    at = [int(np.argmin(np.abs(np.log(np.array(grid) / r)))) for r in (2.0, 10.0, 50.0)]
    return ", ".join("–" if np.isinf(errors[i]) else f"{1.0 - errors[i]:.5g}" for i in at)


@ITEMS("fig4", "Inference time against compression")
def _figure_4(m: Materials) -> Item:
    """Measured inference time against the compression ratio."""
    dense = m.burgers.dense
    trials = [t for t in m.sweep if t.method == HEDGE]
    medians = median_seconds([dense, *(t.model for t in trials)], BATCH, m.effort, m.seed)
    x = [1.0, *(t.ratio for t in trials)]

    def draw(figure: Figure) -> None:
        axes = logarithmic(figure, RATIO, f"time per call of {BATCH} rows (ms)")
        axes.plot(x, [1e3 * t for t in medians], "o-", color=COLOURS[0], label="hedge, measured")
        axes.legend()

    return Item(
        (
            Claim(f"time per call of {BATCH} rows", "0.5–0.7 s",
                  f"{1e3 * medians[0]:.3g} ms dense, {1e3 * medians[-1]:.3g} ms at ratio {x[-1]:.3g}",
                  0.5 <= medians[-1] <= 0.7, "the paper names neither network, batch nor machine; "
                  "half a second a call is not the time of such a network", timed=True),
            Claim("time does not depend on the ratio", "constant",
                  f"{medians[0] / medians[-1]:.3g} times faster",
                  agree(medians[0], medians[-1]),
                  "fewer operations take less time; constant time means that what is saved is not "
                  "what is run", timed=True),
        ),
        {"ratios": x},
        {"median_s": medians},
        picture=Picture("Measured time per call against compression ratio", draw),
    )  # fmt: skip


def _errors(axes: Axes, trials: Sequence[SweepPoint]) -> None:
    """One curve a method, over the ratios that make a network smaller."""
    for name, colour, marker in zip(_methods_of(trials), COLOURS, MARKERS, strict=False):
        own = sorted((t.ratio, t.error) for t in trials if t.method == name and t.ratio >= 1.0)
        axes.plot(*zip(*own, strict=True), marker=marker, color=colour, label=name)
    axes.set(xlim=(1.0, 100.0))
    axes.legend(fontsize=8)


def _methods_of(trials: Iterable[SweepPoint]) -> tuple[str, ...]:
    """The methods, in the order of their first trials."""
    return tuple(dict.fromkeys(trial.method for trial in trials))


def _best_error(trials: Iterable[SweepPoint], method: str, ratio: float) -> float:
    """The least error of a method's trials that are at least so many times smaller; inf if none is."""
    errors = [t.error for t in trials if t.method == method and t.ratio >= ratio]
    return min(errors, default=np.inf)
