"""Vectors that are copied side by side, computed there at once: no copy, and no second place."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import replace

from hedge.exporting.c99.program import (
    Elementwise,
    Operand,
    Program,
    RowStep,
    Strided,
    Sums,
    WeightProduct,
)


def settled(program: Program) -> Program:
    """The same results without the copies of whole buffers that nothing else stands in the way of."""
    made_of_copies = _made_of_copies(program)
    homes: dict[int, int] = {}  # by buffer, the first slot of the copy
    kept: set[int] = set()
    steps = []
    for step in program.steps:
        source, target = program.buffer(_source(step)), program.buffer(step.target)
        is_free = target in made_of_copies and source not in kept | homes.keys()
        if is_free and target not in homes and _copies_whole(program, step):
            homes[source] = step.target
            kept.add(target)
        else:
            steps.append(step)
    return replace(program, steps=tuple(_moved(program, step, homes) for step in steps))


def _made_of_copies(program: Program) -> set[int]:
    """The scratch buffers of which every number is written once, by a copy or another expression."""
    written: dict[int, int] = defaultdict(int)
    others = {0, *program.ends}
    for step in program.steps:
        buffer = program.buffer(step.target)
        if isinstance(step, Elementwise):
            written[buffer] += step.width
        else:
            others.add(buffer)
    return {b for b, width in written.items() if width == program.widths[b]} - others


def _source(step: RowStep) -> int:
    if not isinstance(step, Elementwise):
        return step.source
    return next((each.start for each in step.operands if isinstance(each, Strided)), 0)


def _copies_whole(program: Program, step: RowStep) -> bool:
    """Whether all of a scratch buffer is copied, into part of another one."""
    if not isinstance(step, Elementwise) or step.expression != "{0}":
        return False
    source = program.buffer(_source(step))
    whole = step.operands == (Strided(program.starts[source]),)
    return whole and step.width == program.widths[source] and source not in (0, *program.ends)


def _moved(program: Program, step: RowStep, homes: dict[int, int]) -> RowStep:
    def moved(slot: int) -> int:
        buffer = program.buffer(slot)
        return homes[buffer] + slot - program.starts[buffer] if buffer in homes else slot

    def operand(each: Operand) -> Operand:
        return Strided(moved(each.start), each.stride) if isinstance(each, Strided) else each

    if isinstance(step, Elementwise):
        operands = tuple(operand(each) for each in step.operands)
        return replace(step, target=moved(step.target), operands=operands)
    assert isinstance(step, WeightProduct | Sums)
    return replace(step, target=moved(step.target), source=moved(step.source))
