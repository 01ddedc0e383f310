"""H-matrices: cluster trees, construction, the best pruning, arithmetic.

Needs numpy and scipy only (``plot`` also matplotlib). docs/hmatrix.md shows it in ten lines.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hedge.hmatrix.arithmetic import add, truncate
    from hedge.hmatrix.bases import NestedBasis
    from hedge.hmatrix.candidates import Cost, StorageCost
    from hedge.hmatrix.cluster import (
        Admissible,
        Cluster,
        ClusterTree,
        anywhere,
        bisect_geometrically,
        by_similarity,
        in_given_order,
        kd_tree,
        strong,
        weak,
    )
    from hedge.hmatrix.construction import build, sampled_error
    from hedge.hmatrix.entries import Entries, kernel
    from hedge.hmatrix.fitting import fit
    from hedge.hmatrix.hmatrix import HMatrix
    from hedge.hmatrix.hodlr import HodlrFactorization, factorize
    from hedge.hmatrix.leaf import Block, Leaf
    from hedge.hmatrix.levels import Fit, multilevel
    from hedge.hmatrix.lowrank import (
        Compressor,
        LowRank,
        aca,
        randomized_svd,
        rank_revealing_qr,
        truncated_svd,
    )
    from hedge.hmatrix.nested import Coupling, H2Matrix
    from hedge.hmatrix.one_level import shared_bases
    from hedge.hmatrix.optimum import Optimum, cheapest, most_accurate
    from hedge.hmatrix.picture import plot
    from hedge.hmatrix.recompression import recompress
    from hedge.hmatrix.refitting import Refit, refit
    from hedge.hmatrix.sharing import build_nested, smallest
    from hedge.hmatrix.spectrum import (
        Spectrum,
        plain_spectrum,
        sampled_spectrum,
        tails_squared,
        weighted_spectrum,
    )
    from hedge.hmatrix.stacks import Refusal

# Loaded when first asked for: what compresses a network needs two of these modules.
_HOMES = {
    name: module
    for module, names in {
        "arithmetic": "add truncate",
        "bases": "NestedBasis",
        "candidates": "Cost StorageCost",
        "cluster": "Admissible Cluster ClusterTree anywhere bisect_geometrically by_similarity "
        "in_given_order kd_tree strong weak",
        "construction": "build sampled_error",
        "entries": "Entries kernel",
        "hmatrix": "HMatrix",
        "hodlr": "HodlrFactorization factorize",
        "leaf": "Block Leaf",
        "lowrank": "Compressor LowRank aca randomized_svd rank_revealing_qr truncated_svd",
        "fitting": "fit",
        "levels": "Fit multilevel",
        "nested": "Coupling H2Matrix",
        "one_level": "shared_bases",
        "optimum": "Optimum cheapest most_accurate",
        "picture": "plot",
        "recompression": "recompress",
        "refitting": "Refit refit",
        "sharing": "build_nested smallest",
        "stacks": "Refusal",
        "spectrum": "Spectrum plain_spectrum sampled_spectrum tails_squared weighted_spectrum",
    }.items()
    for name in names.split()
}

__all__ = [
    "Admissible", "Block", "Cluster", "ClusterTree", "Compressor", "Cost", "Coupling", "Entries",
    "Fit", "H2Matrix", "HMatrix", "HodlrFactorization", "Leaf", "LowRank", "NestedBasis", "Optimum",
    "Refit", "Refusal", "Spectrum", "StorageCost", "aca", "add", "anywhere", "bisect_geometrically",
    "build", "build_nested", "by_similarity", "cheapest", "factorize", "fit", "in_given_order",
    "kd_tree", "kernel", "most_accurate", "multilevel", "plain_spectrum", "plot", "randomized_svd",
    "rank_revealing_qr", "recompress", "refit", "sampled_error", "sampled_spectrum",
    "shared_bases", "smallest", "strong", "tails_squared", "truncate", "truncated_svd", "weak",
    "weighted_spectrum",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
