"""Taylor-mode streams against nested reverse mode."""

from __future__ import annotations

import pytest
import torch

from hedge.problems import GALLERY, Problem
from hedge.training.taylor import (
    Network,
    closure,
    new_network,
    place,
    propagate,
    residual,
    solution_streams,
)


@pytest.fixture(params=GALLERY.values(), ids=GALLERY)
def problem(request: pytest.FixtureRequest) -> Problem:
    return request.param


def with_biases(network: Network) -> Network:
    generator = torch.Generator().manual_seed(1)
    biases = tuple(torch.randn(b.shape, generator=generator, dtype=b.dtype) for b in network.biases)
    return Network(network.weights, biases, network.centre, network.half)


def nested(u: torch.Tensor, x: torch.Tensor, axes: tuple[int, ...]) -> torch.Tensor:
    for axis in axes:
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True)
        u = gradient[:, axis]
    return u


AXES = closure([(0, 0), (0, 1), (1, 1)])


def test_streams_agree_with_autograd(problem: Problem) -> None:
    network = with_biases(new_network(problem, width=11, depth=3, seed=0))
    x = torch.from_numpy(problem.domain.sample(50, 0)).requires_grad_()
    streams = propagate(network, x.detach(), AXES).outputs[-1][..., 0]
    for s, axes in enumerate(AXES):
        expected = nested(network(x)[:, 0], x, axes)
        torch.testing.assert_close(streams[s], expected, rtol=1e-10, atol=1e-10)


def test_solution_and_residual_agree_with_autograd(problem: Problem) -> None:
    network = with_biases(new_network(problem, width=11, depth=3, seed=0))
    x = torch.from_numpy(problem.domain.sample(50, 0)).requires_grad_()
    columns = x.unbind(1)
    u = problem.distance(columns, torch) * network(x)[:, 0]
    if problem.offset is not None:
        u = u + problem.offset(columns, torch)
    points = place(problem, x.detach())
    streams = propagate(network, points.x, points.axes)
    found = solution_streams(streams.outputs[-1][..., 0], points)
    for axes in points.axes:
        torch.testing.assert_close(found[axes], nested(u, x, axes), rtol=1e-10, atol=1e-9)
    named = {name: nested(u, x, problem.axes(name)) for name in problem.derivatives}
    expected = problem.residual(columns, named, torch)
    torch.testing.assert_close(residual(problem, streams, points), expected, rtol=1e-10, atol=1e-8)


def test_closure_holds_every_stream_that_a_wanted_one_needs() -> None:
    assert closure([(0, 1), (1,)]) == ((), (0,), (1,), (0, 1))
