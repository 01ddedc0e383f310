"""Low-rank kernels of hierarchical matrices; needs numpy and scipy only."""

from __future__ import annotations

from hedge.hmatrix.lowrank import Spectrum, plain_spectrum, weighted_spectrum

__all__ = ["Spectrum", "plain_spectrum", "weighted_spectrum"]
