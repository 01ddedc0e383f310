"""Filling a table: what is measured, what that foretells, what is measured again."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest

from hedge.benching.calibration.filling import Difference, Filling, Spending

SIZES = (1, 1024, 65536, 1048576)
PLENTY = 1e9


class Node:
    """A node that takes ``node_s`` and so much a number; ``spoiled`` are its first measurements by size."""

    def __init__(self, node_s: float, number_s: float) -> None:
        self.node_s, self.number_s = node_s, number_s
        self.spoiled: dict[int, list[Difference]] = {}
        self.measured: Counter[int] = Counter()

    def seconds(self, numbers: int) -> float:
        return self.node_s + self.number_s * numbers

    def __call__(self, sizes: tuple[int, ...], expected: float) -> Difference:
        numbers = int(np.prod(sizes))
        self.measured[numbers] += 1
        waiting = self.spoiled.get(numbers)
        return waiting.pop(0) if waiting else Difference(0.0, self.seconds(numbers), 1, 1.0)


def filled(node: Node, most: float = PLENTY, limit_s: float = PLENTY) -> Filling:
    filling = Filling((SIZES,), node, most, PLENTY, Spending(limit_s), lambda: 1.0)
    filling.sweep()
    filling.mend()
    return filling


@pytest.mark.parametrize("node_s", [4e-7, 5e-6, 2e-5, 1e-3])
@pytest.mark.parametrize("most", [0.0, 1.0, 1e4, PLENTY])
def test_what_is_foretold_is_right_however_slow_the_node(node_s: float, most: float) -> None:
    node = Node(node_s, 2e-9)
    expected = [node.seconds(numbers) for numbers in SIZES]
    np.testing.assert_allclose(filled(node, most).values, expected)


def test_a_size_is_foretold_from_two_between_which_time_grows() -> None:
    slow_to_start = Node(2e-5, 2e-9)  # 1,024 numbers are nothing beside the node, 65,536 tell
    filled(slow_to_start, most=0.0)
    assert dict(slow_to_start.measured) == {1: 1, 1024: 1, 65536: 1, 1048576: 1}
    quick = Node(1e-12, 2e-9)
    filled(quick, most=0.0)
    assert dict(quick.measured) == {1: 1, 1024: 1}


@pytest.mark.parametrize(
    "spoiled",
    [
        Difference(0.0, 3e-3, 1, 1.0),  # a thousand times what its neighbours say
        Difference(0.0, 1e-9, 1, 1.0),  # less than fewer numbers take
        Difference(0.0, 3.3e-6, 1, 1.5),  # near, but while the machine was slow
    ],
    ids=["jumps", "falls", "slowed down"],
)
def test_an_odd_entry_is_measured_again(spoiled: Difference) -> None:
    node = Node(1e-6, 2e-9)
    node.spoiled[1024] = [spoiled]
    values = filled(node).values
    assert node.measured[1024] > 1
    if spoiled.within > 1e-8:  # of two times the shorter counts
        assert values[1] == pytest.approx(node.seconds(1024))


def test_nothing_is_faster_than_the_roofline() -> None:
    node, sizes = Node(1e-6, 2e-9), tuple(range(100_000, 200_000, 10_000))
    largest = sizes[-1] ** 2
    node.spoiled[largest] = [Difference(0.0, 0.6 * node.seconds(largest), 1, 1.0)]
    filling = Filling((sizes, sizes), node, PLENTY**2, PLENTY, Spending(PLENTY), lambda: 1.0)
    filling.sweep()
    filling.mend()
    assert node.measured[largest] > 1
    assert node.measured[sizes[0] ** 2] == 1


def test_when_time_is_up_nothing_is_measured_again_and_what_can_be_is_foretold() -> None:
    node = Node(1e-12, 2e-9)
    filling = filled(node, limit_s=1e-8)
    filling.sweep()
    assert dict(node.measured) == {1: 1, 1024: 1}
    assert filling.values[-1] == pytest.approx(node.seconds(SIZES[-1]))


def test_long_entries_are_measured_once() -> None:
    node = Node(1e-6, 2e-9)
    filling = Filling((SIZES,), node, PLENTY, 1e-3, Spending(PLENTY), lambda: 1.0)
    for _ in range(3):
        filling.sweep()
    assert dict(node.measured) == {1: 3, 1024: 3, 65536: 3, 1048576: 1}
