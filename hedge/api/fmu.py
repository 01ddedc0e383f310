"""Exporting an FMU: the network's C, FMI's functions around it, and a binary where there is a compiler."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Unpack

from hedge.api.c_network import CChoices, c_network
from hedge.api.inputs import check_not_read
from hedge.compression import CompressedModel
from hedge.errors import InputError, quoted
from hedge.exporting import CNetwork
from hedge.exporting.compiling import compiler_if_any, none_here
from hedge.exporting.fmu import FLAGS, STEM, VERSIONS, Version, compiled, fmu, variables
from hedge.files import check_writable, write_atomically
from hedge.formats import Exported
from hedge.progress import Progress


@dataclass(frozen=True)
class FMU:
    """What was written: which version of FMI, and for which platform the binary is, None without one."""

    version: Version
    platform: str | None
    parameters: int
    bytes: int
    binary_bytes: int


def export_fmu(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    fmi: Version = "2.0",
    compiler: str | None = None,
    flags: str | None = None,
    force: bool = False,
    **choices: Unpack[CChoices],
) -> FMU:
    """Write a compressed model, the file of one, or any ``.onnx``, as a Functional Mock-up Unit, ``out``.

    A simulator that loads ``fmi`` "2.0" or "3.0" runs it, in co-simulation and model exchange: a block whose
    inputs and outputs are the columns of the model, with directional derivatives. Inside are C sources and,
    with a ``compiler`` (by default ``$CC`` or ``cc``, with ``flags`` ``-std=c99 -O2``), a shared library.
    ``choices`` are those of :func:`hedge.export_c`; ``name`` is the model identifier; with ``guard`` an input
    outside the domain is warned of.

    Raises InputError for names that FMI forbids, units that it can't write and a name that is no C
    identifier; ModelError for what C or its derivatives can't do; OutputError if the file can't be written.
    """
    path = Path(out)
    if fmi not in VERSIONS:
        raise InputError(f"fmi: {quoted(fmi)} is unknown; give one of {', '.join(VERSIONS)}")
    check_writable(path, force=force)
    if not isinstance(model, CompressedModel):
        check_not_read(path, [Path(model)])
    found = compiler_if_any(compiler, flags, FLAGS)
    network = fmu_network(model, path, **choices)
    binary = None if found is None else compiled(network, fmi, found)
    data = fmu(network, fmi, binary)
    write_atomically(path, data, force=force)
    return FMU(
        fmi,
        None if binary is None else binary.platform,
        network.files.parameters,
        len(data),
        0 if binary is None else len(binary.data),
    )


def fmu_network(
    model: CompressedModel | Path | str, out: Path, **choices: Unpack[CChoices]
) -> CNetwork:
    """The network that is compiled for an FMU; refuses, before that, what FMI can't write.

    Raises what :func:`export_fmu` does but for files that can't be written.
    """
    if out.suffix != ".fmu":
        raise InputError(f"{out}: simulators know an FMU by .fmu; end its name so")
    named: CChoices = {**choices, "name": choices.get("name") or out.stem}
    network = c_network(model, STEM, jacobian=True, **named)
    variables(network.sheet)
    return network


def write_fmu(
    model: CompressedModel | Path | str,
    out: Path,
    *,
    force: bool,
    on_progress: Progress,
    **options: Any,
) -> Exported:
    """:func:`export_fmu`, as a format."""
    written = export_fmu(model, out, force=force, **options)
    inside = (
        f"sources alone, for {none_here()}"
        if written.platform is None
        else f"binary for {written.platform}, {written.binary_bytes} bytes"
    )
    told = f"{out}: FMI {written.version}, {written.parameters} parameters, {written.bytes} bytes; {inside}"
    document = {
        "fmi": written.version, "parameters": written.parameters, "bytes": written.bytes,
        "platform": written.platform, "binary_bytes": written.binary_bytes,
    }  # fmt: skip
    return Exported(told, document)
