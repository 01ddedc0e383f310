"""The one door to model files: what a file is, and what every command wants to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from onnx import ModelProto

from hedge.compression import CompressedModel, Plan, Source, load_compressed
from hedge.errors import InputError, naming
from hedge.exporting.onnx_export import PLAN_KEY, plan_of, to_onnx
from hedge.files import open_file, sha256_of
from hedge.graph import load_model, metadata
from hedge.progress import Progress, silent

COMPRESSED, ONNX = ".safetensors", ".onnx"
LARGE_FILE = 2**26

Kind = Literal["dense", "exported", "compressed"]


@dataclass(frozen=True)
class StoredModel:
    """A model file, read and checked: the graph of an ``.onnx``, or a compressed model."""

    path: Path
    content: ModelProto | CompressedModel

    @property
    def kind(self) -> Kind:
        """An ``.onnx`` with a plan inside is "exported", any other one "dense"."""
        if isinstance(self.content, CompressedModel):
            return "compressed"
        return "exported" if PLAN_KEY in metadata(self.content) else "dense"

    @property
    def plan(self) -> Plan | None:
        """What the model was made by; None of a dense one. Raises ModelError if it is damaged."""
        if isinstance(self.content, CompressedModel):
            return self.content.plan
        with naming(self.path):
            return plan_of(self.content)

    @property
    def problem(self) -> str | None:
        """The name that the file gives of what it solves, known or not."""
        if isinstance(self.content, CompressedModel):
            return self.content.plan.problem
        return metadata(self.content).get("hedge.problem")

    @property
    def graph(self) -> ModelProto:
        """What runs: the graph of the file or, of a compressed model, the one it is exported as."""
        return self.content if isinstance(self.content, ModelProto) else to_onnx(self.content)

    @property
    def onnx(self) -> ModelProto:
        """The graph as it stands in the file; raises InputError for a compressed model."""
        if isinstance(self.content, CompressedModel):
            raise InputError(
                f"{self.path}: is a compressed model; give the dense .onnx, or export it first"
            )
        return self.content

    @property
    def compressed(self) -> CompressedModel:
        """The compressed model; raises InputError for an ``.onnx``."""
        if isinstance(self.content, ModelProto):
            raise InputError(
                f"{self.path}: is ONNX already; compress it first, or name another --format"
            )
        return self.content

    def source(self, problem: str | None) -> Source:
        """What plans record of the file, and the ``problem`` that was solved."""
        return Source(self.path.name, sha256_of(self.path), problem)


def open_model(
    path: Path | str, on_progress: Progress = silent, *, exact: bool = False
) -> StoredModel:
    """Read a dense, an exported or a compressed model, whichever the file holds.

    ``on_progress`` is told of a large one, which takes seconds. One in double precision is rounded to
    float32, with a warning, unless ``exact``: then it stays as it is.

    Raises InputError if the file is missing; ModelError if it is cut short, damaged or of no such kind.
    """
    path = Path(path)
    is_compressed = _is_compressed(path)  # which refuses a path that is no file
    if path.stat().st_size > LARGE_FILE:
        on_progress(f"reading {path.name}")
    return StoredModel(
        path, load_compressed(path) if is_compressed else load_model(path, exact=exact)
    )


def _is_compressed(path: Path) -> bool:
    """A safetensors file is eight bytes of length and a JSON object; no ONNX file looks so."""
    with open_file(path) as file:
        return file.read(9)[8:] == b"{" or path.suffix == COMPRESSED
