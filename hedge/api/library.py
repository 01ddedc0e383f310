"""Exporting a shared library with a Python module over it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from hedge.api.c_network import CChoices, c_network, told_of_object
from hedge.compression import CompressedModel
from hedge.exporting import CERTIFICATE, CNetwork
from hedge.exporting.compiling import FLAGS, compiler_if_any
from hedge.exporting.library import check_module_name, library_files, library_name
from hedge.files import check_folder_writable, write_folder
from hedge.formats import Exported
from hedge.progress import Progress


@dataclass(frozen=True)
class SharedLibrary:
    """What was written: the library, None where there is no compiler, and the network's C."""

    library: Path | None
    network: CNetwork


def export_library(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    jacobian: bool = False,
    compiler: str | None = None,
    flags: str | None = None,
    force: bool = False,
    **choices: Unpack[CChoices],
) -> SharedLibrary:
    """Write a folder that Python imports by its name: a shared library, its sources, and a module over it.

    ``import NAME`` gives ``NAME.evaluate(x)``, which takes points (..., d) and returns outputs (..., m) in
    float32 (float64 with ``precision="double"``), ``NAME.DATASHEET``, with ``jacobian`` ``NAME.jacobian(x)``
    for outputs and derivatives (..., m, d), and with ``guard`` ``NAME.inside(x)``. ``compiler`` is
    by default ``$CC`` or ``cc``, ``flags`` are ``-std=c99 -O3 -march=native``; ``choices`` are those of
    :func:`hedge.export_c`. It needs numpy, and nothing of hedge.

    Without a compiler all but the library is there.

    Raises what :func:`hedge.export_c` does, InputError for a folder that can't be imported, ModelError for
    what does not compile, and OutputError for a folder that is not empty, unless ``force``.
    """
    out = Path(out)
    check_module_name(out.name)
    check_folder_writable(out, force=force)
    found = compiler_if_any(compiler, flags, FLAGS)
    network = c_network(model, out.name, jacobian=jacobian, **choices)
    library = out / library_name(network.stem)
    files = library_files(network, found)
    write_folder(out, files, force=force, stale=[library.name, CERTIFICATE])
    return SharedLibrary(library if found else None, network)


def write_library(
    model: CompressedModel | Path | str,
    out: Path,
    *,
    force: bool,
    on_progress: Progress,
    **options: Any,
) -> Exported:
    """:func:`export_library`, as a format."""
    written = export_library(model, out, force=force, **options)
    size = None if written.library is None else written.library.stat().st_size
    return Exported(
        f"{out}: import {out.name} in Python; {told_of_object(library_name(out.name), size)}",
        {"parameters": written.network.files.parameters, "library_bytes": size},
    )
