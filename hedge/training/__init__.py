"""Training PINNs: Taylor-mode derivatives, second-order methods, points that follow the residual.

Needs the ``train`` extra (torch).
"""

from __future__ import annotations

from hedge.training.checkpoint import (
    Checkpointer,
    checkpoint_path,
    load_checkpoint,
    save_checkpoint,
)
from hedge.training.growth import Growth, grown, localized_errors
from hedge.training.skeletons import shrunk
from hedge.training.to_onnx import network_to_onnx, result_to_onnx
from hedge.training.trainer import Record, Run, State, TrainingResult, solution, train

__all__ = [
    "Checkpointer",
    "Growth",
    "Record",
    "Run",
    "State",
    "TrainingResult",
    "checkpoint_path",
    "grown",
    "load_checkpoint",
    "localized_errors",
    "network_to_onnx",
    "result_to_onnx",
    "save_checkpoint",
    "shrunk",
    "solution",
    "train",
]
