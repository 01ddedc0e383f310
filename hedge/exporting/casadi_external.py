"""A network as an external function of CasADi: one C file beside the network's own.

Its functions are those that ``casadi.external`` looks for: the function, ``jac_`` and ``jac_jac_`` of it, and
for each one what its arguments and results are called and how they are laid out. CasADi's matrices lie by
columns, those of the C by rows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from hedge.errors import InputError, quoted
from hedge.exporting.c99.header import same_export
from hedge.exporting.c99.text import comment
from hedge.exporting.c_network import CNetwork
from hedge.exporting.compiling import Compiler
from hedge.exporting.datasheet import listed

RESERVED = frozenset({"null", "jac", "hess"})
# What the network's own C calls, or may: a function of such a name would be called in its place.
_MATH = (
    "acos acosh asin asinh atan atan2 atanh cbrt ceil copysign cos cosh erf erfc exp exp2 expm1 fabs fdim "
    "floor fma fmax fmin fmod hypot log log10 log1p log2 pow rint round sin sinh sqrt tan tanh trunc"
)
OF_C = frozenset(
    {"main", "memcpy", "memset", *(f"{f}{kind}" for f in _MATH.split() for kind in ("", "f"))}
)

SOURCE = """\
/*
 * {net} of {stem}.c as an external function of CasADi: u = {net}(x), x of {inputs}, u of {outputs}.
 * Compiled with it into a shared object, casadi.external("{net}", "./{stem}.so") loads it. Null pointers
 * among arguments are zeros, those among results are not wanted; matrices lie by columns.
 */
#include "{stem}.h"
{same_export}
#if defined(_WIN32)
#define {guard}_VISIBLE __declspec(dllexport)
#elif defined(__GNUC__)
#define {guard}_VISIBLE __attribute__((visibility("default")))
#else
#define {guard}_VISIBLE
#endif

typedef long long int {net}_int;

static const double {net}_zeros[{guard}_INPUTS] = {{0}};
/* Rows, columns, and whether all numbers are there; else where each column begins, and no number is there. */
{sparsities}{functions}"""
SPARSITY = "static const {net}_int {net}_{matrix}[{size}] = {{{numbers}}};\n"
EVALUATE = """\
    const double *x = arg[0] ? arg[0] : {net}_zeros;
    (void)iw;
    (void)w;
    (void)mem;
    if (res[0]) {net}_eval(x, res[0]);
    return 0;
"""
JACOBIAN = """\
    enum {{ d = {guard}_INPUTS, m = {guard}_OUTPUTS }};
    const double *x = arg[0] ? arg[0] : {net}_zeros;
    double *u = w, *J = w + m;
    (void)iw;
    (void)mem;
    if (!res[0]) return 0;
    {net}_jacobian(x, u, J);
    for (int j = 0; j < d; ++j)
        for (int i = 0; i < m; ++i) res[0][j * m + i] = J[i * d + j];
    return 0;
"""
HESSIAN = """\
    enum {{ d = {guard}_INPUTS, m = {guard}_OUTPUTS }};
    const double *x = arg[0] ? arg[0] : {net}_zeros;
    double *u = w, *J = w + m, *H = w + m + m * d;
    (void)iw;
    (void)mem;
    if (!res[0]) return 0;
    {net}_hessian(x, u, J, H);
    for (int k = 0; k < d; ++k)
        for (int j = 0; j < d; ++j)
            for (int i = 0; i < m; ++i) res[0][(k * d + j) * m + i] = H[(i * d + j) * d + k];
    return 0;
"""
FUNCTION = """\

{guard}_VISIBLE int {name}(const double **arg, double **res, {net}_int *iw, double *w, int mem)
{{
{body}}}

{guard}_VISIBLE {net}_int {name}_n_in(void) {{ return {n_in}; }}
{guard}_VISIBLE {net}_int {name}_n_out(void) {{ return {n_out}; }}

{guard}_VISIBLE const char *{name}_name_in({net}_int i)
{{
    static const char *const names[] = {{{names_in}}};
    return 0 <= i && i < {n_in} ? names[i] : 0;
}}

{guard}_VISIBLE const char *{name}_name_out({net}_int i)
{{
    static const char *const names[] = {{{names_out}}};
    return 0 <= i && i < {n_out} ? names[i] : 0;
}}

{guard}_VISIBLE const {net}_int *{name}_sparsity_in({net}_int i)
{{
    static const {net}_int *const sparsities[] = {{{sparsities_in}}};
    return 0 <= i && i < {n_in} ? sparsities[i] : 0;
}}

{guard}_VISIBLE const {net}_int *{name}_sparsity_out({net}_int i)
{{
    static const {net}_int *const sparsities[] = {{{sparsities_out}}};
    return 0 <= i && i < {n_out} ? sparsities[i] : 0;
}}

{guard}_VISIBLE int {name}_work({net}_int *args, {net}_int *results, {net}_int *iw, {net}_int *w)
{{
    if (args) *args = {n_in};
    if (results) *results = {n_out};
    if (iw) *iw = 0;
    if (w) *w = {work};
    return 0;
}}
"""


@dataclass(frozen=True)
class _Function:
    """An external function: arguments and results, each with its matrix, and the numbers that it works on."""

    prefix: str
    body: str
    arguments: dict[str, str]
    results: dict[str, str]
    work: int = 0

    def text(self, net: str) -> str:
        names = {"net": net, "guard": net.upper()}
        return FUNCTION.format(
            **names, name=self.prefix + net, body=self.body.format(**names),
            n_in=len(self.arguments), n_out=len(self.results),
            names_in=_strings(self.arguments), names_out=_strings(self.results),
            sparsities_in=", ".join(f"{net}_{matrix}" for matrix in self.arguments.values()),
            sparsities_out=", ".join(f"{net}_{matrix}" for matrix in self.results.values()),
            work=self.work,
        )  # fmt: skip


def _functions(d: int, m: int, *, hessian: bool) -> list[_Function]:
    """Of d inputs and m outputs.

    A Jacobian is also given the results of its function, which it does not read: none of their numbers.
    """
    value = _Function("", EVALUATE, {"x": "of_x"}, {"u": "of_u"})
    first = _Function(
        "jac_", JACOBIAN, {"x": "of_x", "out_u": "no_u"}, {"jac_u_x": "of_J"}, m + m * d
    )
    second = _Function(
        "jac_jac_",
        HESSIAN,
        {"x": "of_x", "out_u": "no_u", "out_jac_u_x": "no_J"},
        {"jac_jac_u_x_x": "of_H", "jac_jac_u_x_out_u": "no_H"},
        m + m * d + m * d * d,
    )
    return [value, first, *([second] if hessian else [])]


def casadi_source(network: CNetwork) -> str:
    """The C file that makes a network in double, with a Jacobian, an external function of CasADi.

    It has second derivatives where the network has them.
    """
    names_in = [column.name for column in network.sheet.inputs]
    names_out = [column.name for column in network.sheet.outputs]
    d, m = len(names_in), len(names_out)
    functions = _functions(d, m, hessian=network.options.hessian)
    shapes = {
        "of_x": (d, 1), "of_u": (m, 1), "of_J": (m, d), "of_H": (m * d, d),
        "no_u": (m, 1), "no_J": (m, d), "no_H": (m * d, m),
    }  # fmt: skip
    used = {matrix for f in functions for matrix in (*f.arguments.values(), *f.results.values())}
    net, stem = network.name, network.stem
    return SOURCE.format(
        net=net, stem=stem, guard=net.upper(),
        inputs=comment(listed(names_in)), outputs=comment(listed(names_out)),
        same_export=same_export(net, stem, f"{stem}_casadi.c", network.files.identity),
        sparsities="".join(_sparsity(net, each, *shapes[each]) for each in shapes if each in used),
        functions="".join(function.text(net) for function in functions),
    )  # fmt: skip


def casadi_files(network: CNetwork, compiler: Compiler | None) -> dict[str, bytes]:
    """The files of the folder by name; without a compiler all but the shared object."""
    texts = network.texts | {f"{network.stem}_casadi.c": casadi_source(network)}
    files = network.papers | {name: text.encode("ascii") for name, text in texts.items()}
    if compiler is not None:
        files[object_name(network.stem)] = compiler.shared(texts)
    return files


def object_name(stem: str) -> str:
    """What the shared object is called: CasADi loads what ends in .so on every system but Windows."""
    return f"{stem}.so"


def check_casadi_name(name: str) -> None:
    """Raise InputError for what CasADi, or C, does not take for a function's name."""
    if name in OF_C:
        raise InputError(
            f"name: {name!r} is a function of C's own; name the folder otherwise, or give such a --name"
        )
    if not re.fullmatch(r"[A-Za-z](_?[A-Za-z0-9])*_?", name) or name in RESERVED:
        raise InputError(
            f"name: CasADi takes no function called {quoted(name)}; name the folder by letters, digits and "
            "single _, or give such a --name"
        )


def _sparsity(net: str, matrix: str, rows: int, columns: int) -> str:
    is_dense = matrix.startswith("of_")
    numbers = (rows, columns, *([1] if is_dense else [0] * (columns + 1)))
    written = ", ".join(map(str, numbers))
    return SPARSITY.format(net=net, matrix=matrix, size=len(numbers), numbers=written)


def _strings(names: dict[str, str]) -> str:
    return ", ".join(f'"{name}"' for name in names)
