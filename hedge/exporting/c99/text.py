"""Names, numbers and comments as C writes them."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hedge.errors import InputError, quoted

KEYWORDS = frozenset(
    {
        "auto", "break", "case", "char", "const", "continue", "default", "do", "double", "else",
        "enum", "extern", "float", "for", "goto", "if", "inline", "int", "long", "register",
        "restrict", "return", "short", "signed", "sizeof", "static", "struct", "switch", "typedef",
        "union", "unsigned", "void", "volatile", "while",
    }
)  # fmt: skip
# Of C99: a header of such a name would be taken for it.
STANDARD_HEADERS = frozenset(
    {
        "assert", "complex", "ctype", "errno", "fenv", "float", "inttypes", "iso646", "limits",
        "locale", "math", "setjmp", "signal", "stdarg", "stdbool", "stddef", "stdint", "stdio",
        "stdlib", "string", "tgmath", "time", "wchar", "wctype",
    }
)  # fmt: skip
WIDEST_LINE = 96


def check_identifier(name: str) -> None:
    """Raise InputError unless ``name`` can begin the names of functions in C."""
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_]*", name) or name in KEYWORDS:
        raise InputError(
            f"name: {quoted(name)} is no C identifier; name the file by letters, digits and _, "
            "or give such a --name to export"
        )


def check_path(path: Path) -> None:
    """Raise InputError unless a C file can be called so, and its header beside it."""
    if path.suffix != ".c" or not re.fullmatch(r"[A-Za-z0-9_.][A-Za-z0-9_.-]*", path.stem):
        raise InputError(f"{path}: name a file of letters, digits, _, - and . that ends in .c")
    if path.stem.lower() in STANDARD_HEADERS:  # some file systems don't tell cases apart
        raise InputError(
            f"{path}: its header would be taken for C's own {path.stem.lower()}.h; name it otherwise"
        )


def comment(text: str) -> str:
    """Text that is safe inside a C comment: printable ASCII on one line, no end of it, no trigraphs.

    What ASCII lacks is _, and what can't be printed a space.

    >>> comment("a*/ b\\n c?")
    'a* / b c_'
    """
    plain = "".join((c if c.isascii() else "_") if c.isprintable() else " " for c in text)
    plain = re.sub(r"[\\\\?]", "_", " ".join(plain.split()))
    return re.sub(r"(?<=\*)/|/(?=\*)", " / ", plain).replace("*  / ", "* / ")


def number(value: float, *, double: bool) -> str:
    """A literal that reads back as the same number; negative ones in brackets.

    >>> number(0.1, double=False), number(-2.0, double=True)
    ('0.1f', '(-2.0)')
    """
    digits = repr(float(value)) if double else f"{np.float32(value)!s}f"
    return f"({digits})" if digits.startswith("-") else digits


def numbers(values: NDArray[np.generic]) -> str:
    """The numbers of an array, separated by commas, in lines of readable length."""
    if values.dtype.kind in "iu":
        words = [str(int(v)) for v in values.flat]
    else:
        double = values.dtype == np.float64
        words = [number(float(v), double=double).strip("()") for v in values.flat]
    lines = [""]
    for word in words:
        if len(lines[-1]) + len(word) + 2 > WIDEST_LINE:
            lines.append("")
        lines[-1] += f"{word}, "
    return "\n".join(f"    {line.rstrip()}" for line in lines).rstrip(",")
