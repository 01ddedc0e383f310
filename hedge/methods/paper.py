"""The paper's method: Algorithms 3 and 4 on every site's matrix, by Frobenius norm and the paper's energy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import numpy as np

from hedge.compression import Case, CompressedModel, CountedCost, Plan, as_method, blocks_of, search
from hedge.compression.case import Matrices
from hedge.compression.families import Family
from hedge.compression.network import Network
from hedge.devices import Device
from hedge.graph import LeafMatrix, Matrix, SplitModel
from hedge.hmatrix import HMatrix, Leaf, in_given_order
from hedge.paper import (
    PaperEnergy,
    adaptive_partition,
    energy_efficient,
    paper_bound_seconds,
    paper_energy_joules,
)

Algorithm = Callable[..., HMatrix]
ALGORITHMS: dict[str, Algorithm] = {
    "Algorithm 3": adaptive_partition,
    "Algorithm 4": energy_efficient,
}
# The first partition, as in example 3; smaller matrices start with what fits.
MOST_BLOCKS = 8


def compress_as_paper(case: Case) -> CompressedModel:
    """What either algorithm leaves, whichever needs less of the paper's energy (Theorem 10)."""
    counted = CountedCost("the paper's energy", _energy)
    case = replace(as_method(case, "paper"), counted=counted)
    return search(case, _partitions(case))


def _energy(device: Device, matrices: Matrices) -> float:
    return paper_energy_joules(device, blocks_of(matrices))


def _partitions(case: Case) -> dict[str, Family]:
    return {name: partial(_partitioned, case, one) for name, one in ALGORITHMS.items()}


def _partitioned(case: Case, algorithm: Algorithm, price: float) -> Network:
    """The one knob of the algorithms is a tolerance: the less, the higher the price."""
    whole = _energy(case.device, case.split.matrices)
    relative = whole / (case.request.tolerance * price)
    return Network(case, partition_sites(case.split, case.device, algorithm, relative))


def paper_costs(plan: Plan) -> tuple[float | None, float | None]:
    """Theorems 10 and 11 to the letter for what a plan describes: joules, and seconds of a call.

    None where the device's figures are not known.
    """
    if plan.paper_energy_j is not None or plan.figures is None:  # older files hold them
        return plan.paper_energy_j, plan.paper_bound_s
    blocks = [block for site in plan.sites for block in site.structure.blocks]
    return (
        paper_energy_joules(plan.figures, blocks),
        paper_bound_seconds(plan.figures, blocks, plan.batch),
    )


def partition_sites(
    split: SplitModel, device: Device, algorithm: Algorithm, relative: float
) -> dict[str, Matrix]:
    """Every site's matrix as ``algorithm`` leaves it with ‖W − H‖_F ≤ relative · ‖W‖_F; biases as
    they were.

    α and β of a block's energy are the device's.
    """
    energy = PaperEnergy(device.paper.alpha.value, device.paper.beta.value)
    matrices: dict[str, Matrix] = {}
    for site in split.sites:
        weight = site.matrix.dense()
        depth = min(in_given_order(size, 1).depth for size in weight.shape)
        h = algorithm(
            weight,
            target=relative * (float(np.linalg.norm(weight)) or 1.0),
            energy=energy,
            blocks=min(MOST_BLOCKS, 2**depth),
        )
        leaves = tuple(_with_rank(leaf) for leaf in h.leaves)
        matrices[site.name] = LeafMatrix(leaves, site.matrix.bias, weight.shape[1])
    return matrices


def _with_rank(leaf: Leaf) -> Leaf:
    """A leaf of rank 0 as one of rank 1 that is zero: graphs have no empty products."""
    if leaf.rank > 0:
        return leaf
    rows, columns = leaf.shape
    return replace(leaf, factors=(np.zeros((rows, 1)), np.zeros((1, columns))))
