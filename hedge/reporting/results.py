"""The tables of results: size, error, latency, energy."""

from __future__ import annotations

from hedge.benching import BenchResult, Measurement
from hedge.compression import ColumnError, SlopeError
from hedge.methods.paper import paper_costs
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import AS_SAID, exceeds_plan
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Cell, CellTable, Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of


def results(contents: Contents) -> Section | None:
    """Size and error of every model, then latency of every model and batch."""
    parts: list[Part] = []
    if contents.models:
        parts.append(_sizes(contents))
        parts += [
            part for part in (_fields(contents), _columns(contents), _slopes(contents)) if part.rows
        ]
        parts += _claims(contents)
    for bench in contents.benches:
        parts.append(_latencies(bench))
        parts += _warnings(bench.result)
    return Section("results", "Results", tuple(parts)) if parts else None


def _sizes(contents: Contents) -> Part:
    judged = any(model.accuracy is not None for model in contents.models)
    told = (
        "; “to reference” against the solution by other means, “residual” the root mean square of the "
        "equation's"
    )
    return table(
        "Size and error. “to dense” is the relative L2 error against the dense model, “largest” the "
        f"largest error in parts of the largest output{told if judged else ''}.",
        [{**_size(model), **(_accuracy(model) if judged else {})} for model in contents.models],
    )


def _size(model: Model) -> dict[str, Cell]:
    far = model.distance
    return {
        "model": model.label,
        "parameters": count(model.parameters),
        "bytes": UNKNOWN if model.bytes is None else size(model.bytes),
        "to dense": UNKNOWN if far is None else error(far.relative),
        "largest": UNKNOWN if far is None else error(far.largest),
    }


def _fields(contents: Contents) -> CellTable:
    return table(
        "Relative L2 errors of each field against the solution by other means.",
        [
            {
                "model": model.label,
                **{name: error(of) for name, of in model.accuracy.by_field.items()},
            }
            for model in contents.models
            if model.accuracy is not None and model.accuracy.by_field
        ],
    )


def _columns(contents: Contents) -> CellTable:
    return table(
        "Errors against the dense model by column, as above.",
        [
            {
                **_place(model, one),
                "to dense": error(one.relative_error),
                "largest": error(one.max_error),
            }
            for model in contents.models
            if model.distance is not None
            for one in model.distance.errors
        ],
        prose=["output"],
    )


def _slopes(contents: Contents) -> CellTable:
    return table(
        "Relative L2 errors of the derivatives against the dense model's, as the plans say.",
        [
            {**_place(model, one), "by": one.by, "error": error(one.relative_error)}
            for model, plan in contents.compressed
            for one in plan.slope_errors
        ],
        prose=["output", "by"],
    )


def _place(model: Model, one: ColumnError | SlopeError) -> dict[str, Cell]:
    column = UNKNOWN if one.column is None else count(one.column)
    return {"model": model.label, "output": one.output, "column": column}


def _claims(contents: Contents) -> list[Text]:
    """Where the distances to the dense model are from, and which plan is belied by them."""
    far = [(model, model.distance) for model in contents.models if model.distance is not None]
    texts = [
        Text(f"To dense {source}: {', '.join(m.label for m, d in far if d.source == source)}.")
        for source in dict.fromkeys(d.source for _, d in far)
    ]
    if contents.compressed:
        texts.append(
            Text(
                "Parameters, bytes, predictions and energy of compressed models are as their plans say."
            )
        )
    if any(d.source == AS_SAID for _, d in far):
        texts.append(Text("Name the dense model among the files to have it measured."))
    return texts + [
        Text(
            f"{model.label} is further from the dense model than its plan says: its weights are not "
            "those that were certified.",
            "warning",
        )
        for model, plan in contents.compressed
        if model.distance is not None and exceeds_plan(plan, model.distance)
    ]


def _accuracy(model: Model) -> dict[str, Cell]:
    found = model.accuracy
    return {
        "to reference": UNKNOWN if found is None else error(found.relative_l2),
        "residual": UNKNOWN if found is None else error(found.residual_rms),
    }


def _latencies(bench: BenchFile) -> Part:
    result = bench.result
    return table(
        f"Latency of a call on {result.machine.processor}, {result.runtime}, {result.threads} "
        f"thread{'s' if result.threads > 1 else ''}. The speedup is that of medians, over "
        f"{label_of(result.models[0].path)}, with its 95 % interval.",
        [
            {
                "model": label_of(m.path),
                "batch": count(m.batch),
                "median": quantity(m.median_s, "s"),
                "p90": quantity(m.p90_s, "s"),
                "p99": quantity(m.p99_s, "s"),
                "rows a second": quantity(m.rows_per_s, ""),
                "speedup": f"{ratio(m.speedup)}×",
                "interval": _interval(m),
            }
            for m in result.models
        ],
    )


def _interval(m: Measurement) -> str:
    if m.speedup_interval is None or m.speedup_interval == (1.0, 1.0):  # the baseline itself
        return UNKNOWN
    low, high = m.speedup_interval
    return f"{ratio(low)} to {ratio(high)}"


def _warnings(result: BenchResult) -> list[Text]:
    disturbed: dict[tuple[int, str], list[str]] = {}
    for m in result.models:
        if m.unstable:
            disturbed.setdefault((m.batch, m.unstable), []).append(label_of(m.path))
    unstable = [
        Text(f"Unstable at batch {count(batch)}: {reason} ({', '.join(labels)}).", "warning")
        for (batch, reason), labels in disturbed.items()
    ]
    failed = [Text(f"Not measured: {failure.reason}.", "warning") for failure in result.failures]
    return unstable + failed


def energy(contents: Contents) -> Section | None:
    """Joules a call, by the device's figures and, where there was a meter, as measured."""
    parts: list[Part] = []
    if contents.compressed:
        parts.append(_planned(contents))
    for bench in contents.benches:
        parts.append(_per_call(bench))
    return Section("energy", "Energy", tuple(parts)) if parts else None


def _planned(contents: Contents) -> Part:
    return table(
        "Modelled, not measured: idle power times the predicted time, and joules per operation, by "
        "the figures of the device that each model was compressed for. “Theorem 10” is the paper's.",
        [
            {
                "model": model.label,
                "device": plan.device,
                "batch": count(plan.batch),
                "dense": quantity(plan.dense_energy_j, "J"),
                "now": quantity(plan.energy_j, "J"),
                "Theorem 10": quantity(paper_costs(plan)[0], "J"),
            }
            for model, plan in contents.compressed
        ],
        prose=["device"],
    )


def _per_call(bench: BenchFile) -> Part:
    sources = [m.measured_energy.source for m in bench.result.models if m.measured_energy]
    told = f"and measured by {sources[0]}" if sources else "there was no meter"
    return table(
        f"Energy of a call on {bench.result.device}: modelled by its figures{',' if sources else ';'} "
        f"{told}",
        [{**_modelled(m), **(_metered(m) if sources else {})} for m in bench.result.models],
    )


def _modelled(m: Measurement) -> dict[str, Cell]:
    modelled = quantity(m.energy_j, "J")
    return {"model": label_of(m.path), "batch": count(m.batch), "modelled": modelled}


def _metered(m: Measurement) -> dict[str, Cell]:
    found = m.measured_energy
    return {
        "measured, gross": quantity(found.gross_j if found else None, "J"),
        "measured, less idle": quantity(found.net_j if found else None, "J"),
    }
