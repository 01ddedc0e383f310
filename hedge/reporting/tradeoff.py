"""Cost against error: what was found on the way, and the point that was chosen."""

from __future__ import annotations

from dataclasses import dataclass
from xml.etree.ElementTree import Element, SubElement

from hedge.compression import Plan
from hedge.reporting.axes import draw_below, draw_left, log_axis
from hedge.reporting.marks import SHAPES, mark
from hedge.reporting.numbers import count, error, quantity
from hedge.reporting.parts import Figure, Gallery, Section
from hedge.reporting.runs import ComparisonFile
from hedge.reporting.story import Model, Story
from hedge.reporting.svg import WIDTH, drawing, line, markup, number, text, titled

LEFT, RIGHT, TOP, BOTTOM = 42.0, WIDTH - 10.0, 46.0, 226.0


@dataclass(frozen=True)
class Point:
    """Something with a cost and an error; ``words`` stand beside it, ``title`` tells more."""

    cost: float
    error: float
    title: str
    words: str = ""


def tradeoffs(story: Story) -> Section | None:
    """A drawing of what every search tried, of recovery's steps, and of every comparison."""
    figures = [_trials(model, plan) for model, plan in story.compressed if plan.trials]
    figures += [_rungs(model, plan) for model, plan in story.compressed if plan.rungs]
    figures += [_methods(run, column) for run in story.comparisons for column in _columns(run)]
    return (
        Section("cost", "Cost against error", (Gallery(tuple(figures), width=24),))
        if figures
        else None
    )


def _columns(run: ComparisonFile) -> range:
    return range(len(run.table.rows[0].latencies)) if run.table.rows else range(0)


def _trials(model: Model, plan: Plan) -> Figure:
    families = dict.fromkeys(trial.family for trial in plan.trials)
    series = {
        family: [
            Point(
                trial.predicted_s,
                trial.error,
                f"{count(trial.parameters)} parameters, {quantity(trial.predicted_s, 's')}, "
                f"error {error(trial.error)}",
            )
            for trial in plan.trials
            if trial.family == family and trial.error > 0.0
        ]
        for family in families
    }
    chosen = Point(plan.predicted_s, plan.relative_error, "chosen", "chosen")
    name = f"predicted latency on {plan.device} at batch {count(plan.batch)}"
    caption = (
        f"{model.label}: the candidates of the search, by what each is made of; of those below the "
        "tolerance the cheapest was chosen (ring)."
    )
    return _figure(series, chosen, plan.tolerance, name, caption, unit="s")


def _rungs(model: Model, plan: Plan) -> Figure:
    cut = [
        Point(rung.parameters, rung.cut_error, f"{count(rung.parameters)} after the cut")
        for rung in plan.rungs
    ]
    fitted = [
        Point(rung.parameters, rung.error, f"{count(rung.parameters)} after fitting to {rung.on}")
        for rung in plan.rungs
    ]
    chosen = Point(plan.parameters, plan.relative_error, "chosen", "chosen")
    series = {"after the cut": cut, "fitted again": fitted}
    caption = f"{model.label}: steps of recovery. The ring is the model that was chosen."
    return _figure(series, chosen, plan.tolerance, "parameters", caption)


def _methods(run: ComparisonFile, column: int) -> Figure:
    series: dict[str, list[Point]] = {"within": [], "too much": []}
    for i, row in enumerate(run.table.rows, start=1):
        latency = row.latencies[column]
        told = f"{row.method}: {quantity(latency.median_s, 's')}, error {error(row.error)}"
        if row.error > 0.0:
            series["within" if row.within else "too much"].append(
                Point(latency.median_s, row.error, told, str(i))
            )
    batch = run.table.rows[0].latencies[column].batch
    names = ", ".join(f"{i} {row.method}" for i, row in enumerate(run.table.rows, start=1))
    caption = f"{run.model}: every method at batch {count(batch)}. {names}."
    name = f"measured latency at batch {count(batch)}"
    return _figure(series, None, run.table.tolerance, name, caption, unit="s")


def _figure(
    series: dict[str, list[Point]],
    chosen: Point | None,
    tolerance: float,
    cost: str,
    caption: str,
    unit: str = "",
) -> Figure:
    points = [point for found in series.values() for point in found]
    every = [*points, *([chosen] if chosen else [])]
    across = log_axis([p.cost for p in every], LEFT + 6, RIGHT, unit)
    up = log_axis([tolerance, *(p.error for p in every)], BOTTOM, TOP, "")
    drawn = drawing(BOTTOM + 32, caption)
    draw_below(drawn, across, TOP, BOTTOM, cost)
    draw_left(drawn, up, LEFT, RIGHT, "relative L2 error")
    y = up.at(tolerance)
    line(drawn, LEFT, y, RIGHT, y, "tolerance")
    text(drawn, RIGHT, y - 4, f"tolerance {tolerance:g}", "tick", "end")
    x = LEFT + 90
    for i, (name, found) in enumerate(series.items()):
        mark(drawn, x, TOP - 33, SHAPES[i], name, f"series{i}")
        text(drawn, x + 9, TOP - 29.5, name, "tick")
        x += 26 + 6.2 * len(name)
        for p in found:
            mark(drawn, across.at(p.cost), up.at(p.error), SHAPES[i], p.title, f"series{i}")
            text(drawn, across.at(p.cost) + 7, up.at(p.error) - 4, p.words, "tick")
    if chosen is not None:
        _ring(drawn, across.at(chosen.cost), up.at(chosen.error), chosen)
    return Figure(markup(drawn), caption)


def _ring(parent: Element, x: float, y: float, chosen: Point) -> None:
    element = SubElement(
        parent, "circle", {"cx": number(x), "cy": number(y), "r": "8", "class": "ring"}
    )
    titled(element, f"chosen: {error(chosen.error)}")
    text(parent, x + 11, y + 4, chosen.words, "row")
