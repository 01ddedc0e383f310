"""Reverse differentiation of a split model in numpy: how the output feels each linear site.

Every node has a rule that turns gradients of its outputs into gradients of its inputs. Common ops
have exact rules; ops that only move data are differentiated by moving indices through them; any
other op is probed by central differences, which is exact enough for a weight and needs only that
the rows of a batch do not mix.

Refused are graphs that compute with how many rows they are given. That may be part of a size, of what
a Reshape or an Expand makes; compared, or turned into a number, it could choose between two networks, of
which points that are run together only see one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, helper, numpy_helper

from hedge.arrays import Array
from hedge.errors import ModelError, first_line
from hedge.graph.evaluation import Evaluator
from hedge.graph.fusion import PLACEHOLDER_DOMAIN
from hedge.graph.nodes import attributes_of, label, run_node
from hedge.graph.ports import input_names, joined
from hedge.graph.sites import SplitModel, assemble, outline
from hedge.graph.sizes import check_room, values_of_sizes
from hedge.graph.versions import opset
from hedge.ops import op_of

_OF_SHAPES = frozenset({"Shape", "Size"})
# Which of their inputs are sizes of what they write.
_SIZES = {"ConstantOfShape": {0}, "Expand": {1}, "Reshape": {1}, "Tile": {1}}
# What they write holds the number of rows only if it differs between two numbers of them.
_PLAIN = frozenset({
    "Add", "Cast", "Concat", "Expand", "Flatten", "Gather", "Identity", "Mul", "Neg", "Reshape",
    "Slice", "Split", "Squeeze", "Sub", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip


def _check_row_counts(model: ModelProto) -> None:
    """Raise ModelError if a runnable graph computes with the number of its rows."""
    if not any(node.op_type in _OF_SHAPES for node in model.graph.node):
        return
    few, more = values_of_sizes(model, 2), values_of_sizes(model, 3)
    known = few.keys() & more.keys()
    same = {name for name in known if np.array_equal(few[name], more[name])}
    telling: set[str] = set()  # what is, or may be, another value for another number of rows
    for node in model.graph.node:
        sizes = _SIZES.get(node.op_type, set())
        read = {name for position, name in enumerate(node.input) if position not in sizes} & telling
        if not read and node.op_type not in _OF_SHAPES:
            continue
        is_plain = node.op_type in (_PLAIN | _OF_SHAPES) and not read & same
        found = {name for name in node.output if name and not (is_plain and name in same)}
        if any(name not in known or few[name].dtype.kind == "f" for name in found):
            raise ModelError(
                f"{label(node)} computes with how many rows there are, so that one row may give another "
                "result than many; export it without"
            )
        telling |= found


Values = Mapping[str, Array]
Evaluate = Callable[[list[Array]], list[Array]]

PROBE_STEP = 1e-5
# Columns of all outputs side by side: sensitivities are matrices of them.
MOST_OUTPUTS = 20_000
# Errors are judged on so many points, whatever a trace takes.
MOST_JUDGES = 2**14
# So many rows, in another order and without the others, show that rows are not mixed.
MOST_COMPARED = 256


@dataclass(frozen=True)
class Trace:
    """All tensors of a split model at n points, ready to be differentiated."""

    split: SplitModel
    points: Array
    values: dict[str, Array]

    @property
    def outputs(self) -> tuple[Array, ...]:
        """Each graph output, flattened per row: (n, m_j)."""
        graph = self.split.skeleton.graph
        return tuple(joined([self.values[v.name]], len(self.points)) for v in graph.output)

    @property
    def output(self) -> Array:
        """All outputs side by side, (n, m)."""
        return np.hstack(self.outputs)


def trace(split: SplitModel, points: Array) -> Trace:
    """Evaluate the model at ``points`` (n, d) and keep every tensor.

    Raises ModelError if its rows are not independent of each other, or that is more than fits a machine.
    """
    graph = split.skeleton.graph
    names = [*input_names(split.skeleton), *(v.name for v in graph.output)]
    names += [name for node in graph.node for name in node.output if name]
    shapes = outline(split.skeleton, split.matrices)
    _check_row_counts(shapes)
    check_room(shapes, max(len(points), MOST_JUDGES))
    if any(
        site.matrix.is_float32 for site in split.sites
    ):  # as doubles they would take three times as much
        run: Run = partial(_site_by_site, split, names)
    else:
        run = Evaluator(assemble(split.skeleton, split.matrices), names).intermediates
    constants = constants_of(split)
    traced = Trace(split, points, {**constants, **run(points)})
    output = traced.output
    if output.shape[1] > MOST_OUTPUTS:
        raise ModelError(
            f"has {output.shape[1]:,} outputs; hedge differentiates up to {MOST_OUTPUTS:,}"
        )
    if not np.isfinite(output).all():
        raise ModelError("its output is not finite on the domain; check the domain and the weights")
    _check_rows(lambda some: Trace(split, some, {**constants, **run(some)}).output, points, output)
    return traced


Run = Callable[[Array], Mapping[str, Array]]
"""Points (n, d) -> the values of tensors there, by name."""


def _site_by_site(split: SplitModel, names: Sequence[str], points: Array) -> dict[str, Array]:
    """The tensors of these names, weights of float32 being widened part by part."""
    written: dict[str, Array] = {}
    for site in split.sites:
        product = site.matrix.times(split.tensor(site.input, points, written))
        product += site.matrix.bias
        written[site.output] = product
    return {name: split.tensor(name, points, written) for name in names}


def _check_rows(evaluate: Callable[[Array], Array], points: Array, output: Array) -> None:
    """Raise ModelError unless rows give the same among others, in other places, and alone."""
    places = np.random.default_rng(0).permutation(len(points))
    for some in (places[: min(max(1, len(points) // 3), MOST_COMPARED)], places[:1]):
        again = evaluate(points[some])
        if again.shape != output[some].shape or not np.allclose(again, output[some], 1e-9, 1e-12):
            raise ModelError(
                "it mixes the rows of a batch, so a point's output depends on other points; "
                "export it in evaluation mode"
            )


def constants_of(split: SplitModel) -> dict[str, Array]:
    """The skeleton's own constants by name, float32 widened to float64."""
    initializers = split.skeleton.graph.initializer
    return {t.name: _widened(numpy_helper.to_array(t)) for t in initializers}


def _widened(values: Array) -> Array:
    return values.astype(np.float64) if values.dtype == np.float32 else values


@np.errstate(all="ignore")
def site_gradients(trace: Trace, seed: Array) -> dict[str, Array]:
    """Σ_j seed_j ∂u_j/∂z at every site output z, shape (n, n_out) by site name.

    seed is (n, m), one column per column of the joined outputs. Where a derivative is infinite (a root at
    0) or overflows, so does the result.
    """
    graph = trace.split.skeleton.graph
    matrices = {site.name: site.matrix.dense() for site in trace.split.sites}
    version = opset(trace.split.skeleton)
    moved = moved_by_sites(trace.split)
    gradients = _seeded(trace, seed)
    at_sites: dict[str, Array] = {}
    for node in reversed(graph.node):
        written = [name for name in node.output if name]
        if not any(name in gradients for name in written):
            continue
        upstream = [
            gradients[name] if name in gradients else np.zeros_like(trace.values[name])
            for name in written
        ]
        if node.domain == PLACEHOLDER_DOMAIN:
            at_sites[node.name] = upstream[0]
            if node.input[0] not in moved:
                continue
            found = {node.input[0]: upstream[0] @ matrices[node.name]}
        else:
            found = _through(node, version, upstream, trace.values, moved)
        for name, gradient in found.items():
            gradients[name] = gradients[name] + gradient if name in gradients else gradient
    for site in trace.split.sites:
        at_sites.setdefault(site.name, np.zeros_like(trace.values[site.output]))
    return at_sites


def _seeded(trace: Trace, seed: Array) -> dict[str, Array]:
    """The columns of the seed as gradients of the graph's outputs, each in its own shape."""
    names = [value.name for value in trace.split.skeleton.graph.output]
    ends = np.cumsum([output.shape[1] for output in trace.outputs])
    parts = np.split(seed, ends[:-1], axis=1)
    return {
        name: part.reshape(trace.values[name].shape)
        for name, part in zip(names, parts, strict=True)
    }


def moved_by_sites(split: SplitModel) -> set[str]:
    """The tensors that depend on a site: only through them does the output feel one."""
    moved: set[str] = set()
    for node in split.skeleton.graph.node:
        if node.domain == PLACEHOLDER_DOMAIN or moved & set(node.input):
            moved.update(name for name in node.output if name)
    return moved


def probed_ops(split: SplitModel) -> tuple[str, ...]:
    """The ops through which derivatives are taken by central differences, sorted; none if all exact."""
    moved = moved_by_sites(split)
    return tuple(
        sorted(
            {
                node.op_type
                for node in split.skeleton.graph.node
                if node.domain != PLACEHOLDER_DOMAIN
                and moved & set(node.input)
                and not _is_exact(node, moved)
            }
        )
    )


def _is_exact(node: NodeProto, moved: set[str]) -> bool:
    """Whether the gradients of the operands that sites move need no differences."""
    op = op_of(node.op_type)
    if op.gradient is None:
        return op.exact
    written = [name for name in node.output if name]
    return len(written) == 1 and not moved & set(node.input[1:])


def jumping_ops(model: ModelProto) -> tuple[str, ...]:
    """The ops on the way from the inputs to the outputs that have no derivative, sorted.

    >>> from hedge.graph import load_model
    >>> from pathlib import Path
    >>> jumping_ops(load_model(Path("models/heat-64x3.onnx")))
    ()
    """
    moved, found = set(input_names(model)), set()
    for node in model.graph.node:
        op = op_of(node.op_type)
        if op.kind == "of shapes" or not moved & set(node.input):
            continue
        moved.update(name for name in node.output if name)
        if op.jumps or (node.op_type == "Cast" and not _to_floating(node)):
            found.add(node.op_type)
    return tuple(sorted(found))


def _to_floating(node: NodeProto) -> bool:
    to = next(attribute.i for attribute in node.attribute if attribute.name == "to")
    return np.issubdtype(helper.tensor_dtype_to_np_dtype(to), np.floating)


def _through(
    node: NodeProto, version: int, upstream: list[Array], values: Values, moved: set[str]
) -> dict[str, Array]:
    """Gradients of a node's inputs that sites move, by name (inputs that occur twice are summed)."""
    variable = [
        position
        for position, name in enumerate(node.input)
        if name in moved and np.issubdtype(values[name].dtype, np.floating)
    ]
    operands = [values[name] for name in node.input if name]
    gradient = upstream[0]
    op = op_of(node.op_type)

    def evaluate(inputs: list[Array]) -> list[Array]:
        names = [name for name in node.input if name]
        return run_node(node, version, dict(zip(names, inputs, strict=True)))

    if not variable:
        return {}
    if op.derivative is not None:
        return {node.input[0]: gradient * op.derivative(operands[0], values[node.output[0]])}
    if op.kind == "unary":
        return {node.input[0]: gradient * _probe_elementwise(evaluate, operands)}
    if op.gradients is not None:
        both = op.gradients(gradient, operands[0], operands[1])
        return _summed(node, variable, {p: unbroadcast(both[p], operands[p]) for p in variable})
    if op.gradient is not None and _is_exact(node, moved):
        return {node.input[0]: op.gradient(gradient, operands, attributes_of(node))}
    if op.kind == "moving":
        return _summed(node, variable, _move_back(evaluate, upstream, operands, variable))
    return _summed(node, variable, _probe_rows(evaluate, upstream, operands, variable))


def _summed(node: NodeProto, variable: list[int], found: dict[int, Array]) -> dict[str, Array]:
    total: dict[str, Array] = {}
    for position in variable:
        name = node.input[position]
        total[name] = total[name] + found[position] if name in total else found[position]
    return total


def unbroadcast(gradient: Array, operand: Array) -> Array:
    """Sum a gradient over the axes along which the operand was broadcast."""
    extra = gradient.ndim - operand.ndim
    gradient = gradient.sum(axis=tuple(range(extra)))
    stretched = tuple(i for i, size in enumerate(operand.shape) if size == 1 < gradient.shape[i])
    return np.asarray(gradient.sum(axis=stretched, keepdims=True))


def _move_back(
    evaluate: Evaluate, upstream: list[Array], operands: list[Array], variable: list[int]
) -> dict[int, Array]:
    """Send indices through the op instead of numbers: they tell where each output came from."""
    sources: list[Any] = list(operands)
    start = 1  # index 0 gathers what comes from constants
    starts = {}
    for position in variable:
        size = operands[position].size
        sources[position] = np.arange(start, start + size).reshape(operands[position].shape)
        starts[position] = start
        start += size
    total = np.zeros(start)
    for origin, gradient in zip(evaluate(sources), upstream, strict=True):
        np.add.at(total, np.asarray(origin, dtype=np.int64).ravel(), gradient.ravel())
    return {
        p: total[s : s + operands[p].size].reshape(operands[p].shape) for p, s in starts.items()
    }


def _probe_elementwise(evaluate: Evaluate, operands: list[Array]) -> Array:
    x = operands[0]
    step = PROBE_STEP * np.maximum(1.0, np.abs(x))
    above, below = (evaluate([x + s * step, *operands[1:]])[0] for s in (1, -1))
    return np.asarray((above - below) / (2.0 * step))


def _probe_rows(
    evaluate: Evaluate, upstream: list[Array], operands: list[Array], variable: list[int]
) -> dict[int, Array]:
    """Central differences in one column at a time; row i of an output depends on row i alone."""
    found = {}
    for position in variable:
        x = operands[position]
        flat = x.reshape(len(x), -1)
        gradient = np.empty_like(flat)
        for column in range(flat.shape[1]):
            step = PROBE_STEP * np.maximum(1.0, np.abs(flat[:, column]))
            change = np.zeros_like(flat)
            change[:, column] = step
            sides = []
            for sign in (1.0, -1.0):
                moved = list(operands)
                moved[position] = (flat + sign * change).reshape(x.shape)
                sides.append(evaluate(moved))
            try:
                change_of_loss = sum(
                    ((above - below) * g).reshape(len(x), -1).sum(axis=1)
                    for above, below, g in zip(*sides, upstream, strict=True)
                )
            except (TypeError, ValueError) as error:  # truths, or fewer rows than it reads
                raise ModelError(
                    f"its derivatives can't be taken: a node changes the number of rows or their type "
                    f"({first_line(error)})"
                ) from error
            gradient[:, column] = change_of_loss / (2.0 * step)
        found[position] = gradient.reshape(x.shape)
    return found
