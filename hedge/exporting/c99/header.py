"""The text of the header: what the network is, what its functions do and take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hedge.exporting.c99.loops import Dialect
from hedge.exporting.c99.program import Program
from hedge.exporting.c99.text import comment

HEADER = """\
/*
{about}
 *
 * {name}_eval computes one row, {name}_eval_batch n rows that lie one after the other.
 * x: {x}
 * u: {u}
{of_derivatives}{of_guard} * x and u must not overlap. Nothing is allocated and nothing is kept between calls,
 * so that several threads may call them at once.
 */
#ifndef {guard}_H
#define {guard}_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Which export this is; its other files refuse to be compiled with another one's header. */
#define {guard}_EXPORT {identity}

#define {guard}_INPUTS {inputs}
#define {guard}_OUTPUTS {outputs}
#define {guard}_PARAMETERS {parameters}
/* Bytes of all constants. */
#define {guard}_FLASH_BYTES {flash}
/* Bytes of local arrays of {name}_eval and of {name}_eval_batch; compilers add some for registers. */
#define {guard}_STACK_BYTES {stack}
#define {guard}_BATCH_STACK_BYTES {batch_stack}
{derivative_stacks}
void {name}_eval(const {real} *x, {real} *u);
void {name}_eval_batch(size_t n, const {real} *x, {real} *u);
{derivatives}{inside}
#ifdef __cplusplus
}}
#endif

#endif
"""


@dataclass(frozen=True)
class Words:
    """What the header says of a function that computes derivatives."""

    name: str
    about: str
    prototype: str


OF_JACOBIAN = """\
 * {name}_jacobian computes one row and its derivatives: J[i * {guard}_INPUTS + j] is that of u[i] by x[j],
 * at a kink that from the left. J has {outputs} x {inputs} numbers and must not overlap x and u.
"""
OF_HESSIAN = """\
 * {name}_hessian computes these and second derivatives: H[(i * {guard}_INPUTS + j) * {guard}_INPUTS + k]
 * is that of u[i] by x[j] and x[k]. H has {outputs} x {inputs} x {inputs} numbers.
"""
STACK = """\
/* The same of {name}_{what}. */
#define {guard}_{WHAT}_STACK_BYTES {stack}
"""
OF_GUARD = """\
 * {name}_inside says whether a row lies in the domain (1, else 0); else all results of that row are NaN.
"""
INSIDE_PROTOTYPE = "int {name}_inside(const {real} *x);\n"
JACOBIAN_WORDS = Words(
    "jacobian", OF_JACOBIAN, "void {name}_jacobian(const {real} *x, {real} *u, {real} *J);\n"
)
HESSIAN_WORDS = Words(
    "hessian",
    OF_HESSIAN,
    "void {name}_hessian(const {real} *x, {real} *u, {real} *J, {real} *H);\n",
)

SAME_EXPORT = """\
#if {guard}_EXPORT != {identity}
#error "{file} and {stem}.h are of two exports; export all files again"
#endif
"""


def same_export(name: str, stem: str, file: str, identity: str) -> str:
    """Lines by which a compiler refuses ``file`` with the header of another export."""
    return SAME_EXPORT.format(guard=name.upper(), identity=identity, file=file, stem=stem)


@dataclass(frozen=True)
class Stacks:
    """Bytes of the local arrays of a row, a batch, and a Jacobian and a Hessian if there are such."""

    row: int
    batch: int
    jacobian: int | None = None
    hessian: int | None = None


def header_text(
    name: str,
    program: Program,
    sizes: tuple[int, int],
    stacks: Stacks,
    dialect: Dialect,
    about: Sequence[str],
    columns: tuple[str, str],
    identity: str,
    *,
    guarded: bool,
) -> str:
    """The ``.h`` file.

    ``sizes`` are parameters and bytes of constants, ``columns`` say what x and u hold, ``identity`` is a
    number of this export.
    """
    names = {"name": name, "guard": name.upper(), "real": dialect.real}
    shape = {"inputs": program.inputs, "outputs": program.outputs}
    derived = [
        (JACOBIAN_WORDS, stacks.jacobian),
        (HESSIAN_WORDS, stacks.hessian),
    ]
    words = [(each, stack) for each, stack in derived if stack is not None]
    return HEADER.format(
        **names, **shape, parameters=sizes[0], flash=sizes[1],
        about="\n".join(f" * {comment(line)}" for line in about if line),
        x=comment(columns[0]), u=comment(columns[1]),
        stack=stacks.row, batch_stack=stacks.batch, identity=identity,
        of_derivatives="".join(each.about.format(**names, **shape) for each, _ in words),
        derivative_stacks="".join(
            STACK.format(**names, what=each.name, WHAT=each.name.upper(), stack=stack)
            for each, stack in words
        ),
        derivatives="".join(each.prototype.format(**names) for each, _ in words),
        of_guard=OF_GUARD.format(**names) if guarded else "",
        inside=INSIDE_PROTOTYPE.format(**names) if guarded else "",
    )  # fmt: skip
