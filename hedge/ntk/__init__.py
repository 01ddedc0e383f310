"""The neural tangent kernel of trained networks: entries, H-matrix form, spectrum, comparison."""

from __future__ import annotations

from hedge.ntk.comparison import (
    Comparison,
    Spectrum,
    compare_kernels,
    dense_spectrum,
    hierarchical_spectrum,
    uniform_blocks,
)
from hedge.ntk.kernel import TangentKernel, output_kernel, residual_kernel

__all__ = [
    "Comparison", "Spectrum", "TangentKernel", "compare_kernels", "dense_spectrum",
    "hierarchical_spectrum", "output_kernel", "residual_kernel", "uniform_blocks",
]  # fmt: skip
