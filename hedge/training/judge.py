"""What a run is watched by: points that no step ever sees."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from hedge.problems import FieldErrors, Problem, field_errors, values_to_compare
from hedge.training.loss import mean_square
from hedge.training.network import Network
from hedge.training.objective import Objective, objective_of, with_balance
from hedge.training.points import Points, solution_at
from hedge.training.run import TrainingRun
from hedge.training.sampling import sobol_points
from hedge.training.seeds import stream_seed
from hedge.training.terms import Term

HELD_OUT_POINTS, REFERENCE_POINTS = 16_384, 10_000
HELD_OUT_SEED, REFERENCE_SEED = 101, 303


@dataclass(frozen=True, eq=False)
class Judge:
    """Points that no step ever sees: for the loss and for the error against the reference."""

    objective: Objective
    terms: tuple[Term, ...]
    x: Tensor
    reference: np.ndarray | None

    @property
    def problem(self) -> Problem:
        """The one that is trained on."""
        return self.objective.problem

    @property
    def held_out(self) -> Points:
        """Those of the residual."""
        return self.terms[0].points

    def loss(self, network: Network, balance: tuple[float, ...] = ()) -> float:
        """By these factors of the terms beside the residual, if there are any."""
        return mean_square(self.problem, network, with_balance(self.terms, balance))

    def errors(self, network: Network) -> FieldErrors | None:
        """Relative L2 errors on the reference points, if there is a reference."""
        if self.reference is None:
            return None
        u = solution_at(self.problem, network, self.x).double().cpu().numpy()
        return field_errors(u, self.reference, self.problem.fields)


def errors_of(problem: Problem, solution: Callable[[Tensor], Tensor]) -> FieldErrors | None:
    """Those of a function, float64 x (n, d) to u (n, m), as a judge has them; None without a reference."""
    x, reference = _compared(problem)
    if reference is None:
        return None
    u = solution(torch.from_numpy(x)).double().cpu().numpy()
    return field_errors(u, reference, problem.fields)


def _compared(problem: Problem) -> tuple[np.ndarray, np.ndarray | None]:
    """Points (n, d) of their own, and the reference there, (n, m), if there is one."""
    x = problem.domain.sample(REFERENCE_POINTS, REFERENCE_SEED)
    return x, None if problem.reference is None else values_to_compare(problem, x)


def judge_of(run: TrainingRun) -> Judge:
    """The held-out points of a run."""
    problem, held_out = run.problem, _held_out(run)
    objective = objective_of(problem, held_out.x)
    x, reference = _compared(problem)
    terms = objective.terms(held_out, stream_seed(run.seed, HELD_OUT_SEED))
    return Judge(objective, terms, torch.from_numpy(x).to(held_out.x), reference)


def _held_out(run: TrainingRun) -> Points:
    like = torch.zeros(0, dtype=run.dtype, device=run.device)
    return sobol_points(run.problem, HELD_OUT_POINTS, stream_seed(run.seed, HELD_OUT_SEED), like)
