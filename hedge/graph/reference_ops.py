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


REFERENCE_OPS = [Erf, Gelu, Slice]
