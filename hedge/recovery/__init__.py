"""Recovery: cut a little, fit again, cut again."""

from __future__ import annotations

from hedge.recovery.courses import Course, Pool, outputs_course, points_needed
from hedge.recovery.files import earlier_result, recover_to_file, resumed
from hedge.recovery.improvement import fits
from hedge.recovery.staircase import RecoverOn, Recovery, check_residual, recover
from hedge.recovery.student import Matrices, parameters_of, with_parameters
from hedge.recovery.work import Work

__all__ = [
    "Course",
    "Matrices",
    "Pool",
    "RecoverOn",
    "Recovery",
    "Work",
    "check_residual",
    "earlier_result",
    "fits",
    "outputs_course",
    "parameters_of",
    "points_needed",
    "recover",
    "recover_to_file",
    "resumed",
    "with_parameters",
]
