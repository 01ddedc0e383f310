"""Graphs of pairs as the product grids that they stand for, see :mod:`hedge.graph.product_grids`."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from copy import deepcopy
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hedge.errors import ModelError
from hedge.graph.nodes import attributes_of, label
from hedge.graph.ports import true_inputs
from hedge.graph.product_grids import BEHIND, Grid, Names, Rewritten, grid_of
from hedge.graph.runtime import ORT_ERRORS, quiet_options
from hedge.graph.shapes import inferred_shapes
from hedge.ops import op_of

# Nodes of a site are called after it.
SITE = re.compile(r"(hedge_)*site[0-9]+\.")


def as_grid(model: ModelProto) -> ModelProto:
    """What is deployed of a runnable graph of pairs: the product grid that it stands for; others stay.

    Raises ModelError where it is none any more.
    """
    grid = grid_of(model)
    return model if grid is None else _Spreading(model, grid).spread()


class _Spreading:
    """From pairs to the product grid."""

    def __init__(self, model: ModelProto, grid: Grid) -> None:
        self._graph, self._grid = Rewritten(model), grid
        # Products number by number, of rows and of columns.
        self._terms: dict[str, tuple[str, str]] = {}
        self._done: set[str] = set()
        self._fixed: list[NodeProto] = []  # which read constants alone
        self._uses = Counter(name for node in model.graph.node for name in node.input)
        self._constants = {t.name: t for t in model.graph.initializer}
        self._placed: dict[str, NodeProto] = {}

    def spread(self) -> ModelProto:
        graph = self._graph
        for node in graph.given:
            if node.output[0] not in self._done:
                self._put(node)
        shapes: dict[str, list[Any]] = {}
        sides = dict.fromkeys(self._grid.rows, "b")
        for value in true_inputs(graph.model):
            behind = [d.dim_value or None for d in value.type.tensor_type.shape.dim][1:]
            shapes[value.name] = [sides.get(value.name, "n"), *behind]
        for value in graph.model.graph.output:
            behind = [d.dim_value or None for d in value.type.tensor_type.shape.dim][2:]
            shapes[value.name] = ["b", "n", *behind]
        graph.declare(shapes)
        return graph.without_unread()

    def _put(self, node: NodeProto) -> None:
        graph, origins = self._graph, self._graph.origins
        origin = frozenset().union(*(origins.get(name, frozenset()) for name in node.input))
        if not origin:
            self._fixed.append(node)
        if not self._is_grid(origin):
            graph.model.graph.node.append(node)
            self._placed[node.output[0]] = graph.model.graph.node[-1]
        elif all(not self._is_grid(origins.get(name, frozenset())) for name in node.input):
            self._put_terms(node)
        elif node.input[0] in self._terms:
            self._put_sum(node)
        else:
            self._put_behind(node)

    def _is_grid(self, origin: Names) -> bool:
        return not origin.isdisjoint(self._grid.rows) and not origin.isdisjoint(self._grid.columns)

    def _put_terms(self, node: NodeProto) -> None:
        if node.op_type != "Mul" or len(node.input) != 2:
            raise self._refusal(node)
        rows, columns = node.input
        if not self._graph.origins[rows].isdisjoint(self._grid.columns):
            rows, columns = columns, rows
        self._terms[node.output[0]] = rows, columns

    def _put_sum(self, node: NodeProto) -> None:
        """Σ_k w_k b_k t_k + c of pairs as (w b) tᵀ + c."""
        output, given = node.output[0], attributes_of(node)
        rows, columns = self._terms[node.input[0]]
        layer = self._layer_from(node)
        if len(layer) > 1:
            self._put_layer(layer)
            return
        bias = list(node.input[2:]) if node.op_type == "Gemm" else []
        if node.op_type in ("Gemm", "MatMul") and not given.get("transA", 0):
            rows = self._weighted(rows, node.input[1], is_row=bool(given.get("transB", 0)))
        elif node.op_type != "ReduceSum" or not given.get("keepdims", 1):
            raise self._refusal(node)
        self._graph.add("Gemm", [rows, columns, *bias], output, transB=1)

    def _layer_from(self, first: NodeProto) -> list[NodeProto]:
        """The nodes of the site that ``first`` is of and that the products move, in order."""
        site = SITE.match(first.name)
        if site is None:
            return [first]
        given = self._graph.given
        return [
            node
            for node in given[given.index(first) :]
            if node.name.startswith(site.group())
            and self._is_grid(self._graph.origins.get(node.output[0], frozenset()))
        ]

    def _put_layer(self, layer: Sequence[NodeProto]) -> None:
        """A layer of several nodes by its weights, which are what it makes of unit vectors."""
        terms, output = layer[0].input[0], layer[-1].output[0]
        width = self._width(self._terms[terms][0])
        alone = deepcopy(self._graph.model)
        del alone.graph.node[:], alone.graph.input[:], alone.graph.output[:]
        alone.graph.node.extend([*self._fixed, *layer])
        alone.graph.input.append(
            helper.make_tensor_value_info(terms, TensorProto.FLOAT, [None, width])
        )
        alone.graph.output.append(helper.make_tensor_value_info(output, TensorProto.FLOAT, None))
        session = onnxruntime.InferenceSession(alone.SerializeToString(), quiet_options())
        units = np.vstack([np.zeros((1, width)), np.eye(width)]).astype(np.float32)
        try:
            (found,) = session.run(None, {terms: units})
        except ORT_ERRORS as error:
            raise self._refusal(layer[0]) from error
        if found.shape != (width + 1, 1):
            raise self._refusal(layer[0])
        rows, columns = self._terms[terms]
        weight = self._graph.constant((found[1:] - found[:1]).T, f"{output}.weight")
        bias = self._graph.constant(found[0], f"{output}.bias")
        rows = self._graph.extra("Mul", [rows, weight], f"{rows}.weighted")
        self._graph.add("Gemm", [rows, columns, bias], output, transB=1)
        self._done.update(name for node in layer for name in node.output)

    def _width(self, tensor: str) -> int:
        shape = inferred_shapes(self._graph.model).get(tensor, ())
        if len(shape) != 2 or shape[1] is None:
            raise ModelError(f"the width of {tensor!r} is not known; export it with fixed widths")
        return shape[1]

    def _weighted(self, rows: str, weight: str, *, is_row: bool) -> str:
        """Rows [b, p] times the weights of the sum: in the layer that writes them, where one alone does."""
        layer = self._placed.get(rows)
        known = self._constants.get(weight)
        if known is not None:
            values = numpy_helper.to_array(known).reshape(-1)
            if (values == 1.0).all():
                return rows
            if layer is not None and self._uses[rows] == 1 and self._scale(layer, values):
                return rows
        if not is_row:
            weight = self._graph.extra("Transpose", [weight], f"{weight}.row", perm=[1, 0])
        return self._graph.extra("Mul", [rows, weight], f"{rows}.weighted")

    def _scale(self, layer: NodeProto, scale: NDArray[Any]) -> bool:
        """Scale the neurons that a Gemm writes, if its weights are its own."""
        names = list(layer.input[1:])
        own = all(self._uses[name] == 1 and name in self._constants for name in names)
        plain = layer.op_type == "Gemm" and attributes_of(layer).get("transB", 0) and own
        if not plain:
            return False
        for position, name in enumerate(names, 1):
            values = numpy_helper.to_array(self._constants[name])
            scaled = (values.T * scale).T if position == 1 else values * scale
            layer.input[position] = self._graph.constant(scaled.astype(values.dtype), name)
        return True

    def _put_behind(self, node: NodeProto) -> None:
        alike = op_of(node.op_type).elementwise or node.op_type in BEHIND
        if node.domain or not alike or any(name in self._terms for name in node.input):
            raise self._refusal(node)
        copy = NodeProto()
        copy.CopyFrom(node)
        for position, name in enumerate(node.input):
            origin = self._graph.origins.get(name, frozenset())
            if origin and origin.isdisjoint(self._grid.rows):
                copy.input[position] = self._graph.extra(
                    "Transpose", [name], f"{name}.turned", perm=[1, 0]
                )
        self._graph.model.graph.node.append(copy)

    def _refusal(self, node: NodeProto) -> ModelError:
        return ModelError(
            f"{label(node)} makes no product grid of {', '.join(self._grid.rows)} and "
            f"{', '.join(self._grid.columns)} any more; leave out what adds it (--guard, --outputs), or "
            "export C, which takes pairs"
        )
