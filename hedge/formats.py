"""The formats in which a model is exported: one entry each, for the API, the command line and the docs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from hedge.errors import InputError, quoted
from hedge.progress import Progress, silent


@dataclass(frozen=True)
class Exported:
    """What an export wrote: in a line for people, and as the keys of a document."""

    told: str
    document: dict[str, Any]


@dataclass(frozen=True)
class Format:
    """A format: what it is, the function that writes it, and the options of ``hedge export`` for it.

    example is a command line that writes it. suffixes are those of its files, that of ``--out`` first, where
    it is to be known by them.

    writer is "module:function", imported when it is called. It takes a compressed model or a file of one,
    the path to write, ``force``, ``on_progress`` and those of the options that are given, and returns
    :class:`Exported`; it refuses before the work what can't be written.
    """

    what: str
    writer: str
    example: str
    options: tuple[str, ...] = ()
    suffixes: tuple[str, ...] = ()


# Of the C that a format is made of, and of all that carries a datasheet.
COLUMNS = ("problem", "outputs", "inputs", "domain", "units", "guard")
OF_C = ("name", "precision", "fast_tanh", "flash", "ram", *COLUMNS)

# Of what is compiled here.
COMPILED = ("compiler", "flags")

FORMATS: dict[str, Format] = {
    "onnx": Format(
        "ONNX of standard ops",
        "hedge.api.exporting:write_onnx",
        "hedge export burgers.hedge.safetensors --out burgers.pi.onnx",
        ("opset", "device", "batch", *COLUMNS),
        (".onnx",),
    ),
    "c": Format(
        "C99 with its header",
        "hedge.api.exporting:write_c",
        "hedge export burgers.onnx --out burgers.c --outputs u,u_x --test",
        (*OF_C, "test", "jacobian"),
        (".c", ".h"),
    ),
    "library": Format(
        "a shared library with a Python module",
        "hedge.api.library:write_library",
        "hedge export burgers.onnx --format library --jacobian --out net",
        (*OF_C, "jacobian", *COMPILED),
    ),
    "fmu": Format(
        "FMU for simulators",
        "hedge.api.fmu:write_fmu",
        "hedge export burgers.onnx --out burgers.fmu --units x=m,t=s,u=m/s",
        (*OF_C, "fmi", *COMPILED),
        (".fmu",),
    ),
    "casadi": Format(
        "an external function of CasADi",
        "hedge.api.casadi:write_casadi",
        "hedge export burgers.onnx --format casadi --out burgers_casadi",
        ("name", "flash", "ram", *COLUMNS, *COMPILED),
    ),
    "arduino": Format(
        "an Arduino library with an example sketch",
        "hedge.api.arduino:write_arduino",
        "hedge export burgers.onnx --format arduino --guard --out BurgersNet",
        (*OF_C, "jacobian"),
    ),
}


def format_of(out: Path) -> str | None:
    """The format of a file by its name; None where its name is that of none.

    >>> format_of(Path("small.onnx")), format_of(Path("small.hedge.safetensors"))
    ('onnx', None)

    Raises InputError for a name of which another file's follows, and for one in capitals.
    """
    suffix = out.suffix.lower()
    for name, one in FORMATS.items():
        if suffix in one.suffixes[1:]:
            raise InputError(f"{out}: is written beside {one.suffixes[0]}; give the name of that")
        if suffix in one.suffixes:
            if suffix != out.suffix:
                raise InputError(f"{out}: ends in {out.suffix}; write {suffix}")
            return name
    return None


def export_as(
    format: str,
    model: Any,
    out: Path,
    *,
    force: bool = False,
    on_progress: Progress = silent,
    options: Mapping[str, Any],
) -> Exported:
    """Write a model in one of the FORMATS.

    Raises InputError for another format and for options that it does not have, and what its writer raises.
    """
    if format not in FORMATS:
        raise InputError(f"format: {quoted(format)} is unknown; give one of {', '.join(FORMATS)}")
    chosen = FORMATS[format]
    for option in options:
        if option not in chosen.options:
            others = [name for name, one in FORMATS.items() if option in one.options]
            raise InputError(
                f"{option.replace('_', '-')}: is no option of {format}"
                + (f"; leave it out, or give --format {' or '.join(others)}" if others else "")
            )
    module, function = chosen.writer.split(":")
    write = getattr(import_module(module), function)
    exported: Exported = write(model, out, force=force, on_progress=on_progress, **options)
    return exported
