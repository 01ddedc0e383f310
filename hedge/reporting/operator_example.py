"""One source of an operator problem, and what every model makes of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array
from hedge.graph import run_float32
from hedge.problems import OperatorProblem
from hedge.reporting.axes import Axis, draw_below, draw_left
from hedge.reporting.contents import Model
from hedge.reporting.parts import Drawing, Gallery, Part, Section, Text
from hedge.reporting.svg import WIDTH, drawing, line, markup, path, text

LEFT, RIGHT, TOP, BOTTOM = 42.0, WIDTH - 8.0, 36.0, 190.0
LETTER = 6.2  # the width of one, about


def operator_example(problem: OperatorProblem, models: Sequence[Model]) -> Section:
    """The source, the solutions and their errors as curves over the grid, of a square over its middle."""
    source = problem.sample(1, seed=0)
    found = {model.label: run_float32(model.file.model, source)[0] for model in models}
    outputs = {label: values for label, values in found.items() if np.isfinite(values).all()}
    truth = problem.reference(source)[0]
    errors = {label: (values - truth)[problem.middle] for label, values in outputs.items()}
    along, what = problem.middle, problem.reads.split()[0]
    lines = {label: values[along] for label, values in outputs.items()}
    figures = [
        _curves(problem.grid, {what: source[0][along]}, f"The {problem.reads}"),
        _curves(problem.grid, {"reference": truth[along], **lines}, "The solutions u"),
    ]
    if errors:
        told = "Errors of the solutions, against the reference"
        figures.append(_curves(problem.grid, errors, told))
    told = f"{problem.title}: one random {what}, and what each model makes of it in float32."
    odd = [
        Text(f"No curve of {label}: its output is not finite everywhere.")
        for label in found
        if label not in outputs
    ]
    parts: list[Part] = [Text(told), Gallery(tuple(figures), width=24), *odd]
    return Section("maps", "Solution and error", tuple(parts))


def _curves(grid: Array, curves: Mapping[str, Array], told: str) -> Drawing:
    """Functions on the grid (n,), each with its own colour and dashes."""
    low = min(float(values.min()) for values in curves.values())
    high = max(float(values.max()) for values in curves.values())
    across = Axis(0.0, 1.0, LEFT, RIGHT, "", logarithmic=False)
    up = Axis(low, high if high > low else low + 1.0, BOTTOM, TOP, "", logarithmic=False)
    drawn = drawing(BOTTOM + 32, f"{told}: {', '.join(curves)}")
    draw_below(drawn, across, TOP, BOTTOM, "x")
    draw_left(drawn, up, LEFT, RIGHT)
    x, y = LEFT, 10.0
    for i, (name, values) in enumerate(curves.items()):
        style = f"curve stroke{i % 6} dash{i % 6}"
        points = [(across.at(float(a)), up.at(float(b))) for a, b in zip(grid, values, strict=True)]
        path(drawn, points, style, closed=False)
        width = 34 + LETTER * len(name)
        if x > LEFT and x + width > WIDTH:
            x, y = LEFT, y + 14
        line(drawn, x, y, x + 18, y, style)
        text(drawn, x + 22, y + 3.5, name, "tick")
        x += width
    return Drawing(markup(drawn), f"{told}.")
