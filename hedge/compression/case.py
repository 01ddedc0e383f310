"""The case: what every method works on, hedge's own and its rivals, and how their candidates are judged."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.certifying import Solution
from hedge.compression.allocation import Costs, costs_on
from hedge.compression.confidence import likely_part, risk_of
from hedge.compression.counted import BYTES, CountedCost
from hedge.compression.derivatives import Slopes, pairs_around, why_no_slopes
from hedge.compression.fitting import SiteFits, dense_targets
from hedge.compression.measure import (
    ErrorEstimate,
    Measurements,
    Reference,
    Sample,
    fields_of,
    measure,
    output_error,
    peak_sizes,
)
from hedge.compression.neurons import NeuronOrder, order_group
from hedge.compression.points import PointSets
from hedge.compression.prospects import no_prospect
from hedge.compression.site_plan import byte_count
from hedge.compression.worst import largest_nearby
from hedge.devices import Device, energy_joules, predicted_seconds
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
    outline,
    output_widths,
    run_float32,
    usual_forms,
)
from hedge.problems import OperatorProblem, Problem
from hedge.progress import Progress, silent
from hedge.request import Against, Allowance, Request, Source

Matrices = Mapping[str, Matrix]
TimeRatio = Callable[[ModelProto], float]
"""A candidate -> its measured time over the dense model's, on the device."""

# The error of activations that fits must bear, see fit_sites.
NOISE_OF_TOLERANCE = 0.1
ALLOWED = Allowance(10_000)
# Small networks take as long at any width: of equals the smaller is wanted.
TIE = 1e-3
# Derivatives that are not promised are compared on so many points.
REPORTED_POINTS = 2048
# Of the largest error that certification finds, the validation points mostly show this part.
PEAKS = 0.9


@dataclass(frozen=True)
class Case:
    """A dense model, what is asked of a smaller one, and the points by which it is made and judged.

    Errors are against the dense model's outputs or, with against "reference", against ``reference``,
    which maps points (n, d) to the solution of ``problem`` (n, m), where one is known. allowance is what
    a method that trains may take. time_ratio is there where the device is at hand. counted is what a method
    wants small in place of the request's objective; tell is told how far it is. dense_solution is what is
    proved of the dense model as the problem's solution. Where layers were
    removed, or constants per neuron cut, split is what is left, and folded_from the dense network's case.
    """

    dense: ModelProto
    split: SplitModel
    source: Source
    points: PointSets
    request: Request
    device: Device
    problem: Problem | OperatorProblem | None = None
    reference: Reference | None = None
    against: Against = "dense"
    allowance: Allowance = ALLOWED
    time_ratio: TimeRatio | None = None
    counted: CountedCost | None = None
    tell: Progress = silent
    dense_solution: Solution | None = None
    folded_from: Case | None = None

    @property
    def whole(self) -> SplitModel:
        """The dense network's own split."""
        return self.unfolded.split

    def folded(self, split: SplitModel) -> Case:
        """The same for what is left of the network."""
        return replace(self, split=split, folded_from=self.unfolded)

    @property
    def unfolded(self) -> Case:
        """The same for the dense network."""
        return self.folded_from or self

    @cached_property
    def measured(self) -> Measurements:
        """Activations, and how the output feels each site, at the fit points."""
        fit, reach, seed = self.points.fit, None, self.request.seed
        if self.request.derivatives is not None:
            above, below, reach = self.pairs_around(fit)
            fit = np.concatenate([fit, above, below])
        measured = measure(
            self.split, fit, seed, self.fields, to_spread=self.to_spread, reach=reach
        )
        return replace(measured, grid=self.request.sides)

    def pairs_around(self, points: Array) -> tuple[Array, Array, float]:
        """Pairs whose differences weigh as derivatives do, see :func:`derivatives.pairs_around`.

        Relative errors of derivatives count as much as those of outputs or, where they are promised, in
        parts of what each may be. Raises InputError where there are none.
        """
        weights = self.slopes.weights(self.points.fit)
        if self.request.derivatives is not None:
            weights *= self.request.tolerance / self.request.derivatives
        return pairs_around(points, self.slopes.box, weights, self.request.seed)

    @cached_property
    def slopes(self) -> Slopes:
        """The dense model's derivatives. Raises InputError where they can't be compared with."""
        if self.folded_from is not None:
            return self.folded_from.slopes
        if self.no_slopes or self.points.domain is None:
            raise InputError(f"derivatives: {self.no_slopes}")
        return Slopes(self.dense, self.points.domain, self.fields)

    @cached_property
    def no_slopes(self) -> str:
        """Why they can't be compared with; empty where they can."""
        return why_no_slopes(self.dense, sum(self.widths), self.points.domain, self.against)

    @cached_property
    def fits(self) -> SiteFits:
        """What each site may become, given those before it."""
        targets = dense_targets(self.split, self.measured, self.noise)
        return SiteFits(self.split, self.measured, self.noise, targets)

    @property
    def noise(self) -> float:
        """The error of activations that fits must bear; one that is no larger need not be improved on."""
        return NOISE_OF_TOLERANCE * self.request.tolerance

    @cached_property
    def no_prospect(self) -> str:
        """Why there is nothing to search for; empty where there may be."""
        return no_prospect(self, self.noise**2)

    @cached_property
    def widths(self) -> tuple[int, ...]:
        """How many columns each output has."""
        if self.folded_from is not None:
            return self.folded_from.widths
        return output_widths(self.dense, self.points.validation[:2])

    @cached_property
    def fields(self) -> tuple[int, ...]:
        """The widths of the fields, each of which must keep the tolerance."""
        return fields_of(self.widths, joint=self.joint)

    @property
    def to_spread(self) -> bool:
        """Whether errors are relative to what the outputs vary by."""
        return self.request.relative_to == "spread"

    @property
    def joint(self) -> bool | None:
        """Whether the columns of an output are one field; None where that follows from its width."""
        if self.request.columns is not None:
            return self.request.columns == "joint"
        return True if isinstance(self.problem, OperatorProblem) else None

    @cached_property
    def costs(self) -> Costs:
        """Of what a site may become, in what the request wants small."""
        per_byte = 0.0 if self.request.objective == "size" else self._per_byte
        return costs_on(self.device, self.request.batch, self.request.objective, per_byte=per_byte)

    @cached_property
    def validation(self) -> Sample:
        """What candidates are chosen by."""
        if self.folded_from is not None:
            return self.folded_from.validation
        return self._sample(self.points.validation, self.deployed)

    @cached_property
    def deployed(self) -> Array:
        """The dense model's outputs at the validation points, as deployed: (n, m)."""
        if self.folded_from is not None:
            return self.folded_from.deployed
        return self._run_dense(self.points.validation)

    def fresh(self, attempt: int, times: int = 1) -> Sample:
        """What a choice is certified on; no two attempts see the same. Of so many times as many points."""
        return self._sample(self.points.fresh(attempt, times))

    @cached_property
    def fresh_rows(self) -> int:
        """How many points a choice is certified on."""
        return len(self.points.fresh(0))

    def likely(self, attempt: int) -> float:
        """Candidates with at most this error, on the validation points, are mostly certified."""
        if self.request.norm == "max":
            return PEAKS * self.request.tolerance
        return self.request.tolerance * likely_part(self.fresh_rows, risk_of(attempt))

    @cached_property
    def solution(self) -> Sample:
        """The problem's solution at the validation points; the dense outputs where it is not known."""
        points = self.points.validation
        return Sample(points, self.reference(points) if self.reference else self.deployed)

    def _sample(self, points: Array, deployed: Array | None = None) -> Sample:
        """What is wanted there; ``deployed`` are the dense outputs, where they are known."""
        if self.against == "reference" and self.reference is not None:
            wanted = self.reference(points)
        else:
            wanted = self._run_dense(points) if deployed is None else deployed
        if self.request.derivatives is None:
            return Sample(points, wanted)
        return Sample(points, wanted, self.slopes.at(points))

    @property
    def _run_dense(self) -> Reference:
        return partial(run_float32, self.dense)

    @cached_property
    def costs_by_precision(self) -> dict[Precision, Costs]:
        """Bytes, for each precision in which weights may be stored."""
        return {p: costs_on(self.device, self.request.batch, "size", p) for p in PRECISIONS}

    @cached_property
    def dense_cost(self) -> float:
        """Of the network as it is."""
        return self.cost_at(self.whole.matrices, *self.dense_seconds_and_joules)

    @cached_property
    def groups(self) -> tuple[NeuronGroup, ...]:
        """The groups from which neurons can be dropped."""
        return neuron_groups(self.split).groups

    @cached_property
    def neuron_orders(self) -> tuple[NeuronOrder, ...]:
        """The order in which each group keeps its neurons."""
        orders = []
        for group in self.groups:
            self.tell(f"ordering the {group.width} neurons of {group.producers[0]}")
            orders.append(order_group(self.split, group, self.measured))
        return tuple(orders)

    def kept(self, widths: Sequence[int]) -> dict[str, NDArray[np.int64]]:
        """The neurons that each producer keeps where its group has these widths, if it loses some."""
        return {
            name: self.neuron_orders[g].kept(width)
            for g, (group, width) in enumerate(zip(self.groups, widths, strict=True))
            if width < group.width
            for name in group.producers
        }

    @property
    def counted_cost(self) -> CountedCost | None:
        """What is wanted small, if that is counted."""
        return self.counted or (BYTES if self.request.objective == "size" else None)

    def seconds_and_joules(self, matrices: Matrices) -> tuple[float, float]:
        """Predicted time and energy of one call, all sites in their usual forms."""
        return self.seconds_and_joules_of(self._as_counted(self.split.skeleton, matrices))

    def _as_counted(self, skeleton: ModelProto, matrices: Matrices) -> ModelProto:
        """The graph by which a call on the device is priced."""
        return outline(skeleton, matrices, forms=usual_forms(matrices, self.device))

    @cached_property
    def dense_seconds_and_joules(self) -> tuple[float, float]:
        """The same of the dense network."""
        if self.folded_from is not None:
            return self.folded_from.dense_seconds_and_joules
        return self.seconds_and_joules_of(
            self._as_counted(self.whole.skeleton, self.whole.matrices)
        )

    @cached_property
    def dense_nodes(self) -> float:
        """How many nodes run in a call of the dense network."""
        whole = self.whole
        return graph_work(outline(whole.skeleton, whole.matrices), self.request.batch).nodes

    def seconds_and_joules_of(self, model: ModelProto) -> tuple[float, float]:
        """The same of a graph, of which an outline will do."""
        work = graph_work(model, self.request.batch)
        seconds = float(predicted_seconds(self.device, work))
        return seconds, float(energy_joules(self.device, work, seconds))

    def cost(self, matrices: Matrices) -> float:
        """What is wanted small: seconds, joules or bytes, or what a method counts."""
        if self.counted_cost is not None:
            return self.counted_cost.of(self.device, matrices)
        return self.cost_at(matrices, *self.seconds_and_joules(matrices))

    def cost_at(self, matrices: Matrices, seconds: float, joules: float) -> float:
        """The same of matrices for which these are predicted; of equals the fewer bytes cost less."""
        if self.counted_cost is not None:
            return self.counted_cost.of(self.device, matrices)
        return self._predicted(seconds, joules) + self._per_byte * byte_count(matrices)

    def _predicted(self, seconds: float, joules: float) -> float:
        return joules if self.request.objective == "energy" else seconds

    @cached_property
    def _per_byte(self) -> float:
        """What a byte costs beside what is predicted: all of the network's, a small part of that."""
        return (
            TIE * self._predicted(*self.dense_seconds_and_joules) / byte_count(self.whole.matrices)
        )

    def error(self, matrices: Matrices, sample: Sample) -> ErrorEstimate:
        """As deployed: in float32, by the runtime."""
        return self.error_of(assemble(self.split.skeleton, matrices), sample)

    def error_of(self, model: ModelProto, sample: Sample) -> ErrorEstimate:
        """The same of a runnable model; each field by itself."""
        outputs = run_float32(model, sample.points)
        if outputs.shape != sample.targets.shape:
            raise InputError(
                f"against reference: the model has {outputs.shape[1]} output(s), "
                f"the reference {sample.targets.shape[1]}; name the problem it was trained on"
            )
        return output_error(
            outputs, sample.targets, self.fields, to_spread=self.to_spread, norm=self.request.norm
        )

    def validation_error(self, matrices: Matrices) -> float:
        """What candidates are chosen by: the error that is promised, on the validation points.

        In the norm "max" their worst neighbours count as well.
        """
        if self.folded_from is None and self.split.holds(matrices):
            return self._dense_validation_error
        return self.validation_error_of(assemble(self.split.skeleton, matrices))

    @cached_property
    def _dense_validation_error(self) -> float:
        return self.validation_error_of(assemble(self.split.skeleton, self.split.matrices))

    def validation_error_of(self, model: ModelProto) -> float:
        """The same of a runnable model; where derivatives are promised, theirs in parts of the tolerance."""
        if self.request.norm == "max":
            error = self.largest_error(model, self.validation, self.request.seed)
        else:
            error = self.error_of(model, self.validation).relative
        if self.request.derivatives is None:
            return error
        of_slopes = self.slope_error(model, self.validation)
        part = 0.0 if of_slopes is None else of_slopes.relative / self.request.derivatives
        return max(error, part * self.request.tolerance)

    def slope_error(self, model: ModelProto, sample: Sample) -> ErrorEstimate | None:
        """That of derivatives on a sample, or on some of it unless they are promised; None without any."""
        if self.no_slopes:
            return None
        points, wanted = sample.points, sample.slopes
        if wanted is None:
            points = points[:REPORTED_POINTS]
            wanted = self.slopes.at(points)
        return self.slopes.error(model, points, wanted) if wanted.any() else None

    def largest_error(self, model: ModelProto, sample: Sample, seed: int) -> float:
        """max |δu| / max |u| of the worst field, searched for around the worst points where a box is known.

        max |u| is that over the sample.
        """
        box = self.points.domain
        if box is None:
            return self.error_of(model, sample).largest
        sizes = np.repeat(peak_sizes(sample.targets, self.fields), self.fields)

        def error_at(points: Array) -> Array:
            missed = run_float32(model, points) - self._sample(points).targets
            return np.asarray(np.nan_to_num(np.abs(missed) / sizes, nan=np.inf).max(axis=1))

        return largest_nearby(error_at, sample.points, box, seed)
