"""The matrices of linear sites as products: dense, two factors, blocks with shared bases, leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import groupby
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.exporting.c99.builder import Builder, Slots
from hedge.exporting.c99.program import Operand
from hedge.graph import (
    BlockMatrix,
    HierarchyMatrix,
    LeafMatrix,
    Matrix,
    Precision,
    SiteMatrix,
    assemble,
    decode,
    encode,
    split_if_any,
)

Biases = Sequence[Array]


@dataclass(frozen=True, eq=False)
class _Factor:
    """A factor as files hold it: numbers (count, rows, columns), and for int8 scales (count, rows)."""

    numbers: NDArray[np.generic]
    scale: Array | None
    precision: Precision


def _stored(values: Array, precision: Precision) -> _Factor:
    """One matrix, or a stack of them, in a precision.

    Raises ModelError for numbers that are not finite in it.
    """
    count = math.prod(values.shape[:-2])
    stored, scale = encode(values.reshape((count, *values.shape[-2:])), precision)
    if not np.isfinite(decode(stored, scale, precision)).all():
        raise ModelError("its weights contain NaN or Inf; train or export it again")
    numbers = stored.view(np.uint16) if precision == "float16" else stored
    return _Factor(numbers, None if scale is None else scale[..., 0].astype(np.float64), precision)


def weights_key(matrix: Matrix) -> tuple[object, ...]:
    """What matrices have in common that differ in nothing but their biases."""
    arrays = (np.ascontiguousarray(values) for values in matrix.arrays.values())
    return matrix.structure, matrix.precision, *(sha256(a.data).digest() for a in arrays)


def multiply_site(
    build: Builder, name: str, matrices: Sequence[Matrix], sources: Sequence[Slots]
) -> list[Slots]:
    """The slots of z = W a + b, (n_out,) each, from those of each of the ``sources`` (n_in,).

    The matrices differ in nothing but b: one pass over W serves value and derivatives.
    """
    matrix, *others = matrices
    build.count(matrix.parameters, list(matrix.arrays.values()))
    note = f"{name}: {matrix.shape[0]} x {matrix.shape[1]}, {matrix.structure.label}"
    if others:
        note, sources = f"{note}, times {len(sources)}", build.together(sources)
    writer = WRITERS[type(matrix)]
    biases = [each.bias if matrix.precision == "float64" else _kept(each.bias) for each in matrices]
    return writer(build, matrix, biases, sources, note)


def _factors(
    build: Builder, matrix: SiteMatrix, biases: Biases, sources: Sequence[Slots], note: str
) -> list[Slots]:
    for factor in matrix.factors[:0:-1]:
        sources, note = _times(build, _stored(factor, matrix.precision), sources, note), ""
    outer = _stored(matrix.factors[0], matrix.precision)
    targets = _started(build, biases, outer, note)
    _add_product(build, targets, sources, outer)
    _finish(build, targets, outer.scale, biases)
    return targets


def _leaves(
    build: Builder,
    matrix: LeafMatrix | HierarchyMatrix,
    biases: Biases,
    sources: Sequence[Slots],
    note: str,
) -> list[Slots]:
    targets = _biased(build, biases, note)
    for leaf in matrix.leaves:
        rows = [target[leaf.top : leaf.bottom] for target in targets]
        parts: Sequence[Slots] = [source[leaf.start : leaf.stop] for source in sources]
        for factor in leaf.factors[:0:-1]:
            parts = _times(build, _stored(factor, matrix.precision), parts)
        outer = _stored(leaf.factors[0], matrix.precision)
        if outer.scale is None:
            _add_product(build, rows, parts, outer)
            continue
        for row, product in zip(rows, _times(build, outer, parts), strict=True):
            build.write(row, "{0} + {1}", (build.operand(row), build.operand(product)))
    return targets


def _hierarchy(
    build: Builder, matrix: HierarchyMatrix, biases: Biases, sources: Sequence[Slots], note: str
) -> list[Slots]:
    """The leaves, between what is read in their order and what is written back into the given one."""
    if matrix.column_order:
        sources = build.together([source[np.array(matrix.column_order)] for source in sources])
    if matrix.row_order:
        biases = [bias[np.array(matrix.row_order)] for bias in biases]
    targets = _leaves(build, matrix, biases, sources, note)
    if matrix.row_order:
        targets = [target[np.argsort(matrix.row_order)] for target in targets]
    return targets


def _blocks(
    build: Builder, matrix: BlockMatrix, biases: Biases, sources: Sequence[Slots], note: str
) -> list[Slots]:
    """z_i = D_i a_i + U_i (S [V_1 a_1; V_2 a_2; …])_i; what pads the last leaves is left out."""
    outputs, inputs = matrix.shape
    count, rank, width = matrix.right.shape
    height = matrix.rows.shape[1]
    heights = [min(height, max(0, outputs - i * height)) for i in range(count)]
    widths = [min(width, max(0, inputs - i * width)) for i in range(count)]
    rows, coupling, right = (
        _stored(values, matrix.precision) for values in (matrix.rows, matrix.coupling, matrix.right)
    )

    # One step goes over the leaves of a vector: their weights lie one behind the other.
    seen = _zeros(build, len(sources), count * rank, note)
    for vector, source in zip(seen, sources, strict=True):
        for group in _equal_neighbours(widths):
            parts = [vector[i * rank : (i + 1) * rank] for i in group]
            leaves = [source[i * width : i * width + widths[i]] for i in group]
            numbers = right.numbers[group, :, : widths[group[0]]]
            build.multiply(parts, leaves, numbers, right.precision)
    _scale(build, seen, right.scale)
    coupled = _times(build, coupling, seen)
    # The rows of [D_i U_i] share a scale, so that both products meet in z before it is applied.
    targets = _started(build, biases, rows)
    for target, source, vector in zip(targets, sources, coupled, strict=True):
        for group in _equal_neighbours(list(zip(heights, widths, strict=True))):
            h, w = heights[group[0]], widths[group[0]]
            places = [target[i * height : i * height + h] for i in group]
            leaves = [source[i * width : i * width + w] for i in group]
            build.multiply(places, leaves, rows.numbers[group, :h, :w], rows.precision)
            parts = [vector[i * rank : (i + 1) * rank] for i in group]
            build.multiply(places, parts, rows.numbers[group, :h, width:], rows.precision)
    scale = None if rows.scale is None else rows.scale.reshape(-1)[:outputs]
    _finish(build, targets, scale, biases)
    return targets


Writer = Callable[[Builder, Any, Biases, Sequence[Slots], str], list[Slots]]
WRITERS: Mapping[type[Matrix], Writer] = {
    SiteMatrix: _factors,
    LeafMatrix: _leaves,
    HierarchyMatrix: _hierarchy,
    BlockMatrix: _blocks,
}


def with_writers(
    skeleton: ModelProto, matrices: Mapping[str, Matrix]
) -> tuple[ModelProto, Mapping[str, Matrix]]:
    """A skeleton and matrices that can be written: where one can't, all as their nodes of ONNX, read again.

    Then every weight is a float32.
    """
    if all(type(matrix) in WRITERS for matrix in matrices.values()):
        return skeleton, matrices
    parts = split_if_any(assemble(skeleton, matrices))
    return parts.skeleton, parts.matrices


def _equal_neighbours(sizes: Sequence[object]) -> list[list[int]]:
    """Positions of sizes that are equal and follow each other."""
    return [
        [position for position, _ in group]
        for _, group in groupby(enumerate(sizes), key=lambda pair: pair[1])
    ]


def _times(
    build: Builder, factor: _Factor, sources: Sequence[Slots], note: str = ""
) -> list[Slots]:
    """The slots of one matrix times each of the ``sources``."""
    targets = _zeros(build, len(sources), factor.numbers.shape[1], note)
    _add_product(build, targets, sources, factor)
    _scale(build, targets, factor.scale)
    return targets


def _add_product(
    build: Builder, targets: Sequence[Slots], sources: Sequence[Slots], factor: _Factor
) -> None:
    """Add one matrix times each source to each target."""
    numbers = np.broadcast_to(factor.numbers, (len(sources), *factor.numbers.shape[1:]))
    build.multiply(targets, sources, numbers, factor.precision)


def _started(build: Builder, biases: Biases, factor: _Factor, note: str = "") -> list[Slots]:
    """What products are added to: the bias, or nothing yet where a scale comes after them."""
    if factor.scale is not None:
        return _zeros(build, len(biases), len(biases[0]), note)
    return _biased(build, biases, note)


def _biased(build: Builder, biases: Biases, note: str) -> list[Slots]:
    targets = _vectors(build, len(biases), len(biases[0]))
    for target, bias in zip(targets, biases, strict=True):
        build.write(target, "{0}", (_constant(build, bias),), note)
        note = ""
    return targets


def _finish(build: Builder, targets: Sequence[Slots], scale: Array | None, biases: Biases) -> None:
    """Scale what was added up, and add the bias, where :func:`_started` did not."""
    if scale is None:
        return
    for target, bias in zip(targets, biases, strict=True):
        if not bias.any():  # of derivatives
            _scale(build, [target], scale)
            continue
        scaled = (build.operand(target), _constant(build, scale), _constant(build, bias))
        build.write(target, "{0} * {1} + {2}", scaled)


def _scale(build: Builder, targets: Sequence[Slots], scale: Array | None) -> None:
    for target in targets:
        if scale is not None and len(target) > 0:
            build.write(target, "{0} * {1}", (build.operand(target), _constant(build, scale)))


def _zeros(build: Builder, count: int, width: int, note: str = "") -> list[Slots]:
    return np.split(build.elementwise("{0}", (0.0,), count * width, note), count)


def _vectors(build: Builder, count: int, width: int) -> list[Slots]:
    """Of one buffer, side by side."""
    return np.split(build.new(count * width), count)


def _constant(build: Builder, values: Array) -> Operand:
    return build.operand(build.known(values.reshape(-1)))


def _kept(bias: Array) -> Array:
    """A bias as files hold it."""
    return bias.astype(np.float32).astype(np.float64)
