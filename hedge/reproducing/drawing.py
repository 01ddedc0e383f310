"""How figures look: Okabe and Ito's colours, which the colour-blind tell apart, and labelled axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000",
)  # fmt: skip
COLOURS = (BLUE, ORANGE, GREEN, RED, PURPLE, SKY, BLACK)
MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def labelled(figure: Figure, x: str, y: str) -> Axes:
    """Axes with a light grid, named with units."""
    axes = figure.subplots()
    axes.set(xlabel=x, ylabel=y)
    axes.grid(visible=True, alpha=0.3)
    return axes


def logarithmic(figure: Figure, x: str, y: str) -> Axes:
    """The same with both axes logarithmic."""
    axes = labelled(figure, x, y)
    axes.set(xscale="log", yscale="log")
    return axes
