"""The files under ``sources/``: the network, FMI's functions, and the header between them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, get_args
from uuid import UUID

from hedge.exporting.c_network import CNetwork
from hedge.exporting.fmu.variables import Variable, variables

Version = Literal["2.0", "3.0"]
VERSIONS: tuple[Version, ...] = get_args(Version)

TEMPLATES = Path(__file__).parent / "c"
FUNCTIONS: dict[Version, str] = {"2.0": "fmi2.c", "3.0": "fmi3.c"}
SHARED = "block.h"
MODEL = "model.h"
# Of the network's files, so that no name of a user takes the place of one above.
STEM = "network"

HEADER = """\
/* Which network this FMU is of. What stands in tables has the order of modelDescription.xml. */
#ifndef MODEL_HEADER
#define MODEL_HEADER

#include "{stem}.h"

#define TOKEN "{token}"
#define EXPORT {upper}_EXPORT
#define INPUTS {upper}_INPUTS
#define OUTPUTS {upper}_OUTPUTS
#define EVALUATE {name}_eval
#define JACOBIAN {name}_jacobian
#define GUARDED {guarded}
{guard}
typedef {real} real;

static const char *const variables[INPUTS + OUTPUTS] = {{{names}}};
static const double start[INPUTS] = {{{starts}}};
{bounds}
#endif
"""
INSIDE = "#define INSIDE {name}_inside\n"
BOUNDS = """\
static const double lower[INPUTS] = {{{lower}}};
static const double upper[INPUTS] = {{{upper}}};
"""


def source_names(version: Version) -> tuple[str, ...]:
    """The files that a compiler is given, as they are called under ``sources/``."""
    return (f"{STEM}.c", FUNCTIONS[version])


def sources(network: CNetwork, version: Version) -> dict[str, str]:
    """All files under ``sources/`` by name, ASCII texts; the network's are called :data:`STEM`.

    Raises InputError for names of columns that FMI forbids.
    """
    return {
        **network.texts,
        MODEL: _model_header(network, token(network, version)),
        **{name: (TEMPLATES / name).read_text("ascii") for name in (SHARED, FUNCTIONS[version])},
    }


def token(network: CNetwork, version: Version) -> str:
    """By what a description and a binary know that they belong together; the same for equal exports."""
    parts = (
        version,
        network.files.source,
        network.files.header,
        *(repr(variable) for variable in variables(network.sheet)),
        *((TEMPLATES / name).read_text("ascii") for name in (SHARED, FUNCTIONS[version])),
    )
    digest = hashlib.sha256("\0".join(parts).encode()).digest()
    return f"{{{UUID(bytes=digest[:16], version=5)}}}"


def _model_header(network: CNetwork, token: str) -> str:
    columns, guard = variables(network.sheet), network.options.guard
    starts = [column.start for column in columns if column.start is not None]
    names = {"name": network.name, "upper": network.name.upper()}
    return HEADER.format(
        **names, stem=network.stem, token=token, real=network.real,
        guarded=int(guard is not None), guard=INSIDE.format(**names) if guard else "",
        names=_texts(columns), starts=_numbers(starts),
        bounds=BOUNDS.format(lower=_numbers(guard.lower), upper=_numbers(guard.upper))
        if guard else "",
    )  # fmt: skip


def _numbers(values: Iterable[float]) -> str:
    return ", ".join(repr(float(value)) for value in values)


def _texts(columns: Iterable[Variable]) -> str:
    return ", ".join(f'"{_escaped(column.name)}"' for column in columns)


def _escaped(text: str) -> str:
    """UTF-8 as an ASCII literal of C; a question mark might begin a trigraph."""
    plain = {chr(code) for code in range(32, 127)} - set('"\\?')
    return "".join(c if c in plain else "".join(f"\\{b:03o}" for b in c.encode()) for c in text)
