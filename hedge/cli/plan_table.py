"""Plans and graphs as tables and documents."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from onnx import ModelProto, numpy_helper

from hedge.cli.console import joules, print_records, print_table, say, seconds, size
from hedge.compression import (
    ColumnError,
    Plan,
    Proved,
    ProvedDistance,
    SitePlan,
    SlopeError,
    Spread,
)
from hedge.errors import naming
from hedge.exporting import open_model
from hedge.graph import Factors, Site, graph_work, metadata, opset, split, works_by_site
from hedge.methods.paper import paper_costs
from hedge.problems import found_told
from hedge.progress import Progress, silent

# Whoever alters the weights of a file leaves its plan as it was.
AS_SAID = "as the file says, not measured now: "


def plan_document(plan: Plan) -> dict[str, Any]:
    """The plan as JSON values."""
    document: dict[str, Any] = json.loads(plan.model_dump_json())
    energy, bound = paper_costs(plan)
    return {**document, "paper_energy_j": energy, "paper_bound_s": bound}


def print_plan(label: str, plan: Plan, *, said: bool = False) -> None:
    """What became of each site and of the whole; ``said`` if only the file says so."""
    bounded = any(site.frobenius_error for site in plan.sites)
    columns = ["site", "dense", "now", "parameters", "predicted", "of error"]
    columns += ["|W - H|_F", "thm 1"] if bounded else []
    rows = [
        [
            site.name,
            f"{site.dense_outputs}x{site.dense_inputs}",
            _structure(site),
            f"{site.dense_outputs * (site.dense_inputs + 1)} -> {site.parameters}",
            f"{_figure(site.dense_predicted_s, seconds)} -> {_figure(site.predicted_s, seconds)}",
            _figure(site.error_share, "{:.0%}".format),
            *([_figure(site.frobenius_error, "{:.2g}".format)] if bounded else []),
            *([_figure(site.frobenius_bound, "<= {:.2g}".format)] if bounded else []),
            site.reason,
        ]
        for site in plan.sites
    ]
    print_table(label, [*columns, "why"], rows, prose={"why"})
    if plan.errors:
        _print_errors(plan, said)
    if plan.slope_errors:
        _print_slope_errors(plan, said)
    for line in (*_totals(plan, said), *_recovery(plan), *_remarks(plan), *_origin(label, plan)):
        say(line)


def _print_errors(plan: Plan, said: bool) -> None:
    columns = ["output", "column", "relative L2 error", "largest error"]
    rows = [column_cells(one) for one in plan.errors]
    print_table(f"{AS_SAID if said else ''}errors by column", columns, rows)


def column_cells(one: ColumnError) -> list[str]:
    """The errors of a column."""
    return [*_place(one), f"{one.relative_error:.2e}", f"{one.max_error:.2e}"]


def _place(one: ColumnError | SlopeError) -> list[str]:
    return [one.output, "all" if one.column is None else str(one.column)]


def _print_slope_errors(plan: Plan, said: bool) -> None:
    rows = [[*_place(one), one.by, f"{one.relative_error:.2e}"] for one in plan.slope_errors]
    promised = "" if plan.derivatives is None else f", tolerance {plan.derivatives:g}"
    print_table(
        f"{AS_SAID if said else ''}errors of derivatives (the Jacobian) "
        f"on {plan.slope_points} fresh points{promised}",
        ["output", "column", "by", "relative L2 error"],
        rows,
    )


def _figure(value: float | None, form: Callable[[float], str]) -> str:
    return "-" if value is None else form(value)


def _totals(plan: Plan, said: bool) -> list[str]:
    measured = _figure(plan.time_ratio, "; measured then: {:.2f} times the dense time".format)
    lines = [
        f"relative L2 error {plan.relative_error:.2e}{_of_worst(plan)} "
        f"{'of the spread ' if plan.relative_to == 'spread' else ''}"
        f"against {plan.against} on {plan.fresh_points} fresh points "
        f"(tolerance {plan.tolerance:g}{_confidence(plan)}), "
        f"largest {_largest(plan)}; points: {plan.points}",
        f"parameters {plan.dense_parameters} -> {plan.parameters}, "
        f"{size(plan.dense_bytes)} -> {size(plan.bytes)}{_gained(plan)}",
        f"predicted on {plan.device} at batch {plan.batch}: {seconds(plan.dense_predicted_s)} -> "
        f"{seconds(plan.predicted_s)}, {joules(plan.dense_energy_j)} -> {joules(plan.energy_j)} (modelled)"
        f"{measured if plan.time_ratio is not None else ''}",
    ]
    if plan.proved is not None:
        lines[1:1] = [_proof(plan.proved), *map(_distance, plan.proved.to_solution)]
    return [f"{AS_SAID}{line}" for line in lines] if said else lines


def _proof(proved: Proved) -> str:
    return (
        f"proved for the whole domain, as deployed: relative L2 error at most {proved.relative_l2:.2e}, "
        f"largest at most {proved.largest:.2e} of the largest output ({proved.boxes} boxes)"
    )


def _distance(found: ProvedDistance) -> str:
    norm = (
        "largest error"
        if found.kind == "max"
        else f"{found.kind} error over {', '.join(found.over)}"
    )
    way = "its own residual" if found.by == "residual" else "the dense model's residual"
    return f"proved to the solution, as deployed: {norm} at most {found.bound:.2e}, by {way}"


def _gained(plan: Plan) -> str:
    return f"; gained: {', '.join(plan.gained)}" if plan.gained else ""


def _confidence(plan: Plan) -> str:
    if plan.confidence is None:
        return ""
    return f", kept with {plan.confidence:.1%} over {plan.attempts} attempt(s)"


def _largest(plan: Plan) -> str:
    largest = _figure(plan.max_error, "{:.2e} of the largest output".format)
    if plan.norm != "max" or plan.unseen_part is None:
        return largest
    return (
        f"{largest}, which is the promise; at most {plan.unseen_part:.1e} of the domain exceeds it"
    )


def spread_remark(spread: Spread) -> str:
    """What to know of a column that varies little, in one line."""
    place = spread.output if spread.column is None else f"{spread.output}[{spread.column}]"
    if spread.error is None:
        return f"{place} is constant: its error is one of the constant"
    return (
        f"{place} varies by {spread.part:.2g} of its size only, and its error is {spread.error:.2e} of that; "
        "a constant would be off by as much as it varies: think of --relative-to spread"
    )


def runtime_remark(out: Path, plan: Plan) -> str | None:
    """What to know of C that was chosen for onnxruntime, in one line."""
    device = plan.device_profile
    if out.suffix != ".c" or device is None or device.runs_c:
        return None
    return (
        f"chosen for onnxruntime on {device.name}; a profile of C chooses for C (hedge devices, "
        "hedge calibrate --runtime c)"
    )


def _of_worst(plan: Plan) -> str:
    if not plan.errors:
        return ""
    worst = max(plan.errors, key=lambda one: one.relative_error)
    column = "" if worst.column is None else f"[{worst.column}]"
    return f" of the worst, {worst.output}{column},"


def _recovery(plan: Plan) -> list[str]:
    lines = [f"recovery: {plan.recovery}"] if plan.recovery else []
    return lines + [
        f"  {rung.parameters} parameters: error {rung.cut_error:.1e} after the cut, {rung.error:.1e} "
        f"after {_figure(rung.steps, '{} steps'.format)} of fitting ({rung.on})"
        for rung in plan.rungs
    ]


def _remarks(plan: Plan) -> list[str]:
    lines = [f"sensitivities: {plan.sensitivities}"]
    if plan.no_slopes:
        lines.append(f"derivatives are not compared: {plan.no_slopes}")
    if plan.small_spread is not None:
        lines.append(spread_remark(plan.small_spread))
    if plan.no_shares:
        lines.append(f"shares of the error: {plan.no_shares}")
    if plan.removed:
        lines.append(f"removed with their layers: {', '.join(plan.removed)}")
    lines += [f"left alone: {reason}" for reason in plan.left_alone]
    energy, bound = paper_costs(plan)
    if plan.method == "paper" and energy is not None:
        lines.append(
            f"the paper's energy {joules(energy)}, its latency bound {_figure(bound, seconds)} "
            "(to the letter)"
        )
    return lines


def _origin(label: str, plan: Plan) -> list[str]:
    """How it was made, and how to see more where the file is one that hedge reads."""
    if not plan.versions:
        return []
    used = ", ".join(f"{name} {version}" for name, version in plan.versions.items())
    made = f"made with {used}, seed {plan.seed}: {plan.command or 'a call in Python'}"
    if Path(label).suffix == ".c":
        return [made]
    return [made, f"what it does to the tangent kernel: hedge ntk {plan.source} and this file"]


def _structure(site: SitePlan) -> str:
    now = f"{site.outputs}x{site.inputs}"
    if not isinstance(site.structure, Factors):
        now += f", {site.structure.label}"
    elif site.structure.rank is not None:
        now += f" {site.structure.label}"
    return now if site.precision == "float32" else f"{now} {site.precision}"


def _nodes_document(model: ModelProto, plan: Plan) -> dict[str, Any]:
    """What an exported file holds: nodes after fusion, operations and weights, of all and of each site.

    flops are those of one row; bytes those of the weights that are read, however many read them.
    """
    whole = graph_work(model, 1)
    works = works_by_site(model, [site.name for site in plan.sites], 1)
    weights = {t.name: numpy_helper.to_array(t).nbytes for t in model.graph.initializer}
    sites = [
        {
            "name": site.name,
            "form": site.form,
            "nodes": works[site.name].nodes,
            "flops": works[site.name].flops,
            "bytes": _read_bytes(model, weights, f"{site.name}."),
        }
        for site in plan.sites
    ]
    return {
        "opset": opset(model),
        "nodes": whole.nodes,
        "flops": whole.flops,
        "bytes": sum(weights.values()),
        "sites": sites,
    }


def _read_bytes(model: ModelProto, weights: Mapping[str, int], prefix: str) -> int:
    read = {
        name for node in model.graph.node if node.name.startswith(prefix) for name in node.input
    }
    return sum(weights.get(name, 0) for name in read)


def _print_exported(path: Path, plan: Plan, nodes: Mapping[str, Any]) -> None:
    print_plan(str(path), plan, said=True)
    columns: dict[str, Callable[[Mapping[str, Any]], str]] = {
        "site": lambda site: site["name"],
        "form": lambda site: site["form"] or "-",
        "nodes": lambda site: str(site["nodes"]),
        "flops a row": lambda site: str(site["flops"]),
        "weights": lambda site: size(site["bytes"]),
    }
    print_records(f"{path}: where each site went", nodes["sites"], columns)
    say(
        f"opset {nodes['opset']}; {nodes['nodes']} nodes after fusion, {nodes['flops']} flops a row, "
        f"{size(nodes['bytes'])} of weights"
    )


def inspect_file(
    path: Path, on_progress: Progress = silent
) -> tuple[dict[str, Any], Callable[[], None]]:
    """What a file holds, as a document and as a function that prints it.

    Raises ModelError for a file that is neither a compressed nor an ONNX model.
    """
    file = open_model(path, on_progress)
    plan = file.plan
    if plan is None:
        return _inspect_dense(path, file.onnx)
    if file.kind == "compressed":
        return plan_document(plan), partial(print_plan, str(path), plan, said=True)
    with naming(path):
        nodes = _nodes_document(file.onnx, plan)
    return {**plan_document(plan), "graph": nodes}, partial(_print_exported, path, plan, nodes)


def _inspect_dense(path: Path, model: ModelProto) -> tuple[dict[str, Any], Callable[[], None]]:
    with naming(path):
        parts = split(model)
        sites = parts.sites
        work = graph_work(model, 1)
    document = {
        "sites": [
            {"name": s.name, "input": s.input, "output": s.output, "shape": list(s.matrix.shape)}
            for s in sites
        ],
        "left_alone": list(parts.left_alone),
        "parameters": sum(s.matrix.parameters for s in sites),
        "nodes": work.nodes,
        "flops": work.flops,
        "metadata": metadata(model),
    }

    def show() -> None:
        columns: dict[str, Callable[[Site], str]] = {
            "site": lambda s: s.name,
            "reads": lambda s: s.input,
            "writes": lambda s: s.output,
            "shape": lambda s: "x".join(map(str, s.matrix.shape)),
            "parameters": lambda s: str(s.matrix.parameters),
        }
        print_records(f"{path} (dense)", sites, columns)
        say(f"{work.nodes} nodes after fusion, {work.flops} flops a row")
        if found := found_told(metadata(model)):
            say(f"constants found by training: {found}")
        for reason in parts.left_alone:
            say(f"left alone: {reason}")

    return document, show
