"""compress: the cheapest replacement of a model's sites whose error stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.compression.allocation import Costs, best_rank, best_widths, costs_on
from hedge.compression.fitting import Choice, dense_targets, fit_sites, truncate_plainly
from hedge.compression.measure import (
    ErrorEstimate,
    Measurements,
    Reference,
    measure,
    output_error,
)
from hedge.compression.neurons import NeuronOrder, order_neurons
from hedge.compression.paper import ALGORITHMS, Algorithm, partition_sites
from hedge.compression.plan import (
    Plan,
    Request,
    Source,
    blocks_of,
    byte_count,
    describe_sites,
    parameter_count,
)
from hedge.compression.points import PointSets
from hedge.compression.structures import (
    best_factors,
    best_stored,
    best_structure,
    ever_in_blocks,
)
from hedge.compression.target import SiteTarget
from hedge.devices import (
    Device,
    energy_joules,
    paper_bound_seconds,
    paper_energy_joules,
    predicted_seconds,
)
from hedge.errors import InputError, ToleranceError
from hedge.graph import (
    PRECISIONS,
    HiddenLayer,
    Matrix,
    Precision,
    SplitModel,
    assemble,
    graph_work,
    hidden_layers,
    run_float32,
)
from hedge.version import __version__

Array = NDArray[np.float64]
Matrices = Mapping[str, Matrix]
Builder = Callable[[float], Matrices]
"""price λ -> matrices that minimise cost + λ · error² over one family of candidates."""

# Decades of λ to either side of (dense cost) / tolerance², and bisections within them.
PRICE_DECADES, PRICE_STEPS = range(-4, 5), 10
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

    @cached_property
    def price_scale(self) -> float:
        """The price at which an error of the tolerance costs as much as the dense network."""
        return self.dense_cost / self.request.tolerance**2

    @cached_property
    def costs_by_precision(self) -> dict[Precision, Costs]:
        """Bytes, for each precision in which weights may be stored."""
        return {p: costs_on(self.device, self.request.batch, "size", p) for p in PRECISIONS}

    def seconds_and_joules(self, matrices: Matrices) -> tuple[float, float]:
        work = graph_work(assemble(self.split.skeleton, matrices), self.request.batch)
        seconds = float(predicted_seconds(self.device, work))
        return seconds, float(energy_joules(self.device, work, seconds))

    def cost(self, matrices: Matrices) -> float:
        if self.request.method == "paper":
            return paper_energy_joules(self.device, blocks_of(matrices))
        seconds, joules = self.seconds_and_joules(matrices)
        of = {"latency": seconds, "energy": joules, "size": float(byte_count(matrices))}
        return of[self.request.objective]

    @cached_property
    def dense_cost(self) -> float:
        """Of the network as it is."""
        return self.cost(self.split.matrices)

    def error(self, matrices: Matrices, points: Array) -> ErrorEstimate:
        """As deployed: in float32, by the runtime."""
        return self._error(matrices, points, self.target(points))

    def validation_error(self, matrices: Matrices) -> ErrorEstimate:
        """The same on the validation points."""
        return self._error(matrices, self.points.validation, self._validation_target)

    @cached_property
    def _validation_target(self) -> Array:
        return self.target(self.points.validation)

    def _error(self, matrices: Matrices, points: Array, target: Array) -> ErrorEstimate:
        outputs = run_float32(assemble(self.split.skeleton, matrices), points)
        if outputs.shape != target.shape:
            raise InputError(
                f"against reference: the model has {outputs.shape[1]} output(s), "
                f"the reference {target.shape[1]}; name the problem it was trained on"
            )
        return output_error(outputs, target)


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
    chosen by. Where nothing gains, the sites stay dense and the plan says so.

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
    _check_dense(task, task.validation_error(split.matrices))
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
    builders = _builders(task)
    for attempt in range(task.points.attempts):
        candidates: list[Matrices] = [dense]
        for name, build in builders:
            on_progress(f"searching {name} with error up to {aim:.2e}")
            candidates += _affordable(task, build, aim)
        cheapest = min(candidates, key=task.cost)
        gains = task.cost(cheapest) < task.dense_cost
        fresh = task.points.fresh(attempt)
        error = task.error(cheapest, fresh)
        if not gains:
            _check_dense(task, error)
        if error.surely_within(task.request.tolerance):
            request = task.request
            gained = "the paper's energy" if request.method == "paper" else request.objective
            note = f"no rank or width within the tolerance gains {gained} "
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
    low, high = float(PRICE_DECADES[0]), float(PRICE_DECADES[-1])
    for _ in range(PRICE_STEPS):
        middle = (low + high) / 2.0
        matrices = build(task.price_scale * 10.0**middle)
        if task.validation_error(matrices).relative <= aim:
            yield matrices
            high = middle
        else:
            low = middle


def _builders(task: _Task) -> list[tuple[str, Builder]]:
    """The families of candidates the request allows."""
    split, measured, costs = task.split, task.measured, task.costs

    if task.request.method == "svd":
        return [("plain ranks", partial(_truncated_plainly, task))]
    if task.request.method == "paper":
        return [(name, partial(_partitioned, task, one)) for name, one in ALGORITHMS.items()]
    noise = NOISE_OF_TOLERANCE * task.request.tolerance
    targets = dense_targets(split, measured, noise)
    cut = _sites_in_blocks(task, targets)
    layers = hidden_layers(split)
    orders = _neuron_orders(split, layers, measured)

    def choice(price: float, blocks: bool) -> Choice:
        def choose(name: str, target: SiteTarget) -> Matrix:
            structure = best_structure if blocks and name in cut else best_factors
            if task.request.objective == "size":
                return best_stored(target, task.costs_by_precision, price, structure)
            return structure(target, costs, price)

        return choose

    def ranks(price: float) -> Matrices:
        return fit_sites(split, measured, {}, choice(price, blocks=False), noise, targets)

    def blocks(price: float) -> Matrices:
        return fit_sites(split, measured, {}, choice(price, blocks=True), noise, targets)

    def widths(price: float) -> Matrices:
        best = best_widths(split, layers, orders, costs, price)
        kept = {
            name: orders[name].kept(width)
            for name, width in best.items()
            if width < split.matrices[name].shape[0]
        }
        return fit_sites(split, measured, kept, choice(price, blocks=True), noise, targets)

    families: list[tuple[str, Builder]] = [("ranks", ranks)]
    if cut:
        families.append(("blocks", blocks))
    if layers and not task.request.keep_widths:
        families.append(("widths and ranks", widths))
    return families


def _truncated_plainly(task: _Task, price: float) -> Matrices:
    def rule(outputs: int, inputs: int, tail: Array) -> int | None:
        return best_rank(outputs, inputs, tail / max(tail[0], 1e-300), task.costs, price)

    return truncate_plainly(task.split, rule)


def _partitioned(task: _Task, algorithm: Algorithm, price: float) -> Matrices:
    """The one knob of the paper's algorithms is a tolerance: the less, the higher the price."""
    relative = task.request.tolerance * task.price_scale / price
    return partition_sites(task.split, task.device, algorithm, relative)


def _sites_in_blocks(task: _Task, targets: Mapping[str, SiteTarget]) -> set[str]:
    """The sites for which blocks are best at some price of error, in the dense network."""
    prices = [task.price_scale * 10.0**decade for decade in PRICE_DECADES]
    return {name for name, target in targets.items() if ever_in_blocks(target, task.costs, prices)}


def _neuron_orders(
    split: SplitModel, layers: tuple[HiddenLayer, ...], measured: Measurements
) -> dict[str, NeuronOrder]:
    orders = {}
    for layer in layers:
        weight = split.matrices[layer.consumer].dense()
        felt = weight.T @ measured.sensitivities[layer.consumer] @ weight
        orders[layer.producer] = order_neurons(measured.inputs[layer.consumer], felt)
    return orders


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
        paper_energy_j=paper_energy_joules(task.device, blocks_of(matrices)),
        paper_bound_s=paper_bound_seconds(task.device, blocks_of(matrices), request.batch),
        gains=not note,
        note=note,
        source=source.name,
        source_sha256=source.sha256,
        problem=source.problem,
        hedge_version=__version__,
        sites=describe_sites(task.split.sites, matrices, note),
    )
