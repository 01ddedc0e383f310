"""A shared library with a Python module over it: one folder, which ``import`` finds by its name."""

from __future__ import annotations

import keyword
import re
import sys

from hedge.errors import InputError, quoted
from hedge.exporting.c_network import CNetwork
from hedge.exporting.compiling import Compiler
from hedge.exporting.datasheet import listed

# One that compilers set by the processor they compile for, and what __builtin_cpu_supports calls it.
FEATURES = {
    "__AVX__": "avx", "__AVX2__": "avx2", "__FMA__": "fma", "__BMI2__": "bmi2", "__AVX512F__": "avx512f",
    "__AVX512BW__": "avx512bw", "__AVX512DQ__": "avx512dq", "__AVX512VL__": "avx512vl",
}  # fmt: skip

HERE = """\
/*
 * Which export the library is of, whether this processor has all that it was compiled for, and loops over
 * rows, in which Python would be slow.
 */
#include "{stem}.h"

unsigned {name}_export(void);
int {name}_runs_here(void);

unsigned {name}_export(void)
{{
    return {guard}_EXPORT;
}}

int {name}_runs_here(void)
{{
#if defined(__GNUC__) && defined(__x86_64__)
    __builtin_cpu_init();
{features}
#endif
    return 1;
}}
{loops}"""
JACOBIAN_LOOP = """
void {name}_jacobian_batch(size_t n, const {real} *x, {real} *u, {real} *J);

void {name}_jacobian_batch(size_t n, const {real} *x, {real} *u, {real} *J)
{{
    for (size_t i = 0; i < n; ++i)
        {name}_jacobian(x + i * {inputs}, u + i * {outputs}, J + i * {outputs} * {inputs});
}}
"""
INSIDE_LOOP = """
void {name}_inside_batch(size_t n, const {real} *x, unsigned char *inside);

void {name}_inside_batch(size_t n, const {real} *x, unsigned char *inside)
{{
    for (size_t i = 0; i < n; ++i)
        inside[i] = (unsigned char){name}_inside(x + i * {inputs});
}}
"""
FEATURE = """\
#ifdef {macro}
    if (!__builtin_cpu_supports("{feature}")) return 0;
#endif"""

MODULE = '''\
"""{title}

{lines}
"""

import ctypes
import json
import shlex
import sys
from pathlib import Path

import numpy as np

__all__ = [{public}]

REAL = np.dtype("{dtype}")
INPUTS, OUTPUTS = {inputs}, {outputs}
FOLDER = Path(__file__).parent
LIBRARY = FOLDER / ("lib{stem}.dylib" if sys.platform == "darwin" else "lib{stem}.so")
AGAIN = "compile it here: cd {{}} && cc -std=c99 -O3 -march=native -fPIC -shared {sources} -o {{}} -lm"
DATASHEET = json.loads((FOLDER / "datasheet.json").read_text("utf-8"))


def _loaded():
    again = AGAIN.format(shlex.quote(str(FOLDER)), LIBRARY.name)
    if not LIBRARY.exists():
        raise ImportError(f"{{LIBRARY}} is not there; {{again}}")
    try:
        library = ctypes.CDLL(str(LIBRARY))
        of, runs_here = library.{name}_export, library.{name}_runs_here
    except (OSError, AttributeError) as error:
        raise ImportError(f"{{LIBRARY}} can't be loaded ({{error}}); {{again}}") from None
    of.restype = ctypes.c_uint
    if of() != {identity}:
        raise ImportError(f"{{LIBRARY}} is of another export; {{again}}")
    if not runs_here():
        raise ImportError(f"{{LIBRARY}} is compiled for another processor; {{again}}")
    return library


def _function(name, arguments):
    function = getattr(_library, name)
    function.argtypes, function.restype = arguments, None
    return function


_library = _loaded()
_row = _function("{name}_eval", [ctypes.c_void_p] * 2)
_batch = _function("{name}_eval_batch", [ctypes.c_size_t] + [ctypes.c_void_p] * 2)
_Row = ctypes.c_{real} * OUTPUTS


def evaluate(x):
    """The outputs (..., {outputs}) at points x (..., {inputs}); raises ValueError for other shapes."""
    x = np.asarray(x, REAL)
    if x.shape == (INPUTS,):  # a row alone: nothing faster was found for so few bytes
        u = _Row()
        _row(x.tobytes(), u)
        return np.frombuffer(u, REAL)
    x = _points(x)
    u = np.empty((*x.shape[:-1], OUTPUTS), REAL)
    _batch(x.size // INPUTS, x.ctypes.data, u.ctypes.data)
    return u


def _points(x):
    if x.shape[-1:] != (INPUTS,):
        raise ValueError(f"x has the shape {{x.shape}}; its last axis must be {inputs}: {columns}")
    return np.ascontiguousarray(x) if x.flags.aligned else x.copy()
{more}'''
JACOBIAN = '''

_slopes = _function("{name}_jacobian_batch", [ctypes.c_size_t] + [ctypes.c_void_p] * 3)


def jacobian(x):
    """The outputs u (..., {outputs}) and their derivatives J (..., {outputs}, {inputs}) at x."""
    x = _points(np.asarray(x, REAL))
    u = np.empty((*x.shape[:-1], OUTPUTS), REAL)
    J = np.empty((*u.shape, INPUTS), REAL)
    _slopes(x.size // INPUTS, x.ctypes.data, u.ctypes.data, J.ctypes.data)
    return u, J
'''
INSIDE = '''

_inside = _function("{name}_inside_batch", [ctypes.c_size_t] + [ctypes.c_void_p] * 2)


def inside(x):
    """Whether points x (..., {inputs}) lie in the domain: (...), bool. Outside of it results are NaN."""
    x = _points(np.asarray(x, REAL))
    found = np.empty(x.shape[:-1], bool)
    _inside(x.size // INPUTS, x.ctypes.data, found.ctypes.data)
    return found
'''


def check_module_name(name: str) -> None:
    """Raise InputError unless Python can import a folder of that name, which hides none of Python's own."""
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) or keyword.iskeyword(name):
        raise InputError(
            f"out: {quoted(name)} can't be imported; name the folder by letters, digits and _"
        )
    if name in sys.stdlib_module_names or name == "numpy":
        raise InputError(f"out: {name!r} is a module that it would hide; name the folder otherwise")


def library_files(network: CNetwork, compiler: Compiler | None) -> dict[str, bytes]:
    """The files of the folder by name; without a compiler all but the library itself."""
    here = f"{network.stem}_here.c"
    texts = network.texts | {here: _here(network)}
    files = network.papers | {name: text.encode("ascii") for name, text in texts.items()}
    files["__init__.py"] = _module(network).encode("ascii")
    if compiler is not None:
        files[library_name(network.stem)] = compiler.shared(texts)
    return files


def library_name(stem: str) -> str:
    """What the shared library is called on this system."""
    return f"lib{stem}.dylib" if sys.platform == "darwin" else f"lib{stem}.so"


def _here(network: CNetwork) -> str:
    features = [FEATURE.format(macro=macro, feature=word) for macro, word in FEATURES.items()]
    names = _names(network)
    loops = [JACOBIAN_LOOP] if network.options.jacobian else []
    loops += [INSIDE_LOOP] if network.is_guarded else []
    return HERE.format(
        **names,
        guard=network.name.upper(),
        features="\n".join(features),
        loops="".join(loop.format(**names) for loop in loops),
    )


def _names(network: CNetwork) -> dict[str, str | int]:
    """What the texts call the network, and how wide it is."""
    return {
        "name": network.name, "stem": network.stem, "real": network.real,
        "inputs": len(network.sheet.inputs), "outputs": len(network.sheet.outputs),
    }  # fmt: skip


def _module(network: CNetwork) -> str:
    sheet, has_jacobian = network.sheet, network.options.jacobian
    names = _names(network)
    more = [JACOBIAN] if has_jacobian else []
    more += [INSIDE] if network.is_guarded else []
    public = ["DATASHEET", "evaluate", "inside", "jacobian"]
    written = [
        word
        for word in public
        if (word != "inside" or network.is_guarded) and (word != "jacobian" or has_jacobian)
    ]
    title, *lines = [_text(line) for line in sheet.lines()]
    return MODULE.format(
        **names,
        title=title,
        lines="\n".join(lines),
        public=", ".join(f'"{word}"' for word in written),
        dtype="float64" if network.options.double else "float32",
        sources=" ".join(f"{network.stem}{end}" for end in (".c", "_here.c")),
        identity=network.files.identity.removesuffix("u"),
        columns=_text(listed([column.name for column in sheet.inputs])),
        more="".join(part.format(**names) for part in more),
    )


def _text(line: str) -> str:
    """The line for a docstring: printable ASCII that ends no string, escapes nothing and names no field."""
    plain = "".join(c if c.isascii() and c.isprintable() else "?" for c in line)
    return re.sub(r'["\\{}]', "'", plain)
