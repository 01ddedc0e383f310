"""Matrices as ONNX nodes: standard ops only, chosen for speed in onnxruntime."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, TensorProto, helper, numpy_helper

from hedge.graph.matrices import BlockMatrix, LeafMatrix, Matrix, SiteMatrix
from hedge.graph.precision import Precision, encode, rounded

Array = NDArray[np.float64]


@dataclass
class Lowering:
    """The nodes of one site and their weights, written one after the other."""

    site: str
    nodes: list[NodeProto] = field(default_factory=list)
    weights: list[TensorProto] = field(default_factory=list)

    def constant(self, name: str, values: NDArray[np.generic]) -> str:
        """A tensor kept as it is."""
        full = f"{self.site}.{name}"
        self.weights.append(numpy_helper.from_array(np.ascontiguousarray(values), full))
        return full

    def weight(self, name: str, values: Array, precision: Precision = "float32") -> str:
        """Float32 numbers, stored in ``precision`` and widened by nodes that fold at load.

        (onnxruntime folds Cast and Mul of constants, but keeps DequantizeLinear.)
        """
        stored, scale = encode(values, precision)
        if precision == "float32":
            return self.constant(name, stored)
        narrow = self.constant(f"{name}.{precision}", stored)
        if precision == "bfloat16":
            self.weights[-1].data_type = TensorProto.BFLOAT16
        wide = f"{self.site}.{name}"
        unscaled = wide if scale is None else f"{wide}.unscaled"
        self.node("Cast", [narrow], unscaled, to=TensorProto.FLOAT)
        if scale is not None:
            self.node("Mul", [unscaled, self.constant(f"{name}.scale", scale)], wide)
        return wide

    def node(self, op: str, inputs: list[str], output: str, **attributes: Any) -> str:
        """A node with one output, whose name it returns."""
        self.nodes.append(
            helper.make_node(op, inputs, [output], name=f"{output}.{op.lower()}", **attributes)
        )
        return output

    def inner(self, op: str, inputs: list[str], label: str, **attributes: Any) -> str:
        """The same for a tensor of the site's own."""
        return self.node(op, inputs, f"{self.site}.{label}", **attributes)


def lowered(name: str, matrix: Matrix, source: str, target: str) -> Lowering:
    """The site ``name`` as nodes that read ``source`` (n, n_in) and write ``target`` (n, n_out)."""
    lowering = Lowering(name)
    if isinstance(matrix, BlockMatrix) and _is_joined(matrix):
        _lower_joined_blocks(lowering, matrix, source, target)
    elif isinstance(matrix, BlockMatrix):
        _lower_blocks(lowering, matrix, source, target)
    elif isinstance(matrix, LeafMatrix):
        _lower_leaves(lowering, matrix, source, target)
    else:
        _lower_factors(lowering, matrix, source, target)
    return lowering


def factor_labels(matrix: SiteMatrix) -> dict[str, Array]:
    """Its weights by what a graph calls them, in the order in which they meet the input."""
    if len(matrix.factors) == 1:
        labelled = {"weight": matrix.factors[0]}
    else:
        labelled = {f"factor{i}": factor for i, factor in enumerate(reversed(matrix.factors))}
    return {**labelled, "bias": matrix.bias}


def _lower_factors(lowering: Lowering, matrix: SiteMatrix, source: str, target: str) -> None:
    """One Gemm per factor: the rightmost meets the input first, the bias joins the last product."""
    *labelled, (_, bias) = factor_labels(matrix).items()
    for position, (label, factor) in enumerate(labelled):
        inputs = [source, lowering.weight(label, factor, matrix.precision)]
        last = label == labelled[-1][0]
        if last:
            inputs.append(lowering.weight("bias", bias))
        output = target if last else f"{lowering.site}.hidden{position}"
        source = lowering.node("Gemm", inputs, output, transB=1)


def _lower_blocks(lowering: Lowering, matrix: BlockMatrix, source: str, target: str) -> None:
    """The batch goes last, so that leaves lie together and no block product needs a transpose.

    [D_i U_i] is one matrix that meets [a_i; s_i]: one batched product less, and no sum.
    """
    (outputs, inputs), precision = matrix.shape, matrix.precision
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = lowering.inner("Transpose", [source], "columns", perm=[1, 0])
    if count * columns > inputs:
        fill = lowering.constant(
            "fill", np.array([0, 0, count * columns - inputs, 0], dtype=np.int64)
        )
        part = lowering.inner("Pad", [part, fill], "filled")
    leaves = _reshaped(lowering, part, "leaves", (count, columns, -1))
    right = lowering.weight("right", matrix.right, precision)
    seen = lowering.inner("MatMul", [right, leaves], "seen")
    seen = _reshaped(lowering, seen, "seen_by_all", (count * rank, -1))
    coupling = lowering.weight("coupling", matrix.coupling, precision)
    coupled = lowering.inner("MatMul", [coupling, seen], "coupled")
    coupled = _reshaped(lowering, coupled, "coupled_leaves", (count, rank, -1))
    both = lowering.inner("Concat", [leaves, coupled], "leaves_and_coupled", axis=1)
    block_rows = lowering.weight("rows", matrix.rows, precision)
    part = lowering.inner("MatMul", [block_rows, both], "products")
    part = _reshaped(lowering, part, "filled_outputs", (count * rows, -1))
    if count * rows > outputs:
        part = _sliced(lowering, part, "outputs", (0, outputs), axis=0)
    if not matrix.bias.any():
        lowering.node("Transpose", [part], target, perm=[1, 0])
        return
    part = lowering.inner("Transpose", [part], "unbiased", perm=[1, 0])
    lowering.node("Add", [part, lowering.weight("bias", matrix.bias)], target)


def _is_joined(matrix: BlockMatrix) -> bool:
    """Whether the product S V is stored: in float32 only, since it would have to be rounded again."""
    return matrix.precision == "float32" and matrix.layout.joins_coupling


def _lower_joined_blocks(lowering: Lowering, matrix: BlockMatrix, source: str, target: str) -> None:
    """S V as one Gemm, so that everything before the block rows keeps the batch first."""
    outputs, inputs = matrix.shape
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = source
    if count * columns > inputs:
        fill = lowering.constant(
            "fill", np.array([0, 0, 0, count * columns - inputs], dtype=np.int64)
        )
        part = lowering.inner("Pad", [source, fill], "filled")
    leaves = _reshaped(lowering, part, "leaves", (-1, count, columns))
    # Of the numbers in files, so that a model read back gives the same bytes.
    coupling, right = (rounded(w, "float32") for w in (matrix.coupling, matrix.right))
    reach = (coupling.reshape(-1, count, 1, rank) @ right).reshape(count * rank, -1)
    coupled = lowering.inner(
        "Gemm", [source, lowering.weight("reach", reach[:, :inputs])], "coupled", transB=1
    )
    coupled = _reshaped(lowering, coupled, "coupled_leaves", (-1, count, rank))
    both = lowering.inner("Concat", [leaves, coupled], "leaves_and_coupled", axis=2)
    both = lowering.inner("Transpose", [both], "by_leaf", perm=[1, 0, 2])
    block_rows = lowering.weight("rows", matrix.rows.transpose(0, 2, 1))
    part = lowering.inner("MatMul", [both, block_rows], "products")
    part = lowering.inner("Transpose", [part], "by_row", perm=[1, 0, 2])
    plain = not matrix.bias.any()
    whole = count * rows == outputs
    label = "filled_outputs"
    if plain and whole:
        shape = lowering.constant(f"{label}.shape", np.array((-1, count * rows), dtype=np.int64))
        lowering.node("Reshape", [part, shape], target)
        return
    part = _reshaped(lowering, part, label, (-1, count * rows))
    if not whole:
        part = _sliced(lowering, part, "unbiased", (0, outputs), axis=1)
    lowering.node("Add", [part, lowering.weight("bias", matrix.bias)], target)


def _reshaped(lowering: Lowering, source: str, label: str, shape: tuple[int, ...]) -> str:
    target = lowering.constant(f"{label}.shape", np.array(shape, dtype=np.int64))
    return lowering.inner("Reshape", [source, target], label)


def _lower_leaves(lowering: Lowering, matrix: LeafMatrix, source: str, target: str) -> None:
    """Leaf by leaf: cut out the input, multiply; then sum what falls into each strip of rows."""
    edges = sorted({edge for leaf in matrix.leaves for edge in (leaf.top, leaf.bottom)})
    strips: dict[tuple[int, int], list[str]] = {strip: [] for strip in pairwise(edges)}
    inputs = {
        place: source
        if place == (0, matrix.inputs)
        else _sliced(lowering, source, f"columns{i}", place, axis=1)
        for i, place in enumerate(sorted({(leaf.start, leaf.stop) for leaf in matrix.leaves}))
    }
    for i, leaf in enumerate(matrix.leaves):
        part = inputs[leaf.start, leaf.stop]
        for j, factor in reversed(list(enumerate(leaf.factors))):
            weight = lowering.weight(f"leaf{i}.factor{j}", factor, matrix.precision)
            part = lowering.inner("Gemm", [part, weight], f"leaf{i}.product{j}", transB=1)
        for (top, bottom), terms in strips.items():
            if (top, bottom) == (leaf.top, leaf.bottom):
                terms.append(part)
            elif leaf.top <= top and bottom <= leaf.bottom:
                rows = (top - leaf.top, bottom - leaf.top)
                terms.append(_sliced(lowering, part, f"leaf{i}.rows{top}", rows, axis=1))
    sums = [
        terms[0] if len(terms) == 1 else lowering.inner("Sum", terms, f"strip{top}")
        for (top, _), terms in strips.items()
    ]
    whole = sums[0] if len(sums) == 1 else lowering.inner("Concat", sums, "unbiased", axis=1)
    lowering.node("Add", [whole, lowering.weight("bias", matrix.bias)], target)


def _sliced(lowering: Lowering, source: str, label: str, place: tuple[int, int], axis: int) -> str:
    ends = [
        lowering.constant(f"{label}.{name}", np.array([value], dtype=np.int64))
        for name, value in (("start", place[0]), ("stop", place[1]), ("axis", axis))
    ]
    return lowering.inner("Slice", [source, *ends], label)
