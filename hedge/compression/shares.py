"""Each site's own part of the output's error, to first order."""

from __future__ import annotations

import numpy as np

from hedge.compression.fitting import kept_inputs
from hedge.compression.measure import measure
from hedge.compression.site_plan import SitePlan
from hedge.compression.task import Matrices, Task
from hedge.graph import SiteMatrix


def error_shares(
    task: Task, matrices: Matrices, sites: tuple[SitePlan, ...]
) -> tuple[SitePlan, ...]:
    """The sites with their errors and shares; for matrices that were fitted by a task's families."""
    errors = site_errors(task, matrices)
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


def site_errors(task: Task, matrices: Matrices) -> dict[str, float]:
    """E[|B^½ (H a + b' − W a − b)|²] over the fit points, by site, with the dense network's inputs a.

    Exchange the sites one after the other, from the input on: u moves by the sum of these steps, and
    to first order each step moves it by J times what its site's result moves by, J the derivative of
    the compressed network's output. So B = E[JᵀJ] is that of the compressed network. Where neurons
    were dropped, a and z are those of the neurons kept.
    """
    split, measured = task.split, task.measured
    changed = [site.name for site in split.sites if matrices[site.name] is not site.matrix]
    errors = dict.fromkeys(split.matrices, 0.0)
    if not changed:
        return errors
    widths = [matrices[group.producers[0]].shape[0] for group in task.groups]
    kept = task.kept(widths)
    read = kept_inputs(split, kept)
    dense = {name: SiteMatrix((matrix.dense(),), matrix.bias) for name, matrix in matrices.items()}
    metrics = measure(split.replaced(dense), measured.points, task.request.seed).sensitivities
    for name in changed:
        a, z = measured.inputs[name], measured.outputs[name]
        a = a[:, read[name]] if name in read else a
        z = z[:, kept[name]] if name in kept else z
        moved = dense[name].times(a) + dense[name].bias - z
        errors[name] = max(float(np.vdot(moved @ metrics[name], moved)) / len(moved), 0.0)
    return errors
