"""What stays fixed while candidates for a model's sites are tried, and how each is judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.compression.allocation import Costs, costs_on
from hedge.compression.measure import ErrorEstimate, Measurements, Reference, output_error
from hedge.compression.neurons import NeuronOrder, order_group
from hedge.compression.points import PointSets
from hedge.compression.request import Against, Request, Source
from hedge.compression.site_plan import blocks_of, byte_count
from hedge.devices import LEAST_GAIN, Device, energy_joules, paper_energy_joules, predicted_seconds
from hedge.errors import InputError
from hedge.graph import (
    PRECISIONS,
    Matrix,
    NeuronGroup,
    Precision,
    SplitModel,
    assemble,
    graph_work,
    neuron_groups,
    run_float32,
)

Array = NDArray[np.float64]
Matrices = Mapping[str, Matrix]
TimeRatio = Callable[[ModelProto], float]
"""A candidate -> its measured time over the dense model's, on the device."""


@dataclass(frozen=True)
class Sample:
    """Points (n, d) and the outputs wanted there (n, m)."""

    points: Array
    targets: Array


@dataclass(frozen=True)
class Task:
    """A split model, the request for it, and what was measured on it.

    target (n, d) -> (n, m) gives the outputs that errors are measured against. time_ratio is there
    where the device is at hand.
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
    time_ratio: TimeRatio | None = None

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

    @cached_property
    def groups(self) -> tuple[NeuronGroup, ...]:
        """The groups from which neurons can be dropped."""
        return neuron_groups(self.split).groups

    @cached_property
    def neuron_orders(self) -> tuple[NeuronOrder, ...]:
        """The order in which each group keeps its neurons."""
        return tuple(order_group(self.split, group, self.measured) for group in self.groups)

    def kept(self, widths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """The neurons that each producer keeps where its group has these widths, if it loses some."""
        return {
            name: self.neuron_orders[g].kept(width)
            for g, (group, width) in enumerate(zip(self.groups, widths, strict=True))
            if width < group.width
            for name in group.producers
        }

    @property
    def counts_cost(self) -> bool:
        """Whether the cost is counted, as bytes and the paper's energy are, not predicted."""
        return self.request.method == "paper" or self.request.objective == "size"

    def gains(self, matrices: Matrices) -> bool:
        """Whether they cost less than the network as it is, by more than the device model may be off.

        Of a cost that is counted any gain is one.
        """
        least = 0.0 if self.counts_cost else LEAST_GAIN
        return self.cost(matrices) < (1.0 - least) * self.dense_cost

    def seconds_and_joules(self, matrices: Matrices) -> tuple[float, float]:
        """Predicted time and energy of one call, all sites in their usual forms."""
        return self.seconds_and_joules_of(assemble(self.split.skeleton, matrices))

    def seconds_and_joules_of(self, model: ModelProto) -> tuple[float, float]:
        """The same of a runnable model."""
        work = graph_work(model, self.request.batch)
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
