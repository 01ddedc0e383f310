"""How certain the found constants are: Laplace's approximation, from the Gauss–Newton matrix at the end."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from hedge.problems import Measurements
from hedge.training.constants import slope
from hedge.training.loss import jacobian, linearise, read_values
from hedge.training.network import Network, parameters_of
from hedge.training.objective import Objective, found_constants
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

# Points of the residual: enough that the equations hold everywhere, for networks that hedge trains.
POINTS = 2000
# More parameters than this need a matrix of more than a gigabyte.
MOST_PARAMETERS = 8000
# Directions of the parameters that no row sees are held by so little of the largest.
RIDGE = 1e-15


def standard_deviations(objective: Objective, network: Network, seed: int) -> Mapping[str, float]:
    """Of the constants' values, by name; none where there are no measurements or too many parameters.

    The negative logarithm of the posterior is Σ misfit² / 2σ² + Σ r² / 2ρ², over measurements with their
    deviations σ (without any, the rms of the misfits) and over the equations' rows with the rms ρ of what
    they leave, which is small: the equations all but hold. Its matrix of second derivatives without
    those of the residuals, JᵀJ, is inverted (MacKay, 1992); values follow to first order.
    """
    problem, constants = objective.problem, network.constants
    if constants is None or not problem.data or len(parameters_of(network)) > MOST_PARAMETERS:
        return {}
    points = sobol_points(problem, POINTS, seed, network.weights[0])
    terms = objective.terms(points, seed)
    measured = len(terms) - len(objective.measured)
    sizes = [
        *(_rms(objective, network, term) for term in terms[:measured]),
        *(
            _deviation(data, _rms(objective, network, term))
            for data, term in zip(problem.data, terms[measured:], strict=True)
        ),
    ]
    rows = [
        jacobian(linearise(problem, network, [term])).double() / max(size, 1e-12)
        for term, size in zip(terms, sizes, strict=True)
    ]
    variances = _variances(torch.cat(rows), len(constants))
    found = found_constants(problem, network)
    return {
        unknown.name: abs(slope(unknown, found[unknown.name])) * math.sqrt(variance)
        for unknown, variance in zip(problem.unknowns, variances.tolist(), strict=True)
    }


def _rms(objective: Objective, network: Network, term: Term) -> float:
    r = read_values(objective.problem, network, term)
    return float(r.square().mean().sqrt())


def _deviation(data: Measurements, rms: float) -> float:
    """Of a row of measurements, which are in their deviations already where these are known."""
    return 1.0 if data.deviations is not None else rms


def _variances(j: Tensor, constants: int) -> Tensor:
    """The last ``constants`` numbers of the diagonal of (JᵀJ + ridge)⁻¹, for J (N, P)."""
    ridge = (
        math.sqrt(RIDGE) * float(j.norm()) * torch.eye(j.shape[1], dtype=j.dtype, device=j.device)
    )
    _, r = torch.linalg.qr(torch.cat([j, ridge]), mode="r")
    last = torch.eye(j.shape[1], dtype=j.dtype, device=j.device)[:, -constants:]
    # (RᵀR)⁻¹ = R⁻¹R⁻ᵀ: what R⁻ᵀ makes of the last unit vectors.
    across: Tensor = torch.linalg.solve_triangular(r.T, last, upper=False)
    return across.square().sum(0)
