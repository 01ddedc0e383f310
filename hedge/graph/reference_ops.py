"""Ops that onnx's reference evaluator computes number by number or in float32, in numpy and scipy.

onnxruntime has no float64 kernel for them, so that models with GELU are evaluated op by op.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx.reference.op_run import OpRun
from scipy import special


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


OPS = [Erf, Gelu]
