"""Cuts of a network: to a width, to a depth, of single neurons, or of a whole layer."""

from __future__ import annotations

import math

import numpy as np

from hedge.compression import Case, Network, cut, cuts, network_of, parameter_count, tries
from hedge.compression.fitting import folded, with_fewer_columns
from hedge.compression.network import LARGE
from hedge.compression.neurons import order_columns
from hedge.compression.target import SiteTarget
from hedge.devices import predicted_seconds
from hedge.graph import (
    Matrix,
    SplitModel,
    assemble,
    graph_work,
    read_columns,
    removable_layers,
)
from hedge.recovery.ways import Deep, FewerColumns, LessALayer, LessANeuron, Narrow, Way
from hedge.recovery.work import Work, cost_of_step

# Whole layers and single neurons go in networks of up to so many parameters. Layers do so first of all where
# they are more than so many, or a call costs more by its nodes than by its rows.
SMALL, MANY_LAYERS = 2000, 4
# Large networks begin with narrow ones, of so many layers, or so few where layers are dear.
FEW_LAYERS, FEWEST_LAYERS = 3, 2
# Where steps cost more fewer neurons compete, but so many; a layer loses one of so many.
LEAST_STARTS, ONE_OF = 6, 8
# A cut that leaves more than this part of the parameters is not worth the work to recover.
WORTHWHILE = 0.95
# Networks of more parameters are not fitted again: L-BFGS would take hours.
MOST_PARAMETERS = 50_000


def cuts_of(network: Network, way: Way, work: Work) -> list[Network]:
    """The worthwhile cuts of a network in a way, the one that is missed the least first.

    Raises SpentError where the search for them takes the seconds that are left.
    """
    work.check()
    case, here = network.case, network.here
    limit = min(WORTHWHILE * parameter_count(network.matrices), MOST_PARAMETERS)
    match way:
        case Narrow():
            found = _narrow(here, way.width)
        case LessALayer():
            found = _less_a_layer(here, early=way.early)
        case FewerColumns():
            found = _fewer_columns(here, way.depth)
        case Deep():
            found = _deep(here, way.depth, work)
        case LessANeuron():
            limit = MOST_PARAMETERS
            found = _less_a_neuron(here, way.starts, work)
    fitting = [
        network_of(case, each.case.split, each.matrices)
        for each in found
        if parameter_count(each.matrices) <= limit
    ]
    # Where outputs are not finite, as those of a root below zero, there is no way down.
    return [each for each in fitting if math.isfinite(each.validation_error)]


def _narrow(here: Case, width: int) -> list[Network]:
    """Large networks with the neurons kept that are missed the most, then with the fewest layers."""
    if here.request.keep_widths or parameter_count(here.split.matrices) <= LARGE:
        return []
    widths = [min(width, group.width) for group in here.groups]
    now = cut(here, here.kept(widths), _as_it_is).here
    few = FEWEST_LAYERS if _rows_are_cheap(now) else FEW_LAYERS
    while len(now.groups) > few and removable_layers(now.split):
        now = now.folded(_without_layer(now))
    return [Network(now, now.split.matrices)]


def _layers_are_dear(here: Case) -> bool:
    """Whether they are many, or cost more than rows do."""
    return len(here.groups) > MANY_LAYERS or _rows_are_cheap(here)


def _rows_are_cheap(here: Case) -> bool:
    """Whether a call is predicted to take most of its time whatever its rows are."""
    if here.request.objective == "size":
        return False
    model = assemble(here.split.skeleton, here.split.matrices)
    one, all_rows = (
        float(predicted_seconds(here.device, graph_work(model, rows)))
        for rows in (1, here.request.batch)
    )
    return one > 0.5 * all_rows


def _less_a_layer(here: Case, *, early: bool) -> list[Network]:
    """The same with one layer less, of small networks that have others."""
    if early and not _layers_are_dear(here):
        return []
    if here.request.keep_widths or parameter_count(here.split.matrices) > SMALL:
        return []
    if not removable_layers(here.split):
        return []
    split = _without_layer(here)
    return [Network(here.folded(split), split.matrices)]


def _without_layer(here: Case) -> SplitModel:
    """The same without the layer that is missed the least."""
    found = [
        folded(here.split, here.measured, layer, here.fits.noise)
        for layer in removable_layers(here.split)
    ]
    return min(found, key=lambda split: here.folded(split).validation_error(split.matrices))


def _fewer_columns(here: Case, depth: float) -> list[Network]:
    """The same with columns of wide inputs unread, where that costs less."""
    if here.request.keep_widths:
        return []
    split = here.split
    for read in read_columns(split):
        now = here.folded(split) if split is not here.split else here
        here.tell(f"ordering the {len(read.columns)} columns of {read.input}")
        order = order_columns(split, read.sites, now.measured)
        count = int(np.argmax(order.error_squared <= depth**2))
        if 0 < count < len(read.columns):
            split = with_fewer_columns(split, now.measured, read, order.kept(count), now.fits.noise)
    found = here.folded(split)
    if split is here.split or found.cost(split.matrices) >= here.cost(here.split.matrices):
        return []
    return [Network(found, split.matrices)]


def _less_a_neuron(here: Case, starts: int, work: Work) -> list[Network]:
    """The same without one neuron, the least missed first; of wide layers others go with it."""
    if here.request.keep_widths or parameter_count(here.split.matrices) > SMALL:
        return []
    found: list[Network] = []
    for group, chosen in zip(here.groups, here.neuron_orders, strict=True):
        kept = chosen.kept(group.width - max(0, group.width // ONE_OF - 1))
        for neuron in kept if group.width > 1 else ():
            work.check()
            rest = kept[kept != neuron]
            neurons = dict.fromkeys(group.producers, rest)
            found.append(cut(here, neurons, _as_it_is))
    fewer = max(LEAST_STARTS, starts // cost_of_step(parameter_count(here.split.matrices)))
    return sorted(found, key=lambda each: each.validation_error)[: min(starts, fewer)]


def _as_it_is(name: str, target: SiteTarget) -> Matrix:
    return target.truncated(None)


def _deep(here: Case, depth: float, work: Work) -> list[Network]:
    """The cheapest cut whose output moves by about ``depth``."""
    family = cuts(here)

    def in_time(price: float) -> Network:
        work.check()
        return family(price)

    within = [one for one in tries(here, in_time, depth) if one.error <= depth]
    cheapest = min(within, key=lambda one: one.cost, default=None)
    return [] if cheapest is None else [cheapest.network]
