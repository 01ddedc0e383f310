"""Steps of a program as C loops: over one row, or over a tile of rows that lie innermost."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby

from hedge.devices import TILE
from hedge.exporting.c99.kernels import MOST_COLUMNS
from hedge.exporting.c99.program import (
    Constant,
    Elementwise,
    Operand,
    Part,
    Placement,
    Program,
    RowStep,
    StoredType,
    Strided,
    Sums,
    WeightProduct,
)
from hedge.exporting.c99.text import comment, number


@dataclass(frozen=True)
class Dialect:
    """The precision of the code, and whether it works on a tile of rows."""

    double: bool
    fast_tanh: bool
    tiled: bool = False

    @property
    def real(self) -> str:
        """The type of all that is computed."""
        return "double" if self.double else "float"

    @property
    def suffix(self) -> str:
        """Of libm's functions."""
        return "" if self.double else "f"

    @property
    def tanh(self) -> str:
        """The function that stands for tanh."""
        return "fast_tanh" if self.fast_tanh else f"tanh{self.suffix}"


def body(program: Program, placement: Placement, dialect: Dialect) -> str:
    """All steps, from ``x`` through ``s`` to ``u``."""
    lines = []
    for step in program.steps:
        if isinstance(step, Elementwise) and step.note:
            lines.append(f"/* {comment(step.note)} */")
        lines += _lines(step, placement, dialect)
    return "\n".join(f"    {line}" for line in lines)


def product_name(kind: StoredType, columns: int = 1, *, tiled: bool = False) -> str:
    """The function that multiplies by weights of this type."""
    narrow = "" if kind == "float32" else f"_{kind}"
    many = "_tile" if tiled else "" if columns == 1 else f"_{columns}"
    return f"multiply{narrow}{many}"


def columns_of(step: WeightProduct, dialect: Dialect) -> list[int]:
    """How many vectors of the step each call multiplies by its weights: value and derivatives, say."""
    as_computed = "float64" if dialect.double else "float32"
    is_shared = step.steps[2] == 0 and step.weights.stored_as == as_computed
    most = MOST_COLUMNS if is_shared and not dialect.tiled else 1
    calls = -(-step.count // most)
    return [step.count // calls + (i < step.count % calls) for i in range(calls)]


def _lines(step: RowStep, placement: Placement, dialect: Dialect) -> list[str]:
    if isinstance(step, Elementwise):
        return _elementwise(step, placement, dialect)
    if isinstance(step, WeightProduct):
        return _products(step, placement, dialect)
    return _sums(step, placement, dialect)


def _elementwise(step: Elementwise, placement: Placement, dialect: Dialect) -> list[str]:
    places = (*step.operands, Strided(step.target, step.stride))
    flat = dialect.tiled and not any(
        isinstance(o, Part) or (isinstance(o, Strided) and o.stride != 1) for o in places
    )
    width = step.width * TILE if flat else step.width
    rows = dialect.tiled and not flat
    tile = TILE if dialect.tiled else 1

    def element(operand: Operand) -> str:
        if isinstance(operand, float):
            return number(operand, double=dialect.double)
        if isinstance(operand, Part):
            return _constant(operand.constant, _index(operand.start, "i", 1, width), dialect)
        array, first = placement.of(operand.start)
        if flat:
            return f"{array}[{_index(first * TILE, 'i', 1, width)}]"
        place = _index(first, "i", operand.stride, width)
        return f"{array}[{_in_tile(place)}]" if rows else f"{array}[{place}]"

    given = [element(operand) for operand in step.operands]
    names = {"f": dialect.suffix, "tanh": dialect.tanh}
    value = step.expression.format(*given, **names)
    assignment = f"{element(Strided(step.target, step.stride))} = {value};"
    if rows:
        assignment = f"for (size_t r = 0; r < {tile}; ++r) {assignment}"
    if width > 1:
        assignment = f"for (size_t i = 0; i < {width}; ++i) {assignment}"
    return [assignment]


def _in_tile(place: str) -> str:
    return f"{place} * {TILE} + r" if place.isdigit() else f"({place}) * {TILE} + r"


def _index(first: int, name: str, stride: int, width: int) -> str:
    """first + stride · name, as short as it can be written."""
    if width == 1 or stride == 0:
        return str(first)
    moved = name if stride == 1 else f"{stride} * {name}"
    return moved if first == 0 else f"{first} + {moved}"


def _constant(constant: Constant, index: str, dialect: Dialect) -> str:
    element = f"{constant.name}[{index}]"
    return f"(double){element}" if dialect.double and constant.values.itemsize < 8 else element


def _products(step: WeightProduct, placement: Placement, dialect: Dialect) -> list[str]:
    lines, done = [], 0
    for columns, run in groupby(columns_of(step, dialect)):
        calls = len(list(run))
        lines.append(_product(step, done, columns, calls, placement, dialect))
        done += columns * calls
    return lines


def _product(
    step: WeightProduct,
    done: int,
    columns: int,
    calls: int,
    placement: Placement,
    dialect: Dialect,
) -> str:
    """So many calls of so many columns each, behind those that are ``done``."""
    tile = TILE if dialect.tiled else 1
    function = product_name(step.weights.stored_as, columns, tiled=dialect.tiled)
    (to, target), (of, source) = placement.of(step.target), placement.of(step.source)
    starts = (
        (step.weights.name, 0, step.steps[2]),
        (of, source * tile, step.steps[1] * tile),
        (to, target * tile, step.steps[0] * tile),
    )
    given = [str(step.inputs), str(step.outputs)]
    given += [_start(array, at + done * by, columns * by, calls) for array, at, by in starts]
    given += [str(step.steps[1]), str(step.steps[0])] if columns > 1 else []
    call = f"{function}({', '.join(given)});"
    return f"for (size_t i = 0; i < {calls}; ++i) {call}" if calls > 1 else call


def _start(array: str, first: int, step: int, count: int) -> str:
    index = _index(first, "i", step, count)
    return array if index == "0" else f"{array} + {index}"


def _sums(step: Sums, placement: Placement, dialect: Dialect) -> list[str]:
    (to, target), (of, source) = placement.of(step.target), placement.of(step.source)
    tile = TILE if dialect.tiled else 1
    zero = number(0.0, double=dialect.double)
    lanes = f"for (size_t r = 0; r < {tile}; ++r) " if dialect.tiled else ""
    lane = " + r" if dialect.tiled else ""
    scaled = f" * {tile}" if dialect.tiled else ""
    place = f"{to}[({target} + j){scaled}{lane}]"
    return [
        f"for (size_t j = 0; j < {step.outputs}; ++j) {{",
        f"    {lanes}{place} = {zero};",
        f"    for (size_t k = 0; k < {step.length}; ++k)",
        f"        {lanes}{place} += {of}[({source} + j * {step.length} + k){scaled}{lane}];",
        "}",
    ]
