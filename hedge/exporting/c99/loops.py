"""Steps of a program as C loops: over one row, or over a tile of rows that lie innermost."""

from __future__ import annotations

from dataclasses import dataclass

from hedge.exporting.c99.program import (
    Constant,
    Elementwise,
    Operand,
    Placement,
    Program,
    RowStep,
    Strided,
    Sums,
    WeightProduct,
)
from hedge.exporting.c99.text import comment, number

# Rows of a tile: a few vector registers of any processor.
TILE = 16


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


def product_name(weights: Constant, *, tiled: bool) -> str:
    """The function that multiplies by weights of this type."""
    kind = "" if weights.stored_as == "float32" else f"_{weights.stored_as}"
    return f"multiply{kind}{'_tile' if tiled else ''}"


def _lines(step: RowStep, placement: Placement, dialect: Dialect) -> list[str]:
    if isinstance(step, Elementwise):
        return _elementwise(step, placement, dialect)
    if isinstance(step, WeightProduct):
        return _product(step, placement, dialect)
    return _sums(step, placement, dialect)


def _elementwise(step: Elementwise, placement: Placement, dialect: Dialect) -> list[str]:
    flat = dialect.tiled and not any(
        isinstance(o, Constant) or (isinstance(o, Strided) and o.stride != 1) for o in step.operands
    )
    width = step.width * TILE if flat else step.width
    rows = dialect.tiled and not flat
    tile = TILE if dialect.tiled else 1

    def element(operand: Operand) -> str:
        if isinstance(operand, float):
            return number(operand, double=dialect.double)
        if isinstance(operand, Constant):
            return _constant(operand, _index(0, "i", 1, width), dialect)
        array, first = placement.of(operand.start)
        if flat:
            return f"{array}[{_index(first * TILE, 'i', 1, width)}]"
        place = _index(first, "i", operand.stride, width)
        return f"{array}[{_in_tile(place)}]" if rows else f"{array}[{place}]"

    given = [element(operand) for operand in step.operands]
    names = {"f": dialect.suffix, "tanh": dialect.tanh}
    value = step.expression.format(*given, **names)
    assignment = f"{element(Strided(step.target))} = {value};"
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


def _product(step: WeightProduct, placement: Placement, dialect: Dialect) -> list[str]:
    tile = TILE if dialect.tiled else 1
    function = product_name(step.weights, tiled=dialect.tiled)
    (to, target), (of, source) = placement.of(step.target), placement.of(step.source)
    starts = (
        _start(step.weights.name, 0, step.steps[2], step.count),
        _start(of, source * tile, step.steps[1] * tile, step.count),
        _start(to, target * tile, step.steps[0] * tile, step.count),
    )
    call = f"{function}({step.inputs}, {step.outputs}, {', '.join(starts)});"
    return [f"for (size_t i = 0; i < {step.count}; ++i) {call}" if step.count > 1 else call]


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
