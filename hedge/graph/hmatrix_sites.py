"""H-matrices at the sites of a model: what was ordered for their clusters is folded into the sites around.

An H-matrix acts on reordered vectors. Neurons of a hidden layer have no order of their own, so that
those around it can be put into its order once and for all, in the rows that write them and the columns
that read them. Where something else writes or reads them, a Gather does it at run time.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.errors import InputError
from hedge.graph.builder import GraphBuilder
from hedge.graph.groups import neuron_groups
from hedge.graph.site import Site
from hedge.graph.sites import SplitModel, placeholder
from hedge.graph.structures.factors import SiteMatrix
from hedge.graph.structures.partition import LeafMatrix
from hedge.graph.structures.structure import Matrix
from hedge.hmatrix import HMatrix

Order = NDArray[np.intp]


def with_hmatrices(
    parts: SplitModel, hmatrices: Mapping[str, HMatrix]
) -> tuple[ModelProto, dict[str, Matrix]]:
    """The skeleton and matrices of ``parts`` with H-matrices (n_out, n_in) in place of the sites named.

    Biases stay. Raises InputError for a name that is no site, another shape, or leaves that overlap.

    >>> from pathlib import Path
    >>> from hedge.graph import assemble, load_model, split
    >>> from hedge.hmatrix import build
    >>> parts = split(load_model(Path("models/heat-64x3.onnx")))
    >>> h = build(parts.matrices["site1"].dense(), tolerance=1e-3)
    >>> model = assemble(*with_hmatrices(parts, {"site1": h}))
    >>> any(node.op_type == "Gather" for node in model.graph.node)
    False
    """
    for name, h in hmatrices.items():
        _check(parts, name, h)
    read, written = _orders(parts, hmatrices)
    skeleton = deepcopy(parts.skeleton)
    matrices: dict[str, Matrix] = {}
    for site in parts.sites:
        outputs, inputs = site.matrix.shape
        source = read.get(site.name, np.arange(inputs))
        target = written.get(site.name, np.arange(outputs))
        if site.name not in hmatrices:
            matrices[site.name] = _reordered(site.matrix, target, source)
        else:
            h = hmatrices[site.name]
            bias = site.matrix.bias[h.row_order]
            matrices[site.name] = LeafMatrix(h.leaves, bias, inputs)
            _gather_around(
                skeleton,
                site.name,
                np.argsort(source)[h.column_order],
                np.argsort(h.row_order)[target],
            )
    return skeleton, matrices


def hmatrix_model(h: HMatrix) -> tuple[ModelProto, dict[str, Matrix]]:
    """Skeleton and matrices of u = H x alone: ``x`` [n, columns] to ``u`` [n, rows].

    >>> from hedge.graph import assemble, run_float32
    >>> from hedge.hmatrix import build
    >>> x = np.linspace(0, 1, 200)
    >>> h = build(np.exp(-abs(x[:, None] - x)), tolerance=1e-6)
    >>> u = run_float32(assemble(*hmatrix_model(h)), x[None])
    >>> bool(np.allclose(u[0], h @ x, rtol=1e-5))
    True
    """
    rows, columns = h.shape
    name = "hmatrix"
    graph = GraphBuilder()
    graph.nodes.append(placeholder(name, "x", "u"))
    skeleton = graph.model({"x": columns}, {"u": rows}, name)
    unread = SiteMatrix((np.broadcast_to(0.0, h.shape),), np.zeros(rows))
    return with_hmatrices(SplitModel(skeleton, (Site(name, "x", "u", unread),)), {name: h})


def _check(parts: SplitModel, name: str, h: HMatrix) -> None:
    if name not in parts.matrices:
        raise InputError(
            f"site {name!r} is not known; those of the model: {', '.join(parts.matrices)}"
        )
    shape = parts.matrices[name].shape
    if h.shape != shape:
        raise InputError(
            f"site {name!r}: is {shape}, the H-matrix {h.shape}; give one of that shape"
        )
    if h.overlapping:
        raise InputError(
            f"site {name!r}: the leaves overlap; give an H-matrix whose leaves tile it"
        )


def _orders(
    parts: SplitModel, hmatrices: Mapping[str, HMatrix]
) -> tuple[dict[str, Order], dict[str, Order]]:
    """(by readers, by writers): the order that neurons get, where they have none of their own.

    Of several H-matrices around one group the first that writes it, or else reads it, decides.
    """
    read: dict[str, Order] = {}
    written: dict[str, Order] = {}
    for group in neuron_groups(parts).groups:
        if group.constants:  # which stay in their order
            continue
        wanted = [hmatrices[name].row_order for name in group.producers if name in hmatrices]
        wanted += [hmatrices[name].column_order for name in group.consumers if name in hmatrices]
        if wanted:
            read |= dict.fromkeys(group.consumers, wanted[0])
            written |= dict.fromkeys(group.producers, wanted[0])
    return read, written


def _reordered(matrix: SiteMatrix, rows: Order, columns: Order) -> SiteMatrix:
    factors = list(matrix.factors)
    factors[0] = factors[0][rows]
    factors[-1] = factors[-1][:, columns]
    return replace(matrix, factors=tuple(factors), bias=matrix.bias[rows])


def _gather_around(skeleton: ModelProto, name: str, before: Order, behind: Order) -> None:
    """Gathers in front of the site and behind it, where they would change anything."""
    graph = GraphBuilder()
    for node in skeleton.graph.node:
        if node.name != name:
            graph.nodes.append(node)
            continue
        source, target = node.input[0], node.output[0]
        if _changes(before):
            order = graph.constant(before, f"{name}.ordered.order")
            node.input[0] = graph.add("Gather", source, order, output=f"{name}.ordered", axis=1)
        graph.nodes.append(node)
        if _changes(behind):
            node.output[0] = f"{name}.unordered"
            order = graph.constant(behind, f"{target}.order")
            graph.add("Gather", node.output[0], order, output=target, axis=1)
    del skeleton.graph.node[:]
    skeleton.graph.node.extend(graph.nodes)
    skeleton.graph.initializer.extend(graph.constants.values())


def _changes(order: Order) -> bool:
    return not np.array_equal(order, np.arange(len(order)))
