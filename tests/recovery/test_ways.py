"""The order in which cuts are tried."""

from __future__ import annotations

from hedge.recovery.ways import DEPTHS, WIDTHS, Deep, LessALayer, LessANeuron, Narrow, Ways


def test_a_large_network_begins_with_the_narrowest() -> None:
    ways = Ways.usual(1e-3)
    for width in WIDTHS:
        assert ways.untried[0] == Narrow(width)
        ways = ways.failed()
    assert ways.untried[0] == LessALayer(early=True)


def test_after_a_narrow_one_recovered_no_wider_one_is_tried() -> None:
    ways = Ways.usual(1e-3).failed().succeeded()
    assert ways.untried == ways.known
    assert not any(isinstance(way, Narrow) for way in ways.known)


def test_after_a_success_all_is_tried_again_from_a_little_deeper_on() -> None:
    ways = Ways.usual(1e-3)
    while ways.untried[0] != Deep(DEPTHS[2]):
        ways = ways.skipped()
    ways = ways.succeeded()
    assert ways.untried[:3] == (Deep(DEPTHS[1]), Deep(DEPTHS[2]), LessANeuron())
    assert set(ways.untried) == set(ways.known)
    assert ways.untried[-1] == Deep(DEPTHS[0])


def test_a_layer_that_was_missed_is_not_tried_again() -> None:
    ways = Ways.usual(1e-3)
    while ways.untried[0] != LessALayer(early=True):
        ways = ways.skipped()
    ways = ways.failed()
    assert LessALayer(early=True) not in ways.known
    assert LessALayer(early=False) in ways.known


def test_what_failed_is_tried_again_after_another_cut() -> None:
    ways = Ways.usual(1e-3)
    while ways.untried[0] != Deep(DEPTHS[0]):
        ways = ways.skipped()
    assert Deep(DEPTHS[0]) in ways.failed().succeeded().untried


def test_it_ends_when_all_have_failed() -> None:
    ways, count = Ways.usual(1e-3), 0
    while ways.untried:
        ways, count = ways.failed(), count + 1
    assert count == len(Ways.usual(1e-3).known)


def test_no_cut_is_tried_twice_where_the_tolerance_allows_deep_ones() -> None:
    def depths(tolerance: float) -> list[float]:
        return [way.depth for way in Ways.usual(tolerance).known if isinstance(way, Deep)]

    assert depths(1e-3) == list(DEPTHS)
    assert depths(5e-2) == [1e-1, 5e-2]
    assert depths(0.3) == [0.3]
