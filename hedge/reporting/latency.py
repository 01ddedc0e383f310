"""Latency: how the raw times are spread, and where bounds and predictions lie beside them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import NDArray

from hedge.benching import Measurement
from hedge.reporting.axes import Axis, draw_below, log_axis
from hedge.reporting.contents import Contents
from hedge.reporting.numbers import UNKNOWN, count, quantity
from hedge.reporting.parts import Drawing, Gallery, Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.svg import WIDTH, drawing, line, mark, markup, path, text

BINS = 80
# The axis ends at these percentiles, or p99; times beyond are counted in the outermost bins.
SHOWN = (0.2, 97.0)
ROW, HILL = 58.0, 34.0
EDGE = 8.0
BELOW = 34.0


def distributions(contents: Contents) -> Section | None:
    """A histogram of the raw times of every model, one drawing per batch."""
    figures = tuple(
        _distribution(bench, batch, models)
        for bench in contents.benches
        for batch, models in bench.by_batch()
    )
    if not figures:
        return None
    return Section("latency", "Latency distributions", (Gallery(figures, width=24),))


def _distribution(bench: BenchFile, batch: int, models: Sequence[Measurement]) -> Drawing:
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
    return Drawing(markup(drawn), caption)


def _hill(
    parent: Element, axis: Axis, m: Measurement, times: NDArray[np.float64], base: float, row: int
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


LEGEND_TOP, LINE = 26.0, 36.0
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
    bottom = LEGEND_TOP + LINE * len(models) + 2
    drawn = drawing(bottom + BELOW, f"Bounds, prediction and measured latency at batch {batch}")
    x = EDGE + 6
    for name, (shape, _) in BOUNDS.items():
        mark(drawn, x, 10, shape, name)
        text(drawn, x + 9, 13.5, name, "tick")
        x += LEGEND_STEP
    draw_below(drawn, axis, LEGEND_TOP, bottom, f"latency of a call, batch {count(batch)}")
    for row, m in enumerate(models):
        y = LEGEND_TOP + LINE * row + 27
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
