"""The forms that a site's matrix may take in a graph, and its nodes in one of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from hedge.graph.builder import GraphBuilder
from hedge.graph.lowering.levels import levels_of, lower_levels
from hedge.graph.lowering.panels import lower_panels
from hedge.graph.lowering.products import lower_dense, lower_factors
from hedge.graph.lowering.shared_bases import lower_blocks, lower_joined_blocks
from hedge.graph.matrices import BlockMatrix, Matrix, SiteMatrix

Form = Literal["dense", "factors", "panels", "levels", "blocks", "joined"]
"""One Gemm; a Gemm a factor; a Gemm a cluster; three batched products of an H-matrix; those of blocks
with shared bases; the same with coupling and right bases as one Gemm."""

_LOWERINGS: dict[Form, Callable[[GraphBuilder, Any, str], str]] = {
    "dense": lower_dense,
    "factors": lower_factors,
    "panels": lower_panels,
    "levels": lower_levels,
    "blocks": lower_blocks,
    "joined": lower_joined_blocks,
}


def lowered(
    name: str, matrix: Matrix, source: str, target: str, form: Form | None = None
) -> GraphBuilder:
    """The site ``name`` as nodes that read ``source`` (n, n_in) and write ``target`` (n, n_out).

    Without ``form`` in the first of its :func:`forms_of`.
    """
    graph = GraphBuilder(f"{name}.")
    graph.rename(_LOWERINGS[form or forms_of(matrix)[0]](graph, matrix, source), target)
    for node in graph.nodes:  # called after the site and stable, as docs/exporting.md says
        own = name if node.output[0] == target else node.output[0]
        node.name = f"{own}.{node.op_type.lower()}"
    return graph


def forms_of(matrix: Matrix) -> tuple[Form, ...]:
    """The forms that this matrix has, the usual one first.

    Numbers stored in less than 32 bits keep their structure, which "dense" and "joined" would undo.
    """
    is_narrow = matrix.precision != "float32"
    if isinstance(matrix, SiteMatrix):
        if len(matrix.factors) == 1:
            return ("dense",)
        return ("factors",) if is_narrow else ("factors", "dense")
    if isinstance(matrix, BlockMatrix):
        if is_narrow:
            return ("blocks",)
        if matrix.structure.joins_coupling:
            return "joined", "blocks", "dense"
        return "blocks", "joined", "dense"
    found: tuple[Form, ...] = ("panels",)
    if matrix.precision != "int8" and levels_of(matrix) is not None:
        found += ("levels",)  # where leaves would share rows, and int8 has one scale a row
    return found if is_narrow else (*found, "dense")
