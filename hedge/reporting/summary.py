"""What the page says first: a title, one sentence, and the figures that matter most."""

from __future__ import annotations

from dataclasses import dataclass

from hedge.benching import Measurement
from hedge.compression import Plan
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import AS_SAID
from hedge.reporting.numbers import count, error, quantity, ratio
from hedge.reporting.runs import BenchFile, label_of


@dataclass(frozen=True)
class Highlight:
    """A figure in large letters, and what it is."""

    figure: str
    words: str


@dataclass(frozen=True)
class Summary:
    """The head of the page."""

    title: str
    lead: str
    keys: tuple[Highlight, ...]


def summary(contents: Contents) -> Summary:
    """Of the smallest compressed model, where there is one."""
    if not contents.compressed:
        names = [run.origin.name for run in contents.runs]
        return Summary("Report", f"Made from {', '.join(names)}.", ())
    model, plan = min(contents.compressed, key=lambda found: found[1].parameters)
    title = f"{label_of(plan.source)}, compressed"
    if not plan.gains:
        return Summary(title, f"{model.label} stays dense: {plan.note}.", ())
    timed = _fastest(contents, model)
    found, source = _error(model, plan)
    lead = (
        f"{model.label}, for {plan.device}: off by {error(found)} (relative L2) against "
        f"{'the dense model' if plan.against == 'dense' else 'the reference solution'}, {source}."
    )
    return Summary(title, lead, _keys(plan, found, source, timed))


def _error(model: Model, plan: Plan) -> tuple[float, str]:
    """The error that was asked for, and where the figure is from."""
    if plan.against == "dense" and model.distance is not None:
        return model.distance.relative, model.distance.source
    if plan.against == "reference" and model.accuracy is not None:
        return model.accuracy.relative_l2, "measured here"
    return plan.relative_error, AS_SAID


def _fastest(contents: Contents, model: Model) -> tuple[BenchFile, Measurement] | None:
    """Its measurement with the largest speedup, and the bench that this is of."""
    found = [
        (bench, m)
        for bench in contents.benches
        for m in bench.result.models
        if label_of(m.path) == model.label
    ]
    return max(found, key=lambda one: one[1].speedup, default=None)


def _keys(
    plan: Plan, found: float, source: str, timed: tuple[BenchFile, Measurement] | None
) -> tuple[Highlight, ...]:
    keys = [
        Highlight(
            count(plan.parameters),
            f"parameters; the dense model has {count(plan.dense_parameters)}",
        ),
        Highlight(error(found), f"relative L2 error, {source}; {plan.tolerance:g} was allowed"),
    ]
    if timed is not None:
        bench, m = timed
        batch, baseline = count(m.batch), label_of(bench.result.models[0].path)
        # often not the device that it was compressed for
        where = f"measured on {bench.result.machine.processor}"
        keys.append(
            Highlight(f"{ratio(m.speedup)}×", f"as fast as {baseline} at batch {batch}, {where}")
        )
        keys.append(Highlight(quantity(m.median_s, "s"), f"for a call of {batch} rows, {where}"))
    elif plan.predicted_s > 0.0:
        speed, batch = plan.dense_predicted_s / plan.predicted_s, count(plan.batch)
        told = f"as fast as the dense model at batch {batch}, predicted for {plan.device}"
        keys.append(Highlight(f"{ratio(speed)}×", told))
    return tuple(keys)
