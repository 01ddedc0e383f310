"""The paper to the letter: Algorithms 1 to 4, both sides of its bounds, its costs.

What hedge compresses with is elsewhere; this is here to be compared with, see docs/paper.md.
"""

from __future__ import annotations

from hedge.paper.algorithms import (
    Adjusted,
    adaptive,
    adaptive_partition,
    dependency_adjusted,
    energy_efficient,
    total_energy,
)
from hedge.paper.bounds import (
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
from hedge.paper.costs import (
    PaperEnergy,
    paper_bound_seconds,
    paper_energy_joules,
    paper_terms,
    tightest_constants,
)
from hedge.paper.kernel_bounds import (
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

__all__ = [
    "Adjusted", "Bound", "PaperEnergy", "adaptive", "adaptive_partition", "block_sum_bound",
    "capacity", "condition_bound", "convergence_bound", "dependency_adjusted", "dependency_bound",
    "dependency_eigenvalue_bound", "effective_condition_bound", "eigenvalue_shift_bound",
    "energy_bound", "energy_efficient", "latency_bound", "loss_decay_bound", "multiscale_bound",
    "neuron_scaling", "paper_bound_seconds", "paper_energy_joules", "paper_terms",
    "perturbed_condition_bound", "refined_width", "refinement_decay_bound", "solution_bound",
    "tangent_kernel_bound", "tightest_constants", "total_energy", "training_error_bound",
]  # fmt: skip
