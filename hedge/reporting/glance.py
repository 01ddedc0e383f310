"""What was won, in one table: each model's size, error, and time at every batch of the first bench."""

from __future__ import annotations

from hedge.benching import Measurement
from hedge.reporting.contents import Contents
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Cell, Section, table
from hedge.reporting.runs import label_of

IN_C = ".c"


def glance(contents: Contents) -> Section | None:
    """Where compressed models were timed beside others; the first of these is the one compared with."""
    if not contents.compressed or not contents.benches:
        return None
    bench = contents.benches[0]
    rows: dict[str, dict[str, Cell]] = {}
    for m in bench.result.models:
        rows.setdefault(m.path, _size(contents, m.path)).update(_times(m))
    baseline = label_of(bench.result.models[0].path)
    caption = (
        f"Times of a call on {bench.result.machine.processor}, one after the other in turn, and how many "
        f"times as fast as {baseline} that is. “to dense” is the relative L2 error against the dense model."
    )
    return Section("glance", "At a glance", (table(caption, list(rows.values())),))


def _size(contents: Contents, path: str) -> dict[str, Cell]:
    """A row's first cells; a model in C is the same as in ONNX."""
    label = label_of(path.removesuffix(IN_C))
    model = next((one for one in contents.models if one.label == label), None)
    far = None if model is None else model.distance
    return {
        "model": f"{label} in C" if path.endswith(IN_C) else label,
        "parameters": UNKNOWN if model is None else count(model.parameters),
        "bytes": UNKNOWN if model is None or model.bytes is None else size(model.bytes),
        "to dense": UNKNOWN if far is None else error(far.relative),
    }


def _times(m: Measurement) -> dict[str, Cell]:
    batch = count(m.batch)
    return {f"batch {batch}": quantity(m.median_s, "s"), f"faster, {batch}": f"{ratio(m.speedup)}×"}
