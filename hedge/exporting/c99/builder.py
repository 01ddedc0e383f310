"""Building a program: slots for numbers, constants stored once, operands found or copied together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from hashlib import sha256
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.exporting.c99.program import (
    Constant,
    Elementwise,
    Operand,
    Part,
    Program,
    RowStep,
    StoredType,
    Strided,
    Sums,
    WeightProduct,
)

Slots = NDArray[np.int64]
"""Slots of numbers; −1 − i is the number ``Builder.numbers[i]``, known at export."""


Constants = dict[tuple[str, bytes], Constant]
"""The arrays of a C file, by type and bytes: programs that share them store equal ones once."""


class Builder:
    """A program in the making; every method that computes returns the slots of the result.

    parameters counts the weights and biases of the layers so far; derivatives have those of the layers.
    """

    def __init__(self, inputs: int, constants: Constants | None = None) -> None:
        self.parameters = 0
        self._counted: set[bytes] = set()
        self._starts = [0]
        self._widths = [inputs]
        self._steps: list[RowStep] = []
        self._constants: Constants = {} if constants is None else constants
        self._numbers: dict[float, int] = {}

    def count(self, parameters: int, weights: Sequence[NDArray[Any]]) -> None:
        """Count the parameters of a layer, unless these weights were some layer's already."""
        digest = sha256()
        for values in weights:
            digest.update(np.ascontiguousarray(values).data)
        if digest.digest() not in self._counted:
            self._counted.add(digest.digest())
            self.parameters += parameters

    def new(self, width: int) -> Slots:
        """Slots of a new buffer, (width,)."""
        start = self._starts[-1] + self._widths[-1]
        self._starts.append(start)
        self._widths.append(width)
        return np.arange(start, start + width)

    def known(self, values: Array) -> Slots:
        """Slots, in the shape of ``values``, of numbers that are known at export."""
        distinct, places = np.unique(_finite(values), return_inverse=True)
        slots = np.array(
            [-1 - self._numbers.setdefault(float(v), len(self._numbers)) for v in distinct],
            dtype=np.int64,
        )
        return slots[places.reshape(values.shape)]

    def constant(self, values: NDArray[Any], stored_as: StoredType = "float32") -> Constant:
        """An array of the C file, once for equal ones: float32 becomes float64 where it is not exact.

        values are float64, or as they are stored in less.
        """
        if stored_as == "float32":
            values, stored_as = _narrowed(values)
        key = (stored_as, values.tobytes())
        if key not in self._constants:
            flat = np.ascontiguousarray(values).reshape(-1)
            self._constants[key] = Constant(f"w{len(self._constants)}", flat, stored_as)
        return self._constants[key]

    def elementwise(
        self, expression: str, operands: Sequence[Operand], width: int, note: str = ""
    ) -> Slots:
        """The slots of expression(operands), (width,)."""
        target = self.new(width)
        self.write(target, expression, operands, note)
        return target

    def write(
        self, target: Slots, expression: str, operands: Sequence[Operand], note: str = ""
    ) -> None:
        """Compute into evenly spaced slots; nothing where rank 0 leaves none."""
        if len(target) == 0:
            return
        stride = int(target[1] - target[0]) if len(target) > 1 else 1
        step = Elementwise(int(target[0]), len(target), expression, tuple(operands), note, stride)
        self._steps.append(step)

    def sums(self, source: Slots, outputs: int) -> Slots:
        """The sums over ``outputs`` groups of neighbours in ``source``."""
        target = self.new(outputs)
        (start,), length = self._starts_of([source]), len(source) // outputs
        self._steps.append(Sums(int(target[0]), start, outputs, length))
        return target

    def multiply(
        self,
        targets: Sequence[Slots],
        sources: Sequence[Slots],
        matrices: NDArray[Any],
        stored_as: StoredType = "float32",
    ) -> None:
        """targets[i] += matrices[i] sources[i]; matrices (count, outputs, inputs) as they are stored.

        One step where targets and sources are evenly spaced upwards, else one each.
        """
        if 0 in matrices.shape:
            return
        starts = np.stack([[t[0] for t in targets], self._starts_of(sources)], axis=1)
        steps = np.diff(starts, axis=0)
        buffers = np.searchsorted(self._starts, starts, side="right")
        # Downwards is no way to count in size_t.
        if (steps == steps[:1]).all() and (steps >= 0).all() and (buffers == buffers[0]).all():
            self._multiply(starts, matrices, stored_as)
        else:
            for i in range(len(matrices)):
                self._multiply(starts[i : i + 1], matrices[i : i + 1], stored_as)

    def _multiply(
        self, starts: NDArray[np.int64], matrices: NDArray[Any], stored_as: StoredType
    ) -> None:
        """One step; starts (count, 2) are of targets and sources."""
        count, outputs, inputs = matrices.shape
        to_target, to_source = map(int, starts[1] - starts[0]) if count > 1 else (0, 0)
        is_shared = bool((matrices == matrices[0]).all())
        distinct = matrices[:1] if is_shared else matrices
        weights = self.constant(distinct.transpose(0, 2, 1), stored_as)
        self._steps.append(
            WeightProduct(
                target=int(starts[0, 0]), source=int(starts[0, 1]), weights=weights,
                inputs=inputs, outputs=outputs, count=count,
                steps=(to_target, to_source, 0 if is_shared else inputs * outputs),
            )
        )  # fmt: skip

    def _starts_of(self, sources: Sequence[Slots]) -> list[int]:
        """The first slots of vectors, copied side by side where the numbers of one are scattered."""
        if all(self._is_together(source) for source in sources):
            return [int(source[0]) for source in sources]
        start, width = self._copied(np.concatenate(sources)), len(sources[0])
        return list(range(start, start + width * len(sources), width))

    def operand(self, slots: Slots) -> Operand:
        """What an elementwise step reads for ``slots`` (width,), copied together where scattered."""
        if (slots < 0).all():
            return self._known_operand(slots)
        strides = np.diff(slots)
        if self._piece(slots) < len(slots):
            return Strided(self._copied(slots))
        return Strided(int(slots[0]), int(strides[0]) if len(slots) > 1 else 1)

    def together(self, sources: Sequence[Slots]) -> Sequence[Slots]:
        """The same vectors one behind the other, copied so unless they lie so."""
        every = np.concatenate(sources)
        if len(every) == 0 or self._is_together(every):
            return sources
        start = self._copied(every)
        return np.split(np.arange(start, start + len(every)), len(sources))

    def program(self, results: Mapping[str, Slots]) -> Program:
        """The whole; its results are vectors, or matrices by rows, of these slots, by their arrays' names."""
        for slots in results.values():
            columns = slots.reshape(len(slots), -1).T
            target = self.new(slots.size).reshape(-1, len(columns)).T
            for to, column in zip(target, columns, strict=True):
                self._copy(to, column)
        return Program(
            tuple(self._starts),
            tuple(self._widths),
            tuple(self._constants.values()),
            tuple(self._steps),
            self.parameters,
            tuple(results),
        )

    def _is_together(self, slots: Slots) -> bool:
        """Whether numbers follow each other in one buffer."""
        return bool(
            slots[0] >= 0 and self._piece(slots) == len(slots) and np.ptp(slots) == len(slots) - 1
        )

    def _known_operand(self, slots: Slots) -> Operand:
        numbers = list(self._numbers)
        if (slots == slots[0]).all():
            return float(numbers[-1 - slots[0]])
        return self._part(np.array(numbers)[-1 - slots])

    def _part(self, values: Array) -> Part:
        """Numbers of an array, of one that holds them already: slopes of a first layer are its weights."""
        stored, stored_as = _narrowed(values)
        wanted, size = stored.tobytes(), stored.itemsize
        for (kind, there), constant in self._constants.items():
            place = there.find(wanted) if kind == stored_as else -1
            if place >= 0 and place % size == 0:
                return Part(constant, place // size)
        return Part(self.constant(values))

    def _copied(self, slots: Slots) -> int:
        target = self.new(len(slots))
        self._copy(target, slots)
        return int(target[0])

    def _copy(self, target: Slots, slots: Slots) -> None:
        """Copy the longest evenly spaced pieces, one after the other."""
        done = 0
        while done < len(slots):
            length = self._piece(slots[done:])
            piece = slots[done : done + length]
            self.write(target[done : done + length], "{0}", (self.operand(piece),))
            done += length

    def _piece(self, slots: Slots) -> int:
        """How many of the first slots one operand can read."""
        if slots[0] < 0:
            return _first(slots >= 0)
        buffers = np.searchsorted(self._starts, slots, side="right")
        most = _first(buffers != buffers[0])
        strides = np.diff(slots[:most])
        if len(strides) == 0 or strides[0] < 0:
            return 1
        return 1 + _first(strides != strides[0])


def _first(found: NDArray[np.bool_]) -> int:
    """The position of the first True, or the length."""
    return int(np.argmax(found)) if found.any() else len(found)


def _narrowed(values: NDArray[Any]) -> tuple[NDArray[Any], StoredType]:
    """As float32, or float64 where that is not exact."""
    values = _finite(values.astype(np.float64))
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    return (narrow, "float32") if np.array_equal(narrow, values) else (values, "float64")


def _finite(values: Array) -> Array:
    with np.errstate(over="ignore"):
        narrow = values.astype(np.float32)
    if not np.isfinite(narrow).all():
        raise ModelError("a constant in it is NaN, Inf or beyond float32; train or export it again")
    return values
