"""From two models and a domain to a proof, and from a proof to its certificate."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial, reduce
from multiprocessing import get_context
from typing import Protocol

import numpy as np
from onnx import ModelProto

from hedge.certifying.bounds import Bounds, Pair
from hedge.certifying.certificate import (
    Boxes,
    Certificate,
    CertifiedFile,
    Claim,
    Difference,
    Distance,
    Solution,
)
from hedge.certifying.cover import Cover
from hedge.certifying.enclosure import SINGLE
from hedge.certifying.monomials import Monomials
from hedge.certifying.network import network_of
from hedge.certifying.search import GAP, Proof, search
from hedge.errors import InputError
from hedge.ops import OPS
from hedge.problems import Domain
from hedge.problems.stability import Kind
from hedge.progress import Progress, silent
from hedge.request import MOST_BOXES

# Numbers of the widest layer, with all coefficients, of the boxes that are looked at together.
_TOGETHER = 2**19

ASSUMPTIONS = (
    "The dense network, and one that is compared with a solution, is the function of real numbers that its "
    "float32 weights define; float32's rounding is stated beside.",
    "A problem's lines are functions of real numbers, with the float64 numbers in them.",
    "The deployed network adds up in any order, fused or not, in IEEE float32 that rounds to nearest; "
    "denormal numbers may be flushed to zero.",
    "Its functions are as close as 'errors' says: measured over all float32 of onnxruntime and of glibc "
    "(benchmarks/float32_functions.py), not proved.",
    "The float64 functions of numpy and scipy are within 4 ulp; BLAS adds up products in any order.",
)


class Subject(Protocol):
    """What has bounds on boxes of a domain."""

    @property
    def domain(self) -> Domain:
        """Where the boxes lie."""

    @property
    def monomials(self) -> Monomials:
        """Those of the polynomials."""

    @property
    def halved(self) -> Sequence[int]:
        """The variables in which boxes may be halved."""

    @property
    def parameters(self) -> int:
        """Numbers of the weights, by which the work on a box grows."""

    @property
    def widest(self) -> int:
        """Numbers of the widest tensor, by which the memory of a box grows."""

    def bounds(self, cover: Cover) -> Bounds:
        """Of these boxes."""


def prove(
    small: ModelProto,
    dense: ModelProto,
    domain: Domain,
    *,
    gap: float = GAP,
    most: int = MOST_BOXES,
    workers: int = 1,
    is_over: Callable[[], bool] = lambda: False,
    on_progress: Progress = silent,
) -> tuple[Pair, Proof]:
    """Bound the difference of two models over a domain; the boxes are spread over so many processes.

    Raises ModelError for nodes that enclosures don't cover.
    """
    pair = Pair(network_of(small), network_of(dense), domain, order_for(domain.dimension))
    return pair, searched(
        pair, gap=gap, most=most, workers=workers, is_over=is_over, on_progress=on_progress
    )


def searched(
    of: Subject,
    *,
    gap: float,
    most: int,
    workers: int,
    is_over: Callable[[], bool],
    on_progress: Progress,
    norms: Sequence[Kind] = ("max", "L2"),
    floor: float = 0.0,
) -> Proof:
    """The search for the bounds of whatever has bounds on boxes, spread over so many processes."""
    with _processes(workers) as pool:
        return search(
            partial(_in_parts, of, pool),
            of.domain.dimension,
            halved=of.halved,
            gap=gap,
            most=most,
            at_once=workers * _in_a_round(of),
            is_over=is_over,
            on_progress=on_progress,
            norms=norms,
            floor=floor,
            of_shape=of.domain.of_shape,
        )


def order_for(dimension: int) -> int:
    """The order of the polynomials that needs the least work for so many variables (docs/certifying.md)."""
    return {1: 6, 2: 5, 3: 5, 4: 4, 5: 3}.get(dimension, 2)


def _processes(workers: int) -> ProcessPoolExecutor | nullcontext[None]:
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _in_a_round(of: Subject) -> int:
    """As many boxes as take some seconds at most, so that a budget is kept."""
    numbers = of.parameters * len(of.monomials)
    return int(np.clip(2**31 // max(numbers, 1), 64, 4096))


def _in_parts(of: Subject, pool: Executor | None, cover: Cover) -> Bounds:
    at_once = max(16, _TOGETHER // (len(of.monomials) * of.widest))
    parts = [cover[start : start + at_once] for start in range(0, len(cover), at_once)]
    each = map(of.bounds, parts) if pool is None else pool.map(of.bounds, parts)
    return reduce(Bounds.joined, each)


def as_difference(
    pair: Pair, proof: Proof, files: Sequence[CertifiedFile], columns: Sequence[str]
) -> Difference:
    """A proof about these two files, the small one first, as a certificate has it.

    Raises InputError if nothing is proved of some box.
    """
    bounds, small, dense = proof.bounds, *files
    if not bounds.known.all():
        raise InputError(
            f"{small.name}: nothing is proved by the {proof.evaluated} boxes looked at; allow more (--boxes, "
            "--budget), or give a smaller --domain"
        )
    relative = [float(each) if np.isfinite(each) else None for each in proof.relative_l2]
    claims = [
        Claim(
            column=name,
            largest=proof.largest[j],
            largest_seen=proof.largest_seen[j],
            relative_l2=relative[j],
            relative_l2_seen=proof.relative_l2_seen[j],
            dense_seen=proof.value_seen[j],
            rounding=proof.rounding[j],
        )
        for j, name in enumerate(columns)
    ]
    return Difference(
        dense=dense,
        domain=list(pair.domain.intervals),
        shape=None if pair.domain.shape is None else str(pair.domain.shape),
        order=pair.order,
        unit=SINGLE,
        errors=errors_of(pair.small.model),
        evaluated=proof.evaluated,
        ended=proof.ended,
        claims=claims,
        boxes=Boxes(
            levels=proof.cover.levels.tolist(),
            places=proof.cover.places.tolist(),
            largest=bounds.largest.tolist(),
            square=bounds.square.tolist(),
            dense_square=bounds.value_square_seen.tolist(),
        ),
    )


def as_certificate(
    model: CertifiedFile,
    difference: Difference | None = None,
    solutions: Sequence[Solution] = (),
    distances: Sequence[Distance] = (),
) -> Certificate:
    """What is proved of a model as the file that is checked."""
    return Certificate(
        model=model,
        difference=difference,
        solutions=list(solutions),
        distances=list(distances),
        assumptions=list(ASSUMPTIONS),
    ).sealed()


def errors_of(model: ModelProto) -> dict[str, tuple[float, float]]:
    """Of each function in it, a and b of |fl(f(x)) − f(x)| ≤ a + b |f(x)| in float32."""
    used = {node.op_type for node in model.graph.node}
    return {name: op.error32 for name, op in OPS.items() if name in used and any(op.error32)}
