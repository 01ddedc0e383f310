"""Product grids as graphs of their pairs, see :mod:`hedge.graph.product_grids`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto

from hedge.errors import ModelError
from hedge.graph.nodes import attributes_of
from hedge.graph.ports import true_inputs
from hedge.graph.product_grids import BEHIND, Grid, Names, Rewritten, grid_of, mark, origins_of
from hedge.graph.runtime import ORT_ERRORS, quiet_options
from hedge.graph.sizes import MOST_OF_TWO_ROWS, check_size, numbers_made
from hedge.ops import op_of

SIDE_BY_SIDE = "n"
# Rows of both sides for which the graph of pairs is compared with the grid, where the file leaves them free.
TRIED = (3, 5)
MOST_TRIED = 4096
# Relative to the largest output; sums are rounded otherwise.
AGREEMENT = 1e-4


def as_pairs(model: ModelProto) -> ModelProto:
    """The graph of pairs, with its :class:`Grid` in the metadata, of one that gives a grid; others stay.

    Outputs [b, n] or [b, n, m] become [n, 1] and [n, 1, m]. Both graphs are run and compared.
    """
    mark(model, None)
    if len(true_inputs(model)) < 2 or not all(map(_is_of_rows, true_inputs(model))):
        return model
    products = [each for each in map(_product_of, _varying_nodes(model)) if each is not None]
    if not products:
        return model
    paired = _Pairing(model).paired()
    if paired is None or not _agree(model, paired):
        return model
    return paired


def _is_of_rows(value: ValueInfoProto) -> bool:
    """[n, d] of float32."""
    kind = value.type.tensor_type
    return (
        kind.elem_type == TensorProto.FLOAT
        and len(kind.shape.dim) == 2
        and kind.shape.dim[1].dim_value > 0
    )


def _varying_nodes(model: ModelProto) -> Iterator[tuple[NodeProto, Mapping[str, Names]]]:
    """Nodes of two operands that hang on different inputs."""
    origins = origins_of(model)
    for node in model.graph.node:
        if len(node.input) > 1 and all(name in origins for name in node.input[:2]):
            yield node, origins


@dataclass(frozen=True)
class _Product:
    """output[i, j] = scale Σ_k rows[i, k] columns[j, k] + bias; columns may be told by its transpose."""

    rows: str
    columns: str
    rows_turned: bool = False
    columns_turned: bool = False
    scale: float = 1.0
    bias: str = ""
    bias_scale: float = 1.0


def _product_of(found: tuple[NodeProto, Mapping[str, Names]]) -> _Product | None:
    """The product of all rows of one operand with all of the other that a node is."""
    node, origins = found
    if node.domain or origins[node.input[0]] & origins[node.input[1]]:
        return None
    left, right = node.input[:2]
    given = attributes_of(node)
    if node.op_type == "MatMul":
        return _Product(left, right, columns_turned=True)
    if node.op_type == "Gemm":
        bias = node.input[2] if len(node.input) > 2 else ""
        return _Product(
            left, right, bool(given.get("transA", 0)), not given.get("transB", 0),
            given.get("alpha", 1.0), bias, given.get("beta", 1.0),
        )  # fmt: skip
    return _einsum_of(left, right, given["equation"]) if node.op_type == "Einsum" else None


def _einsum_of(left: str, right: str, equation: bytes) -> _Product | None:
    terms, _, result = equation.decode().replace(" ", "").partition("->")
    first, _, second = terms.partition(",")
    if [len(set(first)), len(set(second))] != [2, 2] or [*map(len, (first, second, result))] != [
        2,
        2,
        2,
    ]:
        return None
    shared = set(first) & set(second)
    if len(shared) != 1 or shared & set(result) or set(result) != set(first) ^ set(second):
        return None
    (k,) = shared
    operands = {
        (set(t) - shared).pop(): (n, t[0] == k) for t, n in ((first, left), (second, right))
    }
    (rows, rows_turned), (columns, columns_turned) = (operands[letter] for letter in result)
    return _Product(rows, columns, rows_turned, columns_turned)


def _is_swap(node: NodeProto | None) -> bool:
    """Whether it transposes two axes."""
    swaps = node is not None and node.op_type == "Transpose" and not node.domain
    return swaps and node is not None and attributes_of(node).get("perm", [1, 0]) == [1, 0]


class _Pairing:
    """From a product grid to its pairs."""

    def __init__(self, model: ModelProto) -> None:
        self._graph = Rewritten(model)
        self._rows: set[str] = set()
        self._columns: set[str] = set()
        self._spread: set[str] = set()  # tensors that have both axes

    def paired(self) -> ModelProto | None:
        """None where something else than a product grid is made of the rows."""
        graph = self._graph
        for node in graph.given:
            if not self._put(node):
                return None
        ports = true_inputs(graph.model)
        names = {value.name for value in ports}
        outputs = {value.name for value in graph.model.graph.output}
        grid = self._rows | self._columns
        if (
            not self._spread
            or grid != names
            or self._rows & self._columns
            or not outputs <= self._spread
        ):
            return None
        shapes: dict[str, list[Any]] = {}
        for value in ports:
            sizes = [d.dim_value or None for d in value.type.tensor_type.shape.dim]
            shapes[value.name] = [SIDE_BY_SIDE, *sizes[1:]]
        for value in graph.model.graph.output:
            behind = [d.dim_value or None for d in value.type.tensor_type.shape.dim][2:]
            shapes[value.name] = [SIDE_BY_SIDE, 1, *behind]
        graph.declare(shapes)
        found = graph.without_unread()
        order = [value.name for value in ports]
        mark(
            found,
            Grid(*(tuple(n for n in order if n in side) for side in (self._rows, self._columns))),
        )
        return found

    def _put(self, node: NodeProto) -> bool:
        """Write a node as one of pairs; whether that can be done."""
        graph = self._graph
        origins = graph.origins
        varying = [name for name in node.input if name in origins]
        if not any(name in self._spread for name in varying):
            product = None
            if len(varying) > 1 and all(name in origins for name in node.input[:2]):
                product = _product_of((node, origins))
            if product is not None:
                return self._put_product(node, product)
            graph.model.graph.node.append(node)
            return True
        return self._put_behind(node, varying)

    def _put_product(self, node: NodeProto, product: _Product) -> bool:
        graph, output = self._graph, node.output[0]
        rows, columns = product.rows, product.columns
        self._rows |= graph.origins[rows]
        self._columns |= graph.origins[columns]
        rows = self._turned(rows) if product.rows_turned else rows
        columns = self._turned(columns) if product.columns_turned else columns
        if not rows or not columns or not self._is_plain(product.bias):
            return False
        terms = graph.extra("Mul", [rows, columns], f"{output}.terms")
        axes = graph.constant(np.array([1]), f"{output}.axis")
        steps: list[tuple[str, list[str]]] = [("ReduceSum", [terms, axes])]
        if product.scale != 1.0:
            steps.append(("Mul", [self._number(product.scale, output)]))
        if product.bias:
            bias = product.bias
            if product.bias_scale != 1.0:
                factor = self._number(product.bias_scale, output)
                bias = graph.extra("Mul", [bias, factor], f"{output}.bias")
            steps.append(("Add", [bias]))
        last = ""
        for op, operands in steps[:-1]:
            last = graph.extra(op, [*filter(None, [last]), *operands], f"{output}.part")
        op, operands = steps[-1]
        graph.add(op, [*filter(None, [last]), *operands], output)
        self._spread.add(output)
        return True

    def _number(self, value: float, output: str) -> str:
        return self._graph.constant(np.array(value, np.float32), f"{output}.factor")

    def _turned(self, name: str) -> str:
        """What the tensor is the transpose of; empty if that is not told by its node."""
        node = self._graph.writers.get(name)
        return node.input[0] if node is not None and _is_swap(node) else ""

    def _is_plain(self, name: str) -> bool:
        """A number, or nothing."""
        return not name or all(
            size == 1
            for t in self._graph.model.graph.initializer
            if t.name == name
            for size in t.dims
        )

    def _put_behind(self, node: NodeProto, varying: list[str]) -> bool:
        """What is done to the grid, number by number: what hangs on points alone is turned back."""
        if node.domain or not (op_of(node.op_type).elementwise or node.op_type in BEHIND):
            return False
        copy = NodeProto()
        copy.CopyFrom(node)
        for position, name in enumerate(node.input):
            if name not in varying or name in self._spread:
                continue
            if self._graph.origins[name] <= self._columns:
                turned = self._turned(name)
                if not turned:
                    return False
                copy.input[position] = turned
        self._graph.model.graph.node.append(copy)
        self._spread.update(node.output)
        return True


def _agree(grid: ModelProto, pairs: ModelProto) -> bool:
    """Whether pairs are what the grid gives at its crossings."""
    found = grid_of(pairs)
    if found is None:
        return False
    rng = np.random.default_rng(0)
    counts = [
        _rows_of(grid, side, tried)
        for side, tried in zip((found.rows, found.columns), TRIED, strict=True)
    ]
    if None in counts:
        return False
    b, n = (count or 1 for count in counts)
    if max(b, n) > MOST_TRIED:
        return False
    i, j = (index.ravel()[:MOST_TRIED] for index in np.meshgrid(range(b), range(n), indexing="ij"))
    feed = {}
    for value in true_inputs(grid):
        width = [d.dim_value for d in value.type.tensor_type.shape.dim][1:]
        count = b if value.name in found.rows else n
        feed[value.name] = rng.uniform(-1.0, 1.0, (count, *width)).astype(np.float32)
    of_pairs = {name: v[i] if name in found.rows else v[j] for name, v in feed.items()}
    try:
        if numbers_made(grid, max(b, n)) > MOST_OF_TWO_ROWS:
            return False
        check_size(pairs)
        wanted, given = _run(_with_own_axes(grid), feed), _run(pairs, of_pairs)
    except (ModelError, *ORT_ERRORS):
        return False
    return all(
        whole.shape[:2] == (b, n) and _close(whole[i, j][:, None], paired)
        for whole, paired in zip(wanted, given, strict=True)
    )


def _rows_of(model: ModelProto, names: tuple[str, ...], tried: int) -> int | None:
    """How many rows inputs of one side are given; None where the file has several such numbers."""
    fixed = {
        value.type.tensor_type.shape.dim[0].dim_value or tried
        for value in true_inputs(model)
        if value.name in names
    }
    return fixed.pop() if len(fixed) == 1 else None


def _with_own_axes(grid: ModelProto) -> ModelProto:
    """The grid with another name for the first axis of every input; a name stands for one size."""
    named = deepcopy(grid)
    for value in true_inputs(named):
        first = value.type.tensor_type.shape.dim[0]
        if not first.HasField("dim_value"):
            first.dim_param = f"rows of {value.name}"
    for value in named.graph.output:
        value.type.tensor_type.ClearField("shape")
    del named.graph.value_info[:]
    return named


def _run(model: ModelProto, feed: Mapping[str, NDArray[Any]]) -> list[NDArray[Any]]:
    session = onnxruntime.InferenceSession(
        model.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"]
    )
    return list(session.run(None, dict(feed)))


def _close(wanted: NDArray[Any], found: NDArray[Any]) -> bool:
    allowed = AGREEMENT * np.nanmax(np.abs(wanted), initial=1e-30)
    return wanted.shape == found.shape and np.allclose(
        found, wanted, rtol=0.0, atol=allowed, equal_nan=True
    )
