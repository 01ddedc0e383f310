"""The last layer alone, by least squares, over neurons that are drawn at random and stay as they are.

Where the equations are linear so are the residuals in the last layer, and one step is the solution over
these neurons (Dwivedi and Srinivasan, 2020); where they are not, steps are Gauss and Newton's, damped where
they must be. A wide layer is as good as a trained one then, and found in a hundredth of the time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from hedge.problems import Problem
from hedge.training.loss import Linearisation, jacobian, linearise, mean_square
from hedge.training.network import Network, parameters_of, rounded, with_parameters
from hedge.training.terms import Term

# By what the size of the best neurons so far is multiplied for the next ones, one cycle after the other: the
# steeper they are, the finer is what they resolve, and the less exact they are where it is smooth.
FACTORS = (2.0, 0.5, 1.4, 0.7, 1.0)
# The first damping beyond the least one, and by what it is multiplied until the loss falls, at most so often.
DAMPED, RAISE, ATTEMPTS = 1e-8, 100.0, 10
# An undamped step is the last one where the loss has fallen to so little; none is taken that should hardly
# lower it.
ROUNDING, HARDLY = 1e-16, 0.9
# Points that tell whether an equation is linear, and how much alike slopes are then.
PROBED, SAME = 64, 1e-6


def next_neurons(
    now: Network,
    best: Network | None,
    inputs: Tensor,
    turn: int,
    kind: type[np.floating[Any]],
    seed: int,
) -> Network:
    """Neurons for the first layer as steep as the best so far, or in their ``turn`` more or less so.

    inputs are (n, n_0), ``kind`` is the type of number that will be stored. Without a ``best`` they are as
    steep as suits many problems.
    """
    size = 1.0 if best is None else FACTORS[turn % len(FACTORS)] * _size_of(best, inputs)
    return rounded(with_new_neurons(now, inputs, size, seed), kind)


def least_damping(network: Network, kind: type[np.floating[Any]]) -> float:
    """The mean square of what numbers of that kind do by rounding to the last layer's sums of ones."""
    return len(network.biases[-2]) * float(np.finfo(kind).eps / 2.0) ** 2


def with_new_neurons(network: Network, inputs: Tensor, size: float, seed: int) -> Network:
    """Other neurons in the first layer, and no output: a last layer of zeros.

    Their weights are normal, of deviation ``size`` where inputs (n, n_0) spread by 1; each neuron is zero at
    one of the inputs.
    """
    generator = torch.Generator().manual_seed(seed)
    shape, like = network.weights[0].shape, network.weights[0]
    drawn = torch.randn(shape, generator=generator, dtype=torch.float64).to(like)
    rows = torch.randint(len(inputs), shape[:1], generator=generator).to(like.device)
    last = torch.zeros_like(network.weights[-1]), torch.zeros_like(network.biases[-1])
    moved = replace(
        network,
        weights=(drawn * (size / _spread(inputs)), *network.weights[1:-1], last[0]),
        biases=(*network.biases[:-1], last[1]),
    )
    apart = with_parameters(moved, parameters_of(moved))  # weights between groups are zero
    first = -(apart.weights[0] * inputs[rows]).sum(1)
    return replace(apart, biases=(first, *apart.biases[1:]))


def _size_of(network: Network, inputs: Tensor) -> float:
    scaled = network.weights[0] * _spread(inputs)
    return float(scaled[scaled != 0.0].square().mean().sqrt())


def _spread(inputs: Tensor) -> Tensor:
    spread = inputs.std(0)
    return torch.where(spread > 0.0, spread, torch.ones_like(spread))


@dataclass(frozen=True)
class _Solution:
    """The outcome of a step; ``is_final`` where another one would bring nothing."""

    network: Network
    loss: float
    damping: float
    is_final: bool


def step(
    problem: Problem, network: Network, terms: Sequence[Term], least: float, damping: float
) -> _Solution:
    """One Gauss–Newton step of the last layer on the loss of ``terms``.

    Where its columns of the Jacobian are scaled to 1, ‖r + J change‖² + ``least`` ‖parameters‖² is smallest:
    with :func:`least_damping` that is the best in the mean over what rounding does. A ``damping`` above the
    least one is of the change; it rises until the loss falls.
    """
    start = parameters_of(network)
    lin = linearise(problem, network, terms)
    count = len(terms[0])
    before = float(lin.residual @ lin.residual) / count
    solve = _solver(_of_last_layer(lin, network), network)
    for _ in range(ATTEMPTS):
        change, expected = solve(damping, of_change=damping > least)
        if damping <= least and expected / count > HARDLY * before:
            break
        moved = start.clone()
        moved[len(start) - len(change) :] += change.to(start)
        after = with_parameters(network, moved)
        loss = mean_square(problem, after, terms)
        if loss < before:
            eased = damping / RAISE if damping > DAMPED else least
            is_solved = loss <= ROUNDING * before or _is_affine(problem, network, after, terms[0])
            is_final = damping <= least and is_solved
            return _Solution(after, loss, max(eased, least), is_final)
        damping = max(damping * RAISE, DAMPED)
    return _Solution(network, before, damping, is_final=True)


def _is_affine(problem: Problem, one: Network, other: Network, term: Term) -> bool:
    """Whether slopes of the residual by the last layer are the same with both, and there are no constants."""
    if one.constants is not None:
        return False
    some = [Term(term.points[:PROBED])]
    before, after = (
        jacobian(_of_last_layer(linearise(problem, network, some), network))
        for network in (one, other)
    )
    return torch.allclose(before, after, rtol=SAME, atol=SAME * float(before.abs().max()))


def _of_last_layer(lin: Linearisation, network: Network) -> Linearisation:
    """The same with the last layer's columns alone, and those of constants."""
    groups = max(len(network.groups), 1)
    return replace(
        lin,
        terms=tuple(
            replace(term, inputs=term.inputs[-groups:], gradients=term.gradients[-groups:])
            for term in lin.terms
        ),
    )


class _Solver(Protocol):
    def __call__(self, damping: float, *, of_change: bool) -> tuple[Tensor, float]: ...


def _solver(lin: Linearisation, network: Network) -> _Solver:
    """The change (k,), float64, for a damping, and the sum of squares that the rows should have after it."""
    columns = jacobian(lin).double()
    size = torch.linalg.vector_norm(columns, dim=0)
    size = torch.where(size > 0.0, size, torch.ones_like(size))
    k = len(size)
    # by Householder's reflections: normal equations would lose all beyond the root of the precision
    both = torch.cat([columns / size, lin.residual[:, None].double()], dim=1)
    triangle = torch.linalg.qr(both, mode="r")[1]
    factor, right, rest = triangle[:k, :k], triangle[:k, k:], triangle[k:, k:]
    now = parameters_of(network)[-k:].double() * size
    if network.constants is not None:
        now[-len(network.constants) :] = 0.0  # which are no weights: none of them is too large

    def solve(damping: float, *, of_change: bool) -> tuple[Tensor, float]:
        known = torch.zeros_like(now) if of_change else now
        below = torch.cat([torch.eye(k).to(factor), known[:, None]], dim=1)
        stacked = torch.cat([triangle[:k], damping**0.5 * below])
        damped = torch.linalg.qr(stacked, mode="r")[1]
        c = -torch.linalg.solve_triangular(damped[:k, :k], damped[:k, k:], upper=True)
        left = (factor @ c + right).square().sum() + rest.square().sum()
        return c[:, 0] / size, float(left)

    return solve
