"""H-matrices: cluster trees, construction, the best pruning, arithmetic, bounds.

Needs numpy and scipy only (``plot`` also matplotlib). docs/hmatrix.md shows it in ten lines.
"""

from __future__ import annotations

from hedge.hmatrix.admissibility import Admissible, anywhere, strong, weak
from hedge.hmatrix.arithmetic import add, truncate
from hedge.hmatrix.bounds import (
    Bound,
    block_sum_bound,
    condition_bound,
    convergence_bound,
    energy_bound,
    latency_bound,
    multiscale_bound,
    perturbed_condition_bound,
    solution_bound,
    training_error_bound,
)
from hedge.hmatrix.candidates import Cost, PaperEnergy, StorageCost
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
from hedge.hmatrix.kernel_bounds import (
    capacity,
    dependency_bound,
    dependency_eigenvalue_bound,
    effective_condition_bound,
    eigenvalue_shift_bound,
    loss_decay_bound,
    neuron_scaling,
    refined_width,
    refinement_decay_bound,
    tangent_kernel_bound,
)
from hedge.hmatrix.leaf import Leaf
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
from hedge.hmatrix.paper import (
    Adjusted,
    adaptive,
    adaptive_partition,
    dependency_adjusted,
    energy_efficient,
    total_energy,
)
from hedge.hmatrix.picture import plot
from hedge.hmatrix.refit import Refit, refit
from hedge.hmatrix.spectrum import Spectrum, plain_spectrum, weighted_spectrum

__all__ = [
    "Adjusted", "Admissible", "Bound", "Cluster", "ClusterTree", "Compressor", "Cost", "Entries",
    "Fit", "HMatrix", "HodlrFactorization", "Leaf", "LowRank", "Optimum", "PaperEnergy", "Refit",
    "Refusal", "Spectrum", "StorageCost", "aca", "adaptive", "adaptive_partition", "add",
    "anywhere", "bisect_geometrically", "block_sum_bound", "build", "by_similarity", "capacity",
    "cheapest", "condition_bound", "convergence_bound", "dependency_adjusted", "dependency_bound",
    "dependency_eigenvalue_bound", "effective_condition_bound", "eigenvalue_shift_bound",
    "energy_bound", "energy_efficient", "factorize", "fit", "in_given_order", "kd_tree",
    "latency_bound", "loss_decay_bound", "most_accurate", "multilevel", "multiscale_bound",
    "neuron_scaling", "perturbed_condition_bound", "plain_spectrum", "plot", "randomized_svd",
    "rank_revealing_qr", "refined_width", "refinement_decay_bound", "refit", "sampled_error",
    "solution_bound", "strong", "tangent_kernel_bound", "total_energy", "training_error_bound",
    "truncate", "truncated_svd", "weak", "weighted_spectrum",
]  # fmt: skip
