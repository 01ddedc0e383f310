"""How certain the found constants are: Laplace's approximation, from the Gauss–Newton matrix at the end."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from hedge.training.constants import slope
from hedge.training.loss import jacobian, linearise, read_values
from hedge.training.network import Network, parameters_of
from hedge.training.objective import Objective, found_constants
from hedge.training.sampling import sobol_points
from hedge.training.terms import Term

# Points of the residual: at least so many, and so many for each parameter, so that the equations hold
# everywhere.
POINTS, POINTS_EACH = 2000, 2
# More parameters than this need a matrix of more than a gigabyte.
MOST_PARAMETERS = 8000
# Directions of the network's parameters that no row sees are held by so little of all rows: above rounding,
# which would use them up at random, and far below what the network needs to follow its constants.
RIDGE = 1e-13
# How much tighter than measurements equations are at most, lest rounding tells the rest.
TIGHTEST = 1e6
# What is left of an equation, or of measurements, counts as no less than this.
LEAST_LEFT = 1e-12
# A deviation beyond this says as little.
LARGEST = 1e30
# Rows of the Jacobian that are held at a time, for each parameter.
ROWS_AT_ONCE = 3
# Rounds in which the size of misfits and the freedom they leave are brought together, to such a part.
ROUNDS, CLOSE = 30, 1e-3


def standard_deviations(objective: Objective, network: Network, seed: int) -> Mapping[str, float]:
    """Of the constants' values, by name; none where there are too few measurements or too many parameters.

    The negative logarithm of the posterior is Σ misfit² / 2σ² + Σ r² / 2ρ², over measurements with their
    deviations σ and over the rows of each equation with the rms ρ of what they leave, which is small: the
    equations all but hold. Its matrix of second derivatives without those of the residuals, JᵀJ, is
    inverted (MacKay, 1992); values follow to first order. Training weighs the terms otherwise, and ends
    somewhere beside the posterior's maximum: the way there, a Gauss–Newton step, is added in squares. Where σ
    is not known its square is Σ misfit² / (n − γ − 2), the posterior's mean of it, with the misfits behind
    that step and γ the number of parameters that these n measurements determine: then two deviations are as
    sure as with a known σ, however few there are.
    """
    problem, constants = objective.problem, network.constants
    count = len(parameters_of(network))
    if constants is None or not problem.data or count > MOST_PARAMETERS:
        return {}
    points = sobol_points(problem, max(POINTS, POINTS_EACH * count), seed, network.weights[0])
    terms = objective.terms(points, seed)
    measured = terms[len(terms) - len(problem.data) :]
    equations, known, guessed = _none(count), _none(count), []
    for term in terms[: len(terms) - len(measured)]:
        equations = _with_term(equations, objective, network, term, _left(objective, network, term))
    for data, term in zip(problem.data, measured, strict=True):
        if not data.state_errors:
            guessed.append(_Misfits(_with_term(_none(count), objective, network, term), len(term)))
        else:
            known = _with_term(known, objective, network, term)
    tight = _within(equations, [known, *(each.rows / each.size for each in guessed)])
    rows = _with_ridge(_reduced(torch.cat([tight, known])), len(constants))
    whole = _with_misfits(rows, guessed)
    if whole is None:
        return {}
    found = found_constants(problem, network)
    of_parameters = torch.hypot(_deviations(whole, len(constants)), _step(whole)[-len(constants) :])
    return {
        unknown.name: min(abs(slope(unknown, found[unknown.name])) * float(of_parameter), LARGEST)
        for unknown, of_parameter in zip(
            problem.unknowns, of_parameters.nan_to_num(nan=LARGEST, posinf=LARGEST), strict=True
        )
    }


# Rows (N, P + 1) are those of the Jacobian and, in the last column, the values that they are of. Instead of
# all of them R of their QR decomposition is kept.


@dataclass(frozen=True)
class _Misfits:
    """Measurements of unknown deviation: R of their rows, and their number."""

    rows: Tensor
    count: int

    @property
    def size(self) -> float:
        """Their root mean square."""
        return max(float(self.rows[:, -1].norm()) / math.sqrt(self.count), LEAST_LEFT)


def _none(parameters: int) -> Tensor:
    return torch.zeros((0, parameters + 1), dtype=torch.float64)


def _left(objective: Objective, network: Network, term: Term) -> Tensor:
    """The rms of what each equation of a term leaves, (R,)."""
    r = read_values(objective.problem, network, term).double()
    return r.square().mean(1).sqrt().clamp_min(LEAST_LEFT).cpu()


def _with_term(
    rows: Tensor,
    objective: Objective,
    network: Network,
    term: Term,
    sizes: Tensor | None = None,
) -> Tensor:
    """R of the rows and those of a term, of each equation divided by its size."""
    for part in _parts(term, rows.shape[1]):
        lin = linearise(objective.problem, network, [part])
        more = torch.cat([jacobian(lin), lin.residual[:, None]], dim=1).double().cpu()
        if sizes is not None:
            more = more / sizes.repeat_interleave(len(part))[:, None]
        rows = _reduced(torch.cat([rows, more]))
    return rows


def _parts(term: Term, columns: int) -> Iterator[Term]:
    """A few times as many rows as there are columns at once, where points are rows."""
    step = ROWS_AT_ONCE * columns if term.reading == "each" else len(term)
    if step >= len(term):
        yield term
        return
    for start in range(0, len(term), step):
        yield term[start : start + step]


def _within(equations: Tensor, data: Sequence[Tensor]) -> Tensor:
    """Rows of equations, no more than TIGHTEST times as tight as those of data: next to these they hold."""
    most = TIGHTEST * math.hypot(*(float(rows[:, :-1].norm()) for rows in data))
    size = float(equations[:, :-1].norm())
    return equations * (most / size) if size > most > 0.0 else equations


def _reduced(rows: Tensor) -> Tensor:
    triangle: Tensor = torch.linalg.qr(rows, mode="r")[1]
    return triangle


def _with_ridge(rows: Tensor, constants: int) -> Tensor:
    """With next to nothing for each parameter of the network: constants have only what is known of them."""
    columns = rows.shape[1]
    ridge = RIDGE * float(rows[:, :-1].norm()) * torch.eye(columns, dtype=rows.dtype)
    return _reduced(torch.cat([rows, ridge[: columns - 1 - constants]]))


def _with_misfits(rows: Tensor, guessed: Sequence[_Misfits]) -> Tensor | None:
    """With those of measurements by deviations that suit them; None if there are too few to tell."""
    if not guessed:
        return rows
    sizes = [each.size for each in guessed]
    for _ in range(ROUNDS):
        scaled = [each.rows / size for each, size in zip(guessed, sizes, strict=True)]
        whole = _reduced(torch.cat([rows, *scaled]))
        wanted = []
        for each, size, own in zip(guessed, sizes, scaled, strict=True):
            free = each.count - 2.0 - float(_before(_triangle(whole), own[:, :-1].T).square().sum())
            if not free > 0.0:
                return None
            misfit = own[:, :-1] @ _step(whole) + own[:, -1]
            wanted.append(max(size * float(misfit.norm()) / math.sqrt(free), LEAST_LEFT))
        if all(math.isclose(a, b, rel_tol=CLOSE) for a, b in zip(sizes, wanted, strict=True)):
            break
        # The larger a deviation, the fewer parameters are left to the measurements: between is nearer.
        sizes = [math.sqrt(a * b) for a, b in zip(sizes, wanted, strict=True)]
    return whole


def _step(whole: Tensor) -> Tensor:
    """How parameters (P,) would still move to where the sum of squares is smallest, to first order."""
    right_side = -whole[: len(_triangle(whole)), -1:]
    found: Tensor = torch.linalg.solve_triangular(_triangle(whole), right_side, upper=True)
    return found.flatten()


def _deviations(whole: Tensor, constants: int) -> Tensor:
    """Of the last parameters, (K,): the roots of the diagonal of (JᵀJ)⁻¹, whose last corner is theirs."""
    last = _triangle(whole)[-constants:, -constants:]
    found: Tensor = _before(last, torch.eye(constants, dtype=last.dtype)).norm(dim=0)
    return found


def _triangle(whole: Tensor) -> Tensor:
    """R of the parameters alone, (P, P)."""
    return whole[: whole.shape[1] - 1, :-1]


def _before(triangle: Tensor, columns: Tensor) -> Tensor:
    """R⁻ᵀ times columns (P, ·)."""
    found: Tensor = torch.linalg.solve_triangular(triangle.T, columns, upper=False)
    return found
