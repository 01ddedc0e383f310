"""The report: one HTML page that needs nothing beside it, its head, and the table of what was won."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hedge.benching import Measurement
from hedge.compression import Plan
from hedge.reporting.asking import asked, devices, provenance
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import AS_SAID
from hedge.reporting.latency import bounds, distributions
from hedge.reporting.maps import maps
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Cell, Section, table
from hedge.reporting.results import energy, results
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.structure import layers, structures
from hedge.reporting.tradeoff import methods, tradeoffs


@dataclass(frozen=True)
class _Highlight:
    """A figure in large letters, and what it is."""

    figure: str
    words: str


@dataclass(frozen=True)
class _Summary:
    """The head of the page."""

    title: str
    lead: str
    keys: tuple[_Highlight, ...]


def _summary(contents: Contents) -> _Summary:
    """Of the smallest compressed model, where there is one."""
    if not contents.compressed:
        names = [run.origin.name for run in contents.runs]
        return _Summary("Report", f"Made from {', '.join(names)}.", ())
    model, plan = min(contents.compressed, key=lambda found: found[1].parameters)
    title = f"{label_of(plan.source)}, compressed"
    if not plan.gains:
        return _Summary(title, f"{model.label} stays dense: {plan.note}.", ())
    timed = _fastest(contents, model)
    found, source = _error(model, plan)
    lead = (
        f"{model.label}, for {plan.device}: off by {error(found)} (relative L2) against "
        f"{'the dense model' if plan.against == 'dense' else 'the reference solution'}, {source}."
    )
    return _Summary(title, lead, _keys(plan, found, source, timed))


def _error(model: Model, plan: Plan) -> tuple[float, str]:
    """The error that was asked for, and where the figure is from."""
    if plan.against == "dense" and model.distance is not None:
        return model.distance.relative, model.distance.source
    if plan.against == "reference" and model.accuracy is not None:
        return model.accuracy.relative_l2, "measured here"
    return plan.relative_error, AS_SAID


def _fastest(contents: Contents, model: Model) -> tuple[BenchFile, Measurement] | None:
    """Its measurement with the largest speedup, and the bench that this is of."""
    found = [
        (bench, m)
        for bench in contents.benches
        for m in bench.result.models
        if label_of(m.path) == model.label
    ]
    return max(found, key=lambda one: one[1].speedup, default=None)


def _keys(
    plan: Plan, found: float, source: str, timed: tuple[BenchFile, Measurement] | None
) -> tuple[_Highlight, ...]:
    keys = [
        _Highlight(
            count(plan.parameters),
            f"parameters; the dense model has {count(plan.dense_parameters)}",
        ),
        _Highlight(error(found), f"relative L2 error, {source}; {plan.tolerance:g} was allowed"),
    ]
    if timed is not None:
        bench, m = timed
        batch, baseline = count(m.batch), label_of(bench.result.models[0].path)
        # often not the device that it was compressed for
        where = f"measured on {bench.result.machine.processor}"
        keys.append(
            _Highlight(f"{ratio(m.speedup)}×", f"as fast as {baseline} at batch {batch}, {where}")
        )
        keys.append(_Highlight(quantity(m.median_s, "s"), f"for a call of {batch} rows, {where}"))
    elif plan.predicted_s > 0.0:
        speed, batch = plan.dense_predicted_s / plan.predicted_s, count(plan.batch)
        told = f"as fast as the dense model at batch {batch}, predicted for {plan.device}"
        keys.append(_Highlight(f"{ratio(speed)}×", told))
    return tuple(keys)


IN_C = ".c"


def _glance(contents: Contents) -> Section | None:
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


TEMPLATES = Path(__file__).parent / "templates"
# In the order in which a reader asks.
SECTIONS: tuple[Callable[[Contents], Section | None], ...] = (
    _glance,
    asked,
    results,
    maps,
    structures,
    layers,
    tradeoffs,
    methods,
    distributions,
    devices,
    bounds,
    energy,
    provenance,
)


def _sections_of(contents: Contents) -> tuple[Section, ...]:
    """The sections for which there is something to tell."""
    return tuple(section for tell in SECTIONS if (section := tell(contents)) is not None)


def page(contents: Contents) -> str:
    """The page as HTML. Equal contents give equal pages."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    html = environment.get_template("page.html").render(
        summary=_summary(contents), sections=_sections_of(contents), style=style
    )
    return _printable(html)


def _printable(text: str) -> str:
    """Names in files can hold control characters, which turn text around or are no UTF-8 at all."""
    return "".join(c if c == "\n" or category(c)[0] != "C" else "?" for c in text)
