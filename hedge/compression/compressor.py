"""compress: the cheapest replacement of a model's sites whose error stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from importlib.metadata import version

from onnx import ModelProto

from hedge.compression.allocation import Objective, costs_on
from hedge.compression.families import affordable, families
from hedge.compression.measure import ErrorEstimate, Reference, check_not_zero, measure
from hedge.compression.plan import FITTED_AGAIN, Plan, Rung, Trial, versions
from hedge.compression.points import PointSets
from hedge.compression.request import Method, Request, Source
from hedge.compression.shares import error_shares
from hedge.compression.site_plan import (
    SitePlan,
    blocks_of,
    byte_count,
    describe_sites,
    parameter_count,
)
from hedge.compression.task import Matrices, Task, TimeRatio
from hedge.devices import (
    LEAST_GAIN,
    Device,
    marginal_seconds,
    paper_bound_seconds,
    paper_energy_joules,
)
from hedge.documents import LARGEST
from hedge.errors import ToleranceError
from hedge.graph import (
    Form,
    SplitModel,
    assemble,
    best_forms,
    check_finite,
    forms_of,
    neuron_groups,
    run_float32,
    site_works,
    works_by_site,
)
from hedge.version import __version__

# The search aims a little below the tolerance, and lower after each certification that fails.
FIRST_AIM, NEXT_AIM = 0.97, 0.9


@dataclass(frozen=True)
class CompressedModel:
    """A skeleton graph, the matrices of its sites, and the plan that says how they were chosen."""

    skeleton: ModelProto
    matrices: Matrices
    plan: Plan

    def to_onnx(self) -> ModelProto:
        """The runnable float32 model, bare; :func:`hedge.exporting.to_onnx` adds the metadata."""
        return assemble(self.skeleton, self.matrices)

    def forms(self, device: Device | None = None, batch: int | None = None) -> Mapping[str, Form]:
        """What each site is exported as for ``batch`` rows on ``device``, or as compressed for.

        The form predicted to be fastest; the usual one where size was the objective and nothing is asked,
        or no device is known.
        """
        plan = self.plan
        objective: Objective = "latency" if device or batch else plan.objective
        return forms_on(
            self.skeleton,
            self.matrices,
            device or plan.device_profile,
            batch or plan.batch,
            plan.method,
            objective,
        )


def forms_on(
    skeleton: ModelProto,
    matrices: Matrices,
    device: Device | None,
    batch: int,
    method: Method,
    objective: Objective,
) -> Mapping[str, Form]:
    """The form of each site; the paper's partition keeps its blocks: it is there to be compared with."""
    if device is None or objective == "size":
        return {name: forms_of(matrix)[0] for name, matrix in matrices.items()}
    without: list[Form] = ["dense"] if method == "paper" else []
    return best_forms(skeleton, matrices, device, batch, without)


def prepare(
    split: SplitModel,
    device: Device,
    points: PointSets,
    request: Request,
    source: Source,
    *,
    reference: Reference | None = None,
    time_ratio: TimeRatio | None = None,
) -> Task:
    """Measure activations and how the output feels each site, at the fit points.

    Errors are against the dense model's outputs, or against ``reference`` (points (n, d) -> (n, m)).
    ``time_ratio`` measures candidates where the device is at hand, see :func:`confirmed`.

    Raises ModelError for a model whose output is zero, not finite or mixes rows.
    """
    measured = measure(split, points.fit, request.seed)
    dense = assemble(split.skeleton, split.matrices)
    deployed = run_float32(dense, points.validation)
    check_finite(deployed)
    check_not_zero(deployed)
    return Task(
        split=split,
        device=device,
        request=request,
        source=source,
        costs=costs_on(device, request.batch, request.objective),
        measured=measured,
        points=points,
        against="dense" if reference is None else "reference",
        target=reference or partial(run_float32, dense),
        time_ratio=time_ratio,
    )


def compress(
    task: Task, on_progress: Callable[[str], None] = lambda message: None
) -> CompressedModel:
    """The cheapest replacement of the sites by the device's cost model, within the tolerance.

    The error is the relative L2 norm over the domain, certified on points that nothing was fitted to
    or chosen by. Where the graph has several outputs the tolerance holds for each of them. Where
    nothing gains, the sites stay dense and the plan says so.

    Raises ToleranceError if the dense model itself is further than the tolerance from the reference,
    InputError if the reference has other outputs.
    """
    found = confirmed(task, _searched(task, on_progress))
    sites = error_shares(task, found.matrices, found.plan.sites)
    plan = found.plan.model_copy(update={"sites": sites, "no_shares": ""})
    return replace(found, plan=plan)


def _searched(task: Task, on_progress: Callable[[str], None]) -> CompressedModel:
    dense = task.split.matrices
    _check_dense(task, task.error(dense, task.validation))
    aim, candidates_of = FIRST_AIM * task.request.tolerance, families(task)
    for attempt in range(task.points.attempts):
        candidates: list[Matrices] = []
        trials: list[Trial] = []
        for name, family in candidates_of.items():
            on_progress(f"searching {name} with error up to {aim:.2e}")
            candidates += affordable(task, family, aim, partial(_record, task, trials, name))
        cheapest = min(candidates, key=task.cost, default=dense)
        if not task.gains(cheapest):
            return _kept_dense(task, attempt, _no_gain(task))
        found = certified(task, cheapest, attempt)
        if found is not None:
            return replace(found, plan=found.plan.model_copy(update={"trials": tuple(trials)}))
        aim *= NEXT_AIM
    last = task.points.attempts - 1
    count = len(task.fresh(last).points)
    note = f"no candidate could be certified on {count} fresh points; give more samples"
    return _kept_dense(task, last, note)


def _record(task: Task, trials: list[Trial], family: str, matrices: Matrices, error: float) -> None:
    """Add a candidate to those tried, once; one that overflows has no error to tell of."""
    if not error <= LARGEST:
        return
    seconds, _ = task.seconds_and_joules(matrices)
    parameters = parameter_count(matrices)
    trial = Trial(family=family, parameters=parameters, predicted_s=seconds, error=error)
    if trial not in trials:
        trials.append(trial)


def certified(task: Task, matrices: Matrices, attempt: int) -> CompressedModel | None:
    """The model with these matrices if its error on fresh points is within the tolerance."""
    sample = task.fresh(attempt)
    error = task.error(matrices, sample)
    if not error.surely_within(task.request.tolerance):
        return None
    note = "" if task.gains(matrices) else _no_gain(task)
    plan = _plan(task, matrices, error, len(sample.points), note)
    return CompressedModel(task.split.skeleton, matrices, plan)


def confirmed(task: Task, found: CompressedModel) -> CompressedModel:
    """The same model if it is measured to be faster than the dense one, else the dense one.

    Where the device is not at hand, or latency is not the objective, the prediction stands.
    """
    request = task.request
    predicted = request.objective != "latency" or request.method == "paper"
    if task.time_ratio is None or predicted or not found.plan.gains:
        return found
    ratio = task.time_ratio(assemble(found.skeleton, found.matrices, forms=found.forms()))
    if ratio > 1.0:
        note = (
            f"measured: not faster, the best candidate takes {ratio:.2f} times the dense model's time "
            f"at batch {request.batch}"
        )
        return _kept_dense(task, 0, note)
    return replace(found, plan=found.plan.model_copy(update={"time_ratio": ratio}))


def with_recovery(model: CompressedModel, recovery: str, rungs: Sequence[Rung]) -> CompressedModel:
    """The same model with how it was recovered in its plan."""
    update = {
        "recovery": recovery,
        "rungs": tuple(rungs),
        "versions": {**model.plan.versions, "torch": version("torch")},
    }
    return replace(model, plan=model.plan.model_copy(update=update))


def _kept_dense(task: Task, attempt: int, note: str) -> CompressedModel:
    """The dense model, and why; raises ToleranceError if it is too far from the reference."""
    _check_dense(task, task.error(task.split.matrices, task.fresh(attempt)))
    return dense_as_it_is(task, attempt, note)


def dense_as_it_is(
    task: Task, attempt: int = 0, note: str = "too far from the reference to be compressed alone"
) -> CompressedModel:
    """The dense model, whatever its error: where recovery starts that may come nearer to the reference."""
    sample, dense = task.fresh(attempt), task.split.matrices
    plan = _plan(task, dense, task.error(dense, sample), len(sample.points), note)
    return CompressedModel(task.split.skeleton, dense, plan)


def _no_gain(task: Task) -> str:
    request = task.request
    gained = "the paper's energy" if request.method == "paper" else request.objective
    enough = "" if task.counts_cost else f", by {LEAST_GAIN:.0%} or more as predictions need"
    return (
        f"no rank or width within the tolerance gains {gained} at batch {request.batch} "
        f"on {task.device.name}{enough}"
    )


def _check_dense(task: Task, error: ErrorEstimate) -> None:
    """Refuse a tolerance that not even the dense model keeps (against itself it keeps any)."""
    if not error.surely_within(task.request.tolerance):
        raise ToleranceError(
            f"tolerance: {task.request.tolerance:g} can't be met; the best is the dense model "
            f"itself, {error.relative:.2e} away from the reference: train it further or allow more"
        )


def _plan(
    task: Task, matrices: Matrices, error: ErrorEstimate, fresh_points: int, note: str
) -> Plan:
    """The plan of these matrices, whose ``error`` was measured on so many fresh points."""
    request, source, dense = task.request, task.source, task.split.matrices
    skeleton = task.split.skeleton
    asked = (request.batch, request.method, request.objective)
    forms = forms_on(skeleton, matrices, task.device, *asked)
    exported = assemble(skeleton, matrices, forms=forms)
    seconds, joules = task.seconds_and_joules_of(exported)
    dense_seconds, dense_joules = task.seconds_and_joules(dense)
    narrows = request.method == "hierarchical" and not request.keep_widths
    whole = neuron_groups(task.split).reasons if narrows else {}
    sites = describe_sites(task.split.sites, matrices, note, whole)
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
        max_error=error.largest,
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
        no_shares=FITTED_AGAIN,
        hedge_version=__version__,
        versions=versions(),
        command=request.command,
        device_profile=task.device,
        sensitivities=f"probed: {', '.join(probed)}" if probed else "exact",
        left_alone=task.split.left_alone,
        sites=_with_seconds(task, exported, sites),
    )


def _with_seconds(
    task: Task, exported: ModelProto, sites: tuple[SitePlan, ...]
) -> tuple[SitePlan, ...]:
    """The sites with what their nodes take by the device model, now and in the dense network."""
    batch = task.request.batch
    now = works_by_site(exported, task.split.matrices, batch)
    before = site_works(task.split, task.split.matrices, batch)
    return tuple(
        site.model_copy(
            update={
                "predicted_s": float(marginal_seconds(task.device, now[site.name])),
                "dense_predicted_s": float(marginal_seconds(task.device, before[site.name])),
            }
        )
        for site in sites
    )
