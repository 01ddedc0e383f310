"""The judge of a run: points that no step ever sees."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.loss import mean_square
from hedge.training.network import Network
from hedge.training.points import Points, solution_at
from hedge.training.run import TrainingRun
from hedge.training.sampling import sobol_points, stream_seed

HELD_OUT_POINTS, REFERENCE_POINTS = 16_384, 10_000
HELD_OUT_SEED, REFERENCE_SEED = 101, 303


@dataclass(frozen=True, eq=False)
class Judge:
    """Points that no step ever sees: for the loss and for the error against the reference."""

    problem: Problem
    held_out: Points
    x: Tensor
    reference: np.ndarray | None

    def loss(self, network: Network) -> float:
        """Mean squared residual on the held-out points."""
        return mean_square(self.problem, network, self.held_out)

    def relative_l2(self, network: Network) -> float | None:
        """‖u − reference‖ / ‖reference‖ on the reference points, if there is a reference."""
        if self.reference is None:
            return None
        error = solution_at(self.problem, network, self.x).double().cpu().numpy() - self.reference
        return float(np.linalg.norm(error) / np.linalg.norm(self.reference))


def judge_of(run: TrainingRun) -> Judge:
    """The held-out points of a run."""
    problem, like = run.problem, torch.zeros(0, dtype=run.dtype, device=run.device)
    held_out = sobol_points(problem, HELD_OUT_POINTS, stream_seed(run.seed, HELD_OUT_SEED), like)
    x = problem.domain.sample(REFERENCE_POINTS, REFERENCE_SEED)
    reference = (
        None if problem.reference is None else _values(problem.name, problem.reference(x), x)
    )
    return Judge(problem, held_out, torch.from_numpy(x).to(like), reference)


def _values(name: str, reference: object, x: np.ndarray) -> np.ndarray:
    if not isinstance(reference, np.ndarray) or reference.shape != (len(x), 1):
        shape = getattr(reference, "shape", type(reference).__name__)
        raise InputError(
            f"problem {name!r}: its reference returned {shape} for points {x.shape}; it must return "
            f"an array ({len(x)}, 1)"
        )
    if not (np.isfinite(reference).all() and reference.any()):
        raise InputError(f"problem {name!r}: its reference is zero or not finite; check it")
    return reference[:, 0]
