"""compress: the cheapest replacement of a model's sites whose error stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.compression.allocation import best_rank, best_widths, costs_on
from hedge.compression.fitting import RankRule, fit_sites, truncate_plainly
from hedge.compression.measure import (
    ErrorEstimate,
    Measurements,
    Reference,
    measure,
)
from hedge.compression.neurons import NeuronOrder, Reading, order_neurons
from hedge.compression.plan import (
    Plan,
    Request,
    Rung,
    Source,
    byte_count,
    describe_sites,
    parameter_count,
)
from hedge.compression.points import PointSets
from hedge.compression.task import Matrices, Task
from hedge.devices import Device
from hedge.errors import ToleranceError
from hedge.graph import (
    NeuronGroup,
    SplitModel,
    assemble,
    neuron_groups,
    run_float32,
)
from hedge.version import __version__

Array = NDArray[np.float64]
Builder = Callable[[float], Matrices]
"""price λ -> matrices that minimise cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / aim², and bisections within them.
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


def prepare(
    split: SplitModel,
    device: Device,
    points: PointSets,
    request: Request,
    source: Source,
    *,
    reference: Reference | None = None,
) -> Task:
    """Measure activations and how the output feels each site, at the fit points.

    Errors are against the dense model's outputs, or against ``reference`` (points (n, d) -> (n, m)).

    Raises ToleranceError if the dense model itself is further than the tolerance from the reference,
    InputError if the reference has other outputs, ModelError for a model whose output is zero, not
    finite or mixes rows.
    """
    return Task(
        split=split,
        device=device,
        request=request,
        source=source,
        costs=costs_on(device, request.batch, request.objective),
        measured=measure(split, points.fit, request.seed),
        points=points,
        against="dense" if reference is None else "reference",
        target=reference or partial(run_float32, assemble(split.skeleton, split.matrices)),
    )


def compress(
    task: Task, on_progress: Callable[[str], None] = lambda message: None
) -> CompressedModel:
    """The cheapest replacement of the sites by the device's cost model, within the tolerance.

    The error is the relative L2 norm over the domain, certified on points that nothing was fitted to
    or chosen by. Where the graph has several outputs the tolerance holds for each of them. Where
    nothing gains, the sites stay dense and the plan says so.

    Raises ToleranceError if the dense model itself is further than the tolerance from the reference.
    """
    _check_dense(task, task.error(task.split.matrices, task.validation))
    return _cheapest_certified(task, on_progress)


def certified(task: Task, matrices: Matrices, attempt: int) -> CompressedModel | None:
    """The model with these matrices if its error on fresh points is within the tolerance."""
    sample = task.fresh(attempt)
    error = task.error(matrices, sample)
    if not error.surely_within(task.request.tolerance):
        return None
    gains = task.cost(matrices) < task.cost(task.split.matrices)
    plan = plan_of(task, matrices, error, len(sample.points), "" if gains else _no_gain(task))
    return CompressedModel(task.split.skeleton, matrices, plan)


def with_recovery(model: CompressedModel, recovery: str, rungs: Sequence[Rung]) -> CompressedModel:
    """The same model with how it was recovered in its plan."""
    plan = model.plan.model_copy(update={"recovery": recovery, "rungs": tuple(rungs)})
    return replace(model, plan=plan)


def _no_gain(task: Task) -> str:
    request = task.request
    return (
        f"no rank or width within the tolerance gains {request.objective} at batch "
        f"{request.batch} on {task.device.name}"
    )


def _check_dense(task: Task, error: ErrorEstimate) -> None:
    """Refuse a tolerance that not even the dense model keeps (against itself it keeps any)."""
    if not error.surely_within(task.request.tolerance):
        raise ToleranceError(
            f"tolerance: {task.request.tolerance:g} can't be met; the best is the dense model "
            f"itself, {error.relative:.2e} away from the reference: train it further or allow more"
        )


def _cheapest_certified(task: Task, on_progress: Callable[[str], None]) -> CompressedModel:
    dense = task.split.matrices
    aim = FIRST_AIM * task.request.tolerance
    for attempt in range(task.points.attempts):
        candidates: list[Matrices] = [dense]
        for name, build in _builders(task):
            on_progress(f"searching {name} with error up to {aim:.2e}")
            candidates += affordable(task, build, aim)
        cheapest = min(candidates, key=task.cost)
        found = certified(task, cheapest, attempt)
        if found is not None:
            return found
        if cheapest is dense:
            _check_dense(task, task.error(dense, task.fresh(attempt)))
        aim *= NEXT_AIM
    sample = task.fresh(task.points.attempts - 1)
    error = task.error(dense, sample)
    _check_dense(task, error)
    count = len(sample.points)
    note = f"no candidate could be certified on {count} fresh points; give more samples"
    return CompressedModel(task.split.skeleton, dense, plan_of(task, dense, error, count, note))


def affordable(task: Task, build: Builder, aim: float) -> Iterator[Matrices]:
    """Bisect the price; yield every candidate whose error on the validation points is within aim."""
    scale = task.cost(task.split.matrices) / aim**2
    low, high = -PRICE_DECADES, PRICE_DECADES
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        matrices = build(scale * 10.0**middle)
        if task.error(matrices, task.validation).relative <= aim:
            yield matrices
            high = middle
        else:
            low = middle


def _builders(task: Task) -> list[tuple[str, Builder]]:
    """The families of candidates the request allows."""
    split, measured, costs = task.split, task.measured, task.costs

    noise = NOISE_OF_TOLERANCE * task.request.tolerance

    def plainly(price: float) -> Matrices:
        def rule(outputs: int, inputs: int, tail: Array) -> int | None:
            return best_rank(outputs, inputs, tail / max(tail[0], 1e-300), costs, price)

        return truncate_plainly(split, rule)

    def factorized(price: float) -> Matrices:
        return fit_sites(split, measured, {}, _rank_rule(task, price), noise)

    kept_at = neuron_choice(task)

    def narrowed(price: float) -> Matrices:
        return fit_sites(split, measured, kept_at(price), _rank_rule(task, price), noise)

    if task.request.method == "svd":
        return [("plain ranks", plainly)]
    if task.request.keep_widths or not neuron_groups(split).groups:
        return [("ranks", factorized)]
    return [("ranks", factorized), ("widths and ranks", narrowed)]


def cuts(task: Task) -> Builder:
    """price λ -> fewer neurons, or lower ranks where widths are kept: one family, to be fitted again."""
    noise = NOISE_OF_TOLERANCE * task.request.tolerance
    if task.request.keep_widths:
        return lambda price: fit_sites(
            task.split, task.measured, {}, _rank_rule(task, price), noise
        )
    kept_at = neuron_choice(task)
    return lambda price: fit_sites(
        task.split, task.measured, kept_at(price), lambda *shape_and_tail: None, noise
    )


def _rank_rule(task: Task, price: float) -> RankRule:
    return lambda outputs, inputs, tail: best_rank(outputs, inputs, tail, task.costs, price)


def neuron_choice(task: Task) -> Callable[[float], dict[str, NDArray[np.int64]]]:
    """price λ -> the neurons that each producer keeps, where it loses some."""
    groups = neuron_groups(task.split).groups
    orders = [_neuron_order(task.split, group, task.measured) for group in groups]

    def kept_at(price: float) -> dict[str, NDArray[np.int64]]:
        widths = best_widths(task.split, groups, orders, task.costs, price)
        return {
            name: order.kept(width)
            for group, order, width in zip(groups, orders, widths, strict=True)
            if width < group.width
            for name in group.producers
        }

    return kept_at


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


def plan_of(
    task: Task, matrices: Matrices, error: ErrorEstimate, fresh_points: int, note: str
) -> Plan:
    """The plan of these matrices, whose ``error`` was measured on so many fresh points."""
    request, source, dense = task.request, task.source, task.split.matrices
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
        against=task.against,
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
