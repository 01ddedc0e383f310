"""Checkpoints of operators: where the descent stands at the end of a cycle, beside the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from hedge.arrays import Array
from hedge.problems import OperatorProblem
from hedge.training.checkpoint_file import amount_in, count_in, figure_in, file_bytes, read_file
from hedge.training.conjugate_gradients import Iterate
from hedge.training.operator_network import OperatorNetwork
from hedge.training.operator_training import OperatorState

MATRICES = ("layer", "residual", "direction")
DESCENT_NUMBERS = ("square", "first")
STATE_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "best_loss": figure_in,
    "mark_loss": figure_in,
    "stale_cycles": count_in,
    "steps": count_in,
    "seconds": amount_in,
}


def operator_checkpoint_bytes(problem: OperatorProblem, seed: int, state: OperatorState) -> bytes:
    """What the checkpoint of ``state`` holds; the best matrix only if it is not that of the descent."""
    descent = state.descent
    matrices = {name: getattr(descent, name) for name in MATRICES}
    if state.best.layer is not descent.layer:
        matrices["best"] = state.best.layer
    header = {
        "descent": {name: getattr(descent, name) for name in DESCENT_NUMBERS},
        "state": {name: getattr(state, name) for name in STATE_NUMBERS},
    }
    tensors = {name: torch.from_numpy(matrix) for name, matrix in matrices.items()}
    return file_bytes(_identity(problem, seed), header, tensors)


def load_operator_checkpoint(path: Path, problem: OperatorProblem, seed: int) -> OperatorState:
    """The state saved of the training of this problem with this seed.

    Raises ModelError if there is no checkpoint, it is damaged, or it belongs to another run.
    """
    return read_file(path, _identity(problem, seed), lambda h, tensors: _state(problem, h, tensors))


def _identity(problem: OperatorProblem, seed: int) -> dict[str, object]:
    return {"problem": problem.name, "sensors": problem.sensors, "seed": seed}


def _state(problem: OperatorProblem, header: Any, tensors: Mapping[str, Tensor]) -> OperatorState:
    matrices = {name: _matrix(problem, tensor) for name, tensor in tensors.items()}
    layer, residual, direction = (matrices[name] for name in MATRICES)
    square, first = (figure_in(header["descent"][name]) for name in DESCENT_NUMBERS)
    descent = Iterate(layer, residual, direction, square, first)
    best = OperatorNetwork(problem, matrices.get("best", descent.layer))
    return OperatorState(
        descent, best, **{name: kind(header["state"][name]) for name, kind in STATE_NUMBERS.items()}
    )


def _matrix(problem: OperatorProblem, tensor: Tensor) -> Array:
    if tensor.shape != (problem.sensors, problem.sensors) or tensor.dtype != torch.float64:
        raise ValueError(f"a matrix of shape {tuple(tensor.shape)} and {tensor.dtype}")
    if not torch.isfinite(tensor).all():
        raise ValueError("a matrix that is not finite")
    found: Array = tensor.numpy()
    return found
