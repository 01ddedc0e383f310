"""Exporting an Arduino library."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from hedge.api.c_network import CChoices, c_network, figures
from hedge.compression import CompressedModel
from hedge.exporting import CERTIFICATE, CFiles
from hedge.exporting.arduino import arduino_library, check_library_name
from hedge.files import check_folder_writable, write_folder
from hedge.formats import Exported
from hedge.progress import Progress


def export_arduino(
    model: CompressedModel | Path | str,
    out: Path | str,
    *,
    jacobian: bool = False,
    force: bool = False,
    **choices: Unpack[CChoices],
) -> CFiles:
    """Write a folder that is an Arduino library of its name: the C, an example sketch, what the IDE reads.

    The sketch reads inputs from the serial monitor, prints outputs, with ``jacobian`` derivatives, too, and
    how long a call took. ``choices`` are those of :func:`hedge.export_c`.

    Raises what :func:`hedge.export_c` does, InputError for a folder that no Arduino library can be called by,
    or whose header would be one of C or of a board, and OutputError for one that is not empty, unless
    ``force``.
    """
    out = Path(out)
    check_library_name(out.name)
    check_folder_writable(out, force=force)
    network = c_network(model, out.name, jacobian=jacobian, **choices)
    write_folder(out, arduino_library(network), force=force, stale=[f"extras/{CERTIFICATE}"])
    return network.files


def write_arduino(
    model: CompressedModel | Path | str,
    out: Path,
    *,
    force: bool,
    on_progress: Progress,
    **options: Any,
) -> Exported:
    """:func:`export_arduino`, as a format."""
    files = export_arduino(model, out, force=force, **options)
    return Exported(
        f"{out}: copy it into libraries of your sketchbook; {files.flash_bytes} bytes of constants, "
        f"stack {files.stack_bytes} bytes a row",
        figures(files),
    )
