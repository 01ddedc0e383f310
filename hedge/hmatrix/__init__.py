"""H-matrices: cluster trees, construction, the best pruning, arithmetic.

Needs numpy and scipy only (``plot`` also matplotlib). docs/hmatrix.md shows it in ten lines.
"""

from __future__ import annotations

from hedge.hmatrix.admissibility import Admissible, anywhere, strong, weak
from hedge.hmatrix.arithmetic import add, truncate
from hedge.hmatrix.candidates import Cost, StorageCost
from hedge.hmatrix.cluster import (
    Cluster,
    ClusterTree,
    bisect_geometrically,
    by_similarity,
    in_given_order,
    kd_tree,
)
from hedge.hmatrix.construction import build, sampled_error
from hedge.hmatrix.entries import Entries
from hedge.hmatrix.hmatrix import HMatrix
from hedge.hmatrix.hodlr import HodlrFactorization, factorize
from hedge.hmatrix.leaf import Block, Leaf
from hedge.hmatrix.lowrank import (
    Compressor,
    LowRank,
    Refusal,
    aca,
    randomized_svd,
    rank_revealing_qr,
    truncated_svd,
)
from hedge.hmatrix.multilevel import Fit, fit, multilevel
from hedge.hmatrix.optimum import Optimum, cheapest, most_accurate
from hedge.hmatrix.picture import plot
from hedge.hmatrix.refit import Refit, refit
from hedge.hmatrix.spectrum import Spectrum, plain_spectrum, weighted_spectrum

__all__ = [
    "Admissible", "Block", "Cluster", "ClusterTree", "Compressor", "Cost", "Entries", "Fit",
    "HMatrix", "HodlrFactorization", "Leaf", "LowRank", "Optimum", "Refit", "Refusal", "Spectrum",
    "StorageCost", "aca", "add", "anywhere", "bisect_geometrically", "build", "by_similarity",
    "cheapest", "factorize", "fit", "in_given_order", "kd_tree", "most_accurate", "multilevel",
    "plain_spectrum", "plot", "randomized_svd", "rank_revealing_qr", "refit", "sampled_error",
    "strong", "truncate", "truncated_svd", "weak", "weighted_spectrum",
]  # fmt: skip
