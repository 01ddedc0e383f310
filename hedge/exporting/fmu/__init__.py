"""Networks as Functional Mock-up Units (FMI 2.0 and 3.0): blocks that simulators load."""

from __future__ import annotations

from hedge.exporting.fmu.archive import fmu
from hedge.exporting.fmu.binary import FLAGS, Binary, compiled
from hedge.exporting.fmu.sources import STEM, VERSIONS, Version, sources
from hedge.exporting.fmu.variables import variables

__all__ = [
    "FLAGS", "STEM", "VERSIONS", "Binary", "Version", "compiled", "fmu", "sources", "variables",
]  # fmt: skip
