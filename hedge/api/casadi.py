"""Exporting an external function of CasADi."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from hedge.api.c_network import CChoices, c_network, told_of_object
from hedge.compression import CompressedModel
from hedge.errors import InputError, ModelError
from hedge.exporting import CERTIFICATE, CNetwork, check_path
from hedge.exporting.casadi_external import casadi_files, check_casadi_name, object_name
from hedge.exporting.compiling import FLAGS, compiler_if_any
from hedge.files import check_folder_writable, write_folder
from hedge.formats import Exported
from hedge.progress import Progress


@dataclass(frozen=True)
class ExternalFunction:
    """What was written: the shared object, None where there is no compiler, and the network's C.

    without_second says why there are no second derivatives; "" where there are.
    """

    library: Path | None
    network: CNetwork
    without_second: str = ""


def export_casadi(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    compiler: str | None = None,
    flags: str | None = None,
    force: bool = False,
    **choices: Unpack[CChoices],
) -> ExternalFunction:
    """Write a folder for CasADi: NAME.c, NAME.h and NAME_casadi.c, and NAME.so if there is a compiler here.

    ``casadi.external("NAME", "out/NAME.so")`` is u = NAME(x): a vector of all input columns to one of all
    outputs, in double, with exact first derivatives and, where the network has them and no more than 16
    inputs, second ones. NAME is that of the folder, or ``name``. ``compiler`` is by default ``$CC`` or
    ``cc``, ``flags`` are ``-std=c99 -O3 -march=native``; ``choices`` are those of :func:`hedge.export_c`,
    always with ``precision="double"``: a solver's tolerance is finer than a float's rounding.

    Raises what :func:`hedge.export_c` does, InputError for a name that CasADi does not take and for floats,
    ModelError for what does not compile or has no derivatives, and OutputError for a folder that is not
    empty, unless ``force``.
    """
    out = Path(out)
    name = choices.get("name") or out.name
    check_casadi_name(name)
    check_path(out / f"{name}.c")
    if choices.get("precision", "double") != "double":
        raise InputError("precision: CasADi's external functions compute in double; leave it out")
    check_folder_writable(out, force=force)
    found = compiler_if_any(compiler, flags, FLAGS)
    network, without_second = _network(model, name, choices | {"precision": "double"})
    library = out / object_name(name)
    files = casadi_files(network, found)
    write_folder(out, files, force=force, stale=[library.name, CERTIFICATE])
    return ExternalFunction(library if found else None, network, without_second)


def write_casadi(
    model: CompressedModel | Path | str,
    out: Path,
    *,
    force: bool,
    on_progress: Progress,
    **options: Any,
) -> Exported:
    """:func:`export_casadi`, as a format."""
    written = export_casadi(model, out, force=force, **options)
    name = object_name(written.network.name)
    size = None if written.library is None else written.library.stat().st_size
    told = f'{out}: casadi.external("{written.network.name}", "{out / name}")'
    told += f"; {told_of_object(name, size)}"
    if written.without_second:
        told += f"; without second derivatives ({written.without_second})"
    document = {
        "parameters": written.network.files.parameters,
        "library_bytes": size,
        "second_derivatives": not written.without_second,
    }
    return Exported(told, document)


def _network(
    model: CompressedModel | Path | str, name: str, choices: CChoices
) -> tuple[CNetwork, str]:
    """The C with all derivatives that it has, and why there are no second ones if so."""
    try:
        return c_network(model, name, jacobian=True, hessian=True, **choices), ""
    except ModelError as refusal:
        network = c_network(model, name, jacobian=True, **choices)
        return network, str(refusal)
