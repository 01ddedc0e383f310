"""compare: every method on one case, its error on fresh points, its latency beside the others'."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

import numpy as np
from onnx import ModelProto, TensorProto

from hedge.benching import Effort, Machine, bound_run, interleaved_times, machine_facts
from hedge.clusters import Spread, alone
from hedge.compression import Case, ColumnError, by_column, output_error
from hedge.devices import Device, energy_joules, predicted_seconds
from hedge.documents import Count, Figure, Positive
from hedge.graph import graph_work, run_float32
from hedge.methods import METHODS, Absent, Candidate, Solve
from hedge.progress import Progress, silent

SCHEMA = 1
INTEGERS_OF_8_BITS = frozenset({TensorProto.INT8, TensorProto.UINT8})
# Two latencies nearer to each other than this may be the same.
CLEARLY_FASTER = 0.95


@dataclass(frozen=True)
class Latency:
    """One call with ``batch`` rows: seconds as predicted for the device and as measured here, joules.

    predicted_s and energy_j, both modelled, are None where the device's figures say nothing.
    """

    batch: Positive
    predicted_s: Figure | None
    median_s: Figure
    energy_j: Figure | None


@dataclass(frozen=True)
class Row:
    """One method's result.

    error is relative L2 against the dense model, of several columns the largest, reference_error that
    against the problem's solution, both on fresh points; errors has that of each column where there are
    several. within says whether one of them is within the
    tolerance. seconds is what the method took.
    """

    method: str
    parameters: Count
    bytes: Count
    error: Figure
    reference_error: Figure | None
    within: bool
    latencies: tuple[Latency, ...]
    seconds: Figure
    note: str
    errors: tuple[ColumnError, ...] = ()


@dataclass(frozen=True)
class Win:
    """A rival as accurate as asked that is faster than hedge at ``batch``; both times in seconds."""

    method: str
    batch: int
    by: Literal["predicted", "measured"]
    seconds: float
    hedge_seconds: float


@dataclass(frozen=True)
class ComparisonTable:
    """The rows, and why the other methods have none, by name."""

    device: str
    tolerance: Figure
    threads: Positive
    machine: Machine
    rows: tuple[Row, ...]
    absent: dict[str, str]

    def wins(self) -> tuple[Win, ...]:
        """Where a rival within the tolerance is clearly faster than hedge's best row within it."""
        within = [row for row in self.rows if row.within]
        ours = [row for row in within if row.method.startswith("hedge")]
        return tuple(
            win
            for rival in within
            if ours and rival.method in METHODS and METHODS[rival.method].is_rival
            for column in range(len(rival.latencies))
            for win in _wins(rival, ours, column)
        )

    def to_json(self) -> dict[str, Any]:
        """The table as plain JSON values."""
        return {
            "hedge_compare": SCHEMA,
            "device": self.device,
            "tolerance": self.tolerance,
            "threads": self.threads,
            "machine": self.machine.model_dump(mode="json"),
            "rows": [
                {
                    **vars(row),
                    "latencies": [vars(one) for one in row.latencies],
                    "errors": [one.model_dump() for one in row.errors],
                }
                for row in self.rows
            ],
            "absent": self.absent,
            "wins": [vars(win) for win in self.wins()],
        }


def compare(
    case: Case,
    methods: Mapping[str, Solve],
    *,
    batches: Sequence[int],
    threads: int,
    effort: Effort,
    spread: Spread = alone,
    on_progress: Progress = silent,
) -> ComparisonTable:
    """Let every method solve the case, then judge all results alike.

    ``spread`` has them solve it, side by side if it can; timed they are here, once all have ended.
    Errors are those of the float32 files in onnxruntime on the last of the case's fresh points.
    Latencies are measured interleaved, batch after batch. Raises what the methods raise, and
    ModelError if a result can't be run.
    """
    candidates: dict[str, Candidate] = {}
    spent: dict[str, float] = {}
    absent: dict[str, str] = {}
    with spread(partial(_solved, replace(case))) as each:  # without what it has found out already
        solutions = each(methods.values())
        for name in methods:
            on_progress(f"searching {name}")
            found, spent[name] = next(solutions)
            if isinstance(found, Absent):
                absent[name] = found.reason
            else:
                candidates[name] = found
    models = [candidate.model for candidate in candidates.values()]
    per_batch = []
    for batch in batches:
        on_progress(f"timing {len(models)} model(s) at batch {batch}, interleaved")
        per_batch.append(_latencies(models, case.device, batch, threads, effort, case.request.seed))
    rows = [
        _row(case, name, candidate, latencies, spent[name])
        for (name, candidate), latencies in zip(
            candidates.items(), zip(*per_batch, strict=True), strict=True
        )
    ]
    return ComparisonTable(
        case.device.name, case.request.tolerance, threads, machine_facts(), tuple(rows), absent
    )


def _solved(case: Case, method: Solve) -> tuple[Candidate | Absent, float]:
    """What the method finds, and the seconds it took."""
    started = time.perf_counter()
    found = method(case)
    return found, time.perf_counter() - started


def _latencies(
    models: Sequence[ModelProto],
    device: Device,
    batch: int,
    threads: int,
    effort: Effort,
    seed: int,
) -> list[Latency]:
    runs = [bound_run(model, batch, threads) for model in models]
    medians = [float(np.median(times)) for times in interleaved_times(runs, effort, seed)]
    return [_latency(m, device, batch, t) for m, t in zip(models, medians, strict=True)]


def _latency(model: ModelProto, device: Device, batch: int, median_s: float) -> Latency:
    # Profiles hold the rates of float32 arithmetic only.
    if any(tensor.data_type in INTEGERS_OF_8_BITS for tensor in model.graph.initializer):
        return Latency(batch, None, median_s, None)
    work = graph_work(model, batch)
    predicted = float(predicted_seconds(device, work))
    return Latency(batch, predicted, median_s, float(energy_joules(device, work, predicted)))


def _row(
    case: Case, name: str, candidate: Candidate, latencies: tuple[Latency, ...], seconds: float
) -> Row:
    fresh = case.points.judge()
    outputs = run_float32(candidate.model, fresh)
    to_dense = output_error(outputs, run_float32(case.dense, fresh), case.fields)
    error = to_dense.relative
    reference_error = None
    if case.reference is not None:
        reference_error = output_error(outputs, case.reference(fresh), case.fields).relative
    return Row(
        method=name,
        parameters=candidate.parameters,
        bytes=candidate.bytes,
        error=error,
        reference_error=reference_error,
        within=any(e is not None and e <= case.request.tolerance for e in (error, reference_error)),
        latencies=latencies,
        seconds=seconds,
        note=candidate.note,
        errors=by_column(case, to_dense),
    )


def _wins(rival: Row, ours: Sequence[Row], column: int) -> list[Win]:
    theirs = rival.latencies[column]
    measured = min(row.latencies[column].median_s for row in ours)
    found = []
    if theirs.median_s < CLEARLY_FASTER * measured:
        found.append(Win(rival.method, theirs.batch, "measured", theirs.median_s, measured))
    predictions = [row.latencies[column].predicted_s for row in ours]
    predicted = min((p for p in predictions if p is not None), default=None)
    if predicted is None or theirs.predicted_s is None:
        return found
    if theirs.predicted_s < CLEARLY_FASTER * predicted:
        found.append(Win(rival.method, theirs.batch, "predicted", theirs.predicted_s, predicted))
    return found
