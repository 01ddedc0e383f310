"""compress: the cheapest replacement of a model's sites whose error stays within the tolerance."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType

from onnx import ModelProto

from hedge.compression.by_column import by_column, slope_errors, small_spread
from hedge.compression.case import Case, Matrices
from hedge.compression.confidence import TOTAL_RISK, risk_of, unseen_part
from hedge.compression.families import Family, Tried, families, tries
from hedge.compression.gains import gained, no_gain
from hedge.compression.measure import ErrorEstimate, Sample
from hedge.compression.network import Network
from hedge.compression.plan import FITTED_AGAIN, Plan, Rung, Trial, versions
from hedge.compression.points import rows_of_file
from hedge.compression.proof import proved_of
from hedge.compression.shares import error_shares
from hedge.compression.site_plan import SitePlan, byte_count, describe_sites, parameter_count
from hedge.devices import Device, Work, marginal_seconds
from hedge.documents import LARGEST
from hedge.errors import ToleranceError
from hedge.graph import (
    Form,
    assemble,
    forms_on,
    neuron_groups,
    outline,
    probed_ops,
    site_works,
    works_by_site,
)
from hedge.request import HIERARCHICAL, Objective
from hedge.version import __version__

# So many candidates of the search are put to the test, each on points of its own.
SEARCHES = 6
# Times that are as long measure up to so much longer, which fewer bytes are worth.
NO_SLOWER = 1.02
# The search aims a little below the tolerance, and lower after each certification that fails.
NEXT_AIM = 0.9


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
            objective,
        )


def compress(case: Case) -> CompressedModel:
    """The cheapest replacement of the sites by the device's cost model, within the tolerance.

    The error is the relative L2 norm over the domain, certified on points that nothing was fitted to
    or chosen by. Where the graph has several outputs the tolerance holds for each of them. Where
    nothing gains, the sites stay dense and the plan says so.

    Raises ToleranceError if the dense model itself is further than the tolerance from the reference,
    InputError if the reference has other outputs.
    """
    case = as_method(case, HIERARCHICAL)
    if case.no_prospect:
        case.tell(case.no_prospect)
        return _with_shares(case, _kept_dense(case, 0, case.no_prospect))
    return search(case, families(case))


def as_method(case: Case, name: str) -> Case:
    """The same case, for the method of that name: plans say so."""
    if case.request.method == name:
        return case  # with all that it has measured
    return replace(case, request=replace(case.request, method=name))


def search(case: Case, candidates_of: Mapping[str, Family]) -> CompressedModel:
    """The cheapest of what these families give at any price, as in :func:`compress`."""
    return _with_shares(case, confirmed(case, _searched(case, candidates_of)))


def first_certified(
    case: Case, matrices_within: Callable[[Case, float], Matrices]
) -> CompressedModel:
    """What a method gives that aims at an error, lower until it is certified; dense if that gains nothing."""
    _check_reachable(case)
    aim = case.likely(0)
    for attempt in range(min(SEARCHES, case.points.attempts)):
        matrices = matrices_within(case, aim)
        if not gained(case, matrices):
            return _with_shares(case, _kept_dense(case, attempt, no_gain(case)))
        found = certified(case, matrices, attempt)
        if found is not None:
            return _with_shares(case, confirmed(case, found))
        aim *= NEXT_AIM
    return _not_certified(Network(case, matrices))


def _with_shares(case: Case, found: CompressedModel) -> CompressedModel:
    sites = error_shares(case, found.matrices, found.plan.sites)
    plan = found.plan.model_copy(update={"sites": sites, "no_shares": ""})
    return replace(found, plan=plan)


def _searched(case: Case, candidates_of: Mapping[str, Family]) -> CompressedModel:
    _check_reachable(case)
    last = Network(case, case.split.matrices)
    aim = case.likely(0)
    for attempt in range(min(SEARCHES, case.points.attempts)):
        tried: dict[str, list[Tried]] = {}
        for name, family in candidates_of.items():
            case.tell(f"searching {name} with error up to {aim:.2e}")
            tried[name] = []
            for one in tries(case, family, aim):
                if any(one is other for other in tried[name]):
                    continue  # the same at another price
                tried[name].append(one)
                case.tell(f"searching {name}: {len(tried[name])} tried, error {one.error:.2e}")
        affordable = [one for found in tried.values() for one in found if one.error <= aim]
        cheapest = min(affordable, key=lambda one: one.cost, default=None)
        if cheapest is None or not gained(cheapest.network.case, cheapest.matrices):
            return _kept_dense(case, attempt, no_gain(case))
        last = cheapest.network
        found = certified(last.case, last.matrices, attempt)
        if found is not None:
            return replace(found, plan=found.plan.model_copy(update={"trials": _trials(tried)}))
        aim *= NEXT_AIM
    return _not_certified(last)


def _not_certified(network: Network) -> CompressedModel:
    """The dense model, and about how many rows of a file would do for this network."""
    case, attempt = network.case, min(SEARCHES, network.case.points.attempts)
    if case.request.certify:
        note = "of no candidate could the tolerance be proved; allow more, or leave out --certify"
        return _kept_dense(case.unfolded, attempt, note)
    error = case.error(network.matrices, case.validation)
    needed = error.rows_for(case.request.tolerance, risk_of(attempt))
    more = f", about {rows_of_file(needed):,} rows" if needed <= LARGEST else ""
    note = f"no candidate could be certified on {case.fresh_rows} fresh points; give more samples{more}"
    return _kept_dense(case.unfolded, attempt, note)


def _trials(tried: Mapping[str, Sequence[Tried]]) -> tuple[Trial, ...]:
    """What was tried of each family, once; one that overflows has no error to tell of."""
    trials = [
        Trial(
            family=name,
            parameters=parameter_count(one.matrices),
            predicted_s=one.seconds,
            error=one.error,
        )
        for name, found in tried.items()
        for one in found
        if one.error <= LARGEST
    ]
    return tuple(trial for i, trial in enumerate(trials) if trial not in trials[:i])


def certified(
    case: Case, matrices: Matrices, attempt: int, times: int = 1
) -> CompressedModel | None:
    """The model with these matrices if its error on fresh points is within the tolerance.

    Errors of few large parts need ``times`` as many points to be sure of.
    """
    case.tell(f"certifying {parameter_count(matrices):,} parameters on fresh points")
    sample = case.fresh(attempt, times)
    model = assemble(case.split.skeleton, matrices)
    error = case.error_of(model, sample)
    if not error.surely_within(case.request.tolerance, risk_of(attempt)):
        return None
    largest = error.largest
    if case.request.norm == "max":
        largest = case.largest_error(model, sample, case.request.seed + attempt)
        if not largest <= case.request.tolerance:
            return None
    of_slopes = case.slope_error(model, sample)
    promised = case.request.derivatives
    if promised and of_slopes and not of_slopes.surely_within(promised, risk_of(attempt)):
        return None
    note = "" if gained(case, matrices) else no_gain(case)
    errors = _Errors(error, largest, of_slopes)
    found = CompressedModel(
        case.split.skeleton, matrices, _plan(case, matrices, errors, attempt, note)
    )
    return _with_proof(case, found) if case.request.certify else found


def _with_proof(case: Case, found: CompressedModel) -> CompressedModel | None:
    proved = proved_of(case, assemble(found.skeleton, found.matrices, forms=found.forms()))
    if proved is None:
        return None
    return replace(found, plan=found.plan.model_copy(update={"proved": proved}))


@dataclass(frozen=True)
class _Errors:
    """Of a candidate on points of its own: the largest may be searched for, derivatives be without any."""

    outputs: ErrorEstimate
    largest: float
    slopes: ErrorEstimate | None

    @staticmethod
    def of(case: Case, model: ModelProto, sample: Sample) -> _Errors:
        """Those on a sample."""
        outputs = case.error_of(model, sample)
        return _Errors(outputs, outputs.largest, case.slope_error(model, sample))


def confirmed(case: Case, found: CompressedModel) -> CompressedModel:
    """The same model if it is measured to be faster than the dense one, else the dense one.

    One that is nearer to the reference than a dense one too far from it stays, whatever it takes. Where the
    device is not at hand, or latency is not the objective, the prediction stands.
    """
    request = case.request
    predicted = request.objective != "latency" or case.counted is not None
    if case.time_ratio is None or predicted or not found.plan.gains:
        return found
    ratio = case.time_ratio(assemble(found.skeleton, found.matrices, forms=found.forms()))
    most = NO_SLOWER if "size" in found.plan.gained else 1.0
    if ratio > most and _dense_error(case).surely_within(request.tolerance):
        note = (
            f"measured: not faster, the best candidate takes {ratio:.2f} times the dense model's time "
            f"at batch {request.batch}"
        )
        return _kept_dense(case.unfolded, found.plan.attempts, note)
    shown = tuple(name for name in found.plan.gained if name != "latency" or ratio <= 1.0)
    update = {"time_ratio": ratio, "gained": shown}
    return replace(found, plan=found.plan.model_copy(update=update))


def _dense_error(case: Case) -> ErrorEstimate:
    whole = case.unfolded
    return whole.error(whole.split.matrices, whole.validation)


def with_recovery(
    model: CompressedModel,
    recovery: str,
    rungs: Sequence[Rung],
    versions: Mapping[str, str] = MappingProxyType({}),
) -> CompressedModel:
    """The same model with how it was recovered in its plan, by packages of these ``versions`` too."""
    update = {
        "recovery": recovery,
        "rungs": tuple(rungs),
        "versions": {**model.plan.versions, **versions},
    }
    return replace(model, plan=model.plan.model_copy(update=update))


def _kept_dense(case: Case, attempt: int, note: str) -> CompressedModel:
    """The dense model, and why; raises ToleranceError if it is too far from the reference.

    Judged on the points of an attempt that none has seen, or of the last, where those of a file are used up.
    """
    attempt = min(attempt, case.points.attempts - 1)
    errors = _dense_errors(case, attempt)
    _check_dense(case, errors.outputs)
    return _as_dense(case, errors, attempt, note)


def dense_as_it_is(case: Case) -> CompressedModel:
    """The dense model, whatever its error: where recovery starts that may come nearer to the reference."""
    note = "too far from the reference to be compressed alone"
    return _as_dense(case, _dense_errors(case, 0), 0, note)


def _dense_errors(case: Case, attempt: int) -> _Errors:
    sample = case.fresh(attempt)
    return _Errors.of(case, assemble(case.split.skeleton, case.split.matrices), sample)


def _as_dense(case: Case, errors: _Errors, attempt: int, note: str) -> CompressedModel:
    dense = case.split.matrices
    return CompressedModel(case.split.skeleton, dense, _plan(case, dense, errors, attempt, note))


def _check_reachable(case: Case) -> None:
    """Refuse before the search a tolerance that not even the dense model keeps; any is kept to itself."""
    if case.against == "reference":
        _check_dense(case, _dense_error(case))


def _check_dense(case: Case, error: ErrorEstimate) -> None:
    """Refuse a tolerance that not even the dense model keeps."""
    if not error.surely_within(case.request.tolerance):
        raise ToleranceError(
            f"tolerance: {case.request.tolerance:g} can't be met; the best is the dense model "
            f"itself, {error.promised:.2e} away from the reference: train it further or allow more"
        )


def _plan(case: Case, matrices: Matrices, errors: _Errors, attempt: int, note: str) -> Plan:
    """The plan of these matrices, whose errors were measured on the points of an attempt."""
    error = errors.outputs
    request, source, dense = case.request, case.source, case.whole.matrices
    skeleton = case.split.skeleton
    forms = forms_on(skeleton, matrices, case.device, request.batch, request.objective)
    dense_seconds, dense_joules = case.dense_seconds_and_joules
    before = site_works(case.whole, dense, request.batch, case.device)
    exported = outline(skeleton, matrices, forms=forms)
    seconds, joules = case.seconds_and_joules_of(exported)
    narrows = request.fits and not request.keep_widths
    whole = neuron_groups(case.whole).reasons if narrows else {}
    left = tuple(site for site in case.whole.sites if site.name in matrices)
    sites = describe_sites(left, matrices, note, whole)
    probed = probed_ops(case.split)
    asked = {key: value for key, value in vars(request).items() if key in Plan.model_fields}
    asked["columns"] = "joint" if case.fields == case.widths and max(case.widths) > 1 else "each"
    return Plan(
        **asked,
        device=case.device.name,
        points=case.points.origin,
        against=case.against,
        relative_error=error.relative,
        max_error=errors.largest,
        errors=by_column(case, error),
        unseen_part=unseen_part(error.points, risk_of(attempt)) if request.norm == "max" else None,
        small_spread=None if case.to_spread else small_spread(case, error),
        slope_errors=slope_errors(case, errors.slopes) if errors.slopes else (),
        slope_points=errors.slopes.points if errors.slopes else None,
        no_slopes=case.no_slopes,
        fresh_points=error.points,
        attempts=attempt + 1,
        confidence=1.0 - TOTAL_RISK,
        parameters=parameter_count(matrices),
        dense_parameters=parameter_count(dense),
        bytes=byte_count(matrices),
        dense_bytes=byte_count(dense),
        predicted_s=seconds,
        dense_predicted_s=dense_seconds,
        energy_j=joules,
        dense_energy_j=dense_joules,
        gains=not note,
        gained=() if note else gained(case, matrices),
        note=note,
        source=source.name,
        source_sha256=source.sha256,
        problem=source.problem,
        no_shares=FITTED_AGAIN,
        hedge_version=__version__,
        versions=versions(),
        device_profile=case.device,
        sensitivities=f"probed: {', '.join(probed)}" if probed else "exact",
        left_alone=case.whole.left_alone,
        removed=tuple(name for name in dense if name not in matrices),
        sites=_with_seconds(case, works_by_site(exported, matrices, request.batch), before, sites),
    )


def _with_seconds(
    case: Case, now: Mapping[str, Work], before: Mapping[str, Work], sites: tuple[SitePlan, ...]
) -> tuple[SitePlan, ...]:
    """The sites with what their nodes take by the device model, now and in the dense network."""
    return tuple(
        site.model_copy(
            update={
                "predicted_s": float(marginal_seconds(case.device, now[site.name])),
                "dense_predicted_s": float(marginal_seconds(case.device, before[site.name])),
            }
        )
        for site in sites
    )
