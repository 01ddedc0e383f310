"""Cuts of a network: to a depth, of one neuron, or of a whole layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from hedge.compression import Case, cuts, parameter_count, tries
from hedge.compression.fitting import folded
from hedge.devices import predicted_seconds
from hedge.graph import Matrix, SiteMatrix, SplitModel, assemble, graph_work, removable_layers
from hedge.recovery.work import Work

Way = float | int | str
"""How to cut: to a depth, a neuron by its place, or a layer."""

# Whole layers go in networks of up to so many parameters: first of all where they are more than so many, or a
# call costs more by its nodes than by its rows.
LAYER, EARLY_LAYER = "layer", "early layer"
LARGEST_FOLDED, MANY_LAYERS = 2000, 4
# A cut that leaves more than this part of the parameters is not worth the work to recover.
WORTHWHILE = 0.95
# Networks of more parameters are not fitted again: L-BFGS would take hours.
MOST_PARAMETERS = 50_000


@dataclass(frozen=True)
class Network:
    """A network on its way: the case for what is left of its layers, and its matrices."""

    case: Case
    matrices: Mapping[str, Matrix]


def cut_of(network: Network, way: Way, work: Work) -> Network | None:
    """A cut of a network, if it is worthwhile.

    That is the layer that is missed the least, the cheapest whose output moves by about the depth or, of a
    whole number, the one neuron that is missed the least but for so many others.
    """
    work.check()
    case, matrices = network.case, network.matrices
    dense = {name: SiteMatrix((m.dense(),), m.bias) for name, m in matrices.items()}
    # How deep a cut is says the mean: the largest error would call a few points off a deep one.
    request = replace(case.request, norm="l2")
    here = replace(case, split=case.split.replaced(dense), request=request, folded_from=None)
    if isinstance(way, str):
        wanted = way == LAYER or _layers_are_dear(here)
        cut = _without_layer(case, here) if wanted else None
    else:
        narrower = _single(here, way) if isinstance(way, int) else _deep(here, way, work)
        cut = None if narrower is None else Network(case, narrower)
    if cut is None:
        return None
    count = parameter_count(cut.matrices)
    worthwhile = count <= min(WORTHWHILE * parameter_count(matrices), MOST_PARAMETERS)
    return cut if worthwhile else None


def _layers_are_dear(here: Case) -> bool:
    """Whether they are many, or a call is predicted to take most of its time whatever its rows are."""
    if len(here.groups) > MANY_LAYERS:
        return True
    if here.request.objective == "size":
        return False
    model = assemble(here.split.skeleton, here.split.matrices)
    one, all_rows = (
        float(predicted_seconds(here.device, graph_work(model, rows)))
        for rows in (1, here.request.batch)
    )
    return one > 0.5 * all_rows


def _without_layer(case: Case, here: Case) -> Network | None:
    """The same with one layer less, of small networks that have others."""
    if here.request.keep_widths or parameter_count(here.split.matrices) > LARGEST_FOLDED:
        return None
    found = [
        folded(here.split, here.measured, layer, here.fits.noise)
        for layer in removable_layers(here.split)
    ]

    def error(split: SplitModel) -> float:
        return here.folded(split).validation_error(split.matrices)

    best = min(found, key=error, default=None)
    return None if best is None else Network(case.folded(best), best.matrices)


def _single(here: Case, place: int) -> Mapping[str, Matrix] | None:
    """The same without one neuron."""
    if here.request.keep_widths:
        return None
    widths = [group.width for group in here.groups]
    smaller = [
        [width - (other == g) for other, width in enumerate(widths)]
        for g, width in enumerate(widths)
        if width > 1
    ]
    if place >= len(smaller):
        return None
    found = [
        here.fits.fitted(here.kept(each), lambda name, target: target.truncated(None))
        for each in smaller
    ]
    return sorted(found, key=here.validation_error)[place]


def _deep(here: Case, depth: float, work: Work) -> Mapping[str, Matrix] | None:
    """The cheapest cut whose output moves by about ``depth``."""
    family = cuts(here)

    def in_time(price: float) -> Mapping[str, Matrix]:
        work.check()
        return family(price)

    aim = max(depth, here.request.tolerance)
    within = [one for one in tries(here, in_time, aim) if one.error <= aim]
    cheapest = min(within, key=lambda one: one.cost, default=None)
    return None if cheapest is None else cheapest.matrices
