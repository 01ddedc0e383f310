"""What training found beside the solution: unknown constants, and how far readings and conditions are off."""

from __future__ import annotations

import math

from hedge.problems import Found, Measurements
from hedge.problems.misses import Misfit
from hedge.training.constants import is_at_bound
from hedge.training.judge import Judge
from hedge.training.loss import mean_square, read_values
from hedge.training.network import Network
from hedge.training.objective import found_constants
from hedge.training.terms import Term
from hedge.training.uncertainty import standard_deviations


def found(judge: Judge, network: Network, seed: int) -> dict[str, Found]:
    """What is known in the end of the problem's unknowns."""
    values = found_constants(judge.problem, network)
    if not all(map(math.isfinite, values.values())):
        return {}
    deviations = standard_deviations(judge.objective, network, seed)
    bounds = {each.name: each for each in judge.problem.unknowns}
    stopped = {name for name, value in values.items() if is_at_bound(bounds[name], value)}
    return {
        name: Found(
            value=value,
            deviation=None if name in stopped else deviations.get(name),
            at_bound=name in stopped,
        )
        for name, value in values.items()
    }


def misfits(judge: Judge, network: Network) -> tuple[Misfit, ...]:
    """How far the network is from each of the problem's measurements."""

    def of(data: Measurements, term: Term) -> Misfit:
        r = read_values(judge.problem, network, term)
        return Misfit(
            data.name, float(r.square().mean().sqrt()), len(data.values), data.state_errors
        )

    return tuple(map(of, judge.problem.data, judge.objective.measured))


def missed(judge: Judge, network: Network) -> dict[str, float]:
    """What each condition in the loss is missed by, root mean square on held-out points, by its name."""
    count = len(judge.objective.trained)
    titles, terms = judge.objective.titles[1 : count + 1], judge.terms[1 : count + 1]
    return {
        title: math.sqrt(mean_square(judge.problem, network, (term,)))
        for title, term in zip(titles, terms, strict=True)
    }
