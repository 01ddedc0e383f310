"""A network in C, with all that the formats made of it need to know."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from hedge.exporting.c99 import CFiles, COptions
from hedge.exporting.datasheet import Datasheet

DATASHEET = "datasheet.json"
CERTIFICATE = "certificate.json"


@dataclass(frozen=True, eq=False)
class CNetwork:
    """The files of a network, ``stem``.c and ``stem``.h, with its datasheet.

    model is the graph that they compute; certificate the text of the file that proves the bounds of the
    datasheet, if there is one.
    """

    stem: str
    options: COptions
    files: CFiles
    sheet: Datasheet
    model: ModelProto
    certificate: bytes | None = None

    @property
    def name(self) -> str:
        """What its functions begin with."""
        return self.options.name

    @property
    def real(self) -> str:
        """The type of what it takes and gives."""
        return "double" if self.options.double else "float"

    @property
    def is_guarded(self) -> bool:
        """Whether results outside the domain are NaN."""
        return self.options.guard is not None

    @property
    def texts(self) -> dict[str, str]:
        """Its C files by name."""
        return {f"{self.stem}.c": self.files.source, f"{self.stem}.h": self.files.header}

    @property
    def papers(self) -> dict[str, bytes]:
        """What goes with the C into every folder, by name: datasheet, and certificate if there is one."""
        sheet = {DATASHEET: self.sheet.as_json().encode("ascii")}
        return sheet if self.certificate is None else sheet | {CERTIFICATE: self.certificate}
