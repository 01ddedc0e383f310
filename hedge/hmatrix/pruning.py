"""The best pruning of a block tree under one separable limit, exactly.

Every node of the tree has options (dense, or low rank with some rank), each with an amount of what is
to be minimised and of what is limited: cost under an error budget, or error under a cost budget. A
pruning takes one option at some nodes and cuts all nodes above them.

With a price λ on the limited amount the best pruning follows by one pass from the leaves upwards
(docs/mathematics.md, one price). A sweep over λ gives the lower convex hull
and, by duality, a bound that no pruning can beat. Between two points of the hull the optimum may lie
off it. It is found by merging the fronts of undominated choices from the leaves upwards, where a
choice is dropped once its price shows that it cannot beat the best pruning known (variable fixing by
reduced cost). Few choices are left, so that this is quick on trees of thousands of nodes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array, Indices

LARGEST_FRONT = 4000
"""Points kept of a front; beyond it the optimum is bounded, not proven."""
SWEEPS = (
    100  # bisections of the price; the bracket ends at neighbouring points of the hull long before
)
ROUNDING = 1e-12  # relative slack where sums in different order are compared


@dataclass(frozen=True, eq=False)
class Options:
    """All nodes of a tree, breadth first, with their options one after another.

    first_option (nodes + 1,): node v has options first_option[v] : first_option[v + 1], at least one
    unless it has children. first_child (nodes,) and children (nodes,): its children are the nodes
    first_child[v] : first_child[v] + children[v]. objective and limited (options,) are both ≥ 0.
    """

    first_option: Indices
    first_child: Indices
    children: Indices
    objective: Array
    limited: Array


@dataclass(frozen=True, eq=False)
class Pruning:
    """The chosen options, their sums, and what is known of the optimum.

    lower_bound is what no pruning can go below; ``exact`` says that this is the optimum.
    """

    chosen: Indices
    objective: float
    limited: float
    lower_bound: float
    exact: bool


def best_pruning(
    options: Options, limit: float, *, largest_front: int = LARGEST_FRONT, near: float = ROUNDING
) -> Pruning | None:
    """The pruning with the least objective whose limited amount is ≤ ``limit``; None if none is.

    With fewer points of each front than ``largest_front`` the least is proven; a small number asks
    for less work and a result that is hardly above it, as ``near`` does: what is no more than that part
    above a bound of the least is taken.
    """
    # both amounts in units in which prices are near 1 and nothing overflows, whatever the matrix's
    # scale; powers of two, so that no number changes but in its exponent
    worth = _power_of_two(float(options.objective.max()))
    unit = _power_of_two(max(limit, float(options.limited.max()) * 1e-100))
    found = _searched(
        replace(options, objective=options.objective / worth, limited=options.limited / unit),
        limit / unit,
        largest_front,
        near,
    )
    if found is None:
        return None
    return replace(
        found,
        objective=found.objective * worth,
        limited=found.limited * unit,
        lower_bound=found.lower_bound * worth,
    )


def _power_of_two(size: float) -> float:
    return math.ldexp(1.0, math.frexp(size)[1]) if size > 0 else 1.0


def _searched(options: Options, limit: float, largest_front: int, near: float) -> Pruning | None:
    sweep = _Sweep(options)
    slack = limit * (1 + ROUNDING)
    cheapest = sweep.priced(0.0)
    if cheapest.limited <= slack:
        return _finished(options, cheapest, cheapest.objective, exact=True)
    low, high = 0.0, 1.0
    feasible = sweep.priced(high)
    while feasible.limited > slack:
        if high > 1e200:
            return _least_limited(options, slack)
        low, high = high, high * 16.0
        feasible = sweep.priced(high)
    while (smaller := sweep.priced(high / 16.0)).limited <= slack:
        high, feasible = high / 16.0, smaller
    low = max(low, high / 16.0)
    best, bound, best_price = feasible, 0.0, high
    for _ in range(SWEEPS):
        price = (low + high) / 2
        found = sweep.priced(price)
        dual = found.value - price * limit
        if dual > bound:
            bound, best_price = dual, price
        if found.limited <= slack:
            high = price
            if found.objective < best.objective:
                best = found
        else:
            low = price
        if high - low <= 1e-13 * high:
            break
    best = _repaired(options, best, slack)
    if best.objective <= bound * (1 + ROUNDING):
        return _finished(options, best, bound, exact=True)
    if best.objective <= bound * (1 + near):
        return _finished(options, best, bound, exact=False)
    return _closed_gap(options, sweep, best, best_price, limit, bound, largest_front)


def _finished(options: Options, best: _Choice, bound: float, *, exact: bool) -> Pruning:
    lower = best.objective if exact else bound
    return Pruning(best.chosen, best.objective, best.limited, lower, exact)


def _least_limited(options: Options, slack: float) -> Pruning | None:
    swapped = replace(options, objective=options.limited, limited=options.objective)
    least = _Sweep(swapped).priced(0.0)
    if least.objective > slack:
        return None
    chosen = _Choice.of(options, least.chosen, 0.0)
    return Pruning(chosen.chosen, chosen.objective, chosen.limited, 0.0, exact=False)


@dataclass(frozen=True, eq=False)
class _Choice:
    chosen: Indices  # option numbers, ascending
    objective: float
    limited: float
    value: float  # objective + price · limited

    @staticmethod
    def of(options: Options, chosen: Indices, price: float) -> _Choice:
        objective = float(options.objective[chosen].sum())
        limited = float(options.limited[chosen].sum())
        return _Choice(chosen, objective, limited, objective + price * limited)


class _Sweep:
    """Prunings for many prices; what does not depend on the price is prepared once."""

    def __init__(self, options: Options) -> None:
        self.options = options
        counts = np.diff(options.first_option)
        self.with_options = np.flatnonzero(counts)
        self.starts = options.first_option[self.with_options]
        self.owner = np.repeat(np.arange(len(counts)), counts)
        self.levels = self._levels()

    def _levels(self) -> list[Indices]:
        """The nodes with children of each level, deepest first."""
        o, levels, level = self.options, [], np.zeros(1, dtype=np.intp)
        while len(level):
            inner = level[o.children[level] > 0]
            if len(inner):
                levels.append(inner)
            level = _children_of(o, inner)
        return levels[::-1]

    def values(self, price: float) -> tuple[Array, Array, Array]:
        """(options,) priced amounts, (nodes,) the best own option, (nodes,) the best pruning below."""
        o = self.options
        priced = o.objective + price * o.limited
        own = np.full(len(o.children), np.inf)
        own[self.with_options] = np.minimum.reduceat(priced, self.starts)
        best = own.copy()
        for inner in self.levels:
            below = np.add.reduceat(best, _interleaved(o, inner))[::2]
            best[inner] = np.minimum(own[inner], below)
        return priced, own, best

    def priced(self, price: float) -> _Choice:
        o = self.options
        priced, own, best = self.values(price)
        taken, level = [], np.zeros(1, dtype=np.intp)
        while len(level):
            ends = own[level] <= best[level]
            taken.append(level[ends])
            level = _children_of(o, level[~ends])
        nodes = np.sort(np.concatenate(taken))
        # the first option of each chosen node that has the node's best value
        is_best = priced == own[self.owner]
        numbers = np.flatnonzero(is_best)
        place = np.searchsorted(numbers, o.first_option[nodes])
        return _Choice.of(o, numbers[place], price)


def _children_of(options: Options, nodes: Indices) -> Indices:
    if not len(nodes):
        return nodes
    counts = options.children[nodes]
    ends = np.cumsum(counts)
    return np.repeat(options.first_child[nodes] - ends + counts, counts) + np.arange(ends[-1])


def _interleaved(options: Options, nodes: Indices) -> Indices:
    """Starts and ends of the nodes' children, for ``reduceat``: every second sum is one of them."""
    ends = options.first_child[nodes] + options.children[nodes]
    both = np.empty(2 * len(nodes), dtype=np.intp)
    both[::2], both[1::2] = options.first_child[nodes], ends
    return both[:-1] if both[-1] == len(options.children) else both


def _repaired(options: Options, start: _Choice, limit: float) -> _Choice:
    """Spend the slack: again and again the exchange of an option that lowers the objective most."""
    owner = np.repeat(np.arange(len(options.children)), np.diff(options.first_option))
    chosen, limited = start.chosen.copy(), start.limited
    while True:
        current = np.full(len(options.children), -1)
        current[owner[chosen]] = chosen
        rivals = np.flatnonzero(current[owner] >= 0)
        now = current[owner[rivals]]
        gain = options.objective[now] - options.objective[rivals]
        more = options.limited[rivals] - options.limited[now]
        gain = np.where(limited + more <= limit, gain, 0.0)
        if not len(gain) or gain.max() <= 0:
            return _Choice.of(options, np.sort(chosen), 0.0)
        rival = rivals[int(np.argmax(gain))]
        chosen[chosen == current[owner[rival]]] = rival
        limited = float(options.limited[chosen].sum())


@dataclass(frozen=True, eq=False)
class _Front:
    """Undominated (objective, limited) pairs of one subtree, and how each came about.

    option (points,) is an option of the node, or −1 where the node is cut; then ``parts`` holds for
    each child the point taken of its front.
    """

    objective: Array
    limited: Array
    option: Indices
    parts: Indices  # (points, children)
    below: tuple[_Front, ...]


def _closed_gap(
    options: Options,
    sweep: _Sweep,
    best: _Choice,
    price: float,
    limit: float,
    bound: float,
    largest_front: int,
) -> Pruning:
    priced, _, value = sweep.values(price)
    gap = (best.objective - bound) * (1 + 1e-9) + ROUNDING * abs(bound)
    truncated = False

    def front(node: int, allowance: float) -> _Front:
        nonlocal truncated
        first, last = options.first_option[node], options.first_option[node + 1]
        numbers = np.arange(first, last)[priced[first:last] - value[node] <= allowance]
        objective, limited = options.objective[numbers], options.limited[numbers]
        children = range(
            options.first_child[node], options.first_child[node] + options.children[node]
        )
        below: tuple[_Front, ...] = ()
        parts = np.zeros((len(numbers), len(children)), dtype=np.intp)
        if children:
            excess = value[children.start : children.stop].sum() - value[node]
            if excess <= allowance:
                below = tuple(front(child, allowance - excess) for child in children)
                together = _sums(below, price, value[node] + allowance)
                objective = np.append(objective, together[0])
                limited = np.append(limited, together[1])
                numbers = np.append(numbers, np.full(len(together[0]), -1))
                parts = np.concatenate((parts, together[2]))
        keep = _undominated(objective, limited)
        if len(keep) > largest_front:
            truncated = True
            keep = keep[np.linspace(0, len(keep) - 1, largest_front).astype(np.intp)]
        return _Front(objective[keep], limited[keep], numbers[keep], parts[keep], below)

    root = front(0, gap)
    (fits,) = np.nonzero(root.limited <= limit * (1 + ROUNDING))
    if len(fits):
        at = int(fits[np.argmin(root.objective[fits])])
        if root.objective[at] < best.objective:
            chosen = np.sort(np.array(_unfolded(root, at), dtype=np.intp))
            best = _Choice.of(options, chosen, price)
    return _finished(options, best, bound, exact=not truncated)


def _sums(
    fronts: tuple[_Front, ...], price: float, most: float
) -> tuple[Array, Array, NDArray[np.intp]]:
    """All undominated sums of one point of each front whose priced value is at most ``most``."""
    least = [float((f.objective + price * f.limited).min()) for f in fronts]
    objective, limited = np.zeros(1), np.zeros(1)
    parts = np.zeros((1, 0), dtype=np.intp)
    for i, f in enumerate(fronts):
        rest = sum(least[i + 1 :])
        total_objective = np.add.outer(objective, f.objective).ravel()
        total_limited = np.add.outer(limited, f.limited).ravel()
        (cheap,) = np.nonzero(
            total_objective + price * total_limited + rest <= most * (1 + ROUNDING)
        )
        keep = cheap[_undominated(total_objective[cheap], total_limited[cheap])]
        earlier, own = np.divmod(keep, len(f.objective))
        objective, limited = total_objective[keep], total_limited[keep]
        parts = np.column_stack((parts[earlier], own))
    return objective, limited, parts


def _undominated(objective: Array, limited: Array) -> Indices:
    """Indices of the pairs that no other pair equals or beats in both, by rising objective."""
    if not len(objective):
        return np.zeros(0, dtype=np.intp)
    order = np.lexsort((limited, objective))
    sorted_limited = limited[order]
    before = np.minimum.accumulate(sorted_limited)
    keep = np.ones(len(order), dtype=bool)
    keep[1:] = sorted_limited[1:] < before[:-1]
    return order[keep]


def _unfolded(front: _Front, point: int) -> list[int]:
    """The options behind a point of a front."""
    if front.option[point] >= 0:
        return [int(front.option[point])]
    found = []
    for child, part in zip(front.below, front.parts[point], strict=True):
        found += _unfolded(child, int(part))
    return found
