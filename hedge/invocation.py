"""A call of compress as the command line that does the same, for plans to record."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path


def compress_command(model: Path, options: Mapping[str, object]) -> str:
    """``hedge compress MODEL …`` with every option that is given; of paths the file's name only.

    Options by their names in Python; None and False are left out.

    >>> compress_command(Path("/data/heat.onnx"), {"tolerance": 1e-2, "keep_widths": True, "out": None})
    'hedge compress heat.onnx --tolerance 0.01 --keep-widths'
    """
    words = ["hedge", "compress", model.name]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(value.name if isinstance(value, Path) else str(value))
    return shlex.join(words)
