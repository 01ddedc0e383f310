"""Any leaves that tile a matrix: the paper's H-matrix."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import ClassVar

import numpy as np

from hedge.arrays import Array
from hedge.graph.precision import Precision
from hedge.graph.structures.levels import Levels, levels_of, lower_levels
from hedge.graph.structures.panels import lower_panels
from hedge.graph.structures.structure import (
    Form,
    Lowering,
    Matrix,
    Place,
    Rectangle,
    Structure,
    factor_shapes,
)
from hedge.hmatrix import Block, Leaf


@dataclass(frozen=True)
class Partition(Structure):
    """An (outputs, inputs) matrix cut into any leaves that tile it."""

    tree: tuple[Place, ...]

    FORMS: ClassVar[tuple[Form, ...]] = ("panels", "levels")

    @property
    def label(self) -> str:
        """In a few words."""
        return f"{len(self.tree)} leaves"

    @property
    def reason(self) -> str:
        """Why it was chosen: only the paper's algorithms do."""
        return f"the paper's partition into {len(self.tree)} blocks"

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """The arrays it is stored as."""
        return {
            name: shape
            for i, leaf in enumerate(self.blocks)
            for name, shape in factor_shapes(
                f"leaf{i}.factor", leaf.rows, leaf.columns, leaf.rank
            ).items()
        }

    @property
    def blocks(self) -> tuple[Block, ...]:
        """Its leaves."""
        return tuple(
            Block(bottom - top, stop - start, rank) for top, bottom, start, stop, rank in self.tree
        )

    @property
    def rectangles(self) -> list[Rectangle]:
        """Where its leaves are."""
        return [
            (slice(top, bottom), slice(start, stop)) for top, bottom, start, stop, _ in self.tree
        ]

    def matrix(self, arrays: Mapping[str, Array], bias: Array, precision: Precision) -> LeafMatrix:
        """The matrix of these arrays and bias."""
        left = iter(arrays[name] for name in self.shapes)
        leaves = tuple(
            Leaf(
                top, bottom, start, stop, tuple(next(left) for _ in range(1 if rank is None else 2))
            )
            for top, bottom, start, stop, rank in self.tree
        )
        return LeafMatrix(leaves, bias, self.inputs, precision)


@dataclass(frozen=True, eq=False)
class LeafMatrix(Matrix):
    """z = H a + b with an H-matrix H of any leaves that tile it, in the order of the neurons.

    The paper's object (def1). Every leaf is some nodes, so that it is slow unless there are few.
    inputs is n_in.
    """

    leaves: tuple[Leaf, ...]
    bias: Array
    inputs: int
    precision: Precision = "float32"

    @property
    def shape(self) -> tuple[int, int]:
        """(n_out, n_in)."""
        return len(self.bias), self.inputs

    @property
    def structure(self) -> Partition:
        """Where its leaves are, and their ranks."""
        places = [(i.top, i.bottom, i.start, i.stop, i.block.rank) for i in self.leaves]
        return Partition(*self.shape, tuple(places))

    @property
    def arrays(self) -> dict[str, Array]:
        """What is stored beside the bias, by name."""
        return {
            f"leaf{i}.factor{j}": factor
            for i, leaf in enumerate(self.leaves)
            for j, factor in enumerate(leaf.factors)
        }

    @property
    def forms(self) -> dict[Form, Lowering]:
        """A Gemm a cluster; three batched products where leaves form a regular tree."""
        found: dict[Form, Lowering] = {
            "panels": partial(lower_panels, self.leaves, self.bias, self.precision)
        }
        # In levels leaves would share rows, and int8 has one scale a row.
        if self.precision != "int8" and self._levels is not None:
            found["levels"] = partial(lower_levels, self._levels, self.bias, self.precision)
        return found

    @cached_property
    def _levels(self) -> Levels | None:
        return levels_of(self.leaves)

    def dense(self) -> Array:
        """All entries, (n_out, n_in)."""
        whole = np.zeros(self.shape)
        for leaf in self.leaves:
            whole[leaf.top : leaf.bottom, leaf.start : leaf.stop] = leaf.values()
        return whole

    def times(self, a: Array) -> Array:
        """The product with every row of ``a`` (N, n_in), without the bias: (N, n_out)."""
        return np.asarray(a @ self.dense().T)
