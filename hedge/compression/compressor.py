"""compress: the cheapest replacement of a model's sites whose error stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.compression.allocation import Costs, best_rank, best_widths, costs_on
from hedge.compression.fitting import RankRule, fit_sites, truncate_plainly
from hedge.compression.measure import (
    ErrorEstimate,
    Measurements,
    Reference,
    measure,
    output_error,
)
from hedge.compression.neurons import NeuronOrder, Reading, order_neurons
from hedge.compression.plan import (
    Plan,
    Request,
    Source,
    byte_count,
    describe_sites,
    parameter_count,
)
from hedge.compression.points import PointSets
from hedge.devices import Device, energy_joules, predicted_seconds
from hedge.errors import InputError, ToleranceError
from hedge.graph import (
    NeuronGroup,
    SiteMatrix,
    SplitModel,
    assemble,
    graph_work,
    neuron_groups,
    run_float32,
)
from hedge.version import __version__

Array = NDArray[np.float64]
Matrices = Mapping[str, SiteMatrix]
Builder = Callable[[float], Matrices]
"""price λ -> matrices that minimise cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / tolerance², and bisections within them.
PRICE_DECADES, PRICE_STEPS = 4.0, 10
# The search aims a little below the tolerance, and lower after each certification that fails.
FIRST_AIM, NEXT_AIM = 0.97, 0.9
# The error of activations that fits must bear, see fit_sites.
NOISE_OF_TOLERANCE = 0.1


@dataclass(frozen=True)
class CompressedModel:
    """A skeleton graph, the matrices of its sites, and the plan that says how they were chosen."""

    skeleton: ModelProto
    matrices: Matrices
    plan: Plan

    def to_onnx(self) -> ModelProto:
        """The runnable float32 model, bare; :func:`hedge.exporting.to_onnx` adds the metadata."""
        return assemble(self.skeleton, self.matrices)


@dataclass(frozen=True)
class _Task:
    """What stays fixed while candidates are tried."""

    split: SplitModel
    device: Device
    request: Request
    costs: Costs
    measured: Measurements
    points: PointSets
    target: Reference

    def seconds_and_joules(self, matrices: Matrices) -> tuple[float, float]:
        work = graph_work(assemble(self.split.skeleton, matrices), self.request.batch)
        seconds = float(predicted_seconds(self.device, work))
        return seconds, float(energy_joules(self.device, work, seconds))

    def cost(self, matrices: Matrices) -> float:
        seconds, joules = self.seconds_and_joules(matrices)
        of = {"latency": seconds, "energy": joules, "size": float(byte_count(matrices))}
        return of[self.request.objective]

    def error(self, matrices: Matrices, points: Array) -> ErrorEstimate:
        """As deployed: in float32, by the runtime."""
        outputs = run_float32(assemble(self.split.skeleton, matrices), points)
        target = self.target(points)
        if outputs.shape != target.shape:
            raise InputError(
                f"against reference: the model has {outputs.shape[1]} output(s), "
                f"the reference {target.shape[1]}; name the problem it was trained on"
            )
        return output_error(outputs, target, self.measured.columns)


def compress(
    split: SplitModel,
    device: Device,
    points: PointSets,
    request: Request,
    source: Source,
    *,
    reference: Reference | None = None,
    on_progress: Callable[[str], None] = lambda message: None,
) -> CompressedModel:
    """Compress a split model for ``device``: cheapest by its cost model, within the tolerance.

    The error is the relative L2 norm over the domain against the dense model's outputs, or against
    ``reference`` (points (n, d) -> (n, m)), certified on points that nothing was fitted to or
    chosen by. Where the graph has several outputs the tolerance holds for each of them. Where nothing
    gains, the sites stay dense and the plan says so.

    Raises ToleranceError if the dense model itself is further than the tolerance from the
    reference, InputError if the reference has other outputs, ModelError for a model whose output
    is zero, not finite or mixes rows.
    """
    on_progress("measuring activations and how the output feels each site")
    task = _Task(
        split=split,
        device=device,
        request=request,
        costs=costs_on(device, request.batch, request.objective),
        measured=measure(split, points.fit, request.seed),
        points=points,
        target=reference or partial(run_float32, assemble(split.skeleton, split.matrices)),
    )
    _check_dense(task, task.error(split.matrices, points.validation))
    return _cheapest_certified(task, source, reference, on_progress)


def _check_dense(task: _Task, error: ErrorEstimate) -> None:
    """Refuse a tolerance that not even the dense model keeps (against itself it keeps any)."""
    if not error.surely_within(task.request.tolerance):
        raise ToleranceError(
            f"tolerance: {task.request.tolerance:g} can't be met; the best is the dense model "
            f"itself, {error.relative:.2e} away from the reference: train it further or allow more"
        )


def _cheapest_certified(
    task: _Task,
    source: Source,
    reference: Reference | None,
    on_progress: Callable[[str], None],
) -> CompressedModel:
    dense = task.split.matrices
    aim = FIRST_AIM * task.request.tolerance
    for attempt in range(task.points.attempts):
        candidates: list[Matrices] = [dense]
        for name, build in _builders(task):
            on_progress(f"searching {name} with error up to {aim:.2e}")
            candidates += _affordable(task, build, aim)
        cheapest = min(candidates, key=task.cost)
        gains = task.cost(cheapest) < task.cost(dense)
        fresh = task.points.fresh(attempt)
        error = task.error(cheapest, fresh)
        if not gains:
            _check_dense(task, error)
        if error.surely_within(task.request.tolerance):
            request = task.request
            note = f"no rank or width within the tolerance gains {request.objective} "
            note += f"at batch {request.batch} on {task.device.name}"
            plan = _plan(
                task, cheapest, error, len(fresh), source, reference, "" if gains else note
            )
            return CompressedModel(task.split.skeleton, cheapest, plan)
        aim *= NEXT_AIM
    note = f"no candidate could be certified on {len(fresh)} fresh points; give more samples"
    error = task.error(dense, fresh)
    _check_dense(task, error)
    plan = _plan(task, dense, error, len(fresh), source, reference, note)
    return CompressedModel(task.split.skeleton, dense, plan)


def _affordable(task: _Task, build: Builder, aim: float) -> Iterator[Matrices]:
    """Bisect the price; yield every candidate whose error on the validation points is within aim."""
    scale = task.cost(task.split.matrices) / task.request.tolerance**2
    low, high = -PRICE_DECADES, PRICE_DECADES
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        matrices = build(scale * 10.0**middle)
        if task.error(matrices, task.points.validation).relative <= aim:
            yield matrices
            high = middle
        else:
            low = middle


def _builders(task: _Task) -> list[tuple[str, Builder]]:
    """The families of candidates the request allows."""
    split, measured, costs = task.split, task.measured, task.costs

    noise = NOISE_OF_TOLERANCE * task.request.tolerance

    def rank_rule(price: float) -> RankRule:
        return lambda outputs, inputs, tail: best_rank(outputs, inputs, tail, costs, price)

    def plainly(price: float) -> Matrices:
        def rule(outputs: int, inputs: int, tail: Array) -> int | None:
            return best_rank(outputs, inputs, tail / max(tail[0], 1e-300), costs, price)

        return truncate_plainly(split, rule)

    def factorized(price: float) -> Matrices:
        return fit_sites(split, measured, {}, rank_rule(price), noise)

    groups = neuron_groups(split).groups
    orders = [_neuron_order(split, group, measured) for group in groups]

    def narrowed(price: float) -> Matrices:
        widths = best_widths(split, groups, orders, costs, price)
        kept = {
            name: order.kept(width)
            for group, order, width in zip(groups, orders, widths, strict=True)
            if width < group.width
            for name in group.producers
        }
        return fit_sites(split, measured, kept, rank_rule(price), noise)

    if task.request.method == "svd":
        return [("plain ranks", plainly)]
    if task.request.keep_widths or not groups:
        return [("ranks", factorized)]
    return [("ranks", factorized), ("widths and ranks", narrowed)]


def _neuron_order(split: SplitModel, group: NeuronGroup, measured: Measurements) -> NeuronOrder:
    """The group's order by what all its consumers read; those of one tensor feel its error together."""
    metrics: dict[str, Array] = {}
    activations: dict[str, Array] = {}
    for site in split.sites:
        if site.name in group.consumers:
            weight = site.matrix.dense()
            felt = weight.T @ measured.sensitivities[site.name] @ weight
            metrics[site.input] = metrics.get(site.input, 0.0) + felt
            activations[site.input] = measured.inputs[site.name]
    return order_neurons([Reading(activations[name], metrics[name]) for name in metrics])


def _plan(
    task: _Task,
    matrices: Matrices,
    error: ErrorEstimate,
    fresh_points: int,
    source: Source,
    reference: Reference | None,
    note: str,
) -> Plan:
    request, dense = task.request, task.split.matrices
    seconds, joules = task.seconds_and_joules(matrices)
    dense_seconds, dense_joules = task.seconds_and_joules(dense)
    narrows = request.method != "svd" and not request.keep_widths
    whole = neuron_groups(task.split).reasons if narrows else {}
    probed = task.measured.probed
    return Plan(
        method=request.method,
        objective=request.objective,
        keep_widths=request.keep_widths,
        batch=request.batch,
        seed=request.seed,
        device=task.device.name,
        points=task.points.origin,
        against="dense" if reference is None else "reference",
        tolerance=request.tolerance,
        relative_error=error.relative,
        fresh_points=fresh_points,
        parameters=parameter_count(matrices),
        dense_parameters=parameter_count(dense),
        bytes=byte_count(matrices),
        dense_bytes=byte_count(dense),
        predicted_s=seconds,
        dense_predicted_s=dense_seconds,
        energy_j=joules,
        dense_energy_j=dense_joules,
        gains=not note,
        note=note,
        source=source.name,
        source_sha256=source.sha256,
        problem=source.problem,
        hedge_version=__version__,
        sensitivities=f"probed: {', '.join(probed)}" if probed else "exact",
        left_alone=task.split.left_alone,
        sites=describe_sites(task.split.sites, matrices, note, whole),
    )
