"""Steps whose results nothing reads: unused outputs of Split, padding that is cut off again."""

from __future__ import annotations

from dataclasses import replace

from hedge.exporting.c99.program import Elementwise, Operand, Product, Program, Step


def alive(program: Program) -> Program:
    """The same results without the steps, and the constants, that none of them needs."""
    needed = {len(program.starts) - 1}
    steps: list[Step] = []
    for step in reversed(program.steps):
        target, *sources = program.touched(step)
        if target in needed:
            steps.append(step)
            needed.update(sources)
    used = {id(read) for step in steps for read in _constants(step)}
    constants = tuple(constant for constant in program.constants if id(constant) in used)
    return replace(program, steps=tuple(reversed(steps)), constants=constants)


def _constants(step: Step) -> tuple[Operand, ...]:
    """What a step reads beside slots."""
    if isinstance(step, Product):
        return (step.weights,)
    return step.operands if isinstance(step, Elementwise) else ()
