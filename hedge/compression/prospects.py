"""Whether anything can be gained at all, told before the long work."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hedge.compression import bounds
from hedge.compression.blocks import layouts
from hedge.compression.hierarchies import may_have_hierarchy
from hedge.compression.measure import centred, fields_of, mean_powers
from hedge.compression.target import highest_rank
from hedge.graph import run_float32

if TYPE_CHECKING:
    from hedge.compression.case import Case


def no_prospect(case: Case, enough: float) -> str:
    """Why nothing can be gained of a network that is one large matrix; empty where that does not show.

    Its neurons all are outputs, so that ranks and blocks are all there is. Told from a few points, without
    covariances, by what each kind misses at least; a squared error of ``enough`` need not be improved on.
    """
    sites, request = case.split.sites, case.request
    outputs = [value.name for value in case.split.skeleton.graph.output]
    usual = case.against == "dense" and request.norm == "l2" and case.counted_cost is None
    if not usual or len(sites) != 1 or outputs != [sites[0].output]:
        return ""
    site, points = sites[0], case.points.fit[: bounds.SAMPLES]
    rank = highest_rank(site.matrix.shape)
    if rank is None or not bounds.can_tell(site.matrix.shape, len(points)):
        return ""
    read = case.split.tensor(site.input, points, {})
    if read.ndim != 2:
        return ""
    # What float32 rounds is far below FAR times any error that float32 could be asked to keep.
    written = run_float32(case.dense, points)
    if not np.isfinite(written).all():
        return ""
    fields = fields_of([written.shape[1]], joint=case.joint)
    powers = mean_powers(centred(written) if case.to_spread else written, fields)
    if not powers.all():
        return ""
    metric = np.repeat(1.0 / powers, fields)
    written -= written.mean(axis=0)
    most = bounds.FAR * enough
    by_rank = bounds.least_of_rank((written * metric) @ written.T, rank)
    if by_rank <= most:
        return ""
    read = read - read.mean(axis=0)
    for layout in layouts(*site.matrix.shape):
        if bounds.least_of_blocks(read, written, metric, layout)[-1] <= most:
            return ""
    felt, varying = metric, np.mean(read**2, axis=0)
    power = float(np.mean(written**2 @ metric))
    loosest = float(np.sqrt(enough / power))
    if may_have_hierarchy(site.matrix.dense(), felt, varying, loosest, request.sides):
        return ""
    return (
        f"it has no structure to find: rank {rank:,} is at least {np.sqrt(by_rank):.1g} off, told from "
        f"{len(points):,} points, and blocks are as far in every order that was tried; nothing was searched"
    )
