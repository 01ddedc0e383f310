"""Recovery: cut a little, fit again, cut again."""

from __future__ import annotations

from hedge.recovery.cut_and_fit import can_be_cut, check_residual, recover, too_large
from hedge.recovery.files import earlier_result, interrupted, recover_to_file, resumed
from hedge.recovery.losses import Pool, ResampledLoss, outputs_loss, points_needed
from hedge.recovery.parametric_model import Matrices, parameters_of, with_parameters
from hedge.recovery.refitting import RecoverOn, Recovery
from hedge.recovery.work import Work

__all__ = [
    "Matrices", "Pool", "RecoverOn", "Recovery", "ResampledLoss", "Work", "can_be_cut",
    "check_residual", "earlier_result", "interrupted", "outputs_loss", "parameters_of",
    "points_needed", "recover", "recover_to_file", "resumed", "too_large", "with_parameters",
]  # fmt: skip
