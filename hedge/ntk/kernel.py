"""The neural tangent kernel Θ = J Jᵀ from layer factors: any block of it, without the Jacobian J.

A row of J for layer l is Σ_s g_s ⊗ a_s over derivative streams s, with a_s what the layer reads and
g_s the gradient where it writes (one stream for outputs, one per derivative for residuals). So
Θ = Σ_l [Σ_st (A_s A_tᵀ) ∘ (G_s G_tᵀ) + G_0 G_0ᵀ], the last term being that of the biases.

The factors are of outputs for any ``.onnx``, of residuals for tanh networks. Parameters are the weights
and biases of *dense* layers. Factors in a row (two Gemm, as compression makes them) count as the one
matrix they are, so that kernels before and after compression are those of the same parameters at
different values (paper, Theorem 4), and their difference goes to zero with ‖W − H‖.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array, Indices
from hedge.errors import InputError, ModelError
from hedge.graph import input_dimension, linear_layers, site_gradients, split, trace
from hedge.hmatrix import Entries, HMatrix, build, kd_tree
from hedge.paper.bounds import LARGEST
from hedge.problems import Problem

ROWS_AT_ONCE = 512  # rows of Θ computed together, so that temporaries stay small


@dataclass(frozen=True, eq=False)
class _LayerFactors:
    """inputs A (S, n, n_in) and gradients G (S, n, n_out) of one layer at n points, S streams."""

    inputs: Array
    gradients: Array


@dataclass(frozen=True, eq=False)
class TangentKernel:
    """Θ (N, N) of a network, N = points × outputs; points (N, d) is where each row belongs.

    >>> rng = np.random.default_rng(0)
    >>> layer = _LayerFactors(rng.standard_normal((1, 5, 3)), rng.standard_normal((1, 5, 2)))
    >>> kernel = TangentKernel(rng.random((5, 2)), (layer,))
    >>> j = np.einsum("no,ni->noi", layer.gradients[0], layer.inputs[0]).reshape(5, -1)
    >>> j = np.hstack((j, layer.gradients[0]))
    >>> bool(np.allclose(kernel.dense(), j @ j.T))
    True
    """

    points: Array
    layers: tuple[_LayerFactors, ...]

    def __len__(self) -> int:
        return len(self.points)

    def block(self, rows: Indices, columns: Indices) -> Array:
        """Θ at ``rows`` (m,) and ``columns`` (k,), shape (m, k)."""
        total = np.zeros((len(rows), len(columns)))
        rows_at, columns_at = _span(rows), _span(columns)
        for layer in self.layers:
            a, g = layer.inputs[:, rows_at], layer.gradients[:, rows_at]
            a_t, g_t = layer.inputs[:, columns_at].mT, layer.gradients[:, columns_at].mT
            total += g[0] @ g_t[0]
            for s in range(len(a)):
                for t in range(len(a)):
                    total += (a[s] @ a_t[t]) * (g[s] @ g_t[t])
        return total

    def entries(self) -> Entries:
        """Θ by its entries, for :func:`hedge.hmatrix.build`."""
        return Entries((len(self), len(self)), self.block, symmetric=True)

    def dense(self) -> Array:
        """All of Θ, symmetric to the last bit."""
        every = np.arange(len(self))
        starts = range(0, len(self), ROWS_AT_ONCE)
        whole = np.concatenate([self.block(every[i : i + ROWS_AT_ONCE], every) for i in starts])
        return np.asarray((whole + whole.T) / 2)

    def diagonal(self) -> Array:
        """Θ_ii (N,)."""
        total = np.zeros(len(self))
        for layer in self.layers:
            total += (layer.gradients[0] ** 2).sum(axis=1)
            a = np.einsum("sni,tni->nst", layer.inputs, layer.inputs)
            g = np.einsum("sno,tno->nst", layer.gradients, layer.gradients)
            total += (a * g).sum(axis=(1, 2))
        return total

    def hierarchical(self, tolerance: float) -> HMatrix:
        """Θ as an H-matrix by ACA on a k-d tree of the points, ‖Θ − H‖_F ≤ tolerance · ‖Θ‖_F.

        Low rank is tried from the whole of Θ downwards: kernels of trained networks are often smooth
        enough for it. Raises InputError for a tolerance that is not positive.
        """
        spread = np.ptp(self.points, axis=0)
        scaled = self.points / np.where(spread > 0, spread, 1.0)
        tree = kd_tree(scaled)
        # in the tree's order blocks are contiguous, and are read without copying
        reordered = self.at(tree.order).entries()
        in_place = replace(tree, order=np.arange(len(self)))
        h = build(reordered, tolerance=tolerance, rows=in_place)
        return replace(h, row_order=tree.order, column_order=tree.order)

    def at(self, rows: Indices) -> TangentKernel:
        """The kernel of some of its rows."""
        layers = tuple(
            _LayerFactors(layer.inputs[:, rows], layer.gradients[:, rows]) for layer in self.layers
        )
        return TangentKernel(self.points[rows], layers)


def _span(indices: Indices) -> Indices | slice:
    """Consecutive indices as a slice, which numpy takes without a copy."""
    if (
        len(indices)
        and indices[-1] - indices[0] + 1 == len(indices)
        and (np.diff(indices) == 1).all()
    ):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _checked(kernel: TangentKernel) -> TangentKernel:
    """The kernel; raises InputError if its factors are not finite, or its entries too large for bounds."""
    if not all(np.isfinite(a).all() for lf in kernel.layers for a in (lf.inputs, lf.gradients)):
        raise InputError(
            "tangent kernel: derivatives are not finite at the points; check the domain"
        )
    with np.errstate(over="ignore"):
        largest = float(kernel.diagonal().max(initial=0.0))  # Θ is semidefinite: no entry is larger
    if not largest <= LARGEST:
        raise InputError(
            f"tangent kernel: its entries reach {largest:.1e}, beyond {LARGEST:g}; scale the weights"
        )
    return kernel


def output_kernel(model: ModelProto, points: Array) -> TangentKernel:
    """Θ of the outputs of a model at ``points`` (n, d); with m outputs, all points output by output.

    Needs no torch. Raises ModelError for graphs that can't be differentiated, InputError if points
    and model disagree.
    """
    parts = split(model)
    if points.ndim != 2 or points.shape[1] != input_dimension(model):
        raise InputError(f"points: have shape {points.shape}; give (n, {input_dimension(model)})")
    run = trace(parts, points)
    outputs = run.output.reshape(len(points), -1)
    gradients = []
    for j in range(outputs.shape[1]):
        seed = np.zeros_like(outputs)
        seed[:, j] = 1.0
        gradients.append(site_gradients(run, seed.reshape(run.output.shape)))
    copies = len(gradients)
    factors = tuple(
        _LayerFactors(
            np.tile(_rows(run.values[layer.source]), (copies, 1))[None],
            np.concatenate([_rows(g[layer.last_site]) for g in gradients])[None],
        )
        for layer in linear_layers(parts)
    )
    return _checked(TangentKernel(np.tile(points, (copies, 1)), factors))


def _rows(values: Array) -> Array:
    return values.reshape(len(values), -1)


def residual_kernel(model: ModelProto, problem: Problem, points: Array) -> TangentKernel:
    """Θ of the residuals of ``problem`` at ``points`` (n, d), for a chain of tanh layers; needs torch.

    Of several equations, all points equation by equation.

    Raises ModelError if the model is not such a chain or its output not of the problem's form,
    InputError if torch is not installed.
    """
    try:
        import torch

        from hedge.training.from_graph import network_in
        from hedge.training.loss import linearise
        from hedge.training.points import place
        from hedge.training.terms import Term
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "residual kernel: torch is not installed; run pip install 'hedge-pinn[train]', or ask "
            "for the kernel of the outputs"
        ) from error
    try:
        network, as_given = network_in(split(model), problem, points)
    except ModelError as error:
        raise ModelError(f"{error}; ask for the kernel of its outputs instead") from error
    points_there = place(as_given, torch.from_numpy(points))
    lin = linearise(problem, network, [Term(points_there)])
    factors = tuple(
        _LayerFactors(a.permute(1, 2, 0).numpy(), g.permute(1, 2, 0).numpy())
        for a, g in zip(lin.terms[0].inputs, lin.terms[0].gradients, strict=True)
    )
    equations = len(lin.residual) // len(points)
    return _checked(TangentKernel(np.tile(points, (equations, 1)), factors))
