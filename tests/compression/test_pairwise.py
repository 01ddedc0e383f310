"""Minimising sums of terms in one and two variables: brute force on trees, local optimum on cycles."""

from __future__ import annotations

from itertools import product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.compression.allocation import least_sum

SIZES = st.lists(st.integers(1, 4), min_size=1, max_size=6)


def total(choice: tuple[int, ...], unary: list, pairs: dict) -> float:
    cost = sum(costs[c] for costs, c in zip(unary, choice, strict=True))
    return float(cost + sum(table[choice[i], choice[j]] for (i, j), table in pairs.items()))


def random_terms(sizes: list[int], edges: set[tuple[int, int]], seed: int) -> tuple[list, dict]:
    rng = np.random.default_rng(seed)
    unary = [rng.exponential(size=n) for n in sizes]
    pairs = {(i, j): 3 * rng.exponential(size=(sizes[i], sizes[j])) for i, j in edges}
    return unary, pairs


@settings(max_examples=60)
@given(sizes=SIZES, seed=st.integers(0, 10**6), chain=st.booleans())
def test_forests_equal_brute_force(sizes: list[int], seed: int, chain: bool) -> None:
    rng = np.random.default_rng(seed)
    edges = {(i - 1 if chain else int(rng.integers(i)), i) for i in range(1, len(sizes))}
    edges = {edge for edge in edges if rng.random() < 0.9}
    unary, pairs = random_terms(sizes, edges, seed)
    found = tuple(least_sum(unary, pairs))
    best = min(product(*map(range, sizes)), key=lambda c: total(c, unary, pairs))
    assert found == best


@settings(max_examples=40)
@given(sizes=st.lists(st.integers(1, 4), min_size=3, max_size=6), seed=st.integers(0, 10**6))
def test_on_cycles_no_change_of_one_variable_gains(sizes: list[int], seed: int) -> None:
    n = len(sizes)
    edges = {(i, i + 1) for i in range(n - 1)} | {(0, n - 1), (0, 2)}
    unary, pairs = random_terms(sizes, edges, seed)
    found = least_sum(unary, pairs)
    reached = total(tuple(found), unary, pairs)
    assert reached <= total(tuple(s - 1 for s in sizes), unary, pairs) * (1 + 1e-12)
    for i, size in enumerate(sizes):
        for value in range(size):
            changed = (*found[:i], value, *found[i + 1 :])
            assert reached <= total(changed, unary, pairs) * (1 + 1e-12)


def test_the_terms_given_are_left_as_they_were() -> None:
    unary, pairs = random_terms([3, 4, 2], {(0, 1), (1, 2)}, 0)
    before = [costs.copy() for costs in unary]
    least_sum(unary, pairs)
    for ours, theirs in zip(before, unary, strict=True):
        np.testing.assert_array_equal(ours, theirs)
