"""The matrices of linear sites as products: dense, two factors, blocks with shared bases, leaves."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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
    LeafMatrix,
    Matrix,
    Precision,
    SiteMatrix,
    assemble,
    decode,
    encode,
    split_if_any,
)


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


def multiply_site(build: Builder, name: str, matrix: Matrix, source: Slots) -> Slots:
    """The slots of z = W a + b, (n_out,), from those of ``source`` (n_in,)."""
    build.count(matrix.parameters, list(matrix.arrays.values()))
    note = f"{name}: {matrix.shape[0]} x {matrix.shape[1]}, {matrix.structure.label}"
    writer = WRITERS[type(matrix)]
    return writer(build, matrix, source, note)


def _factors(build: Builder, matrix: SiteMatrix, source: Slots, note: str) -> Slots:
    for factor in matrix.factors[:0:-1]:
        source, note = _times(build, _stored(factor, matrix.precision), source, note), ""
    outer = _stored(matrix.factors[0], matrix.precision)
    target = _started(build, matrix.bias, outer, note)
    build.multiply([target], [source], outer.numbers, outer.precision)
    _finish(build, target, outer.scale, matrix.bias)
    return target


def _leaves(build: Builder, matrix: LeafMatrix, source: Slots, note: str) -> Slots:
    target = build.elementwise(
        "{0}", (_constant(build, _kept(matrix.bias)),), matrix.shape[0], note
    )
    for leaf in matrix.leaves:
        rows, part = target[leaf.top : leaf.bottom], source[leaf.start : leaf.stop]
        for factor in leaf.factors[:0:-1]:
            part = _times(build, _stored(factor, matrix.precision), part)
        outer = _stored(leaf.factors[0], matrix.precision)
        if outer.scale is None:
            build.multiply([rows], [part], outer.numbers, outer.precision)
        else:
            product = build.operand(_times(build, outer, part))
            build.write(rows, "{0} + {1}", (build.operand(rows), product))
    return target


def _blocks(build: Builder, matrix: BlockMatrix, source: Slots, note: str) -> Slots:
    """z_i = D_i a_i + U_i (S [V_1 a_1; V_2 a_2; …])_i; what pads the last leaves is left out."""
    outputs, inputs = matrix.shape
    count, rank, width = matrix.right.shape
    height = matrix.rows.shape[1]
    heights = [min(height, max(0, outputs - i * height)) for i in range(count)]
    widths = [min(width, max(0, inputs - i * width)) for i in range(count)]
    leaves = [source[i * width : i * width + w] for i, w in enumerate(widths)]
    rows, coupling, right = (
        _stored(values, matrix.precision) for values in (matrix.rows, matrix.coupling, matrix.right)
    )

    seen = _zeros(build, count * rank, note)
    for group in _equal_neighbours(widths):
        parts = [seen[i * rank : (i + 1) * rank] for i in group]
        numbers = right.numbers[group, :, : widths[group[0]]]
        build.multiply(parts, [leaves[i] for i in group], numbers, right.precision)
    _scale(build, seen, right.scale)
    coupled = _times(build, coupling, seen)
    # The rows of [D_i U_i] share a scale, so that both products meet in z before it is applied.
    target = _started(build, matrix.bias, rows)
    for group in _equal_neighbours(list(zip(heights, widths, strict=True))):
        h, w = heights[group[0]], widths[group[0]]
        places = [target[i * height : i * height + h] for i in group]
        build.multiply(
            places, [leaves[i] for i in group], rows.numbers[group, :h, :w], rows.precision
        )
        parts = [coupled[i * rank : (i + 1) * rank] for i in group]
        build.multiply(places, parts, rows.numbers[group, :h, width:], rows.precision)
    scale = None if rows.scale is None else rows.scale.reshape(-1)[:outputs]
    _finish(build, target, scale, matrix.bias)
    return target


WRITERS: Mapping[type[Matrix], Callable[[Builder, Any, Slots, str], Slots]] = {
    SiteMatrix: _factors,
    LeafMatrix: _leaves,
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


def _times(build: Builder, factor: _Factor, source: Slots, note: str = "") -> Slots:
    """The slots of one matrix times ``source``."""
    target = _zeros(build, factor.numbers.shape[1], note)
    build.multiply([target], [source], factor.numbers, factor.precision)
    _scale(build, target, factor.scale)
    return target


def _started(build: Builder, bias: Array, factor: _Factor, note: str = "") -> Slots:
    """What products are added to: the bias, or nothing yet where a scale comes after them."""
    if factor.scale is not None:
        return _zeros(build, len(bias), note)
    return build.elementwise("{0}", (_constant(build, _kept(bias)),), len(bias), note)


def _finish(build: Builder, target: Slots, scale: Array | None, bias: Array) -> None:
    """Scale what was added up, and add the bias, where :func:`_started` did not."""
    if scale is not None:
        scaled = (build.operand(target), _constant(build, scale), _constant(build, _kept(bias)))
        build.write(target, "{0} * {1} + {2}", scaled)


def _scale(build: Builder, target: Slots, scale: Array | None) -> None:
    if scale is not None and len(target) > 0:
        build.write(target, "{0} * {1}", (build.operand(target), _constant(build, scale)))


def _zeros(build: Builder, width: int, note: str = "") -> Slots:
    return build.elementwise("{0}", (0.0,), width, note)


def _constant(build: Builder, values: Array) -> Operand:
    return build.operand(build.known(values.reshape(-1)))


def _kept(bias: Array) -> Array:
    """A bias as files hold it."""
    return bias.astype(np.float32).astype(np.float64)
