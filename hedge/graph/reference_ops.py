"""Ops that onnx's reference evaluator computes number by number, in float32 or wrongly, in numpy and scipy.

onnxruntime has no float64 kernel for them, so that models with GELU are evaluated op by op.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from scipy import special

_INT_MAX = (2**31 - 1, 2**63 - 1)


class Erf(OpRun):
    """2/√π ∫₀ˣ exp(−t²) dt."""

    op_domain = ""

    def _run(self, x: NDArray[Any]) -> tuple[NDArray[Any]]:
        return (special.erf(x),)


class Gelu(OpRun):
    """x Φ(x), or its approximation by tanh (Hendrycks, Gimpel 2016)."""

    op_domain = ""

    def _run(self, x: NDArray[Any], approximate: str | None = None) -> tuple[NDArray[Any]]:
        if approximate == "tanh":
            return (0.5 * x * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (x + 0.044715 * x**3))),)
        return (x * special.ndtr(x),)


class GeluOfRuntime(Gelu):
    """What onnxruntime writes for x Φ(x), in models of any opset."""

    op_domain = "com.microsoft"


GeluOfRuntime.__name__ = "Gelu"  # by which the reference evaluator finds it


class BiasGelu(OpRun):
    """Gelu of x + b."""

    op_domain = "com.microsoft"

    def _run(self, x: NDArray[Any], b: NDArray[Any]) -> tuple[NDArray[Any]]:
        return ((x + b) * special.ndtr(x + b),)


class FastGelu(OpRun):
    """Gelu of x + b by its approximation by tanh."""

    op_domain = "com.microsoft"

    def _run(self, x: NDArray[Any], b: NDArray[Any] | None = None) -> tuple[NDArray[Any]]:
        z = x if b is None else x + b
        return (0.5 * z * (1.0 + np.tanh(np.sqrt(2.0 / np.pi) * (z + 0.044715 * z**3))),)


class QuickGelu(OpRun):
    """x σ(α x)."""

    op_domain = "com.microsoft"

    def _run(self, x: NDArray[Any], alpha: float = 1.702) -> tuple[NDArray[Any]]:
        return (x * special.expit(alpha * x),)


class DequantizeLinear(OpRun):
    """(x − zero) scale, both of them single or one for each along the axis."""

    op_domain = ""

    def _run(
        self,
        x: NDArray[Any],
        scale: NDArray[Any],
        zero: NDArray[Any] | None = None,
        axis: int = 1,
        **_: Any,
    ) -> tuple[NDArray[Any]]:
        if scale.ndim > 1:
            raise NotImplementedError("a scale for each block")
        shape = [1] * x.ndim
        if scale.size > 1:
            shape[axis if axis < x.ndim else 0] = scale.size
        moved = x.astype(scale.dtype)
        if zero is not None:
            moved = moved - zero.astype(scale.dtype).reshape(
                shape if zero.size > 1 else [1] * x.ndim
            )
        return (moved * scale.reshape(shape),)


class Slice(OpRun):
    """Bounds beyond the axis end at it, also where the step is negative: Python counts them anew."""

    op_domain = ""

    def _run(
        self,
        data: NDArray[Any],
        starts: NDArray[Any],
        ends: NDArray[Any],
        axes: NDArray[Any] | None = None,
        steps: NDArray[Any] | None = None,
    ) -> tuple[NDArray[Any]]:
        chosen = [slice(None)] * data.ndim
        axes = np.arange(len(starts)) if axes is None else axes
        steps = np.ones(len(starts), np.int64) if steps is None else steps
        for start, end, axis, step in zip(starts, ends, axes, steps, strict=True):
            chosen[axis] = _bounded(int(start), int(end), int(step), data.shape[axis])
        return (data[tuple(chosen)],)


def _bounded(start: int, end: int, step: int, size: int) -> slice:
    """The slice that ONNX means (operator Slice, version 13).

    Going back, an end of INT_MAX is the beginning for onnxruntime, which it is not by the text.
    """
    low, high = (0, size) if step > 0 else (-1, size - 1)
    if step < 0 and end in _INT_MAX:
        end = -size - 1
    first, last = (
        min(max(bound + size if bound < 0 else bound, low), high) for bound in (start, end)
    )
    first = max(first, 0)
    return slice(first, None if last < 0 else last, step)


REFERENCE_OPS = [Erf, Gelu, DequantizeLinear, Slice, BiasGelu, FastGelu, QuickGelu, GeluOfRuntime]
