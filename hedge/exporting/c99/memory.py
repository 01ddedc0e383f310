"""Where the buffers of a program lie in its scratch memory: places are used again once they are free."""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass

from hedge.exporting.c99.program import Elementwise, Program, RowStep, Strided


@dataclass(frozen=True)
class Placement:
    """For every buffer the array that holds it (``x``, ``u`` or ``s``) and its first number there.

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


def placed(program: Program) -> Placement:
    """Buffers in the order of their first use, each at the lowest place free while it is needed."""
    homes = _homes(program)
    lives: dict[int, tuple[int, int]] = {}
    for time, step in enumerate(program.steps):
        for buffer in _used(program, step):
            home = homes[buffer]
            lives[home] = (lives.get(home, (time, time))[0], time)
    taken: list[tuple[int, int, int]] = []  # (first number, end, home)
    found: dict[int, int] = {}
    for home, (born, dead) in sorted(lives.items(), key=lambda entry: entry[1]):
        width, start = program.widths[home], 0
        for first, end, other in sorted(taken):
            overlaps = lives[other][0] <= dead and born <= lives[other][1]
            if overlaps and first < start + width and start < end:
                start = end
        taken.append((start, start + width, home))
        found[home] = start
    last = len(program.starts) - 1
    places = [("s", found.get(homes[buffer], 0)) for buffer in range(last + 1)]
    places[0], places[last] = ("x", 0), ("u", 0)
    return Placement(program.starts, tuple(places), max((end for _, end, _ in taken), default=0))


def _homes(program: Program) -> list[int]:
    """For every buffer the one whose place it takes: an activation overwrites what it reads last."""
    last_use = {}
    for time, step in enumerate(program.steps):
        for buffer in _used(program, step):
            last_use[buffer] = time
    ends = {0, len(program.starts) - 1}
    homes = list(range(len(program.starts)))
    for time, step in enumerate(program.steps):
        if not isinstance(step, Elementwise):
            continue
        target = program.buffer(step.target)
        read = [operand for operand in step.operands if isinstance(operand, Strided)]
        for operand in read:
            if target in ends or homes[target] != target:
                continue
            source = program.buffer(operand.start)
            whole = (
                operand == Strided(program.starts[source])
                and step.target == program.starts[target]
                and program.widths[source] == program.widths[target] == step.width
            )
            # One number of it that all others meet would be overwritten before its last use.
            alone = all(o == operand or program.buffer(o.start) != source for o in read)
            if whole and alone and source not in ends | {target} and last_use[source] == time:
                homes[target] = homes[source]
    return homes


def _used(program: Program, step: RowStep) -> set[int]:
    """The scratch buffers that a step reads or writes."""
    return set(program.touched(step)) - {0, len(program.starts) - 1}
