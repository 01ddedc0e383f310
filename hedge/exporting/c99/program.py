"""What C code of a model does to one row: steps over numbered slots, before any text is written.

A *slot* holds one number of the row. Slots of a buffer follow each other; the first buffer is the
input, the last ones are results, and those between are scratch memory. Tensors of the graph are arrays
of slots, so that ops which only move numbers (Reshape, Concat, Slice, …) need no step at all.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from hedge.graph import Precision

StoredType = Precision


@dataclass(frozen=True, eq=False)
class Constant:
    """A ``static const`` array of the C file.

    values (size,) are as they are stored: the bits of float16 and bfloat16 as uint16.
    """

    name: str
    values: NDArray[np.generic]
    stored_as: StoredType

    @property
    def bytes(self) -> int:
        """What it takes in flash."""
        return int(self.values.nbytes)


@dataclass(frozen=True, eq=False)
class Part:
    """Numbers of an array from ``start`` on."""

    constant: Constant
    start: int = 0


@dataclass(frozen=True)
class Strided:
    """Slots ``start``, ``start + stride``, …; stride 0 is one number for all."""

    start: int
    stride: int = 1


Operand = Strided | Part | float


@dataclass(frozen=True, eq=False)
class Elementwise:
    """target[i · stride] ← expression(operands[i]) for i < width; note is for the comment before it.

    expression is C with ``{0}``, ``{1}``, … for the operands, ``{f}`` for the suffix of functions and
    numbers of the precision, and ``{tanh}``.
    """

    target: int
    width: int
    expression: str
    operands: tuple[Operand, ...]
    note: str = ""
    stride: int = 1


@dataclass(frozen=True, eq=False)
class WeightProduct:
    """target[j] += Σ_k weights[k, j] source[k], ``count`` times with all starts moved on by steps.

    weights lie as (count, inputs, outputs): the innermost loop runs over outputs, which vectorises
    without a sum across lanes. Steps are (of target, of source, of weights).
    """

    target: int
    source: int
    weights: Constant
    inputs: int
    outputs: int
    count: int = 1
    steps: tuple[int, int, int] = (0, 0, 0)


@dataclass(frozen=True, eq=False)
class Sums:
    """target[j] ← Σ_k source[j · length + k] for j < outputs."""

    target: int
    source: int
    outputs: int
    length: int


RowStep = Elementwise | WeightProduct | Sums


@dataclass(frozen=True, eq=False)
class Program:
    """The steps of one row in order, and how many weights and biases its linear layers have.

    starts are the first slots of all buffers, widths how many slots each has; buffer 0 is the input,
    the last ones are the ``results``, by the names of their arrays.
    """

    starts: tuple[int, ...]
    widths: tuple[int, ...]
    constants: tuple[Constant, ...]
    steps: tuple[RowStep, ...]
    parameters: int
    results: tuple[str, ...]

    def buffer(self, slot: int) -> int:
        """The buffer that holds a slot."""
        return bisect_right(self.starts, slot) - 1

    def touched(self, step: RowStep) -> list[int]:
        """The buffers that a step writes and reads, as often as it names them."""
        if isinstance(step, Elementwise):
            sources = [operand.start for operand in step.operands if isinstance(operand, Strided)]
        else:
            sources = [step.source]
        return [self.buffer(slot) for slot in (step.target, *sources)]

    def alive(self) -> Program:
        """The same results without the steps, and the constants, that none of them needs.

        Nothing reads unused outputs of Split, or padding that is cut off again.
        """
        needed = set(self.ends)
        steps: list[RowStep] = []
        for step in reversed(self.steps):
            target, *sources = self.touched(step)
            if target in needed:
                steps.append(step)
                needed.update(sources)
        used = {id(read) for step in steps for read in _constants(step)}
        constants = tuple(constant for constant in self.constants if id(constant) in used)
        return replace(self, steps=tuple(reversed(steps)), constants=constants)

    @property
    def ends(self) -> range:
        """The buffers of the results."""
        return range(len(self.starts) - len(self.results), len(self.starts))

    @property
    def reads_inputs(self) -> bool:
        """Whether an output depends on them at all."""
        return any(0 in self.touched(step)[1:] for step in self.steps)

    @property
    def inputs(self) -> int:
        """Numbers per row that it reads."""
        return self.widths[0]

    @property
    def outputs(self) -> int:
        """Numbers per row of its first result."""
        return self.widths[self.ends[0]]

    @property
    def flash_bytes(self) -> int:
        """Bytes of all constants."""
        return sum(constant.bytes for constant in self.constants)


def _constants(step: RowStep) -> list[Constant]:
    """The arrays that a step reads."""
    if isinstance(step, WeightProduct):
        return [step.weights]
    operands = step.operands if isinstance(step, Elementwise) else ()
    return [operand.constant for operand in operands if isinstance(operand, Part)]


def joined(programs: Sequence[Program]) -> Program:
    """The steps and constants of all, for what only asks which there are; the rest is the first one's."""
    constants = {constant.name: constant for program in programs for constant in program.constants}
    steps = tuple(step for program in programs for step in program.steps)
    return replace(programs[0], constants=tuple(constants.values()), steps=steps)


@dataclass(frozen=True)
class Placement:
    """For every buffer the array that holds it (``x``, ``s`` or a result's) and its first number there.

    size is that of ``s``, in numbers.
    """

    starts: tuple[int, ...]
    places: tuple[tuple[str, int], ...]
    size: int

    def of(self, slot: int) -> tuple[str, int]:
        """The array and the position of a slot."""
        buffer = bisect_right(self.starts, slot) - 1
        array, first = self.places[buffer]
        return array, first + slot - self.starts[buffer]
