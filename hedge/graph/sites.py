"""Linear sites: the matrix products of a graph that compression may replace.

A model is split into its sites and a *skeleton*, the same graph with one placeholder node per site;
``assemble`` puts matrices back. Heads, tails and activations stay in the skeleton as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, NodeProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator

from hedge.errors import ModelError, first_line
from hedge.graph.lowering import lowered
from hedge.graph.matrices import Matrix, SiteMatrix
from hedge.graph.reading import opset

Array = NDArray[np.float64]

PLACEHOLDER_DOMAIN = "hedge"
PLACEHOLDER = "Site"
# Nodes through which a constant is still a constant worth resolving: exporters put them on weights.
# (Mul widens int8 weights by their scales).
CONSTANT_FOLDABLE = {"Cast", "Identity", "Mul", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}


@dataclass(frozen=True)
class Site:
    """A linear site: reads tensor ``input`` (n, n_in), writes tensor ``output`` (n, n_out)."""

    name: str
    input: str
    output: str
    matrix: SiteMatrix


@dataclass(frozen=True)
class SplitModel:
    """A model as its skeleton and its sites, in the order in which they run."""

    skeleton: ModelProto
    sites: tuple[Site, ...]

    @property
    def matrices(self) -> dict[str, SiteMatrix]:
        """The sites' dense matrices by name."""
        return {site.name: site.matrix for site in self.sites}


def split(model: ModelProto) -> SplitModel:
    """Find the linear sites of a model: Gemm, or MatMul with an Add, with constant 2-D weights.

    Raises ModelError if there are none, or the graph holds control flow.
    """
    graph = model.graph
    for node in graph.node:
        if any(a.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS) for a in node.attribute):
            raise ModelError(f"holds control flow ({node.op_type}); export it without")
    prefix = _free_prefix(model)
    constants = _constants(model)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    consumers = {name: node for node in graph.node for name in node.input}

    sites: list[Site] = []
    nodes: list[NodeProto] = []
    absorbed: set[str] = set()  # outputs of Add nodes that became a site's bias
    for node in graph.node:
        if set(node.output) & absorbed:
            continue
        found = _as_gemm(node, constants)
        if found is None:
            nodes.append(node)
            continue
        weight, bias, source = found
        output = node.output[0]
        if bias is None and uses[output] == 1 and output in consumers:
            add = consumers[output]
            bias = _added_bias(add, output, constants, len(weight))
            if bias is not None:
                output = add.output[0]
                absorbed.add(output)
        bias = np.zeros(len(weight)) if bias is None else bias
        name = f"{prefix}{len(sites)}"
        sites.append(Site(name, source, output, SiteMatrix((weight,), bias)))
        nodes.append(
            helper.make_node(PLACEHOLDER, [source], [output], name=name, domain=PLACEHOLDER_DOMAIN)
        )
    skeleton = _pruned(model, nodes)
    alive = {node.name for node in skeleton.graph.node if node.domain == PLACEHOLDER_DOMAIN}
    if not alive:
        raise ModelError(
            "has no linear site (Gemm, or MatMul with Add, with constant weights), "
            "so there is nothing to compress"
        )
    return SplitModel(skeleton, tuple(site for site in sites if site.name in alive))


def _free_prefix(model: ModelProto) -> str:
    """``site``, or something longer where the graph has names that begin so already."""
    graph = model.graph
    taken = {name for node in graph.node for name in (*node.input, *node.output, node.name)}
    taken |= {value.name for value in (*graph.initializer, *graph.input)}
    prefix = "site"
    while any(name.startswith(prefix) for name in taken):
        prefix = f"hedge_{prefix}"
    return prefix


def assemble(
    skeleton: ModelProto, matrices: Mapping[str, Matrix], until: str | None = None
) -> ModelProto:
    """A runnable float32 model: every placeholder becomes the nodes of its matrix.

    With ``until``, a model of the nodes that this tensor needs, with the tensor as its output.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> parts = split(load_model(Path("models/heat-64x3.onnx")))
    >>> nodes = assemble(parts.skeleton, parts.matrices).graph.node
    >>> sum(node.op_type == "Gemm" for node in nodes)
    4
    """
    if until is not None:
        skeleton = _until(skeleton, until)
    model = ModelProto()
    model.CopyFrom(skeleton)
    del model.graph.node[:]
    for node in skeleton.graph.node:
        if node.domain != PLACEHOLDER_DOMAIN:
            model.graph.node.append(node)
            continue
        lowering = lowered(node.name, matrices[node.name], node.input[0], node.output[0])
        model.graph.node.extend(lowering.nodes)
        model.graph.initializer.extend(lowering.weights)
    kept = [entry for entry in model.opset_import if entry.domain != PLACEHOLDER_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)
    return model


def _until(skeleton: ModelProto, tensor: str) -> ModelProto:
    shortened = ModelProto()
    shortened.CopyFrom(skeleton)
    del shortened.graph.output[:]
    shortened.graph.output.append(
        helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None)
    )
    return _pruned(shortened, list(skeleton.graph.node))


def run_node(node: NodeProto, version: int, feed: Mapping[str, Array]) -> list[Array]:
    """One node alone, in numpy, as opset ``version`` defines it.

    Raises ModelError if it can't be evaluated.
    """
    try:
        values: Any = ReferenceEvaluator(node, opsets={"": version}).run(None, dict(feed))
    except Exception as error:  # the reference evaluator raises whatever its ops raise
        label = node.name or node.output[0]
        raise ModelError(
            f"node {label!r} ({node.op_type}) can't be evaluated ({first_line(error)})"
        ) from error
    return list(values)


def _constants(model: ModelProto) -> dict[str, Array]:
    found: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        foldable = node.op_type in CONSTANT_FOLDABLE and not node.domain
        if foldable and all(name in found for name in node.input if name):
            feed = {name: found[name] for name in node.input if name}
            found[node.output[0]] = run_node(node, opset(model), feed)[0]
    return found


def _as_gemm(
    node: NodeProto, constants: Mapping[str, Array]
) -> tuple[Array, Array | None, str] | None:
    """(W (n_out, n_in), b or None, input name) if the node is a linear site."""
    if node.domain or node.op_type not in ("Gemm", "MatMul"):
        return None
    if node.input[0] in constants or node.input[1] not in constants:
        return None
    right = constants[node.input[1]]
    if right.ndim != 2 or right.dtype != np.float32 or 0 in right.shape:
        return None
    right = right.astype(np.float64)
    if node.op_type == "MatMul":
        return right.T.copy(), None, node.input[0]
    attributes = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    if attributes.get("transA", 0):
        return None
    weight = right if attributes.get("transB", 0) else right.T
    weight = attributes.get("alpha", 1.0) * weight
    if len(node.input) < 3 or not node.input[2]:
        return weight.copy(), None, node.input[0]
    if node.input[2] not in constants:
        return None
    bias = _as_bias(constants[node.input[2]], len(weight))
    return (
        None if bias is None else (weight.copy(), attributes.get("beta", 1.0) * bias, node.input[0])
    )


def _added_bias(
    add: NodeProto, product: str, constants: Mapping[str, Array], width: int
) -> Array | None:
    if add.op_type != "Add" or add.domain:
        return None
    others = [name for name in add.input if name != product]
    if len(others) != 1 or others[0] not in constants:
        return None
    return _as_bias(constants[others[0]], width)


def _as_bias(values: Array, width: int) -> Array | None:
    """The constant as (width,), or None where broadcasting it would change the output's shape."""
    if values.ndim > 2 or (values.ndim == 2 and values.shape[0] != 1):
        return None
    if values.size not in (1, width):
        return None
    return np.broadcast_to(values.reshape(-1).astype(np.float64), (width,)).copy()


def _pruned(model: ModelProto, nodes: list[NodeProto]) -> ModelProto:
    """The model with these nodes, less the nodes and weights that nothing reads any more."""
    needed = {value.name for value in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if set(node.output) & needed:
            kept.append(node)
            needed.update(node.input)
    skeleton = ModelProto()
    skeleton.CopyFrom(model)
    graph = skeleton.graph
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(reversed(kept))
    initializers = {t.name for t in model.graph.initializer}
    graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    graph.input.extend(v for v in model.graph.input if v.name not in initializers)
    if PLACEHOLDER_DOMAIN not in {entry.domain for entry in skeleton.opset_import}:
        skeleton.opset_import.append(helper.make_opsetid(PLACEHOLDER_DOMAIN, 1))
    return skeleton
