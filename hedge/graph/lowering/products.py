"""One product or two: the whole matrix as one Gemm, or its factors as one each."""

from __future__ import annotations

from hedge.arrays import Array
from hedge.graph.builder import GraphBuilder
from hedge.graph.lowering.weights import weight
from hedge.graph.matrices import Matrix, SiteMatrix, as_written


def factor_labels(matrix: SiteMatrix) -> dict[str, Array]:
    """Its weights by what a graph calls them, in the order in which they meet the input."""
    if len(matrix.factors) == 1:
        labelled = {"weight": matrix.factors[0]}
    else:
        labelled = {f"factor{i}": factor for i, factor in enumerate(reversed(matrix.factors))}
    return {**labelled, "bias": matrix.bias}


def lower_factors(graph: GraphBuilder, matrix: SiteMatrix, source: str) -> str:
    """One Gemm per factor: the rightmost meets the input first, the bias joins the last product."""
    *inner, (label, last), (_, bias) = factor_labels(matrix).items()
    for position, (name, factor) in enumerate(inner):
        right = weight(graph, name, factor, matrix.precision)
        source = graph.linear(source, right, output=f"hidden{position}")
    left = weight(graph, label, last, matrix.precision)
    return graph.linear(source, left, weight(graph, "bias", bias))


def lower_dense(graph: GraphBuilder, matrix: Matrix, source: str) -> str:
    """All entries as one Gemm; what was not dense, in float32."""
    if isinstance(matrix, SiteMatrix) and len(matrix.factors) == 1:
        return lower_factors(graph, matrix, source)
    written = as_written(matrix)
    return lower_factors(graph, SiteMatrix((written.dense(),), written.bias), source)
