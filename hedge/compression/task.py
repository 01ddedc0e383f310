"""What stays fixed while candidates for a model's sites are tried, and how each is judged."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from hedge.compression.allocation import Costs, costs_on
from hedge.compression.measure import ErrorEstimate, Measurements, Reference, output_error
from hedge.compression.plan import Against, Request, Source, blocks_of, byte_count
from hedge.compression.points import PointSets
from hedge.devices import Device, energy_joules, paper_energy_joules, predicted_seconds
from hedge.errors import InputError
from hedge.graph import (
    PRECISIONS,
    Matrix,
    Precision,
    SplitModel,
    assemble,
    graph_work,
    run_float32,
)

Array = NDArray[np.float64]
Matrices = Mapping[str, Matrix]


@dataclass(frozen=True)
class Sample:
    """Points (n, d) and the outputs wanted there (n, m)."""

    points: Array
    targets: Array


@dataclass(frozen=True)
class Task:
    """A split model, the request for it, and what was measured on it.

    target (n, d) -> (n, m) gives the outputs that errors are measured against.
    """

    split: SplitModel
    device: Device
    request: Request
    source: Source
    costs: Costs
    measured: Measurements
    points: PointSets
    against: Against
    target: Reference

    @cached_property
    def validation(self) -> Sample:
        """What candidates are chosen by."""
        return Sample(self.points.validation, self.target(self.points.validation))

    def fresh(self, attempt: int) -> Sample:
        """What a choice is certified on; no two attempts see the same."""
        points = self.points.fresh(attempt)
        return Sample(points, self.target(points))

    @cached_property
    def costs_by_precision(self) -> dict[Precision, Costs]:
        """Bytes, for each precision in which weights may be stored."""
        return {p: costs_on(self.device, self.request.batch, "size", p) for p in PRECISIONS}

    @cached_property
    def dense_cost(self) -> float:
        """Of the network as it is."""
        return self.cost(self.split.matrices)

    def seconds_and_joules(self, matrices: Matrices) -> tuple[float, float]:
        """Predicted time and energy of one call."""
        work = graph_work(assemble(self.split.skeleton, matrices), self.request.batch)
        seconds = float(predicted_seconds(self.device, work))
        return seconds, float(energy_joules(self.device, work, seconds))

    def cost(self, matrices: Matrices) -> float:
        """What the request wants small: seconds, joules or bytes, or the paper's energy."""
        if self.request.method == "paper":
            return paper_energy_joules(self.device, blocks_of(matrices))
        seconds, joules = self.seconds_and_joules(matrices)
        of = {"latency": seconds, "energy": joules, "size": float(byte_count(matrices))}
        return of[self.request.objective]

    def error(self, matrices: Matrices, sample: Sample) -> ErrorEstimate:
        """As deployed: in float32, by the runtime."""
        outputs = run_float32(assemble(self.split.skeleton, matrices), sample.points)
        if outputs.shape != sample.targets.shape:
            raise InputError(
                f"against reference: the model has {outputs.shape[1]} output(s), "
                f"the reference {sample.targets.shape[1]}; name the problem it was trained on"
            )
        return output_error(outputs, sample.targets, self.measured.columns)
