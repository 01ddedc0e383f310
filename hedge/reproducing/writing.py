"""The results as files: one JSON document and every figure as PNG and SVG, whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

from hedge.benching import machine_facts
from hedge.errors import OutputError
from hedge.files import check_writable, refused, write_together
from hedge.reproducing.item import Item, Picture
from hedge.reproducing.materials import Materials
from hedge.temporaries import remove_leftovers, temporary_folder

SCHEMA = 1
RESULTS = "results.json"
DOTS_PER_INCH = 130


def document(items: Sequence[Item], asked: Sequence[str], m: Materials) -> dict[str, Any]:
    """All items as one JSON document; asked are the ids that were to be reproduced."""
    return {
        "hedge_reproduce": SCHEMA,
        "quick": m.quick,
        "seed": m.seed,
        "asked": list(asked),
        "complete": len(items) == len(asked),
        "machine": machine_facts().model_dump(mode="json"),
        "items": [item.to_json() for item in items],
    }


def check_folder(folder: Path, *, force: bool) -> None:
    """Raise OutputError unless ``folder`` can be made, or with force its files replaced."""
    with refused(folder):
        is_folder = folder.is_dir()
    if os.path.lexists(folder) and not is_folder:  # a link to nowhere, too
        raise OutputError(f"{folder}: is a file; name a folder")
    if is_folder:
        if not force:
            raise OutputError(f"{folder}: exists already; choose another folder or pass --force")
        check_writable(folder / RESULTS, force=True)
        return
    check_writable(folder, force=False)


def write_results(
    folder: Path, items: Sequence[Item], asked: Sequence[str], m: Materials, *, force: bool
) -> None:
    """Write the document and all figures into ``folder``.

    A new folder appears with everything in it; in one that is there files of these names are replaced
    together, and others left alone. Raises OutputError as :func:`check_folder` does, or if the system
    refuses.
    """
    check_folder(folder, force=force)
    files = {RESULTS: json.dumps(document(items, asked, m), indent=1, allow_nan=False).encode()}
    for item in items:
        for name, picture in item.files.items():
            files[name] = drawn(picture, name.rpartition(".")[2])
    if force and folder.is_dir():
        write_together({folder / name: data for name, data in files.items()}, force=True)
        return
    remove_leftovers(folder.parent)
    with refused(folder), temporary_folder(folder.parent) as beside:
        for name, data in files.items():
            (beside.path / name).write_bytes(data)
        beside.path.rename(folder)


def drawn(picture: Picture, ending: str) -> bytes:
    """A figure as a file of that ending, ``png`` or ``svg``; needs matplotlib."""
    from matplotlib.figure import Figure
    from matplotlib.style import context

    buffer = BytesIO()
    # The same figure gives the same bytes, whatever a matplotlibrc says; text in an SVG stays text.
    ours = {"svg.hashsalt": "hedge", "svg.fonttype": "none", "font.size": 9}
    with context(["default", ours]):
        figure = Figure(figsize=picture.size, layout="constrained")
        picture.draw(figure)
        # dates and versions would make two equal figures differ
        metadata = {"Date": None} if ending == "svg" else {"Software": None}
        figure.savefig(buffer, format=ending, dpi=DOTS_PER_INCH, metadata=metadata)
    return buffer.getvalue()
