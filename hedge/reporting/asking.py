"""What was asked, of what device, and where everything comes from."""

from __future__ import annotations

from collections.abc import Sequence

from hedge.benching import Machine
from hedge.compression import Plan
from hedge.devices import Device
from hedge.devices.figures import ByteRate, FlopRate, Joules, Seconds, Watts
from hedge.reporting.contents import Contents, Model
from hedge.reporting.numbers import count, quantity, size
from hedge.reporting.parts import CellTable, Part, Section, Text, table
from hedge.reporting.runs import BenchFile, ComparisonFile, Origin
from hedge.version import __version__

FIGURES = (Seconds, Joules, Watts, FlopRate, ByteRate)


def asked(contents: Contents) -> Section | None:
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


def devices(contents: Contents) -> Section | None:
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
                    f"Calibrated on {fit.processor} with onnxruntime {fit.onnxruntime}: on "
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
    }
    rows = [
        _row(f"{name}.{key}", quantity(figure.value, figure.unit), figure.kind, figure.source)
        for name, section in sections.items()
        for key, figure in section
        if isinstance(figure, FIGURES)
    ]
    passes = {f"passes.{name}": times for name, times in device.runtime.passes.items()}
    tables = {"gemm": device.runtime.gemm, "batched": device.runtime.batched, **passes}
    rows += [
        _row(f"runtime.{key}", f"{count(len(times.value))} times", times.kind, times.source)
        for key, times in tables.items()
        if times is not None
    ]
    return table(f"Figures of {device.name}, of one core", rows, prose=["kind", "source"])


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


def provenance(contents: Contents) -> Section:
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
