"""Gradients of operators that work along axes: from that of the output g those of the operands."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from hedge.arrays import Array

Attributes = Mapping[str, Any]
"""Of a node, by name; those that are not given have the operator's defaults."""


def matmul(g: Array, a: Array, b: Array) -> tuple[Array, Array]:
    """Gradients of a @ b, g bᵀ and aᵀ g, for stacks of matrices; a vector is a row or a column."""
    row, column = a.ndim == 1, b.ndim == 1
    a, b = (a[None, :] if row else a), (b[:, None] if column else b)
    g = np.expand_dims(g, tuple(axis for axis, thin in ((-2, row), (-1, column)) if thin))
    to_a, to_b = g @ np.swapaxes(b, -1, -2), np.swapaxes(a, -1, -2) @ g
    return (to_a[..., 0, :] if row else to_a), (to_b[..., 0] if column else to_b)


def layer_norm(g: Array, operands: Sequence[Array], attributes: Attributes) -> Array:
    """Through (x − mean x) / √(mean (x − mean x)² + ε) · scale, over all axes from ``axis`` on."""
    x, scale = operands[:2]
    axes = tuple(range(attributes.get("axis", -1) % x.ndim, x.ndim))
    around = x - x.mean(axes, keepdims=True)
    variance = np.square(around).mean(axes, keepdims=True)
    inverse = 1.0 / np.sqrt(variance + attributes.get("epsilon", 1e-5))
    normal, felt = around * inverse, g * scale
    along = (felt * normal).mean(axes, keepdims=True)
    return np.asarray(inverse * (felt - felt.mean(axes, keepdims=True) - normal * along))


def reduced_sum(g: Array, operands: Sequence[Array], attributes: Attributes) -> Array:
    """Through a sum over axes, which an attribute or the second operand names; without any over all."""
    x, axes = operands[0], _axes(operands, attributes)
    if not axes and attributes.get("noop_with_empty_axes", 0):
        return g
    axes = axes or tuple(range(x.ndim))
    kept = g if attributes.get("keepdims", 1) else np.expand_dims(g, axes)
    return np.broadcast_to(kept, x.shape)


def reduced_mean(g: Array, operands: Sequence[Array], attributes: Attributes) -> Array:
    """The same through a mean."""
    return reduced_sum(g, operands, attributes) * (g.size / operands[0].size)


def _axes(operands: Sequence[Array], attributes: Attributes) -> tuple[int, ...]:
    given = operands[1] if len(operands) > 1 else attributes.get("axes", ())
    return tuple(int(axis) for axis in given)
