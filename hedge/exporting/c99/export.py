"""A model as the text of its C files, with what it takes in flash, stack and parameters.

Elementwise steps go into one loop: a result that one other step reads becomes part of its expression.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from onnx import ModelProto, ValueInfoProto

from hedge.errors import ModelError, RoomError
from hedge.exporting.c99.builder import Constants
from hedge.exporting.c99.guard import Guard
from hedge.exporting.c99.header import Stacks, header_text, same_export
from hedge.exporting.c99.loops import Dialect
from hedge.exporting.c99.program import (
    Elementwise,
    Placement,
    Program,
    RowStep,
    Strided,
)
from hedge.exporting.c99.rows import jacobian_program, row_program
from hedge.exporting.c99.settling import settled
from hedge.exporting.c99.source import Function, Functions, source_text, stack_bytes
from hedge.exporting.c99.text import check_identifier
from hedge.graph import LEAST_OPSET, Matrix, opset, split_with_derivatives
from hedge.graph.ports import true_inputs
from hedge.version import __version__

# For registers and calls, beside local arrays: gcc was seen to take 288 at -O2 and -Os, libm aside.
CALL_BYTES = 512


@dataclass(frozen=True)
class COptions:
    """How the C is written.

    name begins all names that other files see; double computes in double; fast_tanh takes for tanh a function
    that compilers turn into vectors; flash is how many bytes constants may take, ram how many a call may
    take, all of it stack, None for any number. jacobian adds the function that computes derivatives, too,
    hessian that which computes these and second ones. Outside the guard's box results are NaN. outputs, as
    ("u", "u_x"), take the place of the model's own if there are any; letters name the columns of the inputs
    in them, "" where the model does.
    """

    name: str
    double: bool = False
    fast_tanh: bool = True
    flash: int | None = None
    ram: int | None = None
    jacobian: bool = False
    guard: Guard | None = None
    outputs: tuple[str, ...] = ()
    letters: str = ""
    hessian: bool = False

    @property
    def real(self) -> type[np.floating[Any]]:
        """What it computes in."""
        return np.float64 if self.double else np.float32


@dataclass(frozen=True)
class CFiles:
    """The ``.c`` and the ``.h`` file, and bytes of constants and of local arrays.

    The functions take up to CALL_BYTES more of the stack: registers, and what they call. identity is the
    number by which files of two exports are told apart.
    """

    source: str
    header: str
    identity: str
    parameters: int
    flash_bytes: int
    stack_bytes: int
    batch_stack_bytes: int
    jacobian_stack_bytes: int | None = None
    hessian_stack_bytes: int | None = None


def to_c(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    options: COptions,
    stem: str,
    about: Sequence[str] = (),
) -> CFiles:
    """C99 of a skeleton with these matrices at its sites; equal models give equal text.

    stem is the name of the files without ``.c`` and ``.h``; ``about`` are lines for the header.

    A tile of rows that would take more than ``options.ram`` is left out: the batch goes row by row.

    Raises InputError for a name that is no C identifier, outputs that there are not, or contradicting
    options, RoomError for constants that take more than ``options.flash`` or a row that takes more than
    ``options.ram``; ModelError for ops and shapes that C can't do.
    """
    planned = _planned(skeleton, matrices, options)
    value, stacks = planned.functions.value, planned.stacks
    dialect = Dialect(options.double, options.fast_tanh)
    lines = (*about, f"Written by hedge {__version__}.")
    source = source_text(
        options.name, planned.functions, dialect, options.guard, in_tiles=planned.in_tiles
    )

    def header(identity: str) -> str:
        columns = _ports(true_inputs(skeleton)), planned.results
        sizes = value.program.parameters, planned.flash
        return header_text(
            options.name, value.program, sizes, stacks, dialect, lines, columns, identity,
            guarded=options.guard is not None,
        )  # fmt: skip

    text = source + header("")
    # A number for preprocessors, of 32 bits, by which other texts differ.
    identity = f"0x{hashlib.sha256(text.encode()).hexdigest()[:8]}u"
    check = same_export(options.name, stem, f"{stem}.c", identity)
    return CFiles(
        f'#include "{stem}.h"\n{check}\n{source}',
        header(identity),
        identity,
        value.program.parameters,
        planned.flash,
        stacks.row,
        stacks.batch,
        stacks.jacobian,
        stacks.hessian,
    )


def check_c(skeleton: ModelProto, matrices: Mapping[str, Matrix], options: COptions) -> None:
    """Raise what :func:`to_c` would, without writing any text."""
    _planned(skeleton, matrices, options)


@dataclass(frozen=True)
class _Planned:
    """What computes a row and its derivatives, bytes of constants and local arrays, whether there are tiles.

    results names what a row gives, in order.
    """

    functions: Functions
    flash: int
    stacks: Stacks
    in_tiles: bool
    results: str


def _planned(skeleton: ModelProto, matrices: Mapping[str, Matrix], options: COptions) -> _Planned:
    check_identifier(options.name)
    if opset(skeleton) < LEAST_OPSET:  # operators had other inputs and defaults
        raise ModelError(
            f"its opset {opset(skeleton)} can't be brought to {LEAST_OPSET}; export the dense model "
            f"with opset {LEAST_OPSET} or newer"
        )
    with_outputs = _with_outputs(skeleton, matrices, options)
    constants: Constants = {}
    value = _function(row_program(*with_outputs, constants, double=options.double))
    jacobian, hessian = (
        _derived(skeleton, matrices, constants, options, hessian=second) if asked else None
        for asked, second in ((options.jacobian, False), (options.hessian, True))
    )
    functions = Functions(value, jacobian, hessian)
    flash = functions.program.flash_bytes
    guarded = options.guard is not None
    flash += options.guard.bytes(double=options.double) if options.guard else 0
    _check_flash(flash, options.flash)
    row, tile = (
        stack_bytes(value, double=options.double, tiled=t, guarded=guarded) for t in (False, True)
    )
    _check_ram("row", row, options.ram)
    first, second = (
        stack_bytes(each, double=options.double) if each else None for each in (jacobian, hessian)
    )
    for what, needed in (("Jacobian", first), ("Hessian", second)):
        if needed is not None:
            _check_ram(what, needed, options.ram)
    in_tiles = options.ram is None or tile + CALL_BYTES <= options.ram
    stacks = Stacks(row, tile if in_tiles else row, first, second)
    results = _ports(with_outputs[0].graph.output)
    return _Planned(functions, flash, stacks, in_tiles, results)


def _with_outputs(
    skeleton: ModelProto, matrices: Mapping[str, Matrix], options: COptions
) -> tuple[ModelProto, Mapping[str, Matrix]]:
    if not options.outputs:
        return skeleton, matrices
    return split_with_derivatives(
        skeleton, matrices, options.outputs, options.letters, options.real
    )


def _derived(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    constants: Constants,
    options: COptions,
    *,
    hessian: bool,
) -> Function:
    """What computes a row and its derivatives, from the same constants as the row alone."""
    return _function(
        jacobian_program(
            skeleton,
            matrices,
            constants,
            double=options.double,
            outputs=options.outputs,
            letters=options.letters,
            hessian=hessian,
        )
    )


def _function(program: Program) -> Function:
    program = settled(_fused(program.alive()))
    return Function(program, _placed(program))


def _check_ram(what: str, row: int, available: int | None) -> None:
    needed = row + CALL_BYTES
    if available is not None and needed > available:
        raise RoomError(
            f"ram: a {what} takes {row} bytes of stack by local arrays and up to {CALL_BYTES} for calls, "
            f"{needed - available} more than {available}",
            needed - available,
            "compress further, or give the task more",
        )


def _check_flash(needed: int, available: int | None) -> None:
    if available is not None and needed > available:
        raise RoomError(
            f"flash: the constants take {needed} bytes, {needed - available} more than {available}",
            needed - available,
            "compress further, or with --objective size",
        )


def _ports(values: Sequence[ValueInfoProto]) -> str:
    """What x or u hold, in order."""
    return ", ".join(f"{v.name}{_width(v)}" for v in values)


def _width(value: ValueInfoProto) -> str:
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
    return "".join(f"[{size}]" for size in sizes if size)


def _fused(program: Program) -> Program:
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


def _placed(program: Program) -> Placement:
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
    places = [("s", found.get(home, 0)) for home in homes]
    places[0] = ("x", 0)
    for buffer, array in zip(program.ends, program.results, strict=True):
        places[buffer] = (array, 0)
    return Placement(program.starts, tuple(places), max((end for _, end, _ in taken), default=0))


def _homes(program: Program) -> list[int]:
    """For every buffer the one whose place it takes: an activation overwrites what it reads last."""
    first_use: dict[int, int] = {}
    last_use: dict[int, int] = {}
    for time, step in enumerate(program.steps):
        for buffer in _used(program, step):
            first_use.setdefault(buffer, time)
            last_use[buffer] = time
    ends = {0, *program.ends}
    homes = list(range(len(program.starts)))
    for time, step in enumerate(program.steps):
        if not isinstance(step, Elementwise):
            continue
        target = program.buffer(step.target)
        if first_use.get(target) != time:  # what is added up holds numbers already
            continue
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
    return set(program.touched(step)) - {0, *program.ends}
