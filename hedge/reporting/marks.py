"""Marks of points in drawings: told apart by their shape, and only then by their colour."""

from __future__ import annotations

import math
from xml.etree.ElementTree import Element, SubElement

from hedge.reporting.svg import add_shape, number, titled

RADIUS = 4.5
# Corners at these angles (in parts of a turn from the top), at this multiple of the radius.
CORNERS: dict[str, tuple[tuple[float, ...], float]] = {
    "triangle": ((0.0, 1 / 3, 2 / 3), 1.25),
    "diamond": ((0.0, 0.25, 0.5, 0.75), 1.25),
    "square": ((0.125, 0.375, 0.625, 0.875), 1.25),
    "down": ((0.5, 5 / 6, 1 / 6), 1.25),
}
SHAPES = ("circle", *CORNERS)


def mark(parent: Element, x: float, y: float, shape: str, title: str, kind: str = "") -> None:
    """A mark with its middle at (x, y); ``title`` is what a pointer over it shows."""
    style = f"mark {shape} {kind}".strip()
    if shape == "circle":
        element = add_shape(parent, "circle", style, cx=x, cy=y, r=RADIUS)
    else:
        angles, stretch = CORNERS[shape]
        corners = " ".join(
            f"{number(x + stretch * RADIUS * math.sin(math.tau * a))},"
            f"{number(y - stretch * RADIUS * math.cos(math.tau * a))}"
            for a in angles
        )
        element = SubElement(parent, "polygon", {"points": corners, "class": style})
    titled(element, title)
