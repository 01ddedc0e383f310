"""What a cut network is fitted to again: the dense model's outputs, or the residual of its problem.

Points are drawn anew for every cycle of steps, with density ∝ |r| / mean|r| + 1, r being what is still
missed there (Wu et al., 2023), so half of them stay uniform.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.errors import InputError, ModelError
from hedge.graph import SplitModel
from hedge.problems import Problem
from hedge.quasi_newton import LossAndGradient
from hedge.recovery.parametric_model import Batch, Matrices, ParametricModel
from hedge.request import Norm

ResampledLoss = Callable[[Array, int], LossAndGradient]
"""Parameters (P,) and the number of a cycle -> the loss on that cycle's points."""

# Outputs compared in one loss, and how many times as many candidates there are to draw from.
COMPARED, CANDIDATES = 4000, 8
LEAST_POINTS = 64
# Points are drawn with this power of what is still missed there.
POWERS = {"l2": 1, "max": 2}


@dataclass(frozen=True)
class Pool:
    """Points (n, d) of the domain and the dense model's outputs there (n, m).

    Where derivatives count, rows come in pairs, x + v in the first half and x − v in the second, and their
    differences over ``step`` (n / 2,) count too, see :meth:`hedge.compression.Case.pairs_around`.
    """

    points: Array
    outputs: Array
    step: Array | None = None

    @property
    def candidates(self) -> int:
        """Points, or pairs of points, to choose from."""
        return len(self.points) if self.step is None else len(self.step)

    def sizes(self, missed: Array) -> Array:
        """Of what is missed at the points (n, m), that of each candidate, its difference's too."""
        if self.step is None:
            return np.asarray(np.linalg.norm(missed, axis=1))
        at, partner = np.split(missed, 2)
        both = np.hstack([at, (at - partner) / self.step[:, None]])
        return np.asarray(np.linalg.norm(both, axis=1))

    def rows(self, chosen: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows of the chosen candidates: with pairs, first one end of each, then the other."""
        return chosen if self.step is None else np.concatenate([chosen, chosen + self.candidates])


def points_needed(outputs: int) -> int:
    """How many points a pool should have for a model with so many outputs."""
    return CANDIDATES * max(LEAST_POINTS, COMPARED // outputs)


def outputs_loss(
    split: SplitModel, matrices: Matrices, pool: Pool, powers: Array, seed: int, norm: Norm = "l2"
) -> ResampledLoss:
    """Distance from the dense model's outputs, each column relative to its own of the ``powers`` (m,).

    In the norm "max" points are drawn by a higher power of the error: the mean of its square over them
    is then one of a power beyond two over the domain, which weighs the largest errors.
    """
    model = ParametricModel(split, matrices)
    scale = 1.0 / np.sqrt(powers)
    count = min(max(LEAST_POINTS, COMPARED // pool.outputs.shape[1]), pool.candidates)

    def on_new_points(parameters: Array, cycle: int) -> LossAndGradient:
        difference = model.outputs(parameters, pool.points) - pool.outputs
        missed = pool.sizes(scale * difference)
        missed = np.where(np.isfinite(missed), missed, 0.0)
        density = (missed / max(float(missed.mean()), np.finfo(float).tiny)) ** POWERS[norm] + 1.0
        chosen = np.random.default_rng((seed, cycle)).choice(
            pool.candidates, size=count, replace=False, p=density / density.sum()
        )
        rows = pool.rows(chosen)
        step = None if pool.step is None else pool.step[chosen]
        return model.loss_on(Batch(pool.points[rows], pool.outputs[rows], scale, step))

    return on_new_points


def residual_loss(
    split: SplitModel, matrices: Matrices, problem: Problem, seed: int
) -> ResampledLoss:
    """Mean squared residual of the problem.

    Raises ModelError if a site is not dense, or the network's residual can't be differentiated,
    InputError if torch is not installed.
    """
    if any(len(matrix.factors) != 1 for matrix in matrices.values()):
        raise ModelError("has factorized layers; their residual is not recovered on")
    try:
        from hedge.recovery.residual import mean_square_residual
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            "recover residual: torch is not installed; run: pip install 'hedge-pinn[train]', or recover "
            "outputs"
        ) from error
    try:
        return mean_square_residual(split.replaced(matrices), problem, seed)
    except ModelError as error:
        raise ModelError(f"{error}; ask for its outputs instead") from error
