"""Which layer the error comes from, and what each costs."""

from __future__ import annotations

from hedge.compression import Plan, SitePlan
from hedge.reporting.contents import Contents, Model
from hedge.reporting.numbers import UNKNOWN, count, error, quantity
from hedge.reporting.parts import Bar, Cell, Part, Section, Text, table


def layers(contents: Contents) -> Section | None:
    """A table for every compressed model, with shares of the error as bars."""
    parts: list[Part] = []
    for model, plan in contents.compressed:
        parts.append(_table(model, plan))
        if plan.no_shares:
            parts.append(Text(f"Shares of the error: {plan.no_shares}."))
        if plan.removed:
            parts.append(Text(f"Removed with their layers: {', '.join(plan.removed)}."))
        parts += [Text(f"Left alone: {reason}.") for reason in plan.left_alone]
    return Section("layers", "Error by layer", tuple(parts)) if parts else None


def _table(model: Model, plan: Plan) -> Part:
    bounded = any(site.frobenius_bound for site in plan.sites)
    return table(
        f"{model.label}: each layer's part of the squared error, to first order, its parameters, and "
        f"what its nodes add to a call of {count(plan.batch)} rows on {plan.device}"
        + ("; ‖W − H‖ is the Frobenius norm, beside its bound by Theorem 1" if bounded else ""),
        [{**_cells(site), **(_bound(site) if bounded else {})} for site in plan.sites],
    )


def _cells(site: SitePlan) -> dict[str, Cell]:
    share = site.error_share
    return {
        "layer": site.name,
        "share of the error": UNKNOWN if share is None else Bar(share, f"{share:.0%}"),
        "dense": count(site.dense_outputs * (site.dense_inputs + 1)),
        "parameters": count(site.parameters),
        "predicted, dense": quantity(site.dense_predicted_s, "s"),
        "predicted": quantity(site.predicted_s, "s"),
    }


def _bound(site: SitePlan) -> dict[str, Cell]:
    bound = site.frobenius_bound
    told = UNKNOWN if bound is None else f"≤ {error(bound)}"
    return {"‖W − H‖": error(site.frobenius_error), "bound": told}
