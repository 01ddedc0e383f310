"""Drawings as SVG elements; text in them is escaped when it is written, colours are the page's."""

from __future__ import annotations

import math
from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

MOST_LETTERS = 52
WIDTH = 360.0  # of every drawing, so that its letters are as large as the page's on a phone


def drawing(height: float, label: str, width: float = WIDTH) -> Element:
    """An empty drawing; ``label`` is what a reader who can't see it is told."""
    box = f"0 0 {number(width)} {number(height)}"
    return Element("svg", {"viewBox": box, "role": "img", "aria-label": label})


def text(parent: Element, x: float, y: float, words: str, kind: str = "", anchor: str = "") -> None:
    """Words with their baseline at y; anchor is middle or end, else they start at x."""
    attributes = {"x": number(x), "y": number(y)}
    attributes |= {"class": kind} if kind else {}
    attributes |= {"text-anchor": anchor} if anchor else {}
    SubElement(parent, "text", attributes).text = _short(words)


def add_shape(parent: Element, tag: str, kind: str, **places: float) -> Element:
    """An element of class ``kind`` with these coordinates and lengths."""
    attributes = {key: number(value) for key, value in places.items()}
    return SubElement(parent, tag, {**attributes, "class": kind})


def rectangle(
    parent: Element, x: float, y: float, width: float, height: float, kind: str
) -> Element:
    """A filled rectangle."""
    return add_shape(parent, "rect", kind, x=x, y=y, width=width, height=height)


def line(parent: Element, x1: float, y1: float, x2: float, y2: float, kind: str) -> None:
    """A straight line."""
    add_shape(parent, "line", kind, x1=x1, y1=y1, x2=x2, y2=y2)


def path(parent: Element, points: list[tuple[float, float]], kind: str, *, closed: bool) -> None:
    """A polygon, or a line through the points."""
    steps = "L".join(f"{number(x)} {number(y)}" for x, y in points)
    SubElement(parent, "path", {"d": f"M{steps}{'Z' if closed else ''}", "class": kind})


def titled(element: Element, title: str) -> None:
    """What a pointer over the element shows."""
    SubElement(element, "title").text = title


def markup(element: Element) -> str:
    """The element as text, for a page."""
    return ElementTree.tostring(element, encoding="unicode")


def _short(words: str) -> str:
    """Names of any length fit into a drawing."""
    return words if len(words) <= MOST_LETTERS else f"{words[: MOST_LETTERS - 1]}…"


def number(value: float) -> str:
    """A coordinate, to a hundredth."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


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
