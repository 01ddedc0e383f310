"""Columns of wide inputs that sites alone read, as a branch net's sensors: those that others tell can go."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from onnx import NodeProto, helper, numpy_helper

from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.nodes import attributes_of
from hedge.graph.ports import input_widths
from hedge.graph.sites import SplitModel, placeholder, pruned
from hedge.graph.structures.factors import SiteMatrix

# Of narrower inputs every column counts: they are coordinates.
LEAST_COLUMNS = 16


@dataclass(frozen=True)
class ReadColumns:
    """The columns of ``input`` that the sites named read, as ``tensor`` (n, len(columns))."""

    input: str
    tensor: str
    columns: NDArray[np.int64]
    sites: tuple[str, ...]


def read_columns(split: SplitModel) -> tuple[ReadColumns, ...]:
    """The inputs of many columns that sites alone read: whole, or by a Gather of columns.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model, split
    >>> read_columns(split(load_model(Path("models/poisson-operator-1024.onnx"))))[0].columns.shape
    (1024,)
    """
    found = []
    for name, width in input_widths(split.skeleton).items():
        tensor, columns = name, np.arange(width)
        readers = _readers(split, name)
        if len(readers) == 1:
            picked = _picked(split, readers[0])
            if picked is not None:
                tensor, columns = readers[0].output[0], picked
                readers = _readers(split, tensor)
        sites = [node.name for node in readers if node.domain == PLACEHOLDER_DOMAIN]
        if readers and len(sites) == len(readers) and len(columns) >= LEAST_COLUMNS:
            found.append(ReadColumns(name, tensor, columns, tuple(sites)))
    return tuple(found)


def with_columns(
    split: SplitModel,
    read: ReadColumns,
    kept: NDArray[np.int64],
    matrices: Mapping[str, SiteMatrix],
) -> SplitModel:
    """The model whose sites read these of the columns, by places in ``read.columns``, with these matrices."""
    graph = split.skeleton.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken |= {tensor.name for tensor in graph.initializer}
    tensor, indices = f"{read.input}.read", f"{read.input}.columns"
    while {tensor, indices} & taken:
        tensor, indices = f"{tensor}.", f"{indices}."
    gather = helper.make_node("Gather", [read.input, indices], [tensor], name=tensor, axis=1)
    nodes = [
        placeholder(node.name, tensor, node.output[0])
        if node.domain == PLACEHOLDER_DOMAIN and node.name in read.sites
        else node
        for node in graph.node
    ]
    skeleton = pruned(split.skeleton, [gather, *nodes])
    skeleton.graph.initializer.append(numpy_helper.from_array(read.columns[kept], indices))
    sites = tuple(
        replace(site, input=tensor, matrix=matrices[site.name]) if site.name in read.sites else site
        for site in split.sites
    )
    return SplitModel(skeleton, sites, split.left_alone)


def _readers(split: SplitModel, tensor: str) -> list[NodeProto]:
    return [node for node in split.skeleton.graph.node if tensor in node.input]


def _picked(split: SplitModel, node: NodeProto) -> NDArray[np.int64] | None:
    """The columns that a Gather of constant ones picks."""
    if node.op_type != "Gather" or node.domain or attributes_of(node).get("axis", 0) != 1:
        return None
    stored = {tensor.name: tensor for tensor in split.skeleton.graph.initializer}
    if node.input[1] not in stored:
        return None
    columns = numpy_helper.to_array(stored[node.input[1]])
    return columns.astype(np.int64) if columns.ndim == 1 and (columns >= 0).all() else None
