"""The functions of the C file that multiply by weights: blocks of sums that stay in registers.

Compilers keep neither arrays of sums nor loops over rows in registers reliably (gcc 12 does not), so
vectors are written out: of a type of gcc's and clang's, as wide as the registers of the processor for
which the file is compiled, and plain numbers elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from hedge.devices import TILE

# Sums beside each other hide that an addition waits for the one before; more would not stay in registers.
MOST_SUMS = 8
# Vectors that one call multiplies by the same weights.
MOST_COLUMNS = 4
WIDEST_LINE = 96
# Bytes of a vector of outputs of one row, of which there are few: 8 are no vector of 16.
NARROWER = 32

# Vector registers in bytes, the widest first, and what a compiler defines where it may use them.
_REGISTERS = {
    64: "defined(__AVX512F__)",
    32: "defined(__AVX__)",
    16: "defined(__SSE2__) || defined(__aarch64__) || defined(__wasm_simd128__)",
}
LANES = """\
/* A vector as wide as the processor's registers, of gcc's and clang's type, or one number (-DLANES=1). */
#if defined(LANES)
#elif !defined(__GNUC__)
#define LANES 1
{choices}#else
#define LANES 1
#endif
#if LANES < 1 || {tile} % LANES
#error "LANES must divide {tile}"
#endif
#define FEW_LANES (LANES < {few} ? LANES : {few})
#if LANES > 1
typedef {real} lanes __attribute__((vector_size({size} * LANES), aligned({size}), may_alias));
typedef {real} few_lanes __attribute__((vector_size({size} * FEW_LANES), aligned({size}), may_alias));
#else
typedef {real} lanes, few_lanes;
#endif
"""
BY_BLOCKS = """\
/* z += W a{of}; the sums of some outputs at a time stay in registers. */
static void {name}(size_t inputs, size_t outputs, const IN_FLASH {weight} *restrict w,
                   const {real} *restrict a, {real} *restrict z{steps})
{{
    size_t j = 0;
{blocks}}}
"""
BY_INPUTS = """\
/* z += W a; the inner loop runs over the outputs, so that compilers vectorise it. */
{apart}static void {name}(size_t inputs, size_t outputs, const IN_FLASH {weight} *restrict w,
                   const {real} *restrict a, {real} *restrict z)
{{
    for (size_t k = 0; k < inputs; ++k) {{
        const {real} a_k = a[k];
        for (size_t j = 0; j < outputs; ++j)
            z[j] += a_k * {weight_kj};
    }}
}}
"""
APART = """\
#if defined(__GNUC__)
__attribute__((noinline)) /* or gcc 12 loses sums at -O3 for AVX-512 */
#endif
"""
ROW_BLOCK = """\
    for (; j < outputs - outputs % ({step}); j += {step}) {{
{targets}
{starts}
        for (size_t k = 0; k < inputs; ++k) {{
            const IN_FLASH {kind} *v = (const IN_FLASH {kind} *)(w + k * outputs + j);
{adds}
        }}
{ends}
    }}
"""
# One output, whose sum is four, so that an addition does not wait for the one before.
ROW_SINGLE = """\
    for (; j < outputs; ++j) {{
{starts}
        size_t k = 0;
        for (; k < inputs - inputs % 4; k += 4) {{
            const IN_FLASH {real} *v = w + k * outputs + j;
{adds}
        }}
        for (; k < inputs; ++k) {{
            const {real} v = w[k * outputs + j];
{rest}
        }}
{ends}
    }}
"""
TILE_BLOCK = """\
    for (; j < outputs - outputs % {sums}; j += {sums})
        for (size_t r = 0; r < {tile}; r += LANES) {{
            lanes *t = (lanes *)(z + j * {tile} + r);
{starts}
            for (size_t k = 0; k < inputs; ++k) {{
                const lanes a_k = *(const lanes *)(a + k * {tile} + r);
                const IN_FLASH {weight} *v = w + k * outputs + j;
{adds}
            }}
{ends}
        }}
"""
TILE_SINGLE = """\
    for (; j < outputs; ++j)
        for (size_t r = 0; r < {tile}; r += LANES) {{
            lanes *t = (lanes *)(z + j * {tile} + r);
            lanes s0 = *t, s1 = {{0}};
            size_t k = 0;
            for (; k < inputs - inputs % 2; k += 2) {{
                const IN_FLASH {weight} *v = w + k * outputs + j;
{adds}
            }}
            for (; k < inputs; ++k) s0 += {rest};
            *t = s0 + s1;
        }}
"""


@dataclass(frozen=True)
class Weights:
    """Weights in the C file: their type, that of the numbers computed with, and how one becomes the other.

    number is C for a weight as a number to compute with, with ``{0}`` for the weight.
    """

    stored: str
    real: str
    number: str


def lanes(real: str) -> str:
    """The type of a vector of ``real``, float or double."""
    size = 8 if real == "double" else 4
    choices = "".join(
        f"#elif {condition}\n#define LANES {width // size}\n"
        for width, condition in _REGISTERS.items()
    )
    few = NARROWER // size
    return LANES.format(choices=choices, real=real, size=size, few=few, tile=TILE)


def row_kernel(name: str, weights: Weights, columns: int) -> str:
    """A function for one row; of ``columns`` vectors at a time, for which each weight is read once.

    Weights that must be converted first are of one column.
    """
    types = {"name": name, "weight": weights.stored, "real": weights.real}
    if weights.stored != weights.real:
        return BY_INPUTS.format(
            **types, weight_kj=weights.number.format("w[k * outputs + j]"),
            apart=APART if weights.real == "double" else "",
        )  # fmt: skip
    sums = MOST_SUMS // columns
    blocks = [_row_block(sums, columns, "few_lanes")]
    blocks += ["#if LANES > 1\n", _row_block(1, columns, "few_lanes"), "#endif\n"]
    blocks += [_row_block(4, columns, weights.real), _row_single(columns, weights.real)]
    many = columns > 1
    return BY_BLOCKS.format(
        **types, blocks="".join(blocks), of=f" for {columns} vectors" if many else "",
        steps=",\n                   size_t to_a, size_t to_z" if many else "",
    )  # fmt: skip


def tile_kernel(name: str, weights: Weights) -> str:
    """A function for a tile of rows, which lie innermost."""
    blocks = "".join(_tile_block(sums, weights) for sums in (8, 4)) + _tile_single(weights)
    return BY_BLOCKS.format(
        name=name, weight=weights.stored, real=weights.real, blocks=blocks,
        of=f" for {TILE} rows, which lie innermost", steps="",
    )  # fmt: skip


def _row_block(sums: int, columns: int, kind: str) -> str:
    """``sums`` outputs at a time, or vectors of them."""
    vector = f"{sums} * FEW_LANES" if sums > 1 else "FEW_LANES"
    pairs = [(i, j) for i in range(columns) for j in range(sums)]
    target = [_plus("z", _times(i, "to_z"), "j") for i in range(columns)]
    source = [_plus(_times(i, "to_a"), "k") for i in range(columns)]
    return ROW_BLOCK.format(
        step=vector if kind == "few_lanes" else str(sums),
        kind=kind,
        targets=_lines(8, [f"{kind} *t{i} = ({kind} *)({target[i]});" for i in range(columns)]),
        starts=_lines(8, [f"{kind} s{i}{j} = t{i}[{j}];" for i, j in pairs]),
        adds=_lines(12, [f"s{i}{j} += a[{source[i]}] * v[{j}];" for i, j in pairs]),
        ends=_lines(8, [f"t{i}[{j}] = s{i}{j};" for i, j in pairs]),
    )


def _row_single(columns: int, real: str) -> str:
    """One output at a time."""
    pairs = [(i, p) for i in range(columns) for p in range(4)]
    target = [_plus(_times(i, "to_z"), "j") for i in range(columns)]
    source = [_plus(_times(i, "to_a"), "k") for i in range(columns)]
    place = ["*v", "v[outputs]", "v[2 * outputs]", "v[3 * outputs]"]
    starts = [f"{real} s{i}{p} = {'0' if p else f'z[{target[i]}]'};" for i, p in pairs]
    adds = [f"s{i}{p} += a[{_plus(source[i], str(p or ''))}] * {place[p]};" for i, p in pairs]
    return ROW_SINGLE.format(
        real=real,
        starts=_lines(8, starts),
        adds=_lines(12, adds),
        rest=_lines(12, [f"s{i}0 += a[{source[i]}] * v;" for i in range(columns)]),
        ends=_lines(
            8, [f"z[{target[i]}] = (s{i}0 + s{i}1) + (s{i}2 + s{i}3);" for i in range(columns)]
        ),
    )


def _tile_block(sums: int, weights: Weights) -> str:
    """``sums`` outputs of all rows at a time."""
    weight = [weights.number.format(f"v[{j}]") for j in range(sums)]
    place = [f"t[{j} * {TILE} / LANES]" for j in range(sums)]
    return TILE_BLOCK.format(
        sums=sums, tile=TILE, weight=weights.stored,
        starts=_lines(12, [f"lanes s{j} = {place[j]};" for j in range(sums)]),
        adds=_lines(16, [f"s{j} += {weight[j]} * a_k;" for j in range(sums)]),
        ends=_lines(12, [f"{place[j]} = s{j};" for j in range(sums)]),
    )  # fmt: skip


def _tile_single(weights: Weights) -> str:
    """One output of all rows at a time."""
    weight = [weights.number.format(f"v[{_times(p, 'outputs') or 0}]") for p in range(2)]
    source = [f"*(const lanes *)(a + (k + {p}) * {TILE} + r)" for p in range(2)]
    rest = f"{weights.number.format('w[k * outputs + j]')} * *(const lanes *)(a + k * {TILE} + r)"
    return TILE_SINGLE.format(
        tile=TILE, weight=weights.stored, rest=rest,
        adds=_lines(16, [f"s{p} += {weight[p]} * {source[p]};" for p in range(2)]),
    )  # fmt: skip


def _times(count: int, name: str) -> str:
    return "" if count == 0 else name if count == 1 else f"{count} * {name}"


def _plus(*terms: str) -> str:
    return " + ".join(term for term in terms if term)


def _lines(indent: int, statements: Sequence[str]) -> str:
    """Statements in lines of readable length."""
    lines = [""]
    for statement in statements:
        if len(lines[-1]) + len(statement) > WIDEST_LINE - indent:
            lines.append("")
        lines[-1] += f"{statement} "
    return "\n".join(" " * indent + line.rstrip() for line in lines)
