"""Models as C99 for processors without an operating system: constants, plain loops, libm, no allocation."""

from __future__ import annotations

from hedge.exporting.c99.export import CALL_BYTES, CFiles, COptions, check_c, to_c
from hedge.exporting.c99.guard import Guard
from hedge.exporting.c99.reference import makefile, reference_program
from hedge.exporting.c99.text import check_path

__all__ = [
    "CALL_BYTES", "CFiles", "COptions", "Guard", "check_c", "check_path", "makefile", "reference_program",
    "to_c",
]  # fmt: skip
