"""Linear sites: the matrix products of a graph that compression may replace.

A model is split into its sites and a *skeleton*, the same graph with one placeholder node per site;
``assemble`` puts matrices back. Heads, tails and activations stay in the skeleton as they are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hedge.arrays import Array, widened
from hedge.errors import ModelError
from hedge.graph.constants_once import ConstantsOnce
from hedge.graph.evaluation import Evaluator
from hedge.graph.folding import Folding
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.layer_norm import with_whole_layer_norms
from hedge.graph.neuron_constants import with_neuron_constants
from hedge.graph.nodes import attributes_of, label, run_node
from hedge.graph.precision import Precision
from hedge.graph.scalars import with_full_rank_scalars
from hedge.graph.shapes import Shape, inferred_shapes
from hedge.graph.site import Site
from hedge.graph.structures.factors import SiteMatrix
from hedge.graph.structures.lowering import lowered
from hedge.graph.structures.structure import Form, Matrix
from hedge.graph.summed_products import with_sums_as_layers
from hedge.graph.versions import LEAST_OPSET, opset
from hedge.ops import op_of

PLACEHOLDER = "Site"
# Nodes through which a constant is still a constant worth resolving, beside elementwise ones: exporters put
# them on weights (DequantizeLinear widens int8 weights by their scales).
CONSTANT_FOLDABLE = {
    "DequantizeLinear", "QuantizeLinear", "Reshape", "Squeeze", "Transpose", "Unsqueeze",
}  # fmt: skip
# What rounds activations to whole numbers, or multiplies such.
QUANTIZING = {
    "ConvInteger", "DynamicQuantizeLinear", "MatMulInteger", "QLinearMatMul", "QuantizeLinear",
}  # fmt: skip


@dataclass(frozen=True)
class SplitModel:
    """A model as its skeleton and its sites, in the order in which they run.

    left_alone says of every other matrix product why it is no site.
    """

    skeleton: ModelProto
    sites: tuple[Site, ...]
    left_alone: tuple[str, ...] = ()

    @property
    def matrices(self) -> dict[str, SiteMatrix]:
        """The sites' dense matrices by name."""
        return {site.name: site.matrix for site in self.sites}

    def tensor(self, name: str, points: Array, written: Mapping[str, Array]) -> Array:
        """A tensor at ``points`` (N, d), from what the sites before it write there, by their outputs' names.

        The nodes between are loaded once, whatever the matrices are.
        """
        if name in written:
            return written[name]
        if name not in self._between:
            model, read = _between(self, name)
            self._between[name] = Evaluator(model, [name], read), read
        evaluate, read = self._between[name]
        return evaluate.intermediates(points, {output: written[output] for output in read})[name]

    @cached_property
    def _between(self) -> dict[str, tuple[Evaluator, tuple[str, ...]]]:
        return {}

    def holds(self, matrices: Mapping[str, Matrix]) -> bool:
        """Whether these are the very matrices of its sites, or others of the same weights and biases."""
        return all(
            isinstance(matrix := matrices[name], SiteMatrix)
            and matrix.factors[0] is own.factors[0]
            and matrix.precision == own.precision
            and np.array_equal(matrix.bias, own.bias)
            for name, own in self.matrices.items()
        )

    def replaced(self, matrices: Mapping[str, SiteMatrix]) -> SplitModel:
        """The same graph with these matrices at its sites."""
        sites = tuple(replace(site, matrix=matrices[site.name]) for site in self.sites)
        return SplitModel(self.skeleton, sites)


def split(model: ModelProto) -> SplitModel:
    """Find the linear sites of a model: Gemm, or MatMul with an Add, of [n, d] and constant weights.

    Raises ModelError if there are none, or activations are quantized.
    """
    parts = split_if_any(model)
    _check_not_quantized(parts.skeleton)
    if not parts.sites:
        raise ModelError(
            "has no linear site (Gemm, or MatMul with Add, with constant weights), "
            f"so there is nothing to compress{''.join(f'; {why}' for why in parts.left_alone)}"
        )
    return parts


def _check_not_quantized(skeleton: ModelProto) -> None:
    for node in skeleton.graph.node:
        if node.op_type in QUANTIZING and not node.domain:
            raise ModelError(
                f"is quantized already: {label(node)} works on whole numbers, whose rounding would be fitted "
                "as if it were the network's; give the float file that it was made from"
            )


def split_if_any(model: ModelProto) -> SplitModel:
    """The same for a graph that may have no site."""
    model = with_sums_as_layers(model)
    constants = _constants(model)
    if opset(model) >= LEAST_OPSET:
        model = with_whole_layer_norms(model, constants)
    graph = model.graph
    prefix = _free_prefix(model)
    shapes = inferred_shapes(model)
    uses = Counter(name for node in graph.node for name in node.input)
    uses.update(value.name for value in graph.output)
    consumers = {name: node for node in graph.node for name in node.input}

    sites: list[Site] = []
    nodes: list[NodeProto] = []
    left: dict[str, str] = {}  # by output
    absorbed: set[str] = set()  # outputs of Add nodes that became a site's bias
    for node in graph.node:
        if set(node.output) & absorbed:
            continue
        if node.domain or node.op_type not in ("Gemm", "MatMul"):
            nodes.append(node)
            continue
        source, output = node.input[0], node.output[0]
        obstacle = _obstacle(node, constants, shapes)
        if obstacle is not None:
            left[output] = f"{label(node)} {obstacle}"
            nodes.append(node)
            continue
        weight, bias = _as_gemm(node, constants)
        if bias is None and uses[output] == 1 and output in consumers:
            add = consumers[output]
            bias = _added_bias(add, output, constants, len(weight))
            if bias is not None:
                output = add.output[0]
                absorbed.add(output)
        bias = np.zeros(len(weight)) if bias is None else bias
        name = f"{prefix}{len(sites)}"
        matrix = SiteMatrix((weight,), bias, _precision(constants[node.input[1]]))
        sites.append(Site(name, source, output, matrix))
        nodes.append(placeholder(name, source, output))
    folding = Folding(model, nodes, sites, constants, shapes)
    folding.fold()
    skeleton = with_neuron_constants(pruned(model, folding.in_order), constants, shapes)
    skeleton = with_full_rank_scalars(skeleton, shapes)
    alive = {name for node in skeleton.graph.node for name in node.output}
    found = tuple(site for site in folding.sites.values() if site.output in alive)
    left_alone = tuple(reason for output, reason in left.items() if output in alive)
    return SplitModel(skeleton, found, left_alone)


def split_of(skeleton: ModelProto, matrices: Mapping[str, Matrix]) -> SplitModel:
    """A skeleton's own split, its sites dense, with these matrices."""
    return SplitModel(
        skeleton,
        tuple(
            Site(node.name, node.input[0], node.output[0], _as_dense(matrices[node.name]))
            for node in skeleton.graph.node
            if node.domain == PLACEHOLDER_DOMAIN
        ),
    )


def _as_dense(matrix: Matrix) -> SiteMatrix:
    return SiteMatrix((matrix.dense(),), matrix.bias)


def placeholder(name: str, source: str, output: str) -> NodeProto:
    """The node that stands for a site in a skeleton."""
    return helper.make_node(PLACEHOLDER, [source], [output], name=name, domain=PLACEHOLDER_DOMAIN)


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
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    forms: Mapping[str, Form] = MappingProxyType({}),
) -> ModelProto:
    """A runnable model, of float32 if the skeleton is: every placeholder becomes the nodes of its matrix.

    ``forms`` says by name in which form sites are lowered, others take the usual one of their matrix.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> parts = split(load_model(Path("models/heat-64x3.onnx")))
    >>> nodes = assemble(parts.skeleton, parts.matrices).graph.node
    >>> sum(node.op_type == "Gemm" for node in nodes)
    4
    """
    return _assembled(skeleton, matrices, forms, outline=False)


def outline(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    forms: Mapping[str, Form] = MappingProxyType({}),
) -> ModelProto:
    """The same model, of large weights their shapes alone: what it costs shows in it."""
    return _assembled(skeleton, matrices, forms, outline=True)


def _assembled(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    forms: Mapping[str, Form],
    *,
    outline: bool,
) -> ModelProto:
    model, real = deepcopy(skeleton), _real_of(skeleton)
    del model.graph.node[:]
    written = ConstantsOnce(model)
    for node in skeleton.graph.node:
        if node.domain != PLACEHOLDER_DOMAIN:
            model.graph.node.append(node)
            continue
        name = node.name
        source, target = node.input[0], node.output[0]
        part = lowered(name, matrices[name], source, target, forms.get(name), real, outline=outline)
        written.append(part)
    _forget_placeholders(model)
    return model


def _real_of(skeleton: ModelProto) -> type[np.floating[Any]]:
    """What its numbers are."""
    types = {value.type.tensor_type.elem_type for value in skeleton.graph.input}
    return np.float64 if onnx.TensorProto.DOUBLE in types else np.float32


def _precision(weight: Array) -> Precision:
    return "float64" if weight.dtype == np.float64 else "float32"


def _between(parts: SplitModel, tensor: str) -> tuple[ModelProto, tuple[str, ...]]:
    """The nodes that a tensor needs beyond the outputs of sites, and the names of these outputs."""
    model = deepcopy(parts.skeleton)
    del model.graph.output[:]
    model.graph.output.append(helper.make_tensor_value_info(tensor, onnx.TensorProto.FLOAT, None))
    others = [n for n in parts.skeleton.graph.node if n.domain != PLACEHOLDER_DOMAIN]
    model = pruned(model, others)
    _forget_placeholders(model)
    read = {name for node in model.graph.node for name in node.input}
    return model, tuple(site.output for site in parts.sites if site.output in read)


def _forget_placeholders(model: ModelProto) -> None:
    kept = [entry for entry in model.opset_import if entry.domain != PLACEHOLDER_DOMAIN]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _constants(model: ModelProto) -> dict[str, Array]:
    found: dict[str, Array] = {t.name: numpy_helper.to_array(t) for t in model.graph.initializer}
    for node in model.graph.node:
        named = node.op_type in CONSTANT_FOLDABLE or op_of(node.op_type).elementwise
        if named and not node.domain and all(name in found for name in node.input if name):
            feed = {name: found[name] for name in node.input if name}
            # The reference evaluator knows (De)QuantizeLinear from 19 on; the others did not change since 13.
            found[node.output[0]] = run_node(node, max(opset(model), 19), feed)[0]
    return found


def _obstacle(
    node: NodeProto, constants: Mapping[str, Array], shapes: Mapping[str, Shape]
) -> str | None:
    """Why this Gemm or MatMul is no linear site; None if it is one."""
    source, right = node.input[0], constants.get(node.input[1])
    if source in constants or right is None:
        return "has no constant weight behind its input"
    if right.ndim != 2 or 0 in right.shape:
        return f"has a weight of shape {right.shape}"
    if right.dtype not in (np.float32, np.float64):
        return f"has a weight of {right.dtype}"
    axes = len(shapes.get(source, (None, None)))
    if axes != 2:
        return f"reads {source!r} of {axes} axes, not [n, d]"
    if node.op_type == "Gemm" and attributes_of(node).get("transA", 0):
        return "transposes its input"
    if len(node.input) > 2 and node.input[2]:
        bias = constants.get(node.input[2])
        if bias is None or _as_bias(bias, _weight(node, right).shape[0]) is None:
            return "has a bias that is no constant per neuron"
    return None


def _as_gemm(node: NodeProto, constants: Mapping[str, Array]) -> tuple[Array, Array | None]:
    """(W (n_out, n_in), b (n_out,) or None) of a linear site."""
    weight = _weight(node, constants[node.input[1]])
    if len(node.input) < 3 or not node.input[2]:
        return weight, None
    bias = _as_bias(constants[node.input[2]], len(weight))
    return weight, None if bias is None else attributes_of(node).get("beta", 1.0) * bias


def _weight(node: NodeProto, right: Array) -> Array:
    """W (n_out, n_in) in z = W a + b, from the right operand of a Gemm or MatMul."""
    attributes = attributes_of(node)
    weight = right if attributes.get("transB", 0) else right.T
    alpha = attributes.get("alpha", 1.0)
    return widened(weight) if alpha == 1.0 else np.asarray(alpha * weight.astype(np.float64))


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


def pruned(model: ModelProto, nodes: list[NodeProto]) -> ModelProto:
    """The model with these nodes, less the nodes and weights that nothing reads any more."""
    needed = {value.name for value in model.graph.output}
    kept: list[NodeProto] = []
    for node in reversed(nodes):
        if set(node.output) & needed:
            kept.append(node)
            needed.update(node.input)
    skeleton = deepcopy(model)
    graph = skeleton.graph
    del graph.node[:], graph.initializer[:], graph.input[:]
    graph.node.extend(reversed(kept))
    initializers = {t.name for t in model.graph.initializer}
    graph.initializer.extend(t for t in model.graph.initializer if t.name in needed)
    graph.input.extend(v for v in model.graph.input if v.name not in initializers)
    if PLACEHOLDER_DOMAIN not in {entry.domain for entry in skeleton.opset_import}:
        skeleton.opset_import.append(helper.make_opsetid(PLACEHOLDER_DOMAIN, 1))
    return skeleton
