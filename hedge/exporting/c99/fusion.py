"""Elementwise steps in one loop: a result that one other step reads becomes part of its expression."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace

from hedge.exporting.c99.program import Elementwise, Program, RowStep, Strided


def fused(program: Program) -> Program:
    """The same results in fewer steps.

    What an elementwise step reads is not written after it, so that it may run as late as its reader.
    """
    uses = Counter(buffer for step in program.steps for buffer in program.touched(step))
    written: dict[int, Elementwise] = {}  # whole buffers of one writer and one reader
    steps: list[RowStep | None] = []
    places: dict[int, int] = {}
    for step in program.steps:
        if isinstance(step, Elementwise):
            for start in [o.start for o in step.operands if isinstance(o, Strided)]:
                source = written.get(program.buffer(start))
                if source is not None and _reads_all(step, source):
                    step = _merged(step, source)
                    steps[places[source.target]] = None
            buffer = program.buffer(step.target)
            if step.width == program.widths[buffer] and uses[buffer] == 2 and not step.note:
                written[buffer] = step
                places[step.target] = len(steps)
        steps.append(step)
    return replace(program, steps=tuple(step for step in steps if step is not None))


def _reads_all(step: Elementwise, source: Elementwise) -> bool:
    """Whether the step reads number i of the source for its own number i, and names it once."""
    operand = Strided(source.target)
    if operand not in step.operands or step.width != source.width:
        return False
    return step.expression.count(f"{{{step.operands.index(operand)}}}") == 1


def _merged(step: Elementwise, source: Elementwise) -> Elementwise:
    """The step with the source's expression in place of its result."""
    position = step.operands.index(Strided(source.target))
    count = len(step.operands)
    inner = re.sub(r"\{(\d+)\}", lambda m: f"{{{int(m[1]) + count}}}", source.expression)
    stands_alone = re.fullmatch(r"\{\d+\}|[\w{}]+\([^()]*\)", inner)
    text = step.expression.replace(f"({{{position}}})", f"({inner})")
    if not stands_alone and text != f"{{{position}}}":
        inner = f"({inner})"
    text = text.replace(f"{{{position}}}", inner)
    kept = tuple(0.0 if i == position else o for i, o in enumerate(step.operands))
    return replace(step, expression=text, operands=(*kept, *source.operands))
