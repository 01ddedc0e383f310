"""A picture of the block structure."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hedge.errors import InputError
from hedge.hmatrix.hmatrix import HMatrix

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LABELLED = 400  # leaves up to which ranks are written into the blocks


def plot(h: HMatrix, axes: Axes | None = None) -> Axes:
    """Draw the leaves: low-rank ones shaded by how much they save, with their ranks, dense ones dark.

    axes is a matplotlib Axes to draw on, by default a new figure's. Save the picture with
    ``plot(h).figure.savefig("blocks.svg")``. Raises InputError if matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
        from matplotlib.patches import Patch, Rectangle
    except ImportError:
        raise InputError(
            "plot: matplotlib is not installed; run pip install 'hedge-pinn[report]'"
        ) from None
    m, n = h.shape
    if axes is None:
        axes = Figure(
            figsize=(5.0, max(1.0, 5.0 * min(m / n, 4.0))), layout="constrained"
        ).subplots()
    dark, light = "#8c2d04", (0.03, 0.32, 0.61)
    for leaf in sorted(h.leaves, key=lambda leaf: -leaf.shape[0] * leaf.shape[1]):
        kept = min(leaf.numbers / (leaf.shape[0] * leaf.shape[1]), 1.0)
        colour = dark if leaf.is_dense else (*light, 0.08 + 0.8 * kept)
        axes.add_patch(
            Rectangle((leaf.start, leaf.top), leaf.shape[1], leaf.shape[0],
                      facecolor=colour, edgecolor="black", linewidth=0.3)
        )  # fmt: skip
        if not leaf.is_dense and len(h.leaves) <= LABELLED:
            size = 6.0 if min(leaf.shape) * 24 > min(m, n) else 3.0
            axes.text(
                (leaf.start + leaf.stop) / 2, (leaf.top + leaf.bottom) / 2, str(leaf.rank),
                ha="center", va="center", fontsize=size,
            )  # fmt: skip
    axes.set(xlim=(0, n), ylim=(m, 0), aspect="equal", xlabel="column", ylabel="row")
    axes.set_title(f"{m} × {n}, {h.compression:.3g} times smaller than dense", fontsize=9)
    axes.legend(
        handles=[Patch(color=dark, label="dense"), Patch(color=(*light, 0.5), label="low rank, k")],
        fontsize=7, loc="upper right",
    )  # fmt: skip
    return axes
