"""From two models and a domain to a proof, and from a proof to its certificate."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial, reduce
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
from hedge.clusters import Spread, alone
from hedge.errors import InputError
from hedge.ops import OPS
from hedge.problems import Domain
from hedge.problems.stability import Kind
from hedge.progress import Progress, silent
from hedge.request import MOST_BOXES

# Numbers of the widest layer, with all coefficients, of the boxes that are looked at together.
_TOGETHER = 2**19
# Boxes that don't fit into one part are cut into a multiple of so many, for as many workers.
_PARTS = 4

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
    spread: Spread = alone,
    is_over: Callable[[], bool] = lambda: False,
    on_progress: Progress = silent,
) -> tuple[Pair, Proof]:
    """Bound the difference of two models over a domain; ``spread`` has the boxes looked at.

    Raises ModelError for nodes that enclosures don't cover.
    """
    pair = Pair(network_of(small), network_of(dense), domain, order_for(domain.dimension))
    return pair, searched(
        pair, gap=gap, most=most, spread=spread, is_over=is_over, on_progress=on_progress
    )


def searched(
    of: Subject,
    *,
    gap: float,
    most: int,
    spread: Spread,
    is_over: Callable[[], bool],
    on_progress: Progress,
    norms: Sequence[Kind] = ("max", "L2"),
    floor: float = 0.0,
) -> Proof:
    """The search for the bounds of whatever has bounds on boxes; the same, whoever looks at them."""
    with spread(of.bounds) as each:
        return search(
            partial(_in_parts, together(of.monomials, of.widest), each),
            of.domain.dimension,
            halved=of.halved,
            gap=gap,
            most=most,
            at_once=_in_a_round(of),
            is_over=is_over,
            on_progress=on_progress,
            norms=norms,
            floor=floor,
            of_shape=of.domain.of_shape,
        )


def order_for(dimension: int) -> int:
    """The order of the polynomials that needs the least work for so many variables (docs/certifying.md)."""
    return {1: 6, 2: 5, 3: 5, 4: 4, 5: 3}.get(dimension, 2)


def _in_a_round(of: Subject) -> int:
    """As many boxes as take some seconds at most, so that a budget is kept."""
    numbers = of.parameters * len(of.monomials)
    return int(np.clip(2**31 // max(numbers, 1), 64, 4096))


def _in_parts(
    most: int, each: Callable[[Iterable[Cover]], Iterator[Bounds]], cover: Cover
) -> Bounds:
    return reduce(Bounds.joined, each(parts_of(cover, most)))


def together(monomials: Monomials, widest: int) -> int:
    """How many boxes are looked at together, at most, of a network with so many numbers in a tensor."""
    return max(16, _TOGETHER // (len(monomials) * widest))


def parts_of(cover: Cover, most: int) -> list[Cover]:
    """The boxes in parts of about the same size, of ``most`` at most.

    They are cut the same way for any number of workers, since sums are rounded by how they are cut.
    """
    if len(cover) <= most:
        return [cover]
    count = _PARTS * math.ceil(len(cover) / (_PARTS * most))
    ends = np.linspace(0, len(cover), count + 1).astype(int)
    return [cover[start:end] for start, end in itertools.pairwise(ends)]


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
