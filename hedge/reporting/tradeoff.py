"""Cost against error: what was tried on the way and chosen, and hedge beside other methods."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from xml.etree.ElementTree import Element

from hedge.compression import Plan
from hedge.reporting.axes import draw_below, draw_left, log_axis
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import exceeds_plan
from hedge.reporting.numbers import count, error, quantity, size
from hedge.reporting.parts import CellTable, Drawing, Gallery, Part, Section, Text
from hedge.reporting.runs import ComparisonFile
from hedge.reporting.svg import SHAPES, WIDTH, add_shape, drawing, line, mark, markup, text, titled

LEFT, RIGHT, TOP, BOTTOM = 42.0, WIDTH - 10.0, 46.0, 226.0
LEGEND_AT, LETTER = LEFT + 90.0, 6.2


@dataclass(frozen=True)
class Point:
    """Something with a cost and an error; ``words`` stand beside it, a pointer shows ``title``."""

    cost: float
    error: float
    title: str
    words: str = ""


@dataclass(frozen=True)
class CostAxis:
    """What the horizontal axis shows; unit is empty for a count."""

    name: str
    unit: str = ""


def scatter(
    series: Mapping[str, Sequence[Point]],
    chosen: Point | None,
    tolerance: float,
    cost: CostAxis,
    caption: str,
) -> Drawing:
    """The points of every series, each with a shape of its own, and a ring around the chosen one.

    Points without a cost or an error have no place on logarithmic axes and are left out.
    """
    points = {
        name: [p for p in found if min(p.cost, p.error) > 0] for name, found in series.items()
    }
    every = [p for found in points.values() for p in found] + ([chosen] if chosen else [])
    across = log_axis([p.cost for p in every] or [1.0], LEFT + 6, RIGHT, cost.unit)
    up = log_axis([tolerance, *(p.error for p in every)], BOTTOM, TOP, "")
    drawn = drawing(BOTTOM + 32, caption)
    draw_below(drawn, across, TOP, BOTTOM, cost.name)
    draw_left(drawn, up, LEFT, RIGHT, "relative L2 error")
    y = up.at(tolerance)
    line(drawn, LEFT, y, RIGHT, y, "tolerance")
    text(drawn, RIGHT, y - 4, f"tolerance {tolerance:g}", "tick", "end")
    x = LEGEND_AT
    for i, (name, found) in enumerate(points.items()):
        shape, kind = SHAPES[i % len(SHAPES)], f"series{i % 6}"
        mark(drawn, x, TOP - 33, shape, name, kind)
        text(drawn, x + 9, TOP - 29.5, name, "tick")
        x += 26 + LETTER * len(name)
        for p in found:
            mark(drawn, across.at(p.cost), up.at(p.error), shape, p.title, kind)
            if p.words:
                text(drawn, across.at(p.cost) + 7, up.at(p.error) - 4, p.words, "tick")
    if chosen is not None:
        _ring(drawn, across.at(chosen.cost), up.at(chosen.error), chosen)
    return Drawing(markup(drawn), caption)


def _ring(parent: Element, x: float, y: float, chosen: Point) -> None:
    titled(add_shape(parent, "circle", "ring", cx=x, cy=y, r=8.0), chosen.title)
    text(parent, x, y + 20, chosen.words, "row", "middle")


def tradeoffs(contents: Contents) -> Section | None:
    """A drawing of the candidates of every search, and one of the steps of every recovery."""
    figures = [_trials(model, plan) for model, plan in contents.compressed if plan.trials]
    figures += [_rungs(model, plan) for model, plan in contents.compressed if plan.rungs]
    if not figures:
        return None
    return Section("cost", "Cost against error", (Gallery(tuple(figures), width=24),))


def _trials(model: Model, plan: Plan) -> Drawing:
    series: dict[str, list[Point]] = {}
    for trial in plan.trials:
        seconds = quantity(trial.predicted_s, "s")
        told = f"{count(trial.parameters)} parameters, {seconds}, error {error(trial.error)}"
        series.setdefault(trial.family, []).append(Point(trial.predicted_s, trial.error, told))
    return scatter(
        series,
        _chosen(model, plan, plan.predicted_s),
        plan.tolerance,
        CostAxis(f"predicted latency on {plan.device} at batch {count(plan.batch)}", "s"),
        f"{model.label}: the candidates of the search, by what each is made of. Of those safely "
        "within the tolerance the cheapest was chosen (ring).",
    )


def _rungs(model: Model, plan: Plan) -> Drawing:
    cut, fitted = [], []
    for rung in plan.rungs:
        told = f"{count(rung.parameters)} parameters"
        cut.append(Point(rung.parameters, rung.cut_error, f"{told}, {error(rung.cut_error)}"))
        fitted.append(Point(rung.parameters, rung.error, f"{told}, {error(rung.error)}, {rung.on}"))
    return scatter(
        {"after the cut": cut, "fitted again": fitted},
        _chosen(model, plan, plan.parameters),
        plan.tolerance,
        CostAxis("parameters"),
        f"{model.label}: steps of recovery, from the largest model to the smallest. The ring is the "
        "one that was chosen.",
    )


def _chosen(model: Model, plan: Plan, cost: float) -> Point | None:
    """The model itself, where its error is known as it was when it was chosen."""
    if plan.promised_error == 0.0 or cost == 0.0:
        return None
    if model.distance is not None and exceeds_plan(plan, model.distance):
        return None
    return Point(cost, plan.promised_error, f"chosen: {error(plan.promised_error)}", "chosen")


COLUMNS = ("method", "parameters", "bytes", "to dense", "to reference", "within")


def methods(contents: Contents) -> Section | None:
    """Of every comparison the table, the drawings, and where another method is the better choice."""
    parts: list[Part] = []
    for run in contents.comparisons:
        batches = [latency.batch for latency in run.table.rows[0].latencies]
        figures = [_figure(run, column, batch) for column, batch in enumerate(batches)]
        parts.append(_table(run, batches))
        parts += [Gallery(tuple(figures), width=24)] if figures else []
        parts += [Text(f"No result of {name}: {why}.") for name, why in run.table.absent.items()]
        parts += [
            Text(
                f"{win.method} is faster than hedge at batch {count(win.batch)}: "
                f"{quantity(win.seconds, 's')} against {quantity(win.hedge_seconds, 's')}, {win.by}."
            )
            for win in run.table.wins()
        ]
    return Section("methods", "Beside other methods", tuple(parts)) if parts else None


def _table(run: ComparisonFile, batches: Sequence[int]) -> Part:
    found = run.table
    timed = [name for b in batches for name in (f"batch {count(b)}", f"energy, {count(b)}")]
    return CellTable(
        f"{run.model} by each method, the smallest within {found.tolerance:g}; times measured on "
        f"{found.machine.processor}, energies modelled for {found.device}",
        (*COLUMNS, *timed, "took"),
        tuple(
            (
                row.method,
                count(row.parameters),
                size(row.bytes),
                error(row.error),
                error(row.reference_error),
                "yes" if row.within else "no",
                *(
                    cell
                    for one in row.latencies
                    for cell in (quantity(one.median_s, "s"), quantity(one.energy_j, "J"))
                ),
                quantity(row.seconds, "s"),
            )
            for row in found.rows
        ),
    )


def _figure(run: ComparisonFile, column: int, batch: int) -> Drawing:
    within: list[Point] = []
    beyond: list[Point] = []
    for i, row in enumerate(run.table.rows, start=1):
        seconds = row.latencies[column].median_s
        told = f"{row.method}: {quantity(seconds, 's')}, error {error(row.error)}"
        (within if row.within else beyond).append(Point(seconds, row.error, told, str(i)))
    names = ", ".join(f"{i} {row.method}" for i, row in enumerate(run.table.rows, start=1))
    return scatter(
        {"within": within, "too much": beyond},
        None,
        run.table.tolerance,
        CostAxis(f"measured latency at batch {count(batch)}", "s"),
        f"Batch {count(batch)}: {names}. Those without an error are not drawn.",
    )
