"""Points where a certificate's bound of the residual is large."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from hedge.arrays import Array
from hedge.certifying import Solution, read_certificate
from hedge.certifying.cover import Cover
from hedge.errors import InputError, quoted
from hedge.geometry import sobol
from hedge.problems import Domain, Problem

# Of the points of a cycle, those that are drawn in the boxes.
SHARE = 0.5
# Boxes are drawn by their volume times their bound of |r| to this power.
POWER = 3


@dataclass(frozen=True, eq=False)
class WorstBoxes:
    """B boxes of a domain, and how probable it is that a point is drawn in each.

    lower and upper are (B, d), probability is (B,); within a box all points of the domain are alike. digest
    is that of the certificate.
    """

    lower: Array = field(repr=False)
    upper: Array = field(repr=False)
    probability: Array = field(repr=False)
    digest: str
    domain: Domain

    def points(self, count: int, seed: int) -> Array:
        """So many points (count, d), from a scrambled Sobol sequence whose last variable picks the box."""
        dimension = self.lower.shape[1]
        ends = np.cumsum(self.probability)
        found = np.zeros((0, dimension))
        for unit in sobol(dimension + 1, count, seed):
            box = np.searchsorted(ends, unit[:, -1] * ends[-1], side="right")
            lower, upper = self.lower[box], self.upper[box]
            points = lower + (upper - lower) * unit[:, :-1]
            inside = points if self.domain.shape is None else points[self.domain.contains(points)]
            found = np.concatenate([found, inside])
            if len(found) >= count:
                break
        return np.asarray(found[:count])


def worst_boxes(path: Path, problem: Problem) -> WorstBoxes:
    """The boxes of a certificate's solution of ``problem``, probable by volume times bound³.

    Where the model and the dense one are both certified, the boxes are those of the model. Raises
    InputError if the file is no certificate, or holds no solution of that problem over its whole domain.
    """
    problem.check_certifiable()
    certificate = read_certificate(path)
    of_problem = [each for each in certificate.solutions if each.problem == problem.name]
    if not of_problem:
        found = ", ".join(quoted(each.problem) for each in certificate.solutions)
        raise InputError(
            f"{path}: holds {f'a solution of {found}' if found else 'no solution of a problem'}, none of "
            f"{problem.name!r}; make one with: hedge certify MODEL --problem {problem.name} --out NAME"
        )
    solution = min(of_problem, key=lambda each: each.file != certificate.model)
    if solution.where != problem.domain:
        raise InputError(
            f"{path}: is of {solution.where}, not of the whole domain of {problem.name!r}, "
            f"{problem.domain}; certify again without --domain"
        )
    return _boxes_of(solution, path, problem.domain, certificate.digest)


def _boxes_of(solution: Solution, path: Path, domain: Domain, digest: str) -> WorstBoxes:
    cover = Cover(np.array(solution.boxes.levels), np.array(solution.boxes.places))
    if (cover.places >= 2**cover.levels).any():
        raise InputError(f"{path}: its boxes reach beyond its domain; certify again")
    centres, halves, _ = cover.within(domain)
    bound = np.array(solution.boxes.largest)
    relative = bound / bound.max() if bound.max() > 0.0 else np.ones_like(bound)
    depths = cover.levels.sum(axis=1)
    density = np.ldexp(relative**POWER, depths.min() - depths)
    lower = np.maximum(centres - halves, domain.lower)
    upper = np.minimum(centres + halves, domain.upper)
    return WorstBoxes(lower, upper, density / density.sum(), digest, domain)
