"""From two models and a domain to a proof, and from a proof to its certificate."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import nullcontext
from functools import partial, reduce
from multiprocessing import get_context

from onnx import ModelProto

from hedge.certifying.bounds import Bounds, Pair
from hedge.certifying.certificate import Boxes, Certificate, CertifiedFile, Claim, rows
from hedge.certifying.cover import Cover
from hedge.certifying.enclosure import SINGLE
from hedge.certifying.network import Network, network_of
from hedge.certifying.search import GAP, Proof, search
from hedge.ops import OPS
from hedge.problems import Domain
from hedge.progress import Progress, silent

# Numbers of the widest layer, with all coefficients, of the boxes that are looked at together.
_TOGETHER = 2**19

ASSUMPTIONS = (
    "The dense network is the function of real numbers that its float32 weights define.",
    "The deployed network adds up in any order, fused or not, in IEEE float32 that rounds to nearest; "
    "denormal numbers may be flushed to zero.",
    "Its functions are as close as 'errors' says: measured over all float32 of onnxruntime and of glibc "
    "(benchmarks/float32_functions.py), not proved.",
    "The float64 functions of numpy and scipy are within 4 ulp; BLAS adds up products in any order.",
)


def prove(
    small: ModelProto,
    dense: ModelProto,
    domain: Domain,
    *,
    gap: float = GAP,
    most: int = 200_000,
    workers: int = 1,
    is_over: Callable[[], bool] = lambda: False,
    on_progress: Progress = silent,
) -> tuple[Pair, Proof]:
    """Bound the difference of two models over a domain; the boxes are spread over so many processes.

    Raises ModelError for nodes that enclosures don't cover.
    """
    pair = Pair(network_of(small), network_of(dense), domain, order_for(domain.dimension))
    with _processes(workers) as pool:
        bounds_of = partial(_in_parts, pair, pool)
        return pair, search(
            bounds_of,
            domain.dimension,
            gap=gap,
            most=most,
            is_over=is_over,
            on_progress=on_progress,
        )


def order_for(dimension: int) -> int:
    """The order of the polynomials that needs the least work for so many variables (docs/certifying.md)."""
    return {1: 6, 2: 5, 3: 4}.get(dimension, 3 if dimension < 6 else 2)


def _processes(workers: int) -> ProcessPoolExecutor | nullcontext[None]:
    if workers == 1:
        return nullcontext()
    return ProcessPoolExecutor(workers, mp_context=get_context("spawn"))


def _in_parts(pair: Pair, pool: Executor | None, cover: Cover) -> Bounds:
    at_once = max(16, _TOGETHER // (len(pair.monomials) * _widest(pair)))
    parts = [cover[start : start + at_once] for start in range(0, len(cover), at_once)]
    each = map(pair.bounds, parts) if pool is None else pool.map(pair.bounds, parts)
    return reduce(Bounds.joined, each)


def _widest(pair: Pair) -> int:
    return max(
        max(values.shape, default=1)
        for network in (pair.small, pair.dense)
        for values in network.constants.values()
        if values.dtype.kind == "f"
    )


def as_certificate(
    pair: Pair, proof: Proof, files: Sequence[CertifiedFile], columns: Sequence[str]
) -> Certificate:
    """The file of a proof about these two files, the small one first."""
    bounds, small, dense = proof.bounds, *files
    claims = [
        Claim(
            column=name,
            largest=proof.largest[j],
            largest_seen=proof.largest_seen[j],
            relative_l2=proof.relative_l2[j],
            relative_l2_seen=proof.relative_l2_seen[j],
            rounding=proof.rounding[j],
        )
        for j, name in enumerate(columns)
    ]
    return Certificate(
        small=small,
        dense=dense,
        domain=list(zip(pair.domain.lower, pair.domain.upper, strict=True)),
        order=pair.order,
        unit=SINGLE,
        errors=_errors(pair.small),
        assumptions=list(ASSUMPTIONS),
        evaluated=proof.evaluated,
        ended=proof.ended,
        claims=claims,
        boxes=Boxes(
            levels=rows(proof.cover.levels),
            places=rows(proof.cover.places),
            largest=rows(bounds.largest),
            square=rows(bounds.square),
            dense_square=rows(bounds.dense_square_seen),
        ),
    ).sealed()


def _errors(network: Network) -> dict[str, tuple[float, float]]:
    used = {node.op_type for node in network.model.graph.node}
    return {name: op.error32 for name, op in OPS.items() if name in used and any(op.error32)}


def cores() -> int:
    """How many processes this machine runs at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
