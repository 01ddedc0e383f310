"""Solutions and errors on a grid of the problem's domain, as pictures; for operators, an example."""

from __future__ import annotations

import base64
import io
import math
from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

import numpy as np
from matplotlib.image import imsave
from numpy.typing import NDArray

from hedge.graph import run_float32
from hedge.problems import OperatorProblem, Problem
from hedge.reporting.axes import Axis, draw_below, draw_left
from hedge.reporting.numbers import error
from hedge.reporting.parts import Figure, Gallery, Part, Section, Text
from hedge.reporting.story import Model, Story
from hedge.reporting.svg import drawing, line, markup, number, path, text

Array = NDArray[np.float64]

ACROSS, UP = 160, 100  # pixels of a map
MOST_MODELS = 6  # with maps: a page stays below 2 MiB
DECADES = 4  # that maps of errors show
LEFT, TOP, WIDTH, HEIGHT = 38.0, 20.0, 268.0, 168.0
BAR_AT, BAR = 316.0, 9.0


@dataclass(frozen=True)
class Window:
    """The rectangle that maps show: two of the inputs, the others in the middle of their intervals.

    across and up are the numbers of these inputs.
    """

    problem: Problem
    across: int
    up: int

    @property
    def points(self) -> Array:
        """(UP · ACROSS, d), row by row from the top."""
        box = self.problem.domain
        x = np.linspace(box.lower[self.across], box.upper[self.across], ACROSS)
        y = np.linspace(box.upper[self.up], box.lower[self.up], UP)
        points = np.tile((box.lower + box.upper) / 2.0, (UP * ACROSS, 1))
        points[:, self.across], points[:, self.up] = (g.ravel() for g in np.meshgrid(x, y))
        return points

    def axis(self, which: int, start: float, stop: float) -> Axis:
        """The axis of an input."""
        low, high = self.problem.domain.intervals[which]
        return Axis(low, high, start, stop, "", logarithmic=False)


def window_of(problem: Problem) -> Window:
    """The first two inputs; time, where it is one of them, runs to the right."""
    across, up = (1, 0) if problem.inputs[1] == "t" else (0, 1)
    return Window(problem, across, up)


def maps(story: Story) -> Section | None:
    """The solution by every model, and its error."""
    problem, models = story.problem, story.models[:MOST_MODELS]
    if isinstance(problem, OperatorProblem):
        return _example(problem, models)
    if problem is None or problem.domain.dimension < 2:
        return None
    window = window_of(problem)
    points = window.points
    fields = {model.label: run_float32(model.file.model, points)[:, 0] for model in models}
    truth, name = _truth(story, window, points, fields)
    shown = [*fields.values(), *([] if truth is None else [truth])]
    span = float(min(f.min() for f in shown)), float(max(f.max() for f in shown))
    errors = (
        {} if truth is None else {k: np.abs(f - truth) for k, f in fields.items() if f is not truth}
    )
    largest = max((float(e.max()) for e in errors.values()), default=0.0)
    figures = []
    for label, field in fields.items():
        figures.append(_picture(window, field, span, f"{label}: u", "viridis"))
        if label in errors and largest > 0.0:
            figures.append(_error_picture(window, errors[label], largest, f"{label}: |error|"))
    told = f"{problem.title}, by each model in float32"
    if truth is not None:
        told += f"; errors are against {name}, on one logarithmic scale for all"
    rest = [
        letter for i, letter in enumerate(problem.inputs) if i not in (window.across, window.up)
    ]
    if rest:
        told += (
            f"; {', '.join(rest)} in the middle of {'its' if len(rest) == 1 else 'their'} interval"
        )
    parts: list[Part] = [Text(f"{told}."), Gallery(tuple(figures))]
    if len(story.models) > MOST_MODELS:
        parts.append(Text(f"Maps are of the first {MOST_MODELS} models."))
    return Section("maps", "Solution and error", tuple(parts))


def _truth(
    story: Story, window: Window, points: Array, fields: dict[str, Array]
) -> tuple[Array | None, str]:
    """What errors are taken against: the reference, else the dense model."""
    reference = window.problem.reference
    if reference is not None:
        return reference(points.astype(np.float32).astype(np.float64))[
            :, 0
        ], "the reference solution"
    if story.dense is not None:
        return fields[story.dense.label], f"the dense model {story.dense.label}"
    return None, ""


def _picture(
    window: Window, field: Array, span: tuple[float, float], title: str, colours: str
) -> Figure:
    low, high = span
    scale = Axis(low, high, TOP + HEIGHT, TOP, "", logarithmic=False)
    told = f"Map of {title}, from {low:.3g} to {high:.3g}"
    return _map(window, field, scale, (title, told), colours)


def _error_picture(window: Window, field: Array, largest: float, title: str) -> Figure:
    least = largest * 10.0**-DECADES
    scale = Axis(least, largest, TOP + HEIGHT, TOP, "", logarithmic=True)
    told = f"Map of {title}, at most {error(float(field.max()))}"
    return _map(window, np.log10(np.maximum(field, least)), scale, (title, told), "cividis")


def _map(window: Window, field: Array, scale: Axis, names: tuple[str, str], colours: str) -> Figure:
    title, told = names
    drawn = drawing(TOP + HEIGHT + 32, told)
    low, high = scale.low, scale.high
    if scale.logarithmic:
        low, high = math.log10(low), math.log10(high)
    _image(drawn, _png(field.reshape(UP, ACROSS), low, high, colours), LEFT, WIDTH)
    _image(drawn, _png(np.linspace(high, low, 64)[:, None], low, high, colours), BAR_AT, BAR)
    inputs = window.problem.inputs
    draw_below(
        drawn, window.axis(window.across, LEFT, LEFT + WIDTH), TOP + HEIGHT, TOP + HEIGHT,
        inputs[window.across],
    )  # fmt: skip
    draw_left(drawn, window.axis(window.up, TOP + HEIGHT, TOP), LEFT, LEFT, inputs[window.up])
    text(drawn, LEFT, 12, title, "row")
    for tick in scale.ticks():
        y = scale.at(tick)
        line(drawn, BAR_AT + BAR, y, BAR_AT + BAR + 3, y, "base")
        text(drawn, BAR_AT + BAR + 5, y + 3.5, scale.label(tick), "tick")
    return Figure(markup(drawn), f"{told}.")


def _image(parent: Element, data: str, x: float, width: float) -> None:
    SubElement(
        parent, "image",
        {"x": number(x), "y": number(TOP), "width": number(width), "height": number(HEIGHT),
         "preserveAspectRatio": "none", "href": data},
    )  # fmt: skip


def _png(field: Array, low: float, high: float, colours: str) -> str:
    """A picture of an array, (rows, columns), as a data address."""
    stream = io.BytesIO()
    # By default the file names the version that wrote it.
    imsave(
        stream,
        field,
        vmin=low,
        vmax=high,
        cmap=colours,
        format="png",
        metadata={"Software": "hedge"},
    )
    return f"data:image/png;base64,{base64.b64encode(stream.getvalue()).decode('ascii')}"


def _example(problem: OperatorProblem, models: tuple[Model, ...]) -> Section:
    """One random source, and what each model makes of it."""
    source = problem.sources(1, seed=0)
    outputs = {model.label: run_float32(model.file.model, source)[0] for model in models}
    truth = problem.reference(source)[0]
    figures = [
        _curves(problem.grid, {"source": source[0]}, "the source f"),
        _curves(problem.grid, {"reference": truth, **outputs}, "the solutions"),
        _curves(problem.grid, {k: u - truth for k, u in outputs.items()}, "their errors"),
    ]
    told = f"{problem.title}: one random source, and what each model makes of it in float32."
    return Section("maps", "Solution and error", (Text(told), Gallery(tuple(figures))))


def _curves(grid: Array, curves: dict[str, Array], title: str) -> Figure:
    low = float(min(c.min() for c in curves.values()))
    high = float(max(c.max() for c in curves.values()))
    high = high if high > low else low + 1.0
    across = Axis(0.0, 1.0, LEFT, 352.0, "", logarithmic=False)
    up = Axis(low, high, TOP + HEIGHT, TOP + 16, "", logarithmic=False)
    drawn = drawing(TOP + HEIGHT + 32, f"Curves of {title}: {', '.join(curves)}")
    draw_below(drawn, across, TOP + 16, TOP + HEIGHT, "x")
    draw_left(drawn, up, LEFT, 352.0)
    x = LEFT
    for i, (name, values) in enumerate(curves.items()):
        points = [(across.at(float(a)), up.at(float(b))) for a, b in zip(grid, values, strict=True)]
        path(drawn, points, f"curve stroke{i % 6} dash{i % 6}", closed=False)
        line(drawn, x, 10, x + 18, 10, f"curve stroke{i % 6} dash{i % 6}")
        text(drawn, x + 22, 13.5, name, "tick")
        x += 34 + 6.2 * len(name)
    return Figure(markup(drawn), f"{title[:1].upper()}{title[1:]}.")
