"""What every method is given, and what it gives back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto

from hedge.compression import (
    Allowance,
    ErrorEstimate,
    PointSets,
    Reference,
    Request,
    Source,
    output_error,
)
from hedge.devices import Device
from hedge.graph import SplitModel, run_float32, trace
from hedge.problems import OperatorProblem, Problem

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contest:
    """A dense model to be made small, and the request that says by how much its output may move.

    allowance is what each method that trains may take; reference maps points (n, d) to the problem's
    solution (n, m), where one is known there.
    """

    dense: ModelProto
    split: SplitModel
    source: Source
    points: PointSets
    request: Request
    device: Device
    allowance: Allowance
    problem: Problem | OperatorProblem | None = None
    reference: Reference | None = None

    @property
    def tolerance(self) -> float:
        """The relative L2 error allowed."""
        return self.request.tolerance

    def error(self, model: ModelProto) -> ErrorEstimate:
        """As deployed, in float32, against the dense model on the validation points.

        With several outputs the largest of their errors, as for :func:`hedge.compress`.
        """
        outputs = run_float32(model, self.points.validation)
        return output_error(outputs, self._dense_outputs, self.columns)

    def true_error(self, model: ModelProto) -> ErrorEstimate:
        """The same against the reference where there is one."""
        if self.reference is None:
            return self.error(model)
        outputs = run_float32(model, self.points.validation)
        return output_error(outputs, self._reference_values, self.columns)

    @cached_property
    def columns(self) -> tuple[int, ...]:
        """The widths of the dense model's outputs, each of which must keep the tolerance."""
        traced = trace(self.split, self.points.validation[:2])
        return tuple(output.shape[1] for output in traced.outputs)

    @cached_property
    def _dense_outputs(self) -> Array:
        return run_float32(self.dense, self.points.validation)

    @cached_property
    def _reference_values(self) -> Array:
        assert self.reference is not None
        return self.reference(self.points.validation)


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
    """Why a method has no candidate for a task."""

    reason: str


Method = Callable[[Contest], Candidate | Absent]
