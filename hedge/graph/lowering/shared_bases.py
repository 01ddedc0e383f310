"""Blocks with shared bases (BLR²) as batched products: D + U S V in two ways."""

from __future__ import annotations

import numpy as np

from hedge.graph.lowering.builder import Lowering
from hedge.graph.matrices import BlockMatrix
from hedge.graph.precision import rounded


def lower_blocks(lowering: Lowering, matrix: BlockMatrix, source: str, target: str) -> None:
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
    leaves = lowering.reshaped(part, "leaves", (count, columns, -1))
    right = lowering.weight("right", matrix.right, precision)
    seen = lowering.inner("MatMul", [right, leaves], "seen")
    seen = lowering.reshaped(seen, "seen_by_all", (count * rank, -1))
    coupling = lowering.weight("coupling", matrix.coupling, precision)
    coupled = lowering.inner("MatMul", [coupling, seen], "coupled")
    coupled = lowering.reshaped(coupled, "coupled_leaves", (count, rank, -1))
    both = lowering.inner("Concat", [leaves, coupled], "leaves_and_coupled", axis=1)
    block_rows = lowering.weight("rows", matrix.rows, precision)
    part = lowering.inner("MatMul", [block_rows, both], "products")
    part = lowering.reshaped(part, "filled_outputs", (count * rows, -1))
    if count * rows > outputs:
        part = lowering.sliced(part, "outputs", (0, outputs), axis=0)
    if not matrix.bias.any():
        lowering.node("Transpose", [part], target, perm=[1, 0])
        return
    part = lowering.inner("Transpose", [part], "unbiased", perm=[1, 0])
    lowering.biased(part, matrix.bias, target)


def lower_joined_blocks(lowering: Lowering, matrix: BlockMatrix, source: str, target: str) -> None:
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
    leaves = lowering.reshaped(part, "leaves", (-1, count, columns))
    # Of the numbers in files, so that a model read back gives the same bytes.
    coupling, right = (rounded(w, "float32") for w in (matrix.coupling, matrix.right))
    reach = (coupling.reshape(-1, count, 1, rank) @ right).reshape(count * rank, -1)
    coupled = lowering.inner(
        "Gemm", [source, lowering.weight("reach", reach[:, :inputs])], "coupled", transB=1
    )
    coupled = lowering.reshaped(coupled, "coupled_leaves", (-1, count, rank))
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
    part = lowering.reshaped(part, label, (-1, count * rows))
    if not whole:
        part = lowering.sliced(part, "unbiased", (0, outputs), axis=1)
    lowering.biased(part, matrix.bias, target)
