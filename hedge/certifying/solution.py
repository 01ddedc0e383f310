"""From a model and a problem to what is proved of the model as the problem's solution."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Literal

import numpy as np
from onnx import ModelProto

from hedge.certifying.bounds import FOR_CHECKER, STATED, Lines
from hedge.certifying.certificate import (
    CertifiedFile,
    Face,
    ResidualBoxes,
    ResidualClaim,
    Solution,
)
from hedge.certifying.cover import Cover
from hedge.certifying.distances import by_theorems, is_of_theorems
from hedge.certifying.enclosure import SINGLE, Arithmetic, bound, boxes
from hedge.certifying.monomials import Monomials
from hedge.certifying.network import Network, network_of
from hedge.certifying.norms import BoxNorms
from hedge.certifying.proving import errors_of, parts_of, searched, together
from hedge.certifying.residual import residual_model, with_lines
from hedge.certifying.search import Proof
from hedge.clusters import Spread, alone
from hedge.errors import InputError
from hedge.graph import Evaluator
from hedge.problems import Domain, Problem
from hedge.problems.conditions import Condition, Period
from hedge.problems.stability import Kind
from hedge.progress import Progress, silent
from hedge.request import MOST_BOXES

GAP = 0.2  # what is proved of a residual may be so much more than what is seen of it
GAP_OF_FACES = 0.5
MOST_OF_FACES = 5_000
# A condition that is missed by more than this part of |u| is not met.
MOST_MISSED = 0.1
# Bounds below this part of |u| are close enough: float64's own rounding.
FLOOR = 1e-10
SEEN = 1_000  # points at which the size of u is looked at

End = Literal[0, 1] | None


def prove_solution(
    model: ModelProto,
    file: CertifiedFile,
    problem: Problem,
    domain: Domain,
    *,
    most: int = MOST_BOXES,
    spread: Spread = alone,
    is_over: Callable[[], bool] = lambda: False,
    on_progress: Progress = silent,
) -> Solution:
    """Bound a model's residual over a domain and, over the problem's own one, its distance to the solution.

    Raises ModelError for nodes that enclosures don't cover or that can't be differentiated, and InputError
    if nothing is proved of some box.
    """
    order = order_for(domain.dimension)
    residual = Lines(network_of(residual_model(model, problem)), domain, order)
    norms: list[Kind] = ["max", *(each.needs for each in problem.stability)]
    if not problem.stability:
        norms.append("L2")
    scale = float(np.abs(Evaluator(model)(domain.sample(SEEN, seed=0))).max())
    proof = searched(
        residual,
        gap=GAP,
        most=most,
        spread=spread,
        is_over=is_over,
        on_progress=on_progress,
        norms=list(dict.fromkeys(norms)),
        floor=FLOOR * scale,
    )
    _check_proved(file, problem, domain, proof)
    outside, _ = proof.cover.in_shape(domain)
    rounding = rounding_of(network_of(model), domain, order, proof.cover[~outside], spread)
    is_whole = is_of_theorems(domain, problem)
    faces = _faces(model, problem, order, FLOOR * scale, on_progress) if is_whole else []
    _check_met(file, problem, MOST_MISSED * scale, faces)
    solution = _as_solution(model, file, problem, domain, order, proof, rounding, faces)
    distances = by_theorems(problem, solution) if is_whole else []
    return solution.model_copy(update={"distances": distances})


def order_for(dimension: int) -> int:
    """The order of the polynomials that needs the least work for a residual (docs/certifying.md)."""
    return {1: 8, 2: 6, 3: 5, 4: 4, 5: 3}.get(dimension, 2)


def _check_proved(file: CertifiedFile, problem: Problem, domain: Domain, proof: Proof) -> None:
    unknown = np.flatnonzero(~proof.bounds.known)
    if not len(unknown):
        return
    smallest = unknown[proof.cover.levels[unknown].sum(axis=1).argmax()]
    (centre,), _, _ = proof.cover[[smallest]].within(domain)
    where = ", ".join(
        f"{letter} = {x:.4g}" for letter, x in zip(problem.inputs, centre, strict=True)
    )
    raise InputError(
        f"{file.name}: nothing is proved of its residual around {where} by {proof.evaluated} boxes; allow "
        "more (--boxes, --budget), or leave that out (--domain)"
    )


def rounding_of(
    network: Network, domain: Domain, order: int, cover: Cover, spread: Spread = alone
) -> float | None:
    """What float32 may add to the network's output, at most, by these boxes; None if they don't bound it."""
    monomials = Monomials(domain.dimension, order)
    if not len(cover):
        return 0.0
    parts = parts_of(cover, together(monomials, network.widest))
    with spread(partial(_rounding, network, domain, monomials)) as each:
        found = float(np.max(list(each(parts))))
    return found * FOR_CHECKER * STATED if np.isfinite(found) else None


def _rounding(network: Network, domain: Domain, monomials: Monomials, cover: Cover) -> float:
    points = boxes(monomials, *cover.within(domain))
    with np.errstate(all="ignore"):
        deployed = network.enclosed(Arithmetic(monomials, SINGLE), points)
    return float(bound(deployed.rounding).max())


def _faces(
    model: ModelProto, problem: Problem, order: int, floor: float, on_progress: Progress
) -> list[tuple[int, End, Proof]]:
    """Of each condition and face, what is proved of how much it is missed by."""
    found: list[tuple[int, End, Proof]] = []
    for number, condition in enumerate(problem.conditions):
        lines = with_lines(model, problem, condition.derivatives, [condition.mismatch])
        network, variable = network_of(lines), problem.inputs.index(condition.face.letter)
        for end, ends in _ends(condition, problem.domain.intervals[variable]):
            found.append(
                (
                    number,
                    end,
                    searched(
                        Lines(network, problem.domain, order, variable, ends),
                        gap=GAP_OF_FACES,
                        most=MOST_OF_FACES,
                        spread=alone,
                        is_over=lambda: False,
                        on_progress=on_progress,
                        norms=("max",),
                        floor=floor,
                    ),
                )
            )
    return found


def _ends(
    condition: Condition, interval: tuple[float, float]
) -> list[tuple[End, tuple[float, ...]]]:
    if isinstance(condition.face, Period):
        return [(None, interval)]
    return [(end, (interval[end],)) for end in condition.face.ends]


def _share_inside(file: CertifiedFile, cover: Cover, domain: Domain) -> float:
    """Of the box around the domain, what surely lies in it; raises InputError if that is nothing."""
    _, inside = cover.in_shape(domain)
    if not inside.any():
        raise InputError(
            f"{file.name}: none of {len(cover)} boxes lies in {domain}, so no mean is bounded; allow more "
            "(--boxes, --budget)"
        )
    return float(cover.shares[inside].sum())


def _check_met(
    file: CertifiedFile,
    problem: Problem,
    most_missed: float,
    faces: Sequence[tuple[int, End, Proof]],
) -> None:
    """Raise InputError for a condition that is not met by far, or of which nothing is proved."""
    for number, end, found in faces:
        condition = problem.conditions[number]
        side = "from end to end of" if end is None else f"at the {('lower', 'upper')[end]} end of"
        which = f"condition {number + 1} of {problem.name!r} {side} {condition.face.letter}"
        least, most = float(found.largest_seen[0]), float(found.largest[0])
        if least > most_missed:
            raise InputError(
                f"{file.name}: misses {which} by {least:.2g} and more; give a model of that problem"
            )
        if not np.isfinite(most):
            raise InputError(
                f"{file.name}: nothing is proved of {which}, where its terms are not bounded; leave out "
                "--problem"
            )


def _as_solution(
    model: ModelProto,
    file: CertifiedFile,
    problem: Problem,
    domain: Domain,
    order: int,
    proof: Proof,
    rounding: float | None,
    faces: Sequence[tuple[int, End, Proof]],
) -> Solution:
    bounds, cover = proof.bounds, proof.cover
    tables = {"levels": cover.levels.tolist(), "places": cover.places.tolist()}
    norms = BoxNorms(
        domain,
        problem.inputs,
        cover.levels,
        cover.places,
        bounds.largest[:, 0],
        bounds.square[:, 0],
    )
    volume = float(np.prod(domain.upper - domain.lower)) * _share_inside(file, cover, domain)
    outside, _ = cover.in_shape(domain)
    everywhere = problem.inputs
    claim = ResidualClaim(
        largest=proof.largest[0],
        largest_seen=proof.largest_seen[0],
        rms=norms.of("L2", everywhere) / np.sqrt(volume) * STATED,
        rms_seen=float(
            np.sqrt(cover.shares @ bounds.square_seen[:, 0] / cover.shares[~outside].sum())
        )
        / STATED,
        mean=norms.of("L1", everywhere) / volume * STATED,
    )
    whole = is_of_theorems(domain, problem)
    missed = [0.0] * len(problem.conditions) if whole else []
    for number, _, found in faces:
        missed[number] = max(missed[number], float(found.largest[0]))
    return Solution(
        file=file,
        problem=problem.name,
        domain=list(domain.intervals),
        shape=None if domain.shape is None else str(domain.shape),
        order=order,
        unit=SINGLE,
        errors=errors_of(model),
        evaluated=proof.evaluated,
        ended=proof.ended,
        residual=claim,
        value=float(bounds.value_largest.max()),
        rounding=rounding,
        boxes=ResidualBoxes(
            **tables, largest=bounds.largest[:, 0].tolist(), square=bounds.square[:, 0].tolist()
        ),
        faces=[
            Face(
                condition=number,
                end=end,
                levels=found.cover.levels.tolist(),
                places=found.cover.places.tolist(),
                largest=found.bounds.largest[:, 0].tolist(),
            )
            for number, end, found in faces
        ],
        mismatch=missed,
        distances=[],
    )
