"""Algorithms 3 and 4 of the paper on every site's matrix, in the plain Frobenius norm."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from hedge.devices import Device
from hedge.graph import LeafMatrix, Matrix, SplitModel
from hedge.hmatrix import (
    HMatrix,
    Leaf,
    PaperEnergy,
    adaptive_partition,
    energy_efficient,
    in_given_order,
)

Algorithm = Callable[..., HMatrix]
ALGORITHMS: dict[str, Algorithm] = {
    "Algorithm 3": adaptive_partition,
    "Algorithm 4": energy_efficient,
}
# The first partition, as in example 3; smaller matrices start with what fits.
MOST_BLOCKS = 8


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
