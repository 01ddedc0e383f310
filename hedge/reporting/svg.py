"""Drawings as SVG elements; text in them is escaped when it is written, colours are the page's."""

from __future__ import annotations

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
