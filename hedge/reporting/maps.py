"""Solutions and errors over a rectangle of the domain, as pictures."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from functools import cached_property
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.graph import run_float32
from hedge.problems import Domain, OperatorProblem, reference_of
from hedge.reporting.axes import Axis, draw_below, draw_left
from hedge.reporting.contents import Contents
from hedge.reporting.numbers import error
from hedge.reporting.operator_example import operator_example
from hedge.reporting.parts import Drawing, Gallery, Part, Section, Text
from hedge.reporting.svg import drawing, line, markup, number, text

ACROSS, UP = 240, 150  # pixels of a map
MOST_MODELS = 6  # with maps: a page stays below 2 MiB
DECADES = 4  # that maps of errors show
LEFT, TOP, WIDTH, HEIGHT = 38.0, 20.0, 268.0, 168.0
BAR_AT, BAR = 316.0, 9.0


@dataclass(frozen=True)
class Plane:
    """The rectangle that maps show: two of the inputs, the others in the middle of their intervals.

    across and up are the numbers of these inputs; names are those of all.
    """

    domain: Domain
    names: tuple[str, ...]
    across: int
    up: int

    @property
    def points(self) -> Array:
        """(UP · ACROSS, d), row by row from the top; numbers that float32 holds."""
        lower, upper = self.domain.lower, self.domain.upper
        x = np.linspace(lower[self.across], upper[self.across], ACROSS)
        y = np.linspace(upper[self.up], lower[self.up], UP)
        points = np.tile((lower + upper) / 2.0, (UP * ACROSS, 1))
        points[:, self.across], points[:, self.up] = (g.ravel() for g in np.meshgrid(x, y))
        return points.astype(np.float32).astype(np.float64)

    @cached_property
    def inside(self) -> NDArray[np.bool_]:
        """Which of the points lie in the domain, (UP · ACROSS,)."""
        return self.domain.contains(self.points)

    def spread_out(self, values: Array) -> Array:
        """Those of the points inside as of all points, (UP · ACROSS, m): NaN outside, which is blank."""
        found = np.full((UP * ACROSS, values.shape[1]), np.nan)
        found[self.inside] = values
        return found

    def axis(self, which: int, start: float, stop: float) -> Axis:
        """That of one of the inputs, drawn between these places."""
        low, high = self.domain.intervals[which]
        return Axis(low, high, start, stop, "", logarithmic=False)

    def told(self) -> str:
        """Where the inputs lie that are not shown."""
        middle = (self.domain.lower + self.domain.upper) / 2.0
        rest = [i for i in range(len(self.names)) if i not in (self.across, self.up)]
        return "".join(f", {self.names[i]} = {middle[i]:.3g}" for i in rest)


def plane_of(domain: Domain, names: tuple[str, ...]) -> Plane:
    """The first two inputs; time, where it is the second, runs to the right."""
    across, up = (1, 0) if names[1] == "t" else (0, 1)
    return Plane(domain, names, across, up)


def maps(contents: Contents) -> Section | None:
    """The fields of every model over its domain, and their errors; of an operator, an example.

    Where no problem is known, the first output.
    """
    if isinstance(contents.problem, OperatorProblem):
        return operator_example(contents.problem, contents.models[:MOST_MODELS])
    if contents.domain is None or contents.domain.dimension < 2:
        return None
    plane = plane_of(contents.domain, contents.input_names)
    points = plane.points[plane.inside]
    if not len(points):
        return None
    names = contents.problem.fields if contents.problem else ("u",)
    count = max(1, MOST_MODELS // len(names))
    outputs = {
        model.label: run_float32(model.file.model, points)[:, : len(names)]
        for model in contents.models[:count]
    }
    fields = {label: found for label, found in outputs.items() if np.isfinite(found).all()}
    if not fields:
        return None
    truth, name = _truth(contents, points, fields)
    drawn = {label: plane.spread_out(found) for label, found in fields.items()}
    told = f"{contents.problem.title if contents.problem else 'The first output'}{plane.told()}, in float32"
    if truth is not None:
        told += f"; errors are against {name}, on one logarithmic scale for all"
    drawings = [
        drawing
        for column, field in enumerate(names)
        for drawing in _pictures(
            plane,
            {label: found[:, column] for label, found in drawn.items()},
            None if truth is None else plane.spread_out(truth)[:, column],
            field if len(names) > 1 else None,
        )
    ]
    parts: list[Part] = [Text(f"{told}."), Gallery(tuple(drawings), width=24)]
    odd = [label for label in outputs if label not in fields]
    parts += [Text(f"No maps of {label}: its output is not finite everywhere.") for label in odd]
    if len(contents.models) > count:
        parts.append(Text(f"Maps are of the first {count} models."))
    return Section("maps", "Solution and error", tuple(parts))


def _truth(contents: Contents, points: Array, fields: dict[str, Array]) -> tuple[Array | None, str]:
    """What errors are taken against: the reference, else the dense model."""
    reference = reference_of(contents.problem)
    if reference is not None:
        return reference(points), "the reference solution"
    if contents.dense is not None and contents.dense.label in fields:
        return fields[contents.dense.label], "the dense model"
    return None, ""


def _pictures(
    plane: Plane, fields: dict[str, Array], truth: Array | None, name: str | None
) -> tuple[Drawing, ...]:
    """Of each model a field, all on one scale, and its error, on one scale as well.

    name is that of the field, None for an only one.
    """
    shown = [*fields.values(), *([] if truth is None else [truth])]
    low, high = min(float(np.nanmin(f)) for f in shown), max(float(np.nanmax(f)) for f in shown)
    span = Axis(low, high if high > low else low + 1.0, TOP + HEIGHT, TOP, "", logarithmic=False)
    errors = {} if truth is None else {label: np.abs(f - truth) for label, f in fields.items()}
    most = {label: float(np.nanmax(found)) for label, found in errors.items()}
    largest = max(most.values(), default=0.0) or 1.0
    decades = Axis(largest * 10.0**-DECADES, largest, TOP + HEIGHT, TOP, "", logarithmic=True)
    figures = []
    for label, field in fields.items():
        figures.append(map_of(plane, field, span, f"{label}, {name or 'the solution'}", "viridis"))
        if most.get(label):
            which = "its error" if name is None else f"error of {name}"
            told = f"{label}, {which}: at most {error(most[label])}"
            figures.append(map_of(plane, errors[label], decades, told, "cividis"))
    return tuple(figures)


def map_of(plane: Plane, field: Array, scale: Axis, told: str, colours: str) -> Drawing:
    """A picture of ``field`` (UP · ACROSS,), blank where it is NaN, with its axes, and its scale as a bar."""
    drawn = drawing(TOP + HEIGHT + 32, f"Map: {told}")
    bar = np.linspace(0.0, 1.0, 64)[::-1, None]
    _image(drawn, _parts(scale, field).reshape(UP, ACROSS), colours, LEFT, WIDTH)
    _image(drawn, bar, colours, BAR_AT, BAR)
    across, up = plane.names[plane.across], plane.names[plane.up]
    bottom = TOP + HEIGHT
    draw_below(drawn, plane.axis(plane.across, LEFT, LEFT + WIDTH), bottom, bottom, across)
    draw_left(drawn, plane.axis(plane.up, bottom, TOP), LEFT, LEFT, up)
    for tick in scale.ticks():
        y = scale.at(tick)
        line(drawn, BAR_AT + BAR, y, BAR_AT + BAR + 3, y, "base")
        text(drawn, BAR_AT + BAR + 5, y + 3.5, scale.label(tick), "tick")
    return Drawing(markup(drawn), f"{told}.")


def _parts(scale: Axis, field: Array) -> Array:
    """Where the values lie between the ends of their scale, 0 to 1."""
    low, high = scale.low, scale.high
    if scale.logarithmic:
        field = np.log10(np.maximum(field, low))
        low, high = math.log10(low), math.log10(high)
    return (field - low) / (high - low)


def _image(parent: Element, parts: Array, colours: str, x: float, width: float) -> None:
    """A picture of numbers in [0, 1], (rows, columns), as a data address; what is NaN is left blank."""
    stream = io.BytesIO()
    # By default the file names the version that wrote it.
    about = {"Software": "hedge"}
    imsave(stream, parts, vmin=0.0, vmax=1.0, cmap=colours, format="png", metadata=about)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    SubElement(
        parent, "image",
        {"x": number(x), "y": number(TOP), "width": number(width), "height": number(HEIGHT),
         "preserveAspectRatio": "none", "href": f"data:image/png;base64,{data}"},
    )  # fmt: skip
