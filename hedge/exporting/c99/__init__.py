"""Models as C99 for processors without an operating system: constants, plain loops, libm, no allocation."""

from __future__ import annotations

from hedge.exporting.c99.export import CFiles, COptions, to_c
from hedge.exporting.c99.reference import makefile, reference_program

__all__ = ["CFiles", "COptions", "makefile", "reference_program", "to_c"]
