"""What a profile of C counts is what the C does."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
from onnx import ModelProto, helper

from hedge.benching.calibration.c_networks import CNetwork, c_networks
from hedge.devices.c_cost import Counts, counted, row_blocks
from hedge.exporting.c99.kernels import MOST_SUMS
from hedge.exporting.c99.program import WeightProduct
from hedge.exporting.c99.rows import row_program
from hedge.graph import (
    BlockLayout,
    Precision,
    assemble,
    graph_work,
    split,
    stored_as,
    usual_forms,
)
from tests.conftest import make_model
from tests.devices.c_profile import c_device
from tests.graph.test_blocks import random_blocks

LANES = 4


def products_of(network: CNetwork) -> dict[str, float]:
    """Products, blocks and narrow weights of the program of a row."""
    found: Counter[str] = Counter()
    for step in row_program(network.skeleton, network.matrices, {}).alive().steps:
        if isinstance(step, WeightProduct):
            found["product"] += step.count
            if step.weights.stored_as != "float32":
                found["narrow"] += step.count * step.inputs
                found[step.weights.stored_as] += step.count * step.outputs * step.inputs
                continue
            left = step.outputs
            for name, size in row_blocks(LANES).items():
                found[name] += step.count * (left // size) * step.inputs
                left %= size
    return dict(found)


def row_of(network: CNetwork) -> Counts:
    """What the profile counts of a row."""
    forms = usual_forms(network.matrices, c_device(LANES))
    model = assemble(network.skeleton, network.matrices, forms=forms)
    return counted(graph_work(model, 1), LANES).row


@pytest.mark.parametrize("seed", range(4))
def test_products_and_blocks_are_those_of_the_program(seed: int) -> None:
    for network in c_networks(4, seed, LANES):
        row, expected = row_of(network), products_of(network)
        assert {name: row.get(name, 0) for name in expected} == expected


def test_the_largest_block_is_that_of_the_kernels() -> None:
    assert row_blocks(LANES) == {
        "eights": MOST_SUMS * LANES,
        "vector": LANES,
        "four": 4,
        "single": 1,
    }


@pytest.mark.parametrize("precision", ["float32", "int8"])
def test_blocks_with_shared_bases_are_counted_as_they_are_written(precision: Precision) -> None:
    matrix = stored_as(random_blocks(BlockLayout(64, 64, 4, 2)), precision)
    network = CNetwork(one_site(64), {"site0": matrix})
    row, expected = row_of(network), products_of(network)
    # [D_i U_i] is one product there and two in C, whose sums are the same.
    assert expected.pop("product") == row["product"] + 4
    assert {name: row[name] for name in expected} == expected


def one_site(width: int) -> ModelProto:
    node = helper.make_node("Gemm", ["x", "w"], ["u"], transB=1)
    weights = {"w": np.zeros((width, width))}
    return split(make_model([node], weights, inputs=width, outputs=width)).skeleton
