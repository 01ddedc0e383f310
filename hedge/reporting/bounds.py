"""Where bounds and predictions lie beside the latency that was measured."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from hedge.benching import Measurement
from hedge.reporting.axes import draw_below, log_axis
from hedge.reporting.contents import Contents
from hedge.reporting.marks import mark
from hedge.reporting.numbers import UNKNOWN, count, quantity
from hedge.reporting.parts import Drawing, Gallery, Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.svg import WIDTH, drawing, line, markup, text

EDGE, TOP, ROW, BELOW = 8.0, 26.0, 36.0, 34.0
LEGEND_STEP = 88.0

Time = Callable[[Measurement], float]
BOUNDS: dict[str, tuple[str, Time]] = {
    "roofline": ("triangle", lambda m: m.roofline_s),
    "Theorem 11": ("diamond", lambda m: m.paper_bound_s),
    "predicted": ("circle", lambda m: m.predicted_s),
    "measured": ("square", lambda m: m.median_s),
}


def bounds(contents: Contents) -> Section | None:
    """The paper's bound, the roofline and the prediction beside the measured median."""
    parts: list[Part] = []
    for bench in contents.benches:
        figures = [_bounds(batch, models) for batch, models in bench.by_batch()]
        parts += [Gallery(tuple(figures), width=24), _table(bench), *_elsewhere(bench)]
    return Section("bounds", "Bound against measured", tuple(parts)) if parts else None


def _bounds(batch: int, models: Sequence[Measurement]) -> Drawing:
    values = [time(m) for _, time in BOUNDS.values() for m in models]
    axis = log_axis(values, EDGE, WIDTH - EDGE, "s")
    bottom = TOP + ROW * len(models) + 2
    drawn = drawing(bottom + BELOW, f"Bounds, prediction and measured latency at batch {batch}")
    x = EDGE + 6
    for name, (shape, _) in BOUNDS.items():
        mark(drawn, x, 10, shape, name)
        text(drawn, x + 9, 13.5, name, "tick")
        x += LEGEND_STEP
    draw_below(drawn, axis, TOP, bottom, f"latency of a call, batch {count(batch)}")
    for row, m in enumerate(models):
        y = TOP + ROW * row + 27
        text(drawn, axis.start, y - 12, label_of(m.path), "row")
        line(drawn, axis.start, y, axis.stop, y, "base")
        for name, (shape, time) in BOUNDS.items():
            mark(drawn, axis.at(time(m)), y, shape, f"{name} {quantity(time(m), 's')}")
    return Drawing(
        markup(drawn),
        f"Batch {count(batch)}. The roofline is a lower bound by the device's peak figures; Theorem 11 is "
        "the paper's upper bound to the letter, and holds where its diamond is right of the square.",
    )


def _table(bench: BenchFile) -> Part:
    device = bench.result.device
    return table(
        f"The same in numbers, by the figures of {device}, one core",
        [
            {
                "model": label_of(m.path),
                "batch": count(m.batch),
                **{name: quantity(time(m), "s") for name, (_, time) in BOUNDS.items()},
                "predicted / measured": (
                    f"{m.predicted_s / m.median_s:.2f}" if m.median_s > 0 else UNKNOWN
                ),
                "Theorem 11 holds": "yes" if m.bound_holds else "no",
            }
            for m in bench.result.models
        ],
    )


def _elsewhere(bench: BenchFile) -> list[Text]:
    """A warning where figures are not of the machine that was timed."""
    if bench.result.calibrated_here is not False:
        return []
    told = f"Times are of the machine that measured, figures of {bench.result.device}."
    return [Text(f"{told} Whether Theorem 11 holds there is measured there.", "warning")]
