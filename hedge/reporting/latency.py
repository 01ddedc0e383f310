"""Latency: how the raw times are spread, and where bounds and predictions lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

import numpy as np

from hedge.benching import Measurement
from hedge.reporting.axes import Axis, draw_below, log_axis
from hedge.reporting.marks import mark
from hedge.reporting.numbers import UNKNOWN, count, quantity
from hedge.reporting.parts import Figure, Gallery, Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.story import Story
from hedge.reporting.svg import WIDTH, drawing, line, markup, path, text

BINS = 80
# The axis ends at these percentiles, or p99; times beyond are counted in the outermost bins.
SHOWN = (0.2, 97.0)
ROW, HILL = 58.0, 34.0
EDGE = 8.0
BELOW = 34.0


def distributions(story: Story) -> Section | None:
    """A histogram of the raw times of every model, one drawing per batch."""
    figures = [
        _distribution(bench, batch, models)
        for bench in story.benches
        for batch, models in _by_batch(bench)
    ]
    return (
        Section("latency", "Latency distributions", (Gallery(tuple(figures), width=24),))
        if figures
        else None
    )


def _by_batch(bench: BenchFile) -> list[tuple[int, list[Measurement]]]:
    batches = dict.fromkeys(m.batch for m in bench.result.models)
    return [(batch, [m for m in bench.result.models if m.batch == batch]) for batch in batches]


def _distribution(bench: BenchFile, batch: int, models: Sequence[Measurement]) -> Figure:
    times = [m.windows.ravel() for m in models]
    ends = [float(q) for t in times for q in np.percentile(t, SHOWN)]
    ends += [q for m in models for q in (m.median_s, m.p90_s, m.p99_s) if q is not None]
    axis = log_axis(ends, EDGE, WIDTH - EDGE, "s")
    bottom = ROW * len(models) + 4
    medians = "; ".join(f"{label_of(m.path)} {quantity(m.median_s, 's')}" for m in models)
    told = f"Histograms of the latency at batch {count(batch)}, medians: {medians}"
    drawn = drawing(bottom + BELOW, told)
    draw_below(drawn, axis, 0, bottom, f"latency of a call, batch {count(batch)}")
    for row, (m, t) in enumerate(zip(models, times, strict=True)):
        _hill(drawn, axis, m, t, ROW * (row + 1), row)
    runs = " to ".join(dict.fromkeys(count(f(len(t) for t in times)) for f in (min, max)))
    caption = (
        f"Batch {count(batch)}, {runs} calls of each model ({bench.origin.name}). Solid line: median; "
        "dashed: p90; dotted: p99. The time axis is logarithmic."
    )
    return Figure(markup(drawn), caption)


def _hill(
    parent: Element, axis: Axis, m: Measurement, times: np.ndarray, base: float, row: int
) -> None:
    edges = np.geomspace(axis.low, axis.high, BINS + 1)
    counts, _ = np.histogram(np.clip(times, axis.low, axis.high), edges)
    heights = HILL * counts / counts.max()
    outline = [(axis.start, base)]
    for left, right, height in zip(edges[:-1], edges[1:], heights, strict=True):
        outline += [(axis.at(left), base - height), (axis.at(right), base - height)]
    path(parent, [*outline, (axis.stop, base)], f"hill series{row % 6}", closed=True)
    line(parent, axis.start, base, axis.stop, base, "base")
    quantiles = (("p99", m.p99_s), ("p90", m.p90_s), ("median", m.median_s))
    for kind, value in quantiles:
        if value is not None:
            x = axis.at(value)
            line(parent, x, base - HILL - 2, x, base, f"{kind} stroke{row % 6}")
    text(parent, axis.start, base - HILL - 8, label_of(m.path), "row")
    text(parent, axis.stop, base - HILL - 8, quantity(m.median_s, "s"), "row", "end")


Time = Callable[[Measurement], float]
BOUNDS: dict[str, tuple[str, Time]] = {
    "roofline": ("triangle", lambda m: m.roofline_s),
    "Theorem 11": ("diamond", lambda m: m.paper_bound_s),
    "predicted": ("circle", lambda m: m.predicted_s),
    "measured": ("square", lambda m: m.median_s),
}


def bounds(story: Story) -> Section | None:
    """The paper's bound, the roofline and the prediction beside the measured median."""
    parts: list[Part] = []
    for bench in story.benches:
        figures = [_bounds(batch, models) for batch, models in _by_batch(bench)]
        parts += [Gallery(tuple(figures), width=24), _table(bench), *_elsewhere(bench)]
    return Section("bounds", "Bound against measured", tuple(parts)) if parts else None


def _bounds(batch: int, models: Sequence[Measurement]) -> Figure:
    values = [time(m) for _, time in BOUNDS.values() for m in models]
    axis = log_axis(values, EDGE, WIDTH - EDGE, "s")
    top, height = 26.0, 36.0
    bottom = top + height * len(models) + 2
    drawn = drawing(bottom + BELOW, f"Bounds, prediction and measured latency at batch {batch}")
    x = EDGE + 6
    for name, (shape, _) in BOUNDS.items():
        mark(drawn, x, 10, shape, f"{name}")
        text(drawn, x + 9, 13.5, name, "tick")
        x += 88
    draw_below(drawn, axis, top, bottom, f"latency of a call, batch {count(batch)}")
    for row, m in enumerate(models):
        y = top + height * row + 27
        text(drawn, axis.start, y - 12, label_of(m.path), "row")
        line(drawn, axis.start, y, axis.stop, y, "base")
        for name, (shape, time) in BOUNDS.items():
            mark(drawn, axis.at(time(m)), y, shape, f"{name} {quantity(time(m), 's')}")
    return Figure(
        markup(drawn),
        f"Batch {count(batch)}. The roofline is a lower bound by the device's peak figures; Theorem 11 is "
        "the paper's upper bound to the letter, and holds where its diamond is right of the square.",
    )


def _table(bench: BenchFile) -> Part:
    device = bench.result.device
    return table(
        f"The same in numbers, by the figures of {device}, one core",
        ["model", "batch", "roofline", "Theorem 11", "predicted", "measured", "predicted / measured",
         "Theorem 11 holds"],
        [
            [
                label_of(m.path),
                count(m.batch),
                quantity(m.roofline_s, "s"),
                quantity(m.paper_bound_s, "s"),
                quantity(m.predicted_s, "s"),
                quantity(m.median_s, "s"),
                f"{m.predicted_s / m.median_s:.2f}" if m.median_s > 0 else UNKNOWN,
                "yes" if m.bound_holds else "no",
            ]
            for m in bench.result.models
        ],
    )  # fmt: skip


def _elsewhere(bench: BenchFile) -> list[Text]:
    """A warning where figures are not of the machine that was timed."""
    if bench.result.calibrated_here is not False:
        return []
    told = f"Times are of the machine that measured, figures of {bench.result.device}."
    return [Text(f"{told} Whether Theorem 11 holds there is measured there.", "warning")]
