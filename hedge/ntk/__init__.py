"""The neural tangent kernel of trained networks: entries, H-matrix form, spectrum, comparison."""

from __future__ import annotations

from hedge.ntk.comparison import (
    Comparison,
    Spectrum,
    compare_kernels,
    dense_spectrum,
    hierarchical_spectrum,
    spectrum_of,
    uniform_blocks,
)
from hedge.ntk.factors import output_kernel, residual_kernel
from hedge.ntk.kernel import LayerFactors, TangentKernel

__all__ = [
    "Comparison",
    "LayerFactors",
    "Spectrum",
    "TangentKernel",
    "compare_kernels",
    "dense_spectrum",
    "hierarchical_spectrum",
    "output_kernel",
    "residual_kernel",
    "spectrum_of",
    "uniform_blocks",
]
