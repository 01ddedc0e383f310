"""The tables of results: size, error, latency, energy, and the methods of a comparison."""

from __future__ import annotations

from hedge.benching import BenchResult, Measurement
from hedge.reporting.numbers import UNKNOWN, count, error, quantity, ratio, size
from hedge.reporting.parts import Part, Section, Text, table
from hedge.reporting.runs import BenchFile, label_of
from hedge.reporting.story import Model, Story


def results(story: Story) -> Section | None:
    """Size and error of every model, then latency of every model and batch."""
    parts: list[Part] = []
    if story.models:
        parts.append(_sizes(story))
    for bench in story.benches:
        parts.append(_latencies(bench))
        parts += _warnings(bench.result)
    return Section("results", "Results", tuple(parts)) if parts else None


def _sizes(story: Story) -> Part:
    judged = any(model.accuracy is not None for model in story.models)
    rows = []
    for model in story.models:
        plan = model.plan
        rows.append(
            [
                model.label,
                count(model.parameters),
                UNKNOWN if model.bytes is None else size(model.bytes),
                error(plan.relative_error) if plan and plan.against == "dense" else UNKNOWN,
                error(plan.max_error) if plan and plan.against == "dense" else UNKNOWN,
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
        "Size and error. “to dense” is the relative L2 error against the dense model on fresh "
        f"points, “largest” the largest error in parts of the largest output{told}.",
        columns,
        rows,
    )


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
    if m.speedup_interval is None:
        return UNKNOWN
    low, high = m.speedup_interval
    return f"{ratio(low)} to {ratio(high)}"


def _warnings(result: BenchResult) -> list[Text]:
    unstable = [
        Text(f"Unstable: {label_of(m.path)} at batch {count(m.batch)}: {m.unstable}.", "warning")
        for m in result.models
        if m.unstable
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
                quantity(plan.paper_energy_j, "J"),
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


def comparisons(story: Story) -> Section | None:
    """Every method of every comparison, each at its smallest within the tolerance."""
    parts: list[Part] = []
    for run in story.comparisons:
        found = run.table
        batches = [latency.batch for latency in found.rows[0].latencies] if found.rows else []
        parts.append(
            table(
                f"{run.model} by each method, within {found.tolerance:g}; times measured on "
                f"{found.machine.processor}, energies modelled for {found.device}",
                ["method", "parameters", "bytes", "to dense", "to reference", "within",
                 *(name for b in batches for name in (f"batch {count(b)}", f"energy, {count(b)}")),
                 "took"],
                [
                    [
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
                    ]
                    for row in found.rows
                ],
            )
        )  # fmt: skip
        parts += [Text(f"No result of {name}: {why}.") for name, why in found.absent.items()]
        parts += [
            Text(
                f"{win.method} is faster than hedge at batch {count(win.batch)}: "
                f"{quantity(win.seconds, 's')} against {quantity(win.hedge_seconds, 's')}, {win.by}."
            )
            for win in found.wins()
        ]
    return Section("methods", "Beside other methods", tuple(parts)) if parts else None
