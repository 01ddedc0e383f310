"""The loss of a network, a sum of terms balance · mean(w r²), its gradient, and the factors of its Jacobian.

Where a term has several equations, r² is the sum of the squares of their residuals. Points pass in
chunks that fit the processor's caches; only the residuals themselves, functions of the solution's S
streams, are differentiated by torch.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from itertools import pairwise
from operator import add

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.constants import values_of
from hedge.training.network import Network
from hedge.training.points import Points, residual, reversed_to_network, solution_streams
from hedge.training.taylor import Streams, propagate, reverse
from hedge.training.terms import Term
from hedge.training.threads import of_each

# Numbers of a layer's streams in one chunk: 1 MiB in float64, so that a few of them stay in the caches, all
# cores have some, and the time to call an operation is small beside its own.
CHUNK_NUMBERS = 131_072
# Of so many rows, such as means over many points, slopes are taken one by one.
ROWS_ONE_BY_ONE = 16


@dataclass(frozen=True)
class LinearTerm:
    """Factors of the Jacobian of a term's rows, for its points.

    M = equations × points, all points of the first equation first. The row of the Jacobian of a point for
    layer l is Σ_s G_s ⊗ A_s, with A the layer's input streams and G = ∂r/∂Z, each (·, S, M); constants
    (K, M) are those of the constants. A row of the term is the sum over ``together`` points, which stand as
    (equations, together, rows).
    """

    equations: int
    together: int
    inputs: tuple[Tensor, ...]
    gradients: tuple[Tensor, ...]
    constants: Tensor | None

    def rows(self, of_points: Tensor) -> Tensor:
        """Sums (N, …) over the points of each row, from (M, …)."""
        if self.together == 1:
            return of_points
        apart = of_points.view(self.equations, self.together, -1, *of_points.shape[1:])
        return apart.sum(1).flatten(0, 1)

    def points(self, of_rows: Tensor) -> Tensor:
        """Each row's number (N,) at all of its points, (M,)."""
        if self.together == 1:
            return of_rows
        return of_rows.view(self.equations, 1, -1).expand(-1, self.together, -1).flatten()


@dataclass(frozen=True)
class Linearisation:
    """Rows √(balance n/n_k) √w r (N,) of all terms, whose squares are n times the loss, and their Jacobian.

    n are the rows of the first term's equations, n_k those of the term that a row is of.
    """

    residual: Tensor
    terms: tuple[LinearTerm, ...]


def residuals(problem: Problem, network: Network, points: Points) -> Tensor:
    """r (R, n) of the R equations at ``points``."""
    return read_values(problem, network, Term(points))


def read_values(problem: Problem, network: Network, term: Term) -> Tensor:
    """r (R, n) of the R equations of a term, without its balance and weights."""

    def of_chunk(part: Term) -> Tensor:
        points = part.points
        with torch.no_grad():
            outputs = propagate(network, points.inputs, points.axes).outputs[-1]
            constants = _constants(problem, network, len(points))
            values = None if constants is None else values_of(problem.unknowns, constants)
            u = solution_streams(outputs, points)
            return torch.stack(_rows(problem, part, u, values))

    return torch.cat(of_each(of_chunk, _chunks(network, term)), dim=1)


def mean_square(problem: Problem, network: Network, terms: Sequence[Term]) -> float:
    """The loss: the sum of balance · mean(w r²) over the terms."""

    def of_term(term: Term) -> float:
        r = read_values(problem, network, term)
        weighted = r if term.weights is None else term.weights * r
        return term.balance * (float(r.flatten() @ weighted.flatten()) / len(term))

    return sum(map(of_term, terms))


def linearise(problem: Problem, network: Network, terms: Sequence[Term]) -> Linearisation:
    """The rows of all terms and the factors of their Jacobian with respect to the parameters."""
    rows, factors = zip(
        *(_linearised(problem, network, term, len(terms[0])) for term in terms), strict=True
    )
    return Linearisation(rows[0] if len(rows) == 1 else torch.cat(rows), factors)


def _linearised(
    problem: Problem, network: Network, term: Term, rows_of_first: int
) -> tuple[Tensor, LinearTerm]:
    points = term.points
    with torch.no_grad():
        streams = propagate(network, points.inputs, points.axes)
    found, u, constants = _residuals_of(problem, network, streams.outputs[-1], term)
    factor = math.sqrt(term.balance * rows_of_first / len(term))
    root = points.x.new_tensor(factor) if term.weights is None else factor * term.weights.sqrt()
    is_one = factor == 1.0 and term.weights is None
    rows, gradients, of_constants = [], [], []
    wanted = [u] if constants is None else [u, constants]
    for r in found:
        of_u, *slopes = torch.autograd.grad(
            r.sum(),
            wanted,
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        with torch.no_grad():
            rows.append(r.detach() if is_one else root * r)
            seed = reversed_to_network(of_u, points)
            gradients.append(
                tuple(reverse(network, streams, seed if is_one else root * seed))[::-1]
            )
            of_constants += [root * slope for slope in slopes]
    together = len(points) // len(term)
    by_constants = torch.cat(of_constants, dim=1) if of_constants else None
    count, layers, of_layers = len(rows), streams.inputs, gradients[0]
    if count > 1:
        layers = tuple(a.repeat(1, 1, count) for a in layers)
        of_layers = tuple(torch.cat(g, dim=2) for g in zip(*gradients, strict=True))
    inputs, of_blocks = zip(*_by_blocks(network, layers, of_layers), strict=True)
    stacked = rows[0] if count == 1 else torch.cat(rows)
    return stacked, LinearTerm(count, together, inputs, of_blocks, by_constants)


def _by_blocks(
    network: Network, inputs: Sequence[Tensor], gradients: Sequence[Tensor]
) -> list[tuple[Tensor, Tensor]]:
    """Of every layer, and every group of the network, what enters and ∂r/∂Z, each (·, S, M)."""
    return [
        block
        for layer, (a, g) in enumerate(zip(inputs, gradients, strict=True))
        for block in _blocks(network, layer, a, g)
    ]


def _blocks(network: Network, layer: int, a: Tensor, g: Tensor) -> list[tuple[Tensor, Tensor]]:
    """What enters the layer and ∂r/∂Z, each (·, S, M), of every group of the network."""
    if not network.groups:
        return [(a, g)]
    return [(a[columns], g[rows]) for rows, columns in network.blocks(layer)]


def loss_and_gradient(
    problem: Problem, network: Network, terms: Sequence[Term]
) -> tuple[float, Tensor]:
    """The loss and its gradient (P,) with respect to :func:`parameters_of` the network."""

    def of_chunk(chunk: tuple[Term, int]) -> tuple[float, Tensor]:
        part, count = chunk
        points = part.points
        with torch.no_grad():
            streams = propagate(network, points.inputs, points.axes)
        found, u, constants = _residuals_of(problem, network, streams.outputs[-1], part)
        with torch.no_grad():
            weighted = found if part.weights is None else [part.weights * r for r in found]
            loss = sum(float(r @ w) for r, w in zip(found, weighted, strict=True))
            slopes = [(2.0 * part.balance / count) * w for w in weighted]
        wanted = [u] if constants is None else [u, constants]
        # Of a sum with these slopes: for those of many numbers torch loads sympy, half a second.
        with torch.enable_grad():
            weighed = reduce(add, map(torch.dot, found, slopes))
        of_u, *of_constants = torch.autograd.grad(
            weighed, wanted, allow_unused=True, materialize_grads=True
        )
        with torch.no_grad():
            flat = _by_parameters(network, streams, reversed_to_network(of_u, points))
        return part.balance * (loss / count), torch.cat([*flat, *(s.sum(1) for s in of_constants)])

    chunks = [(part, len(term)) for term in terms for part in _chunks(network, term)]
    losses, gradients = zip(*of_each(of_chunk, chunks), strict=True)
    return sum(losses), torch.stack(gradients).sum(0)


def _by_parameters(network: Network, streams: Streams, seed: Tensor) -> list[Tensor]:
    """∂r/∂parameters, summed over the points, of each layer as long as its ∂r/∂Z is in the caches."""
    by_layer = []
    downwards = range(len(network.weights) - 1, -1, -1)
    for layer, gradient in zip(downwards, reverse(network, streams, seed), strict=True):
        own = []
        for a, g in _blocks(network, layer, streams.inputs[layer], gradient):
            own += [(g.flatten(1) @ a.flatten(1).T).flatten(), g.select(1, 0).sum(1)]
        by_layer.append(own)
    return [part for own in reversed(by_layer) for part in own]


def _residuals_of(
    problem: Problem, network: Network, outputs: Tensor, term: Term
) -> tuple[tuple[Tensor, ...], Tensor, Tensor | None]:
    """r (n,) of each equation, and the solution's streams (m, S, M) and constants (K, M) it depends on."""
    u = solution_streams(outputs, term.points).requires_grad_()
    constants = _constants(problem, network, u.shape[2])
    with torch.enable_grad():
        values = None
        if constants is not None:
            values = values_of(problem.unknowns, constants.requires_grad_())
        found = _rows(problem, term, u, values)
    for number, r in enumerate(found, 1):
        if not r.requires_grad:
            which = f" of equation {number}" if len(found) > 1 else ""
            raise InputError(
                f"{term.points.equations.title}{which} does not depend on the solution; make it of "
                "the derivatives it is given"
            )
    return found, u, constants


def _rows(
    problem: Problem, term: Term, outputs: Tensor, constants: Tensor | None
) -> tuple[Tensor, ...]:
    """r (n,) of each equation from the output streams (m, S, M) and values of the constants (K, M)."""
    found = residual(problem, outputs, term.points, constants, between=term.reading == "between")
    if term.reading != "mean":
        return found
    return tuple(r.view(-1, len(term)).mean(0) for r in found)


def _constants(problem: Problem, network: Network, count: int) -> Tensor | None:
    """The network's parameters of the problem's constants at each of the points, (K, M)."""
    if network.constants is None:
        return None
    return network.constants.detach()[:, None].repeat(1, count)


def _chunks(network: Network, term: Term) -> list[Term]:
    """Pieces of equal size, as many as are needed to make them small, where each point is a row.

    One where more is read than any layer has neurons, as in many dimensions: pieces of that are copies, which
    take longer than all else.
    """
    widest = max(len(bias) for bias in network.biases)
    numbers = len(term.points) * widest * len(term.points.axes)
    count = math.ceil(numbers / CHUNK_NUMBERS)
    reads = len(term.points.inputs)
    if term.reading != "each" or count == 1 or reads > widest:
        return [term]
    ends = [len(term) * k // count for k in range(count + 1)]
    return [term[a:b] for a, b in pairwise(ends) if a < b]


def jacobian(lin: Linearisation) -> Tensor:
    """J (N, P), parameters in the order of :func:`parameters_of`."""

    def of_term(term: LinearTerm) -> Tensor:
        blocks = []
        for a, g in zip(term.inputs, term.gradients, strict=True):
            blocks += [torch.einsum("isn,jsn->nij", g, a).flatten(1), g[:, 0].T]
        if term.constants is not None:
            blocks.append(term.constants.T)
        return term.rows(torch.cat(blocks, dim=1))

    return torch.cat([of_term(term) for term in lin.terms])


def tangent_kernel(lin: Linearisation) -> Tensor:
    """JJᵀ (N, N) from the factors: Σ over layers and stream pairs of (A_s A_tᵀ) ∘ (G_s G_tᵀ)."""
    if len(lin.terms) == 1:
        return _own_kernel(lin.terms[0])
    blocks: dict[tuple[int, int], Tensor] = {}
    for i, one in enumerate(lin.terms):
        blocks[i, i] = _own_kernel(one)
        for j, other in enumerate(lin.terms[:i]):
            blocks[i, j] = _kernel_between(one, other)
            blocks[j, i] = blocks[i, j].T
    every = range(len(lin.terms))
    return torch.cat([torch.cat([blocks[i, j] for j in every], dim=1) for i in every])


def _own_kernel(term: LinearTerm) -> Tensor:
    n = term.gradients[0].shape[2]
    kernel = term.gradients[0].new_zeros((n, n))
    for a, g in zip(term.inputs, term.gradients, strict=True):
        kernel += g[:, 0].T @ g[:, 0]
        for s in range(a.shape[1]):
            for t in range(s, a.shape[1]):
                product = (a[:, s].T @ a[:, t]) * (g[:, s].T @ g[:, t])
                kernel += product if s == t else product + product.T
    if term.constants is not None:
        kernel += term.constants.T @ term.constants
    return term.rows(term.rows(kernel).T).T


def _kernel_between(one: LinearTerm, other: LinearTerm) -> Tensor:
    layers = zip(one.inputs, one.gradients, other.inputs, other.gradients, strict=True)
    kernel = one.gradients[0].new_zeros((one.gradients[0].shape[2], other.gradients[0].shape[2]))
    for a, g, b, h in layers:
        kernel += g[:, 0].T @ h[:, 0]
        for s in range(a.shape[1]):
            for t in range(b.shape[1]):
                kernel += (a[:, s].T @ b[:, t]) * (g[:, s].T @ h[:, t])
    if one.constants is not None and other.constants is not None:
        kernel += one.constants.T @ other.constants
    return other.rows(one.rows(kernel).T).T


def apply_transpose(lin: Linearisation, v: Tensor) -> Tensor:
    """Jᵀ v (P,) for v (N,)."""
    sizes = [term.gradients[0].shape[2] // term.together for term in lin.terms]
    found = None
    for term, part in zip(lin.terms, torch.split(v, sizes), strict=True):
        own = _transpose_applied(term, term.points(part))
        found = own if found is None else found + own
    assert found is not None
    return found


def _transpose_applied(term: LinearTerm, v: Tensor) -> Tensor:
    parts = []
    for a, g in zip(term.inputs, term.gradients, strict=True):
        parts += [((g * v).flatten(1) @ a.flatten(1).T).flatten(), g[:, 0] @ v]
    if term.constants is not None:
        parts.append(term.constants @ v)
    return torch.cat(parts)


def mean_squared_slope(lin: Linearisation) -> float:
    """The mean over the rows of ‖∂r/∂parameters‖², the trace of their tangent kernel by rows."""
    rows = len(lin.residual)
    if all(term.together == 1 for term in lin.terms):
        return sum(map(_squared_slopes, lin.terms)) / rows
    if rows <= ROWS_ONE_BY_ONE:
        each = torch.eye(rows, dtype=lin.residual.dtype, device=lin.residual.device)
        return sum(float(apply_transpose(lin, row).square().sum()) for row in each) / rows
    return float(tangent_kernel(lin).diagonal().mean())


def _squared_slopes(term: LinearTerm) -> float:
    """The sum over a term's points of Σ over layers and stream pairs of (A_sᵀ A_t) (G_sᵀ G_t)."""
    total = 0.0 if term.constants is None else float(term.constants.square().sum())
    for a, g in zip(term.inputs, term.gradients, strict=True):
        products = [torch.einsum("isn,itn->stn", each, each) for each in (a, g)]
        total += float((products[0] * products[1]).sum() + g[:, 0].square().sum())
    return total
