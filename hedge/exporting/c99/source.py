"""The text of the ``.c`` file: constants, and functions of a row, of a batch and of derivatives."""

from __future__ import annotations

import re
from dataclasses import dataclass

from hedge.devices import TILE
from hedge.exporting.c99.guard import Guard, guard_text, inside_text
from hedge.exporting.c99.kernels import Weights, lanes, row_kernel, tile_kernel
from hedge.exporting.c99.loops import Dialect, body, columns_of, product_name
from hedge.exporting.c99.operations import functions
from hedge.exporting.c99.program import (
    Constant,
    Elementwise,
    Placement,
    Program,
    StoredType,
    WeightProduct,
    joined,
)
from hedge.exporting.c99.text import numbers
from hedge.exporting.c99.vector_functions import FAST_TANH, FAST_TANH_64, RELU

C_TYPES: dict[StoredType, str] = {
    "float32": "float", "float64": "double", "float16": "uint16_t", "bfloat16": "uint16_t",
    "int8": "int8_t",
}  # fmt: skip

# A float16's exponent and fraction, where float32 has its own, are its value times 2^-112.
WIDEN: dict[StoredType, str] = {
    "float16": """\
static float from_float16(uint16_t half)
{
    const uint32_t bits = (uint32_t)(half & 0x8000u) << 16 | (uint32_t)(half & 0x7fffu) << 13;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value * 0x1p112f;
}
""",
    "bfloat16": """\
static float from_bfloat16(uint16_t upper)
{
    const uint32_t bits = (uint32_t)upper << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}
""",
}

EVALUATE = """\
void {name}_eval(const {real} *x, {real} *u)
{{
{scratch}{unread}{body}
{guard}}}
"""
JACOBIAN = """\
void {name}_jacobian(const {real} *x, {real} *u, {real} *J)
{{
{scratch}{unread}{body}
{guard}}}
"""
HESSIAN = """\
void {name}_hessian(const {real} *x, {real} *u, {real} *J, {real} *H)
{{
{scratch}{unread}{body}
{guard}}}
"""
DOUBLE = """#include <float.h>
#if DBL_MANT_DIG != 53
#error "a double is a float here: export with --precision float, or compile with -mdouble=64"
#endif
"""
IN_FLASH = """
/* An AVR's flash has addresses of its own; GNU C reads constants from there, others copy them into RAM. */
#if defined(__AVR__) && defined(__FLASH)
#define IN_FLASH __flash
#else
#define IN_FLASH
#endif
"""
BATCH = """\
static void evaluate_tile(const {real} *restrict rows, {real} *restrict results)
{{
    {real} x[{inputs} * {tile}], u[{outputs} * {tile}];
{scratch}    for (size_t r = 0; r < {tile}; ++r)
        for (size_t i = 0; i < {inputs}; ++i) x[i * {tile} + r] = rows[r * {inputs} + i];
{unread}{body}
{guard}    for (size_t r = 0; r < {tile}; ++r)
        for (size_t i = 0; i < {outputs}; ++i) results[r * {outputs} + i] = u[i * {tile} + r];
}}

void {name}_eval_batch(size_t n, const {real} *x, {real} *u)
{{
    for (; n >= {tile}; n -= {tile}, x += {inputs} * {tile}, u += {outputs} * {tile})
        evaluate_tile(x, u);
    for (; n > 0; --n, x += {inputs}, u += {outputs})
        {name}_eval(x, u);
}}
"""
ROW_BY_ROW = """\
/* A tile of rows would take more of the stack than it may. */
void {name}_eval_batch(size_t n, const {real} *x, {real} *u)
{{
    for (; n > 0; --n, x += {inputs}, u += {outputs})
        {name}_eval(x, u);
}}
"""


@dataclass(frozen=True, eq=False)
class Function:
    """What a C function computes of a row, and where."""

    program: Program
    placement: Placement


@dataclass(frozen=True, eq=False)
class Functions:
    """Those of a file: of a row and, where asked for, of it with its Jacobian, and its Hessian, too."""

    value: Function
    jacobian: Function | None = None
    hessian: Function | None = None

    @property
    def program(self) -> Program:
        """The steps and constants of all of them."""
        every = (self.value, self.jacobian, self.hessian)
        return joined([function.program for function in every if function is not None])


def stack_bytes(
    function: Function, *, double: bool, tiled: bool = False, guarded: bool = False
) -> int:
    """Bytes of the local arrays of one call."""
    program, size = function.program, 8 if double else 4
    if not tiled:
        return function.placement.size * size
    numbers = function.placement.size + program.inputs + program.outputs
    return (numbers + guarded) * TILE * size


def source_text(
    name: str,
    functions: Functions,
    dialect: Dialect,
    guard: Guard | None = None,
    *,
    in_tiles: bool,
) -> str:
    """The ``.c`` file without the inclusion of its header; batches go in tiles of rows, or row by row."""
    tiled = Dialect(dialect.double, dialect.fast_tanh, tiled=True)
    whole, value = functions.program, functions.value
    derived = ((JACOBIAN, functions.jacobian), (HESSIAN, functions.hessian))
    parts = [
        _includes(whole, dialect, guarded=guard is not None and in_tiles),
        *(_array(constant) for constant in whole.constants),
        *_functions(whole, dialect),
        *_products(whole, dialect, in_tiles=in_tiles),
        *([inside_text(name, guard, dialect)] if guard else []),
        _written(EVALUATE, name, value, dialect, guard),
        _written(BATCH if in_tiles else ROW_BY_ROW, name, value, tiled, guard),
        *(_written(text, name, each, dialect, guard) for text, each in derived if each),
    ]
    return "\n".join(parts)


def _written(
    template: str, name: str, function: Function, dialect: Dialect, guard: Guard | None
) -> str:
    program, placement = function.program, function.placement
    return template.format(
        name=name, real=dialect.real, tile=TILE, inputs=program.inputs, outputs=program.outputs,
        # Compilers warn of what nothing reads: a model may give the same for all inputs.
        unread="" if program.reads_inputs else "    (void)x;\n",
        scratch=_scratch(placement, dialect), body=body(program, placement, dialect),
        guard=guard_text(name, program, dialect) if guard else "",
    )  # fmt: skip


def _includes(program: Program, dialect: Dialect, *, guarded: bool) -> str:
    kinds = {constant.stored_as for constant in program.constants}
    words = _words(program)
    by_bits = kinds & set(WIDEN) or (dialect.fast_tanh and "{tanh}" in words)
    by_bits = by_bits or guarded or (not dialect.double and "relu" in words)
    headers = ["math"]
    headers += ["stdint"] if kinds - {"float32", "float64"} or by_bits else []
    headers += ["string"] if by_bits else []  # memcpy
    lines = "".join(f"#include <{header}.h>\n" for header in headers)
    return lines + (DOUBLE if dialect.double else "") + IN_FLASH


def _array(constant: Constant) -> str:
    kind = C_TYPES[constant.stored_as]
    size = constant.values.size
    return f"static const IN_FLASH {kind} {constant.name}[{size}] = {{\n{numbers(constant.values)}\n}};\n"


def _functions(program: Program, dialect: Dialect) -> list[str]:
    """The functions that expressions call, in the order of their names."""
    words = _words(program)
    names = {"real": dialect.real, "f": dialect.suffix}
    known = {word: f"static {text.format(**names)}\n" for word, text in functions().items()}
    known |= {} if dialect.double else {"relu": RELU}
    found = [known[word] for word in sorted(words & set(known))]
    if dialect.fast_tanh and "{tanh}" in words:
        found.append(FAST_TANH_64 if dialect.double else FAST_TANH)
    return found


def _words(program: Program) -> set[str]:
    """All names that expressions hold, ``{tanh}`` among them."""
    steps = (step for step in program.steps if isinstance(step, Elementwise))
    return {word for step in steps for word in re.findall(r"\w+|\{tanh\}", step.expression)}


def _products(program: Program, dialect: Dialect, *, in_tiles: bool) -> list[str]:
    """The functions that multiply, one for each type of weights and number of columns or rows."""
    steps = [step for step in program.steps if isinstance(step, WeightProduct)]
    kinds = sorted({step.weights.stored_as for step in steps})
    found = [WIDEN[kind] for kind in kinds if kind in WIDEN]
    if kinds:
        found.append(lanes(dialect.real))
    for kind in kinds:
        weights = Weights(C_TYPES[kind], dialect.real, _number(kind, dialect))
        alike = [step for step in steps if step.weights.stored_as == kind]
        columns = {n for step in alike for n in columns_of(step, dialect)}
        found += [row_kernel(product_name(kind, n), weights, n) for n in sorted(columns)]
        if in_tiles:
            found.append(tile_kernel(product_name(kind, tiled=True), weights))
    return found


def _number(kind: StoredType, dialect: Dialect) -> str:
    """Weight {0} as a number to compute with."""
    element, type = "{0}", C_TYPES[kind]
    if kind in WIDEN:
        element, type = f"from_{kind}({element})", "float"
    return element if type == dialect.real else f"({dialect.real}){element}"


def _scratch(placement: Placement, dialect: Dialect) -> str:
    if placement.size == 0:
        return ""
    size = f"{placement.size} * {TILE}" if dialect.tiled else str(placement.size)
    return f"    {dialect.real} s[{size}];\n"
