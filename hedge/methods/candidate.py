"""What a method gives back of a case."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from onnx import ModelProto

from hedge.compression import Case
from hedge.graph import SiteMatrix


@dataclass(frozen=True)
class Candidate:
    """A runnable model that a method ends with, and its size as the method would store it.

    note says what was chosen, in a few words. matrices are those of its sites, where a plan can hold them.
    """

    model: ModelProto
    parameters: int
    bytes: int
    note: str = ""
    matrices: Mapping[str, SiteMatrix] | None = None


@dataclass(frozen=True)
class Absent:
    """Why a method has no candidate for a case."""

    reason: str


Solve = Callable[[Case], Candidate | Absent]
