"""What a method gives back of a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onnx import ModelProto

from hedge.compression import Case


@dataclass(frozen=True)
class Candidate:
    """A runnable model that a method ends with, and its size as the method would store it.

    note says what was chosen, in a few words.
    """

    model: ModelProto
    parameters: int
    bytes: int
    note: str = ""


@dataclass(frozen=True)
class Absent:
    """Why a method has no candidate for a case."""

    reason: str


Method = Callable[[Case], Candidate | Absent]
