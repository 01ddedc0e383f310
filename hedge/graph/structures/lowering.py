"""The forms that a site's matrix may take in a graph, and its nodes in one of them."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np

from hedge.graph.builder import GraphBuilder
from hedge.graph.structures.factors import SiteMatrix, lower_factors
from hedge.graph.structures.structure import Form, Lowering, Matrix, as_written


def lowered(
    name: str,
    matrix: Matrix,
    source: str,
    target: str,
    form: Form | None = None,
    real: type[np.floating[Any]] = np.float32,
    *,
    outline: bool = False,
) -> GraphBuilder:
    """The site ``name`` as nodes that read ``source`` (n, n_in) and write ``target`` (n, n_out).

    Without ``form`` in the first of its :func:`forms_of`. Their numbers are ``real`` ones; an ``outline``
    has not those of large weights.
    """
    graph, lowerings = GraphBuilder(f"{name}.", real, outline=outline), _lowerings(matrix)
    graph.rename(lowerings[form or next(iter(lowerings))](graph, source), target)
    for node in graph.nodes:  # called after the site and stable, as docs/exporting.md says
        own = name if node.output[0] == target else node.output[0]
        node.name = f"{own}.{node.op_type.lower()}"
    return graph


def forms_of(matrix: Matrix) -> tuple[Form, ...]:
    """The forms that this matrix has, the usual one first."""
    return tuple(_lowerings(matrix))


def _lowerings(matrix: Matrix) -> dict[Form, Lowering]:
    """Its own forms, and one Gemm; numbers stored in less than 32 bits keep their structure."""
    forms = matrix.forms
    if matrix.precision == "float32":
        forms.setdefault("dense", partial(_lower_dense, matrix))
    return forms


def _lower_dense(matrix: Matrix, graph: GraphBuilder, source: str) -> str:
    """All entries as one Gemm."""
    if graph.outline:  # what they are does not count
        values = np.broadcast_to(np.zeros((), graph.real), matrix.shape)
        return lower_factors(SiteMatrix((values,), matrix.bias), graph, source)
    written = as_written(matrix)
    return lower_factors(SiteMatrix((written.dense(),), written.bias), graph, source)
