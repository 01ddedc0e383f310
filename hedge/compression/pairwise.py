"""Choosing one value per variable so that a sum of terms of one or two variables is least."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from hedge.arrays import Array

Edge = tuple[int, int]

ROUNDING = 1e-12


def least_sum(unary: Sequence[Array], pairs: Mapping[Edge, Array]) -> list[int]:
    """The choice c that minimises Σ_i unary[i][c_i] + Σ_(i,j) pairs[i, j][c_i, c_j], i < j.

    unary[i] is (n_i,), pairs[i, j] is (n_i, n_j). Variables tied to one other at most are minimised
    out one after the other, which is exact: on a chain this is Viterbi's algorithm (1967), on a tree
    min-sum message passing. What is left lies on cycles and is minimised by coordinate descent, which
    finds a choice that no change of one variable improves.

    >>> step = np.abs(np.arange(3)[:, None] - np.arange(3))
    >>> least_sum([np.array([0., 9., 9.]), np.array([8., 9., 0.])], {(0, 1): 10.0 * step})
    [0, 0]
    """
    costs = [np.array(cost, dtype=np.float64) for cost in unary]
    between = _by_variable(len(costs), pairs)
    left = set(range(len(costs)))
    removed: list[tuple[int, int, Array]] = []
    while leaves := [i for i in left if len(between[i]) == 1]:
        leaf = leaves[0]
        ((other, table),) = between[leaf].items()
        reach = costs[leaf][:, None] + table
        costs[other] += reach.min(axis=0)
        removed.append((leaf, other, reach.argmin(axis=0)))
        left.remove(leaf)
        between[leaf] = {}
        del between[other][leaf]
    choice = _by_descent(costs, between)
    for leaf, other, best in reversed(removed):
        choice[leaf] = int(best[choice[other]])
    return choice


def _by_variable(count: int, pairs: Mapping[Edge, Array]) -> list[dict[int, Array]]:
    """[i][j] is the table (n_i, n_j) between i and j, from both sides."""
    tables: list[dict[int, Array]] = [{} for _ in range(count)]
    for (i, j), table in pairs.items():
        tables[i][j], tables[j][i] = table, table.T
    return tables


def _by_descent(costs: Sequence[Array], between: Sequence[Mapping[int, Array]]) -> list[int]:
    """The best of the descents from the last values of all variables, and from a greedy choice."""
    ends = [
        _descended(start, costs, between)
        for start in ([len(cost) - 1 for cost in costs], _greedy(costs, between))
    ]
    return min(ends, key=lambda choice: _total(choice, costs, between))


def _greedy(costs: Sequence[Array], between: Sequence[Mapping[int, Array]]) -> list[int]:
    """Each variable in turn as those before it would have it."""
    choice: list[int] = []
    for i, cost in enumerate(costs):
        before = [table[:, choice[j]] for j, table in between[i].items() if j < i]
        choice.append(int(np.argmin(sum(before, cost))))
    return choice


def _descended(
    start: Sequence[int], costs: Sequence[Array], between: Sequence[Mapping[int, Array]]
) -> list[int]:
    choice = list(start)
    changed = True
    while changed:
        changed = False
        for i, cost in enumerate(costs):
            total = sum((table[:, choice[j]] for j, table in between[i].items()), cost)
            best = int(np.argmin(total))
            # What is less by rounding alone does not count, so that the descent ends.
            if total[choice[i]] - total[best] > ROUNDING * abs(total[best]):
                choice[i], changed = best, True
    return choice


def _total(
    choice: Sequence[int], costs: Sequence[Array], between: Sequence[Mapping[int, Array]]
) -> float:
    total = sum(float(cost[c]) for cost, c in zip(costs, choice, strict=True))
    total += sum(
        float(table[choice[i], choice[j]])
        for i, tables in enumerate(between)
        for j, table in tables.items()
        if i < j
    )
    return total
