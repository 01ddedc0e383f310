"""Bisection of a method's one knob."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from hedge.compression import Case
from hedge.graph import SiteMatrix

Matrices = Mapping[str, SiteMatrix]

STEPS = 16


def coarsest_within(
    case: Case,
    build: Callable[[float], Matrices],
    fine: float,
    coarse: float,
    aim: float | None = None,
) -> tuple[float, Matrices]:
    """The knob nearest to ``coarse`` whose matrices are surely within ``aim``, or the tolerance, and these.

    ``build`` turns a knob into the matrices of all sites; at ``fine`` it leaves the model as it is.
    The knob is found to 2⁻¹⁶ of the way between the two.
    """
    found = fine, build(fine)
    for _ in range(STEPS):
        middle = (fine + coarse) / 2.0
        matrices = build(middle)
        if case.error(matrices, case.validation).surely_within(aim or case.request.tolerance):
            fine = middle
            found = middle, matrices
        else:
            coarse = middle
    return found
