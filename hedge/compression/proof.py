"""Candidates that a proof decides on, in place of a sample."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.certifying import (
    CertifiedFile,
    Pair,
    Proof,
    as_deployed,
    as_difference,
    network_of,
    prove,
    prove_solution,
)
from hedge.compression.case import Case
from hedge.compression.plan import Proved, ProvedDistance
from hedge.errors import InputError, ModelError
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import Problem

# Between what is proved of a candidate and what is seen of it: more would refuse good ones.
GAP = 0.02
MOST_BOXES = 50_000
_CANDIDATE, _DENSE = (CertifiedFile(name=n, sha256="0" * 64) for n in ("candidate", "dense"))


def check_provable(case: Case) -> None:
    """Raise InputError or ModelError where nothing can be proved: without a box, or for some nodes."""
    if case.points.domain is None:
        raise InputError("certify: needs a box to prove it on; give --domain, not --samples")
    if case.against != "dense":
        raise InputError("certify: proves errors against the dense model; leave out --against")
    network_of(case.dense)


def proved_of(case: Case, small: ModelProto) -> Proved | None:
    """What is proved of a model as it is exported; None if that is not within the tolerance."""
    assert case.points.domain is not None
    case.tell("proving its error over the whole domain")
    with one_blas_thread():
        pair, proof = prove(small, case.dense, case.points.domain, gap=GAP, most=MOST_BOXES)
    with np.errstate(divide="ignore", invalid="ignore"):
        largest = float((proof.largest / proof.value_seen).max())
    relative = float(proof.relative_l2_of(case.fields).max())
    promised = largest if case.request.norm == "max" else relative
    if not promised <= case.request.tolerance or not np.isfinite([largest, relative]).all():
        case.tell(f"proved: at most {promised:.2e}, which is not enough")
        return None
    return Proved(
        relative_l2=relative,
        largest=largest,
        boxes=len(proof.cover),
        to_solution=_to_solution(case, small, pair, proof),
    )


@one_blas_thread()
def _to_solution(
    case: Case, small: ModelProto, pair: Pair, proof: Proof
) -> tuple[ProvedDistance, ...]:
    """How far the candidate is from the solution, at most; nothing where that can't be told."""
    problem = case.problem
    if not isinstance(problem, Problem) or not problem.stability:
        return ()
    if case.points.domain != problem.domain or problem.domain.shape is not None:
        return ()
    case.tell("bounding its residual")
    difference = as_difference(pair, proof, [_CANDIDATE, _DENSE], ["u"])
    try:
        own = prove_solution(small, _CANDIDATE, problem, problem.domain, most=MOST_BOXES)
    except (InputError, ModelError) as error:
        case.tell(f"not its distance to the solution: {error}")
        return ()
    found = as_deployed(problem, own, case.dense_solution, difference)
    return tuple(
        ProvedDistance(kind=d.kind, over=d.over, by=d.by, bound=d.bound)
        for d in found
        if d.bound is not None
    )
