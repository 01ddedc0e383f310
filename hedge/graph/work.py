"""The work a graph does, as onnxruntime runs it, and the form of every site that costs least on a device."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass
from math import prod

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper

from hedge.arrays import MOST_WIDENED
from hedge.devices import (
    LEAST_GAIN,
    Device,
    Work,
    gemm_work,
    pass_work,
    predicted_seconds,
    product_work,
)
from hedge.graph.evaluation import Evaluator
from hedge.graph.fusion import GONE, runs_as
from hedge.graph.ports import input_dimension, input_names
from hedge.graph.precision import BYTES_PER_NUMBER, Precision
from hedge.graph.product_grids import crossing, grid_of
from hedge.graph.shapes import shapes_at
from hedge.graph.sites import SplitModel, outline
from hedge.graph.spreading import as_grid
from hedge.graph.structures.lowering import forms_of
from hedge.graph.structures.partition import LeafMatrix
from hedge.graph.structures.structure import Form, Matrix
from hedge.ops import op_of
from hedge.request import Objective

# Rows for which sizes are taken; a prime, so that an axis this long is the batch.
ROWS = 13
_PRECISIONS: Mapping[int, Precision] = {
    TensorProto.FLOAT16: "float16", TensorProto.BFLOAT16: "bfloat16", TensorProto.INT8: "int8",
}  # fmt: skip


def graph_work(model: ModelProto, batch: int) -> Work:
    """The work of one call of a runnable model: its nodes after fusion, with their sizes.

    Tensor sizes follow from the file or else from a run on a few rows; what does not grow with the batch
    is a weight. Of a product grid it is that of ``batch`` rows of one input at as many of the other.
    """
    return sum((work for _, work in _node_works(model, batch)), Work())


def site_works(
    split: SplitModel, matrices: Mapping[str, Matrix], batch: int, device: Device
) -> dict[str, Work]:
    """What each site's own nodes do in one call; activations and all other nodes are not theirs."""
    forms = usual_forms(matrices, device)
    return works_by_site(outline(split.skeleton, matrices, forms=forms), split.matrices, batch)


def works_by_site(model: ModelProto, names: Iterable[str], batch: int) -> dict[str, Work]:
    """The same for an assembled or exported model, whose nodes are called after their sites."""
    works = _node_works(model, batch)
    return {
        name: sum((work for node, work in works if node.name.startswith(f"{name}.")), Work())
        for name in names
    }


def _node_works(model: ModelProto, batch: int) -> list[tuple[NodeProto, Work]]:
    """(node, work) of every node that runs by itself or adds to another one's work."""
    grid, model = grid_of(model), as_grid(model)
    crossed = set() if grid is None else crossing(model, grid)
    graph = model.graph
    names = [*input_names(model), *(name for node in graph.node for name in node.output if name)]
    shapes = shapes_at(model, ROWS)
    if not shapes.keys() >= set(names):
        points = np.zeros((ROWS, input_dimension(model)))
        values = Evaluator(_filled_in(model), names).intermediates(points)
        shapes = {name: value.shape for name, value in values.items()}
    constants = {t.name: tuple(t.dims) for t in graph.initializer}
    stored = {t.name: _PRECISIONS.get(t.data_type, "float32") for t in graph.initializer}
    for node in graph.node:  # folded at load
        if all(name in constants for name in node.input if name):
            constants |= {name: shapes[name] for name in node.output if name}
            stored |= dict.fromkeys(node.output, _narrowest(stored[n] for n in node.input if n))
    ops = runs_as(graph, constants)
    works = []
    for node in graph.node:
        op = ops[node.output[0]]
        if op != GONE and node.output[0] not in constants:
            sizes = _Sizes(node, op, batch, shapes, constants, stored, crossed)
            works.append((node, sizes.work().at(batch)))
    return works


def _filled_in(model: ModelProto) -> ModelProto:
    """An outline with zeros where numbers were left out; shapes don't hang on those."""
    filled = deepcopy(model)
    for tensor in filled.graph.initializer:
        if tensor.ByteSize() < prod(tensor.dims):
            kind = helper.tensor_dtype_to_np_dtype(tensor.data_type)
            tensor.raw_data = bytes(prod(tensor.dims) * kind.itemsize)
    return filled


def _narrowest(stored: Iterable[Precision]) -> Precision:
    return min(stored, key=BYTES_PER_NUMBER.__getitem__, default="float32")


@dataclass(frozen=True)
class _Sizes:
    """The sizes of one node that runs as ``op``, at another batch than its tensors have.

    stored tells of constants in which type the narrowest numbers lie that they are made of; crossed are
    tensors whose first two axes are batches.
    """

    node: NodeProto
    op: str
    batch: int
    shapes: Mapping[str, tuple[int, ...]]
    constants: Mapping[str, tuple[int, ...]]
    stored: Mapping[str, Precision]
    crossed: Collection[str] = ()

    def work(self) -> Work:
        if self.op in ("Gemm", "MatMul"):
            factors = [self.stored[name] for name in self.node.input[:2] if name in self.stored]
            return self._product().at(self.batch, _narrowest(factors))
        op = self.op
        if op == "Transpose" and self._perm()[-1] == len(self._perm()) - 1:
            op = "Transpose of rows"
        written = sum(prod(shape) for shape in self._outputs)
        spans = max(self._spans(), 1)
        return pass_work(op, spans, written / spans, sum(prod(shape) for shape in self._inputs))

    @property
    def _inputs(self) -> list[tuple[int, ...]]:
        """The shapes of operands that are no constants."""
        names = [name for name in self.node.input if name and name not in self.constants]
        return [self._scaled(name) for name in names]

    @property
    def _outputs(self) -> list[tuple[int, ...]]:
        return [self._scaled(name) for name in self.node.output if name]

    def _scaled(self, name: str) -> tuple[int, ...]:
        shape = self.shapes[name]
        if name in self.crossed:
            return (self.batch, self.batch, *shape[2:])
        return _scaled(shape, self.batch)

    def _product(self) -> Work:
        left, right = self.node.input[:2]
        *count, rows, columns = (*self._outputs[0], 1)[: max(len(self._outputs[0]), 2)]
        packed = self.constants.get(right, ())
        if len(packed) == 2:
            return gemm_work(prod(count) * rows, columns, prod(packed) // max(columns, 1))
        factor = self.constants[left] if left in self.constants else self.shapes[left]
        turned = left in self.constants
        return product_work(rows, columns, factor[-1], prod(count), turned=turned)

    def _spans(self) -> int:
        """How many runs of numbers it writes; one if operands are as large as the result."""
        result = self._outputs[0]
        if op_of(self.op).alias:
            return 1
        if op_of(self.op).cuts_axis:
            pieces = self._inputs if self.op == "Concat" else self._outputs
            return sum(prod(shape[: self._axis(len(shape))]) for shape in pieces)
        if self.op == "Gather":
            data = self._inputs[0]
            return prod(result) // max(prod(data[self._axis(len(data)) + 1 :]), 1)
        constants = [self.constants[name] for name in self.node.input if name in self.constants]
        spread = any(shape != result and prod(shape) > 1 for shape in (*self._inputs, *constants))
        return prod(result[:-1]) if spread or self.op == "Transpose" else 1

    def _axis(self, rank: int) -> int:
        """The axis that is cut or joined: an attribute, or where input and output differ."""
        for attribute in self.node.attribute:
            if attribute.name == "axis":
                return int(attribute.i) % rank
        pairs = zip(self._inputs[0], self._outputs[0], strict=False)
        return next((i for i, (before, after) in enumerate(pairs) if before != after), 0)

    def _perm(self) -> list[int]:
        reverse = list(range(len(self._outputs[0])))[::-1]
        return next((list(a.ints) for a in self.node.attribute if a.name == "perm"), reverse)


def _scaled(shape: tuple[int, ...], batch: int) -> tuple[int, ...]:
    """A shape at ROWS rows, at ``batch`` rows: the first axis as long as ROWS, or a multiple of it."""
    exact = [axis for axis, size in enumerate(shape) if size == ROWS]
    places = exact or [axis for axis, size in enumerate(shape) if size and size % ROWS == 0]
    if not places:
        return shape
    axis = places[0]
    return (*shape[:axis], shape[axis] // ROWS * batch, *shape[axis + 1 :])


def usual_forms(matrices: Mapping[str, Matrix], device: Device) -> dict[str, Form]:
    """The form of each site by which its work on a device is counted: in C what its C does."""
    return {
        name: matrix.form_in_c if device.runs_c else forms_of(matrix)[0]
        for name, matrix in matrices.items()
    }


def forms_on(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    device: Device | None,
    batch: int,
    objective: Objective,
) -> dict[str, Form]:
    """The form of each site in an exported graph; a partition keeps its leaves, for it is the paper's.

    Usual ones where size counts alone, the device is not known, or runs C.
    """
    if device is None:
        return {name: forms_of(matrix)[0] for name, matrix in matrices.items()}
    if objective == "size" or device.runs_c:
        return usual_forms(matrices, device)
    partitions = any(isinstance(matrix, LeafMatrix) for matrix in matrices.values())
    return best_forms(skeleton, matrices, device, batch, ["dense"] if partitions else [])


def best_forms(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    device: Device,
    batch: int,
    without: Collection[Form] = (),
) -> dict[str, Form]:
    """The form of each site with the least predicted time of the whole graph for ``batch`` rows.

    Each site is tried with all others in their usual forms: what a form costs depends on the nodes
    around it (a Gemm takes in the activation behind it, a Concat does not), but not on other forms.
    Where all together gain less than predictions err, the usual forms stay. ``without`` names forms
    that are not to be used; of more than MOST_WIDENED numbers no dense matrix is formed.

    >>> import numpy as np
    >>> from pathlib import Path
    >>> from hedge.devices import find_profile
    >>> from hedge.graph import SiteMatrix, load_model, split
    >>> parts = split(load_model(Path("models/heat-64x3.onnx")))
    >>> full = {s.name: SiteMatrix((s.matrix.factors[0], np.eye(s.matrix.shape[1])), s.matrix.bias)
    ...         for s in parts.sites}
    >>> best_forms(parts.skeleton, full, find_profile("laptop-x86"), batch=1)["site1"]
    'dense'
    """

    def seconds(forms: Mapping[str, Form]) -> float:
        model = outline(skeleton, matrices, forms=forms)
        return float(predicted_seconds(device, graph_work(model, batch)))

    usual = usual_forms(matrices, device)
    others = {
        name: [
            form
            for form in forms_of(matrix)
            if form not in (usual[name], *without)
            and not (form == "dense" and prod(matrix.shape) > MOST_WIDENED)
        ]
        for name, matrix in matrices.items()
    }
    if not any(others.values()):
        return usual
    before = seconds(usual)
    best = dict(usual)
    for name, forms in others.items():
        times = {usual[name]: before} | {form: seconds({**usual, name: form}) for form in forms}
        best[name] = min(times, key=times.__getitem__)
    return best if seconds(best) < (1.0 - LEAST_GAIN) * before else usual
