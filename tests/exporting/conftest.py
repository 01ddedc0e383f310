"""Compressed models of every kind of site, without the search for the best."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from onnx import ModelProto

import hedge
from hedge.compression import CompressedModel, Plan
from hedge.graph import (
    BlockLayout,
    BlockMatrix,
    LeafMatrix,
    Matrix,
    Precision,
    SiteMatrix,
    split,
    stored_as,
)
from hedge.hmatrix import Leaf
from tests.conftest import random_mlp

collect_ignore_glob = ["golden/*/*"]  # examples of what hedge writes, Python among them

Make = Callable[[ModelProto, str, Precision], CompressedModel]


@pytest.fixture(scope="session")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Plan:
    """That of some network, which gives an exported file its header."""
    path = tmp_path_factory.mktemp("plan") / "some.onnx"
    path.write_bytes(random_mlp([2, 8, 1]).SerializeToString())
    return hedge.compress(
        path, device="laptop-x86", tolerance=1e-2, domain="0:1,0:1", recover=None
    ).plan


@pytest.fixture(scope="session")
def made(plan: Plan) -> Make:
    """A dense model with random matrices of one kind at its sites, stored in one precision.

    Size is its objective, so that none becomes one dense matrix because that is faster.
    """
    small = plan.model_copy(update={"objective": "size"})

    def make(dense: ModelProto, kind: str, precision: Precision) -> CompressedModel:
        parts = split(dense)
        rng = np.random.default_rng(0)
        matrices = {
            name: stored_as(MATRICES[kind](rng, *matrix.shape), precision)
            for name, matrix in parts.matrices.items()
        }
        return CompressedModel(parts.skeleton, matrices, small)

    return make


def dense(rng: np.random.Generator, outputs: int, inputs: int) -> Matrix:
    return SiteMatrix((values(rng, outputs, inputs),), bias(rng, outputs))


def low_rank(rng: np.random.Generator, outputs: int, inputs: int) -> Matrix:
    return SiteMatrix((values(rng, outputs, 2), values(rng, 2, inputs)), bias(rng, outputs))


def blocks(rng: np.random.Generator, outputs: int, inputs: int) -> Matrix:
    """Four leaves a side, or as many as the smaller side allows; the last ones may be filled up."""
    layout = BlockLayout(outputs, inputs, leaves=min(4, outputs, inputs), rank=1)
    (height, width), count = layout.leaf, layout.leaves
    return BlockMatrix(
        values(rng, count, height, width + 1),
        values(rng, count, count),
        values(rng, count, 1, width),
        bias(rng, outputs),
        inputs,
    )


def leaves(rng: np.random.Generator, outputs: int, inputs: int) -> Matrix:
    """Quarters, dense on the diagonal and of rank one off it."""

    def leaf(rows: tuple[int, int], columns: tuple[int, int], on_diagonal: bool) -> Leaf:
        height, width = rows[1] - rows[0], columns[1] - columns[0]
        factors = (
            (values(rng, height, width),)
            if on_diagonal
            else (values(rng, height, 1), values(rng, 1, width))
        )
        return Leaf(*rows, *columns, factors)

    tiles = tuple(
        leaf(rows, columns, i == j)
        for i, rows in enumerate(halves(outputs))
        for j, columns in enumerate(halves(inputs))
    )
    return LeafMatrix(tiles, bias(rng, outputs), inputs)


def halves(size: int) -> Iterator[tuple[int, int]]:
    middle = size // 2
    if middle:
        yield 0, middle
    yield middle, size


def values(rng: np.random.Generator, *shape: int) -> np.ndarray:
    """Such that products have about the size of what they multiply."""
    return rng.standard_normal(shape) / np.sqrt(shape[-1])


def bias(rng: np.random.Generator, outputs: int) -> np.ndarray:
    return 0.3 * rng.standard_normal(outputs)


MATRICES: dict[str, Callable[[np.random.Generator, int, int], Matrix]] = {
    "dense": dense,
    "low rank": low_rank,
    "blocks": blocks,
    "leaves": leaves,
}
