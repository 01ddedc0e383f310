"""Taylor-mode streams against nested reverse mode."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st

from hedge.problems import GALLERY, Problem
from hedge.problems.quotients import LAPLACIAN, Axes, summands
from hedge.training.network import Network, new_network
from hedge.training.points import (
    TORCH_MATH,
    network_inputs,
    place,
    residual,
    reversed_to_network,
    solution_streams,
)
from hedge.training.taylor import closure, propagate, reverse


@pytest.fixture(params=GALLERY.values(), ids=GALLERY)
def problem(request: pytest.FixtureRequest) -> Problem:
    known = tuple(replace(unknown, value=unknown.upper) for unknown in request.param.unknowns)
    return replace(request.param, unknowns=known)


def some_network(problem: Problem, x: torch.Tensor) -> Network:
    read = network_inputs(problem, x).shape[1]
    network = new_network(read, (11, 9, 10), 0, problem.outputs)
    generator = torch.Generator().manual_seed(1)
    biases = tuple(torch.randn(b.shape, generator=generator, dtype=b.dtype) for b in network.biases)
    return Network(network.weights, biases)


def nested(u: torch.Tensor, x: torch.Tensor, axes: Axes) -> torch.Tensor:
    if summands(axes) != (axes,):
        return torch.stack([nested(u, x, part) for part in summands(axes)]).sum(0)
    for axis in axes:
        (gradient,) = torch.autograd.grad(u.sum(), x, create_graph=True, materialize_grads=True)
        u = gradient[:, axis]
    return u


def inputs_of(x: torch.Tensor, axes: tuple[Axes, ...]) -> torch.Tensor:
    """Streams (d, S, n) of x (n, d) itself."""
    inputs = torch.zeros(x.shape[1], len(axes), len(x), dtype=torch.float64)
    inputs[:, 0] = x.detach().T
    for s, ax in enumerate(axes):
        if len(ax) == 1:
            inputs[ax[0], s] = 1.0
    return inputs


@given(
    st.lists(st.lists(st.integers(0, 2), max_size=4).map(lambda a: tuple(sorted(a))), max_size=3)
)
@settings(max_examples=25, deadline=None)
@example([(LAPLACIAN, 0, 2)])
@example([(LAPLACIAN, 0, 1, 2), (0, 0, 1), (LAPLACIAN, 1)])
@example([(0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 1, 2), (1, 1, 1, 2), (0, 1, 2)])
def test_streams_agree_with_autograd(wanted: list[Axes]) -> None:
    """Derivatives of a bare network of three inputs and two outputs, up to the fourth and mixed."""
    axes = closure(wanted)
    assert set(wanted) <= set(axes)
    network = new_network(3, (7, 6), seed=0, outputs=2)
    x = torch.rand(4, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    x.requires_grad_()
    streams = propagate(network, inputs_of(x, axes), axes).outputs[-1]
    for s, ax in enumerate(axes):
        for column in range(2):
            expected = nested(network(x)[:, column], x, ax)
            torch.testing.assert_close(streams[column, s], expected, rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    "wanted",
    [[()], [(0, 1)], [(LAPLACIAN, 0, 2)], [(0, 0, 0, 0), (0, 0, 1, 1), (0, 0, 1, 2), (1, 1, 1, 2)]],
)
def test_the_way_back_agrees_with_autograd(wanted: list[Axes]) -> None:
    """Slopes of all parameters, for which tanh is differentiated once more: up to five times."""
    axes = closure(wanted)
    network = new_network(3, (7, 6), seed=0, outputs=2)
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(4, 3, dtype=torch.float64, generator=generator).requires_grad_()
    seed = torch.randn(2, len(axes), 4, dtype=torch.float64, generator=generator)
    for parameters in (*network.weights, *network.biases):
        parameters.requires_grad_()
    values = network(x).unbind(1)
    total = sum(
        (nested(value, x, ax) * seed[column, s]).sum()
        for s, ax in enumerate(axes)
        for column, value in enumerate(values)
    )
    expected = torch.autograd.grad(total, (*network.weights, *network.biases))
    with torch.no_grad():
        streams = propagate(network, inputs_of(x, axes), axes)
        gradients = tuple(reverse(network, streams, seed))[::-1]
        of_weights = [
            g.flatten(1) @ a.flatten(1).T for g, a in zip(gradients, streams.inputs, strict=True)
        ]
        found = (*of_weights, *(g[:, 0].sum(1) for g in gradients))
    torch.testing.assert_close(found, expected, rtol=1e-10, atol=1e-10)


def test_solution_and_residual_agree_with_autograd(problem: Problem) -> None:
    x = torch.from_numpy(problem.domain.sample(50, 0)).requires_grad_()
    network = some_network(problem, x.detach())
    columns = x.unbind(1)
    outputs = network(network_inputs(problem, x)).unbind(1)
    offsets, distances = (
        problem.offsets(columns, TORCH_MATH),
        problem.distances(columns, TORCH_MATH),
    )
    u = [o + d * n for o, d, n in zip(offsets, distances, outputs, strict=True)]
    points = place(problem, x.detach())
    streams = propagate(network, points.inputs, points.axes).outputs[-1]
    found = solution_streams(streams, points)

    def assert_close(a: torch.Tensor, b: torch.Tensor) -> None:
        # Derivatives of Allen-Cahn's offset are of size 1e4 close to its kink.
        assert (a - b).abs().max() <= 1e-10 * b.abs().max().clamp_min(1.0)

    for axes in points.axes[:25]:  # in 100 dimensions some of them
        for field, of_field in enumerate(u):
            assert_close(found[field, points.axes.index(axes)], nested(of_field, x, axes))
    without = found - points.offset  # is linear in the network's streams
    above = torch.randn(found.shape, dtype=found.dtype, generator=torch.Generator().manual_seed(2))
    pulled = reversed_to_network(above, points)
    assert float((without * above).sum()) == pytest.approx(float((streams * pulled).sum()))
    named = {
        name: nested(u[problem.field(name)], x, problem.axes(name)) for name in problem.derivatives
    }
    expected = problem.residuals(columns, named, TORCH_MATH)
    for r, wanted in zip(residual(problem, found, points), expected, strict=True):
        assert_close(r, wanted)


def test_closure_holds_every_stream_that_a_wanted_one_needs() -> None:
    assert closure([(0, 1), (1,)]) == ((), (0,), (1,), (0, 1))


def test_a_laplacian_takes_a_stream_beside_the_first_derivatives() -> None:
    assert closure([(LAPLACIAN, 0, 2)]) == ((), (0,), (2,), (LAPLACIAN, 0, 2))
