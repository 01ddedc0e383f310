"""A model as the text of its C files, with what it takes in flash, stack and parameters."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from onnx import ModelProto, ValueInfoProto

from hedge.errors import InputError, ModelError, RoomError
from hedge.exporting.c99.fusion import fused
from hedge.exporting.c99.loops import Dialect
from hedge.exporting.c99.memory import placed
from hedge.exporting.c99.rows import row_program
from hedge.exporting.c99.source import header_text, same_export, source_text, stack_bytes
from hedge.exporting.c99.text import check_identifier
from hedge.graph import LEAST_OPSET, Matrix, opset
from hedge.graph.ports import true_inputs
from hedge.version import __version__

# For registers and calls, beside local arrays: gcc was seen to take 288 at -O2 and -Os, libm aside.
CALL_BYTES = 512


@dataclass(frozen=True)
class COptions:
    """How the C is written.

    name begins all names that other files see; double computes in double; fast_tanh takes a rational
    function for tanh; flash is how many bytes constants may take, stack how many a call may take of the
    stack, None for any number.
    """

    name: str
    double: bool = False
    fast_tanh: bool = False
    flash: int | None = None
    stack: int | None = None


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


def to_c(
    skeleton: ModelProto,
    matrices: Mapping[str, Matrix],
    options: COptions,
    stem: str,
    about: Sequence[str] = (),
) -> CFiles:
    """C99 of a skeleton with these matrices at its sites; equal models give equal text.

    stem is the name of the files without ``.c`` and ``.h``; ``about`` are lines for the header.

    A tile of rows that would take more than ``options.stack`` is left out: the batch goes row by row.

    Raises InputError for a name that is no C identifier or contradicting options, RoomError for constants
    that take more than ``options.flash`` or a row that takes more than ``options.stack``; ModelError for ops
    and shapes that C can't do.
    """
    check_identifier(options.name)
    if options.double and options.fast_tanh:
        raise InputError("fast-tanh: is as exact as float only; leave it or double precision out")
    if opset(skeleton) < LEAST_OPSET:  # operators had other inputs and defaults
        raise ModelError(
            f"its opset {opset(skeleton)} can't be brought to {LEAST_OPSET}; export the dense model "
            f"with opset {LEAST_OPSET} or newer"
        )
    program = fused(row_program(skeleton, matrices, double=options.double).alive())
    _check_flash(program.flash_bytes, options.flash)
    placement = placed(program)
    row, tile = (
        stack_bytes(program, placement, double=options.double, tiled=tiled)
        for tiled in (False, True)
    )
    _check_stack(row, options.stack)
    in_tiles = options.stack is None or tile + CALL_BYTES <= options.stack
    stacks = row, tile if in_tiles else row
    dialect = Dialect(options.double, options.fast_tanh)
    lines = (*about, f"Written by hedge {__version__}.")
    source = source_text(options.name, program, placement, dialect, in_tiles=in_tiles)

    def header(identity: str) -> str:
        columns = _ports(true_inputs(skeleton)), _ports(skeleton.graph.output)
        return header_text(options.name, program, stacks, dialect, lines, columns, identity)

    text = source + header("")
    # A number for preprocessors, of 32 bits, by which other texts differ.
    identity = f"0x{hashlib.sha256(text.encode()).hexdigest()[:8]}u"
    check = same_export(options.name, stem, f"{stem}.c", identity)
    return CFiles(
        f'#include "{stem}.h"\n{check}\n{source}',
        header(identity),
        identity,
        program.parameters,
        program.flash_bytes,
        *stacks,
    )


def _check_stack(row: int, available: int | None) -> None:
    needed = row + CALL_BYTES
    if available is not None and needed > available:
        raise RoomError(
            f"stack: a row takes {row} bytes of local arrays and up to {CALL_BYTES} for calls, "
            f"{needed - available} more than {available}; compress further, or give the task more"
        )


def _check_flash(needed: int, available: int | None) -> None:
    if available is not None and needed > available:
        raise RoomError(
            f"flash: the constants take {needed} bytes, {needed - available} more than "
            f"{available}; compress further, or with --objective size"
        )


def _ports(values: Sequence[ValueInfoProto]) -> str:
    """What x or u hold, in order."""
    return ", ".join(f"{v.name}{_width(v)}" for v in values)


def _width(value: ValueInfoProto) -> str:
    sizes = [dim.dim_value for dim in value.type.tensor_type.shape.dim[1:]]
    return "".join(f"[{size}]" for size in sizes if size)
