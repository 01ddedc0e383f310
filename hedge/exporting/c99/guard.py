"""What makes results NaN outside of a box."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from hedge.devices import TILE
from hedge.exporting.c99.loops import Dialect
from hedge.exporting.c99.program import Program
from hedge.exporting.c99.text import numbers

# Comparisons with NaN are false: that is outside, too.
INSIDE = """\
#if defined(__FINITE_MATH_ONLY__) && __FINITE_MATH_ONLY__
#error "outside the domain results are NaN: compile without -ffast-math and -ffinite-math-only"
#endif

static const IN_FLASH {real} lowest[{inputs}] = {{
{lowest}
}};
static const IN_FLASH {real} highest[{inputs}] = {{
{highest}
}};

int {name}_inside(const {real} *x)
{{
    int inside = 1;
    for (size_t i = 0; i < {inputs}; ++i)
        inside &= (x[i] >= lowest[i]) & (x[i] <= highest[i]);
    return inside;
}}
"""
GUARD_ROW = """\
    if (!{name}_inside(x))
        for (size_t i = 0; i < {count}; ++i) {result}[i] = NAN;
"""
# All bits set are a NaN, and what compilers turn into vectors.
GUARD_TILE = """\
    {{
        {bits} out[{tile}];
        for (size_t r = 0; r < {tile}; ++r) out[r] = 0;
        for (size_t i = 0; i < {inputs}; ++i)
            for (size_t r = 0; r < {tile}; ++r)
                out[r] |= -!((x[i * {tile} + r] >= lowest[i]) & (x[i * {tile} + r] <= highest[i]));
        for (size_t i = 0; i < {outputs}; ++i)
            for (size_t r = 0; r < {tile}; ++r) {{
                {bits} result;
                memcpy(&result, &u[i * {tile} + r], sizeof result);
                result |= out[r];
                memcpy(&u[i * {tile} + r], &result, sizeof result);
            }}
    }}
"""


@dataclass(frozen=True)
class Guard:
    """The box outside of which results are NaN: lower and upper ends, an input each."""

    lower: tuple[float, ...]
    upper: tuple[float, ...]

    def bytes(self, *, double: bool) -> int:
        """Of its constants."""
        return 2 * len(self.lower) * (8 if double else 4)


def inside_text(name: str, guard: Guard, dialect: Dialect) -> str:
    """The function that says whether a row lies in the box; its ends are rounded as inputs are."""
    type = np.float64 if dialect.double else np.float32
    return INSIDE.format(
        name=name, real=dialect.real, inputs=len(guard.lower),
        lowest=numbers(np.array(guard.lower, dtype=type)),
        highest=numbers(np.array(guard.upper, dtype=type)),
    )  # fmt: skip


def guard_text(name: str, program: Program, dialect: Dialect) -> str:
    """What makes results of rows outside the box NaN."""
    if dialect.tiled:
        bits = "int64_t" if dialect.double else "int32_t"
        shape = {"inputs": program.inputs, "outputs": program.outputs, "tile": TILE}
        return GUARD_TILE.format(bits=bits, **shape)
    return "".join(
        GUARD_ROW.format(name=name, result=result, count=program.widths[end])
        for result, end in zip(program.results, program.ends, strict=True)
    )
