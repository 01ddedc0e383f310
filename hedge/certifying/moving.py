"""Nodes that only move numbers: run on the places of the numbers that vary."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from hedge.certifying.enclosure import Enclosure
from hedge.certifying.reader import Raw, Reader, Value
from hedge.graph.nodes import run_node
from hedge.ops import OPS, op_of

# Pad fills in numbers of its own.
MOVES = {n for n, op in OPS.items() if op.kind in ("moving", "of shapes")} - {"Pad"}


def moved(reader: Reader) -> Sequence[Value]:
    """A node run on the places of numbers, where some of these vary."""
    names = [name for name in reader.node.input if name]
    fixed = {n: v for n in names if not isinstance(v := reader.values[n], Enclosure)}
    varying = {n: v for n in names if isinstance(v := reader.values[n], Enclosure)}
    if not varying:
        return run_node(reader.node, reader.opset, fixed)
    if reader.node.op_type == "Concat":
        return [joined(reader.enclosures(), reader.attributes["axis"])]
    (name, source), *others = varying.items()
    if others:
        raise reader.refused("a place that varies")
    places = np.arange(1, source.radius.shape[1] + 1, dtype=np.float64).reshape(source.shape)
    return [
        _at(reader, source, each)
        for each in run_node(reader.node, reader.opset, {**fixed, name: places})
    ]


def _at(reader: Reader, source: Enclosure, moved: Raw) -> Value:
    """The numbers at these places, which count from 1."""
    if op_of(reader.node.op_type).kind == "of shapes":
        return moved
    return source.taken(moved.astype(np.intp) - 1, moved.shape)


def spread_over(x: Enclosure, points: Enclosure) -> Enclosure:
    """The same in as many boxes, variables and monomials as points have, for what does not vary."""
    terms, boxes, _ = points.coefficients.shape
    coefficients = np.zeros((terms, boxes, x.radius.shape[1]))
    coefficients[: len(x.coefficients)] = x.coefficients
    return Enclosure(
        coefficients,
        np.broadcast_to(
            x.radii / (len(points.radii) / len(x.radii)),
            (len(points.radii), boxes, x.radius.shape[1]),
        ),
        np.broadcast_to(x.rounding, (boxes, x.radius.shape[1])),
        x.shape,
    )


def joined(parts: Sequence[Enclosure], axis: int) -> Enclosure:
    """Side by side along an axis."""
    boxes = max(len(part.radius) for part in parts)
    variables = max(len(part.radii) for part in parts)
    terms = max(len(part.coefficients) for part in parts)
    places = np.concatenate(
        [
            np.arange(part.radius.shape[1]).reshape(part.shape)
            + sum(before.radius.shape[1] for before in parts[:i])
            for i, part in enumerate(parts)
        ],
        axis=axis,
    )

    def wide(part: Enclosure) -> Enclosure:
        coefficients = np.zeros((terms, boxes, part.radius.shape[1]))
        coefficients[: len(part.coefficients)] = part.coefficients
        size = (boxes, part.radius.shape[1])
        return Enclosure(
            coefficients,
            np.broadcast_to(part.radii, (variables, *size)),
            np.broadcast_to(part.rounding, size),
            part.shape,
        )

    each = [wide(part) for part in parts]
    flat = places.ravel()
    return Enclosure(
        np.concatenate([part.coefficients for part in each], axis=2)[:, :, flat],
        np.concatenate([part.radii for part in each], axis=2)[:, :, flat],
        np.concatenate([part.rounding for part in each], axis=1)[:, flat],
        places.shape,
    )
