"""The tables of results: size, error, latency, energy."""

from __future__ import annotations

from hedge.benching import BenchResult, Measurement
from hedge.methods.paper import paper_costs
from hedge.reporting.distance import AS_SAID, lies
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.story import Model, Story


def results(story: Story) -> Section | None:
    """Size and error of every model, then latency of every model and batch."""
    parts: list[Part] = []
    if story.models:
        parts.append(_sizes(story))
        parts += _claims(story)
    for bench in story.benches:
        parts.append(_latencies(bench))
        parts += _warnings(bench.result)
    return Section("results", "Results", tuple(parts)) if parts else None


def _sizes(story: Story) -> Part:
    judged = any(model.accuracy is not None for model in story.models)
    rows = []
    for model in story.models:
        far = model.distance
        rows.append(
            [
                model.label,
                count(model.parameters),
                UNKNOWN if model.bytes is None else size(model.bytes),
                UNKNOWN if far is None else error(far.relative),
                UNKNOWN if far is None else error(far.largest),
                *(_accuracy(model) if judged else []),
            ]
        )
    columns = ["model", "parameters", "bytes", "to dense", "largest"]
    told = ""
    if judged:
        columns += ["to reference", "residual"]
        told = (
            "; “to reference” against the solution by other means, “residual” the root mean square "
            "of the equation's"
        )
    return table(
        "Size and error. “to dense” is the relative L2 error against the dense model, “largest” the "
        f"largest error in parts of the largest output{told}.",
        columns,
        rows,
    )


def _claims(story: Story) -> list[Text]:
    """Where the distances to the dense model are from, and which plan is belied by them."""
    far = [(model, model.distance) for model in story.models if model.distance is not None]
    texts = [
        Text(f"To dense {source}: {', '.join(m.label for m, d in far if d.source == source)}.")
        for source in dict.fromkeys(d.source for _, d in far)
    ]
    if story.compressed:
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
        for model, plan in story.compressed
        if model.distance is not None and lies(plan, model.distance)
    ]


def _accuracy(model: Model) -> list[str]:
    found = model.accuracy
    return (
        [UNKNOWN, UNKNOWN]
        if found is None
        else [error(found.relative_l2), error(found.residual_rms)]
    )


def _latencies(bench: BenchFile) -> Part:
    result = bench.result
    return table(
        f"Latency of a call on {result.machine.processor}, {result.runtime}, {result.threads} "
        f"thread{'s' if result.threads > 1 else ''}. The speedup is that of medians, over "
        f"{label_of(result.models[0].path)}, with its 95 % interval.",
        ["model", "batch", "median", "p90", "p99", "rows a second", "speedup", "interval"],
        [
            [
                label_of(m.path),
                count(m.batch),
                quantity(m.median_s, "s"),
                quantity(m.p90_s, "s"),
                quantity(m.p99_s, "s"),
                quantity(m.rows_per_s, ""),
                f"{ratio(m.speedup)}×",
                _interval(m),
            ]
            for m in result.models
        ],
    )  # fmt: skip


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


def energy(story: Story) -> Section | None:
    """Joules a call, by the device's figures and, where there was a meter, as measured."""
    parts: list[Part] = []
    if story.compressed:
        parts.append(_planned(story))
    for bench in story.benches:
        parts.append(_per_call(bench))
    return Section("energy", "Energy", tuple(parts)) if parts else None


def _planned(story: Story) -> Part:
    return table(
        "Modelled, not measured: idle power times the predicted time, and joules per operation, by "
        "the figures of the device that each model was compressed for. “Theorem 10” is the paper's.",
        ["model", "device", "batch", "dense", "now", "Theorem 10"],
        [
            [
                model.label,
                plan.device,
                count(plan.batch),
                quantity(plan.dense_energy_j, "J"),
                quantity(plan.energy_j, "J"),
                quantity(paper_costs(plan)[0], "J"),
            ]
            for model, plan in story.compressed
        ],
        prose=["device"],
    )


def _per_call(bench: BenchFile) -> Part:
    result = bench.result
    metered = [m for m in result.models if m.measured_energy is not None]
    columns = ["model", "batch", "modelled"]
    told = "modelled by its figures; there was no meter"
    if metered:
        columns += ["measured, gross", "measured, less idle"]
        source = metered[0].measured_energy.source if metered[0].measured_energy else ""
        told = f"modelled by its figures, and measured by {source}"
    rows = []
    for m in result.models:
        row = [label_of(m.path), count(m.batch), quantity(m.energy_j, "J")]
        if metered:
            e = m.measured_energy
            row += [quantity(e.gross_j, "J"), quantity(e.net_j, "J")] if e else [UNKNOWN, UNKNOWN]
        rows.append(row)
    return table(f"Energy of a call on {result.device}: {told}", columns, rows)
