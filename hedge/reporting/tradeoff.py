"""Cost against error: what was tried on the way, and what was chosen."""

from __future__ import annotations

from hedge.compression import Plan
from hedge.reporting.contents import Contents, Model
from hedge.reporting.distance import exceeds_plan
from hedge.reporting.numbers import count, error, quantity
from hedge.reporting.parts import Drawing, Gallery, Section
from hedge.reporting.scatter import CostAxis, Point, scatter


def tradeoffs(contents: Contents) -> Section | None:
    """A drawing of the candidates of every search, and one of the steps of every recovery."""
    figures = [_trials(model, plan) for model, plan in contents.compressed if plan.trials]
    figures += [_rungs(model, plan) for model, plan in contents.compressed if plan.rungs]
    if not figures:
        return None
    return Section("cost", "Cost against error", (Gallery(tuple(figures), width=24),))


def _trials(model: Model, plan: Plan) -> Drawing:
    series: dict[str, list[Point]] = {}
    for trial in plan.trials:
        seconds = quantity(trial.predicted_s, "s")
        told = f"{count(trial.parameters)} parameters, {seconds}, error {error(trial.error)}"
        series.setdefault(trial.family, []).append(Point(trial.predicted_s, trial.error, told))
    return scatter(
        series,
        _chosen(model, plan, plan.predicted_s),
        plan.tolerance,
        CostAxis(f"predicted latency on {plan.device} at batch {count(plan.batch)}", "s"),
        f"{model.label}: the candidates of the search, by what each is made of. Of those safely "
        "within the tolerance the cheapest was chosen (ring).",
    )


def _rungs(model: Model, plan: Plan) -> Drawing:
    cut, fitted = [], []
    for rung in plan.rungs:
        told = f"{count(rung.parameters)} parameters"
        cut.append(Point(rung.parameters, rung.cut_error, f"{told}, {error(rung.cut_error)}"))
        fitted.append(Point(rung.parameters, rung.error, f"{told}, {error(rung.error)}, {rung.on}"))
    return scatter(
        {"after the cut": cut, "fitted again": fitted},
        _chosen(model, plan, plan.parameters),
        plan.tolerance,
        CostAxis("parameters"),
        f"{model.label}: steps of recovery, from the largest model to the smallest. The ring is the "
        "one that was chosen.",
    )


def _chosen(model: Model, plan: Plan, cost: float) -> Point | None:
    """The model itself, where its error is known as it was when it was chosen."""
    if plan.promised_error == 0.0 or cost == 0.0:
        return None
    if model.distance is not None and exceeds_plan(plan, model.distance):
        return None
    return Point(cost, plan.promised_error, f"chosen: {error(plan.promised_error)}", "chosen")
