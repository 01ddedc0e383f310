"""Blocks with shared bases (BLR²) as batched products: D + U S V in two ways."""

from __future__ import annotations

from hedge.graph.builder import GraphBuilder
from hedge.graph.lowering.weights import biased, weight
from hedge.graph.matrices import BlockMatrix
from hedge.graph.precision import rounded


def lower_blocks(graph: GraphBuilder, matrix: BlockMatrix, source: str) -> str:
    """The batch goes last, so that leaves lie together and no block product needs a transpose.

    [D_i U_i] is one matrix that meets [a_i; s_i]: one batched product less, and no sum.
    """
    (outputs, inputs), precision = matrix.shape, matrix.precision
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = graph.add("Transpose", source, output="columns", perm=[1, 0])
    if count * columns > inputs:
        part = graph.add("Pad", part, [0, 0, count * columns - inputs, 0], output="filled")
    leaves = graph.add("Reshape", part, [count, columns, -1], output="leaves")
    right = weight(graph, "right", matrix.right, precision)
    seen = graph.add("MatMul", right, leaves, output="seen")
    seen = graph.add("Reshape", seen, [count * rank, -1], output="seen_by_all")
    coupling = weight(graph, "coupling", matrix.coupling, precision)
    coupled = graph.add("MatMul", coupling, seen, output="coupled")
    coupled = graph.add("Reshape", coupled, [count, rank, -1], output="coupled_leaves")
    both = graph.add("Concat", leaves, coupled, output="leaves_and_coupled", axis=1)
    block_rows = weight(graph, "rows", matrix.rows, precision)
    part = graph.add("MatMul", block_rows, both, output="products")
    part = graph.add("Reshape", part, [count * rows, -1], output="filled_outputs")
    if count * rows > outputs:
        part = graph.add("Slice", part, [0], [outputs], [0], output="outputs")
    part = graph.add("Transpose", part, output="unbiased", perm=[1, 0])
    return biased(graph, part, matrix.bias)


def lower_joined_blocks(graph: GraphBuilder, matrix: BlockMatrix, source: str) -> str:
    """S V as one Gemm, so that everything before the block rows keeps the batch first."""
    outputs, inputs = matrix.shape
    count, rank, columns = matrix.right.shape
    rows = matrix.rows.shape[1]
    part = source
    if count * columns > inputs:
        part = graph.add("Pad", source, [0, 0, 0, count * columns - inputs], output="filled")
    leaves = graph.add("Reshape", part, [-1, count, columns], output="leaves")
    # Of the numbers in files, so that a model read back gives the same bytes.
    coupling, right = (rounded(w, "float32") for w in (matrix.coupling, matrix.right))
    reach = (coupling.reshape(-1, count, 1, rank) @ right).reshape(count * rank, -1)
    coupled = graph.linear(source, weight(graph, "reach", reach[:, :inputs]), output="coupled")
    coupled = graph.add("Reshape", coupled, [-1, count, rank], output="coupled_leaves")
    both = graph.add("Concat", leaves, coupled, output="leaves_and_coupled", axis=2)
    both = graph.add("Transpose", both, output="by_leaf", perm=[1, 0, 2])
    block_rows = weight(graph, "rows", matrix.rows.transpose(0, 2, 1))
    part = graph.add("MatMul", both, block_rows, output="products")
    part = graph.add("Transpose", part, output="by_row", perm=[1, 0, 2])
    part = graph.add("Reshape", part, [-1, count * rows], output="filled_outputs")
    if count * rows > outputs:
        part = graph.add("Slice", part, [0], [outputs], [1], output="unbiased")
    return biased(graph, part, matrix.bias)
