"""How far a compressed model is from its dense one: measured where both are there, else as its file says.

A plan stands in the file that it speaks of, so whoever alters the weights leaves the plan's error as it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hedge.compression import (
    ColumnError,
    Plan,
    box_of_origin,
    errors_at,
    fields_of,
    output_error,
    places_of,
)
from hedge.errors import naming
from hedge.graph import check_room, input_dimension, output_widths, run_float32
from hedge.problems import OperatorProblem, Problem
from hedge.reporting.runs import ModelFile

POINTS, SOURCES = 16384, 1024
SEED = 20_749  # no search draws its points from it
AS_SAID = "as the file says"
# Other points of the same domain move a relative error by a few percent.
LEAST_EXCESS = 1.25


@dataclass(frozen=True)
class Distance:
    """Relative L2 error to the dense model, and the largest one in parts of the largest output.

    points is how many new points it was measured on here, None where it is what the file says; where says
    of what. errors are those of each column, where there are several.
    """

    relative: float
    largest: float | None
    points: int | None
    where: str = ""
    errors: tuple[ColumnError, ...] = ()

    @property
    def source(self) -> str:
        """Where the figures are from, in words."""
        if self.points is None:
            return AS_SAID
        return f"measured on {self.points:,} new points {self.where}"


def distance(
    file: ModelFile, files: Sequence[ModelFile], problem: Problem | OperatorProblem | None
) -> Distance | None:
    """Of a compressed model from that of ``files`` that its plan names; None if neither tells.

    Raises ModelError if one of them can't be run.
    """
    plan = file.plan
    if plan is None:
        return None
    dense = next((f for f in files if f.origin.sha256 == plan.source_sha256), None)
    points = None if dense is None else _points(plan, problem, input_dimension(dense.model))
    if dense is None or points is None:
        return _said(plan)
    where = f"of {problem.name}" if problem is not None else f"{plan.points}, as the file says"
    targets, outputs = _run(dense, points), _run(file, points)
    if outputs.shape != targets.shape:
        return Distance(float("inf"), float("inf"), len(points), where)
    widths, joint = output_widths(dense.model, points[:2]), plan.columns == "joint"
    fields = fields_of(widths, joint=joint)
    found = output_error(outputs, targets, fields, to_spread=plan.relative_to == "spread")
    places = places_of([value.name for value in dense.model.graph.output], widths, joint)
    return Distance(found.relative, found.largest, len(points), where, errors_at(places, found))


def exceeds_plan(plan: Plan, found: Distance) -> bool:
    """Whether a model is measured to be further away than its plan says or allows."""
    allowed = max(plan.relative_error, plan.tolerance) if plan.against == "dense" else np.inf
    return found.points is not None and not found.relative <= LEAST_EXCESS * allowed


def _said(plan: Plan) -> Distance | None:
    if plan.against != "dense":
        return None
    return Distance(plan.relative_error, plan.max_error, None, errors=plan.errors)


def _points(
    plan: Plan, problem: Problem | OperatorProblem | None, dimension: int
) -> NDArray[np.float64] | None:
    """New points of the domain: the problem's or, where none is known, the box that the plan names."""
    if isinstance(problem, OperatorProblem):
        return problem.sample(SOURCES, SEED)
    box = problem.domain if problem is not None else box_of_origin(plan.points)
    return box.sample(POINTS, SEED) if box is not None and box.dimension == dimension else None


def _run(file: ModelFile, points: NDArray[np.float64]) -> NDArray[np.float64]:
    with naming(Path(file.origin.name)):
        check_room(file.model, len(points))
        return run_float32(file.model, points)
