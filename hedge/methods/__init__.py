"""Ways to a small, fast model within a tolerance: hedge's own, the paper's, and their rivals.

A method solves a case, as well as it can. ``hedge compare`` has a row for every method, ``hedge
compress --method`` takes those whose matrices a plan can hold, by their option.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from hedge.compression import (
    Case,
    CompressedModel,
    as_method,
    byte_count,
    compress,
    first_certified,
    parameter_count,
)
from hedge.compression.case import Matrices
from hedge.errors import once
from hedge.exporting import to_onnx
from hedge.methods.candidate import Absent, Candidate, Solve
from hedge.methods.paper import compress_as_paper
from hedge.methods.pruning import magnitude_pruning, prune_and_fit
from hedge.methods.quantization import dynamic_int8, static_int8
from hedge.methods.small_net import small_network
from hedge.methods.svd import activation_svd, plain_svd
from hedge.methods.table import cubic_table
from hedge.recovery import Recovery, recover

__all__ = [
    "COMPRESSING", "METHODS", "Absent", "Candidate", "Case", "Method", "Solve",
    "activation_svd", "cubic_table", "dynamic_int8", "magnitude_pruning", "plain_svd",
    "small_network", "static_int8",
]  # fmt: skip

Compress = Callable[[Case], CompressedModel]


class SolveWithin(Protocol):
    """A method whose error is surely within ``aim``, or the tolerance of the case."""

    def __call__(self, case: Case, aim: float | None = None) -> Candidate:
        """The candidate, with its matrices."""


@dataclass(frozen=True)
class Method:
    """What makes a row of a comparison of a case; with an option also what ``hedge compress`` may do.

    is_rival says whether hedge is to be told where it is faster.
    """

    solve: Solve
    option: str = ""
    compress: Compress | None = None
    is_rival: bool = True

    def __post_init__(self) -> None:
        if bool(self.option) != (self.compress is not None):
            raise TypeError(f"method {self.option!r}: an option and a compress go together")


def _dense(case: Case) -> Candidate:
    """The model as it is."""
    matrices = case.split.matrices
    return Candidate(case.dense, parameter_count(matrices), byte_count(matrices))


def _own(option: str, compress: Compress) -> Method:
    """A method that gives a compressed model."""
    return Method(_exported(compress), option, compress, is_rival=False)


def _exported(compress: Compress) -> Solve:
    def solve(case: Case) -> Candidate:
        compressed = compress(case)
        plan = compressed.plan
        note = plan.note or plan.recovery or f"chosen for batch {plan.batch} on {plan.device}"
        return Candidate(to_onnx(compressed), plan.parameters, plan.bytes, note)

    return solve


def _certified(option: str, solve: SolveWithin) -> Method:
    """A method that gives matrices surely within an aim, as a compression certified on fresh points, too."""

    def within(case: Case, aim: float) -> Matrices:
        found = solve(case, aim).matrices
        if found is None:
            raise TypeError(f"method {option}: its Candidate needs matrices to be a compression")
        return found

    return Method(solve, option, lambda case: first_certified(as_method(case, option), within))


def _recovered(case: Case) -> CompressedModel:
    """The same as hedge's own, cut further and fitted again with the work that is allowed."""
    return recover(case, compress(case), Recovery(case.allowance, "outputs"))


METHODS: dict[str, Method] = {
    "dense": Method(_dense, is_rival=False),
    "hedge": _own("hierarchical", compress),
    "hedge, recovered": Method(_exported(_recovered), is_rival=False),
    "paper": _own("paper", compress_as_paper),
    "svd": _certified("svd", plain_svd),
    "activation-svd": _certified("activation-svd", activation_svd),
    "prune": Method(magnitude_pruning),
    "prune, recovered": Method(prune_and_fit),
    "quantize-dynamic": Method(dynamic_int8),
    "quantize-static": Method(static_int8),
    "table": Method(cubic_table),
    "small-net": Method(small_network),
}

COMPRESSING: dict[str, Compress] = once(
    (method.option, method.compress) for method in METHODS.values() if method.compress is not None
)
"""What ``hedge compress --method`` takes."""
