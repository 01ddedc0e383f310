"""One product or two: the whole matrix as one Gemm, or its factors as one each."""

from __future__ import annotations

from hedge.graph.lowering.builder import Array, Lowering
from hedge.graph.matrices import Matrix, SiteMatrix, as_written


def factor_labels(matrix: SiteMatrix) -> dict[str, Array]:
    """Its weights by what a graph calls them, in the order in which they meet the input."""
    if len(matrix.factors) == 1:
        labelled = {"weight": matrix.factors[0]}
    else:
        labelled = {f"factor{i}": factor for i, factor in enumerate(reversed(matrix.factors))}
    return {**labelled, "bias": matrix.bias}


def lower_factors(lowering: Lowering, matrix: SiteMatrix, source: str, target: str) -> None:
    """One Gemm per factor: the rightmost meets the input first, the bias joins the last product."""
    *labelled, (_, bias) = factor_labels(matrix).items()
    for position, (label, factor) in enumerate(labelled):
        inputs = [source, lowering.weight(label, factor, matrix.precision)]
        last = label == labelled[-1][0]
        if last:
            inputs.append(lowering.weight("bias", bias))
        output = target if last else f"{lowering.site}.hidden{position}"
        source = lowering.node("Gemm", inputs, output, transB=1)


def lower_dense(lowering: Lowering, matrix: Matrix, source: str, target: str) -> None:
    """All entries as one Gemm; what was not dense, in float32."""
    if isinstance(matrix, SiteMatrix) and len(matrix.factors) == 1:
        lower_factors(lowering, matrix, source, target)
        return
    written = as_written(matrix)
    lower_factors(lowering, SiteMatrix((written.dense(),), written.bias), source, target)
