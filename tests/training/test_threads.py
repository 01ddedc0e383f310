"""Chunks on threads: the same numbers on any number of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
import torch

from hedge.problems import find_problem
from hedge.training.loss import loss_and_gradient, residuals
from hedge.training.network import new_network
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term
from hedge.training.threads import of_each


@pytest.fixture(params=[1, 2, 3])
def threads(request: pytest.FixtureRequest) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def test_loss_and_gradient_are_the_same_to_the_bit_on_any_number_of_threads(
    threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.training.loss.CHUNK_NUMBERS", 4000)
    problem, network = find_problem("burgers"), new_network(2, (16, 16), seed=0)
    points = sobol_points(problem, 1000, 0, network.weights[0])
    loss, gradient = loss_and_gradient(problem, network, [Term(points)])
    r = residuals(problem, network, points)
    torch.set_num_threads(1)
    alone, gradient_alone = loss_and_gradient(problem, network, [Term(points)])
    assert loss == alone
    assert torch.equal(gradient, gradient_alone)
    assert torch.equal(r, residuals(problem, network, points))


def test_parts_are_found_in_order_each_by_one_thread_of_torch(threads: int) -> None:
    seen = of_each(lambda part: (part, torch.get_num_threads(), threading.get_ident()), range(20))
    assert [part for part, _, _ in seen] == list(range(20))
    assert {inside for _, inside, _ in seen} == {1}
    assert len({thread for *_, thread in seen}) <= threads
    assert torch.get_num_threads() == threads


def test_an_error_in_a_part_is_that_of_all_and_threads_are_as_before(threads: int) -> None:
    def fails(part: int) -> int:
        return 1 // part

    with pytest.raises(ZeroDivisionError):
        of_each(fails, [1, 0, 2])
    assert torch.get_num_threads() == threads
