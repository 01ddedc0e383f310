"""What is minimised: the residual and, beside it, the conditions and measurements that a problem has."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Measurements, Problem
from hedge.training.constants import values_of
from hedge.training.contradictions import check_consistent
from hedge.training.loss import linearise, mean_squared_slope, read_values
from hedge.training.network import Network, new_network, parameters_of, with_parameters
from hedge.training.points import Points, network_inputs
from hedge.training.seeds import stream_seed
from hedge.training.terms import Term, conditions_term, measured_term, points_of_condition

# Rows of each term that its slope is taken of.
SAMPLE = 256
# Measurements with errors must not bend the equations: at this part of what balances them, constants
# vary from one set of errors to the next as the best estimate does, at 1 by up to 1.4 times as much.
LEAST_OF_MEASURED = 0.1
# Where no error is stated there may be none; without errors the more they count the sooner small coefficients
# are told, as the viscosity of a wake is.
WITHOUT_DEVIATIONS, EXACT = 1.0, 10.0
# Points and networks that tell whether the form meets a condition by itself, to rounding.
PROBES, PROBING_WIDTH, ROUNDING = 64, 8, 1e-9


@dataclass(frozen=True, eq=False)
class Objective:
    """The terms of a problem's loss beside its residual.

    trained are the numbers of the conditions that the problem's form does not meet whatever the network is,
    measured the terms of what has been measured.
    """

    problem: Problem
    trained: tuple[int, ...]
    measured: tuple[Term, ...]

    @property
    def is_residual_alone(self) -> bool:
        """Whether there is no other term."""
        return not (self.trained or self.measured)

    @property
    def titles(self) -> tuple[str, ...]:
        """Of the terms, the residual first."""
        conditions = [self.problem.conditions[n].title(n) for n in self.trained]
        return ("residual", *conditions, *(data.name for data in self.problem.data))

    def terms(
        self,
        points: Points,
        seed: int,
        balance: Sequence[float] = (),
        weights: Tensor | None = None,
    ) -> tuple[Term, ...]:
        """All of them: the residual at ``points``, the others at points of their own, drawn by the seed.

        ``balance`` are the factors of the others, 1 if not given; ``weights`` (n,) those of the points.
        """
        count, like = points_of_condition(len(points)), points.x
        others = [
            *(
                conditions_term(self.problem, n, count, stream_seed(seed, n), like)
                for n in self.trained
            ),
            *self.measured,
        ]
        terms = (Term(points, weights=weights), *others)
        return with_balance(terms, balance) if balance else terms

    def balance(
        self, network: Network, terms: Sequence[Term], cycle: float = math.inf
    ) -> tuple[float, ...]:
        """The factors at which rows of all terms change alike with the parameters, in the mean.

        That of a term is mean ‖∂r_0/∂p‖² / mean ‖∂r_k/∂p‖², the ratio of the traces of their tangent
        kernels by rows, so that none is learned long before the others (Wang, Yu and Perdikaris, 2022);
        of what was measured, with errors, less from ``cycle`` to cycle.
        """

        def slope(term: Term) -> float:
            some = replace(_some(term), balance=1.0, weights=None)
            return mean_squared_slope(linearise(self.problem, network, [some]))

        of_residual, *others = map(slope, terms)
        factors = [of_residual / each if each > 0.0 else 1.0 for each in others]
        parts = [1.0] * len(self.trained) + [_part(data, cycle) for data in self.problem.data]
        return tuple(part * factor for part, factor in zip(parts, factors, strict=True))


def _part(data: Measurements, cycle: float) -> float:
    """What measurements count in a cycle, of what balances them.

    At first all lead: a solution that has settled on a wrong constant is far from the right one.
    """
    if not data.state_errors:
        return EXACT if data.are_exact else WITHOUT_DEVIATIONS
    return max(LEAST_OF_MEASURED, 1.0 / max(cycle, 1))


def with_balance(terms: Sequence[Term], balance: Sequence[float]) -> tuple[Term, ...]:
    """The terms with these factors of those beside the first."""
    first, *others = terms
    return (first, *(replace(t, balance=b) for t, b in zip(others, balance, strict=True)))


def objective_of(problem: Problem, like: Tensor) -> Objective:
    """The terms of a problem, for points of the dtype and on the device of ``like``.

    Raises InputError for conditions that contradict each other, or what the form prescribes.
    """
    check_consistent(problem, like.new_zeros(0, dtype=torch.float64))
    trained = tuple(
        number
        for number in range(len(problem.conditions))
        if not _is_built_in(problem, number, like.new_zeros(0, dtype=torch.float64))
    )
    return Objective(
        problem, trained, tuple(measured_term(problem, data, like) for data in problem.data)
    )


def _is_built_in(problem: Problem, number: int, like: Tensor) -> bool:
    """Whether offset + distance · N meets a condition whatever N is."""
    term = conditions_term(problem, number, PROBES, 0, like)
    reads = network_inputs(problem, term.points.x[:1]).shape[1]
    missed, sizes = [], []
    for seed in (1, 2):
        network = _probe(reads, seed, problem)
        r = read_values(problem, network, term)
        missed.append(r)
        sizes.append(1.0 + float(r.abs().max()))
    first, second = missed
    if not (torch.isfinite(first).all() and torch.isfinite(second).all()):
        raise InputError(f"{term.points.equations.title} is not finite; check its function")
    if float(max(first.abs().max(), second.abs().max())) <= ROUNDING:
        return True
    if float((first - second).abs().max()) <= ROUNDING * max(sizes):
        raise InputError(
            f"{term.points.equations.title} is missed by up to {float(first.abs().max()):.3g} whatever the "
            "network is: offset and distance prescribe something else there; change them, or the condition"
        )
    return False


def _probe(inputs: int, seed: int, problem: Problem) -> Network:
    """A random network; one without biases would be zero in the middle of the domain."""
    like = new_network(inputs, (PROBING_WIDTH,) * 2, 0, problem.outputs, len(problem.unknowns))
    generator = torch.Generator().manual_seed(seed)
    size = parameters_of(like).shape
    return with_parameters(like, torch.randn(size, generator=generator, dtype=torch.float64))


def _some(term: Term) -> Term:
    """Rows enough to tell a mean, from anywhere in the term: faces, and most measurements, stand in order."""
    count = len(term)
    if term.reading == "mean" or count <= SAMPLE:
        return term
    rows = torch.randperm(count, generator=torch.Generator().manual_seed(0))[:SAMPLE].sort().values
    if term.reading == "between":
        rows = torch.cat([rows, count + rows])
    return Term(term.points[rows.to(term.points.x.device)], term.reading)


def found_constants(problem: Problem, network: Network) -> dict[str, float]:
    """The values of the problem's unknowns that the network stands for now."""
    if network.constants is None:
        return {}
    values = values_of(problem.unknowns, network.constants.double()).tolist()
    return {unknown.name: value for unknown, value in zip(problem.unknowns, values, strict=True)}
