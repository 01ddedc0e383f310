"""Each site's own part of the output's error, to first order."""

from __future__ import annotations

from hedge.compression.case import Case, Matrices
from hedge.compression.metric import mean_square
from hedge.compression.site_plan import SitePlan
from hedge.compression.target import SiteTarget
from hedge.graph import Matrix


def error_shares(
    case: Case, matrices: Matrices, sites: tuple[SitePlan, ...]
) -> tuple[SitePlan, ...]:
    """The sites with their errors and shares; for matrices that one of a case's families made."""
    errors = _site_errors(case, matrices)
    total = sum(errors.values())
    return tuple(
        site.model_copy(
            update={
                "error_squared": errors[site.name],
                "error_share": errors[site.name] / total if total > 0.0 else 0.0,
            }
        )
        for site in sites
    )


def _site_errors(case: Case, matrices: Matrices) -> dict[str, float]:
    """What the price of error was paid for, by site: squared, in parts of the output's power.

    That of the matrix, E[|B^½ (W − H) a|²], and that of the neurons its site drops, see
    :func:`hedge.compression.neurons.order_neurons`. W is what H approximates: the dense network's
    matrix, fitted again to the compressed network's own activations a. So what a site does to
    correct those before it is no error.
    """
    errors = (_fitted_errors if case.request.fits else _plain_errors)(case, matrices)
    return {
        name: max(error, 0.0) for name, error in errors.items()
    }  # of one that is none, rounding


def _fitted_errors(case: Case, matrices: Matrices) -> dict[str, float]:
    errors = dict.fromkeys(case.split.matrices, 0.0)
    if all(matrices[site.name] is site.matrix for site in case.split.sites):
        return errors

    def measured(name: str, target: SiteTarget) -> Matrix:
        errors[name] = target.error_squared(matrices[name])
        return matrices[name]

    widths = [matrices[group.producers[0]].shape[0] for group in case.groups]
    case.fits.fitted(case.kept(widths), measured)
    for g, (group, width) in enumerate(zip(case.groups, widths, strict=True)):
        if width < group.width:
            dropped = float(case.neuron_orders[g].error_squared[width])
            for name in group.producers:
                errors[name] += dropped / len(group.producers)
    return errors


def _plain_errors(case: Case, matrices: Matrices) -> dict[str, float]:
    """The same where nothing is fitted: W is the dense network's, a its activations."""
    errors = {}
    for site in case.split.sites:
        matrix, metric = matrices[site.name], case.measured.sensitivities[site.name]
        change = matrix.times(case.measured.inputs[site.name]) + matrix.bias
        change = case.measured.rows(change - case.measured.outputs[site.name])
        errors[site.name] = mean_square(change, metric)
    return errors
