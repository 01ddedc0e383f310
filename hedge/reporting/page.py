"""The report: one HTML page that needs nothing beside it, its head, what was asked, and what was won."""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hedge.benching import Machine, Measurement
from hedge.compression import Plan
from hedge.devices import Device
from hedge.devices.figures import ByteRate, Bytes, FlopRate, Joules, Seconds, Strict, Table, Watts
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import AS_SAID
from hedge.reporting.latency import bounds, distributions
from hedge.reporting.maps import maps
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Cell, CellTable, Part, Section, Text, table
from hedge.reporting.proofs import proofs
from hedge.reporting.results import energy, results
from hedge.reporting.runs import BenchFile, ComparisonFile, Origin, label_of
from hedge.reporting.structure import layers, structures
from hedge.reporting.sweeps import sweeps
from hedge.reporting.tradeoff import methods, tradeoffs
from hedge.version import __version__

FIGURES = (Seconds, Joules, Watts, FlopRate, ByteRate, Bytes)


def _asked(contents: Contents) -> Section | None:
    """The request behind every plan, and the command line that repeats it."""
    if not contents.compressed:
        return None
    plans, labels = contents.compressed, [model.label for model, _ in contents.compressed]
    lines: dict[str, list[str]] = {
        "made from": [plan.source for _, plan in plans],
        "error allowed": [f"{plan.tolerance:g} against {_against(plan)}" for _, plan in plans],
        "to make small": [plan.objective for _, plan in plans],
        "rows a call": [count(plan.batch) for _, plan in plans],
        "for": [plan.device for _, plan in plans],
        "method": [_method(plan) for _, plan in plans],
        "points": [plan.points for _, plan in plans],
        "certified on": [f"{count(plan.fresh_points)} fresh points" for _, plan in plans],
    }
    parts: list[Part] = [
        CellTable(
            "The request behind each compressed model. Errors are relative L2 over the points' "
            "domain, on points that no fit has seen.",
            ("request", *labels),  # which a model may be called, too
            tuple((name, *cells) for name, cells in lines.items()),
            frozenset(labels),
        )
    ]
    commands = [plan.command for _, plan in plans if plan.command]
    parts += [Text("\n".join(commands), "code")] if commands else []
    parts += [
        Text(f"{model.label} stays dense: {plan.note}.") for model, plan in plans if plan.note
    ]
    return Section("asked", "What was asked", tuple(parts))


def _against(plan: Plan) -> str:
    return "the dense model" if plan.against == "dense" else "the reference solution"


def _method(plan: Plan) -> str:
    words: list[str] = [plan.method]
    words += ["widths kept"] if plan.keep_widths else []
    words += ["relative to the spread"] if plan.relative_to == "spread" else []
    words += ["recovered"] if plan.rungs else []
    return ", ".join(words)


def _devices(contents: Contents) -> Section | None:
    """The figures of every device that was compressed for, and the machines that measured."""
    known = [plan.figures for _, plan in contents.compressed]
    found = {device.name: device for device in known if device is not None}
    parts: list[Part] = []
    for device in found.values():
        parts += [Text(f"{device.name}: {device.description}."), _figures(device)]
        if device.calibration is not None:
            fit = device.calibration
            parts.append(
                Text(
                    f"Calibrated on {fit.processor} with {device.runtime_label}: on "
                    f"{fit.held_out} graphs that no fit has seen, predictions were off by "
                    f"{fit.held_out_median:.0%} in the median and {fit.held_out_p90:.0%} at the "
                    "90th percentile."
                )
            )
        if device.unstable is not None:
            parts.append(Text(f"The profile is unstable: {device.unstable}."))
    if contents.benches or contents.comparisons:
        parts.append(_machines(contents.benches, contents.comparisons))
    return Section("device", "The device", tuple(parts)) if parts else None


def _figures(device: Device) -> Part:
    sections = {
        "paper": device.paper,
        "runtime": device.runtime,
        "limits": device.limits,
        "power": device.power,
        "memory": device.memory,
    }
    rows = [row for name, section in sections.items() for row in figure_rows(name, section)]
    return table(f"Figures of {device.name}, of one core", rows, prose=["kind", "source"])


def figure_rows(name: str, part: object) -> list[dict[str, str]]:
    """A row for a figure or a table of times; for a section those of all that is in it."""
    if isinstance(part, Table):
        return [_row(name, f"{count(len(part.value))} times", part.kind, part.source)]
    if isinstance(part, FIGURES):
        return [_row(name, quantity(part.value, part.unit), part.kind, part.source)]
    inner = part.items() if isinstance(part, Mapping) else part
    if not isinstance(inner, ItemsView | Strict):
        return []
    return [row for key, each in inner for row in figure_rows(f"{name}.{key}", each)]


def _row(figure: str, value: str, kind: str, source: str) -> dict[str, str]:
    return {"figure": figure, "value": value, "kind": kind, "source": source}


def _machines(benches: Sequence[BenchFile], comparisons: Sequence[ComparisonFile]) -> Part:
    rows = [
        _machine(run.origin, run.result.machine, run.result.runtime, run.result.threads)
        for run in benches
    ]
    rows += [
        _machine(run.origin, machine, f"onnxruntime {machine.onnxruntime}", run.table.threads)
        for run in comparisons
        for machine in [run.table.machine]
    ]
    return table(
        "Where times were measured; load is that of the machine over 1, 5 and 15 minutes before",
        rows,
        prose=["processor", "system", "runtime"],
    )


def _machine(origin: Origin, machine: Machine, runtime: str, threads: int) -> dict[str, str]:
    return {
        "file": origin.name,
        "processor": machine.processor,
        "system": machine.system,
        "runtime": runtime,
        "threads": count(threads),
        "load": ", ".join(f"{part:g}" for part in machine.load_average),
    }


def _provenance(contents: Contents) -> Section:
    """Every file with its content's hash, versions and seeds."""
    parts: list[Part] = [
        table(
            f"The files this page was made from, by hedge {__version__}",
            [
                {"file": o.name, "size": size(o.bytes), "SHA-256": o.sha256}
                for o in (run.origin for run in contents.runs)
            ],
            prose=["SHA-256"],
        )
    ]
    if contents.compressed:
        parts.append(
            table(
                "How the compressed models were made",
                [_made(model, plan) for model, plan in contents.compressed],
                prose=["made with", "dense model's SHA-256"],
            )
        )
    return Section("provenance", "Provenance", tuple(parts))


def _made(model: Model, plan: Plan) -> dict[str, str]:
    versions = plan.versions or {"hedge": plan.hedge_version}
    used = ", ".join(f"{name} {version}" for name, version in versions.items())
    return {
        "model": model.label,
        "seed": count(plan.seed),
        "made with": used,
        "dense model's SHA-256": plan.source_sha256,
    }


@dataclass(frozen=True)
class _Highlight:
    figure: str
    words: str


@dataclass(frozen=True)
class _Summary:
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
        worst = model.accuracy.worst_field
        if worst is not None:
            return worst, "measured here"
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
    _glance, sweeps, _asked, results, proofs, maps, structures, layers, tradeoffs, methods, distributions,
    _devices, bounds, energy, _provenance,
)  # fmt: skip


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
    sections = [section for tell in SECTIONS if (section := tell(contents)) is not None]
    html = environment.get_template("page.html").render(
        summary=_summary(contents), sections=sections, style=style
    )
    return _printable(html)


def _printable(text: str) -> str:
    """Names in files can hold control characters, which turn text around or are no UTF-8 at all."""
    return "".join(c if c == "\n" or category(c)[0] != "C" else "?" for c in text)
