"""Numbers that are not finite before the first step, and which function of a problem they are from."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.problems import Problem
from hedge.training.loss import read_values
from hedge.training.network import Network
from hedge.training.points import Points
from hedge.training.terms import Term


def check_finite(problem: Problem, network: Network, terms: Sequence[Term]) -> None:
    """Raise InputError, with the function, the field or equation and the point, unless all are finite.

    That is what the network reads and the form of the solution, with the derivatives that are needed, and
    then every equation of every term.
    """
    for term in terms:
        _check_form(problem, term.points)
        found = read_values(problem, network, term)
        bad = ~torch.isfinite(found)
        if bad.any():
            equation, row = bad.nonzero()[0].tolist()
            which = f" (equation {equation + 1} of {len(found)})" if len(found) > 1 else ""
            at = "" if term.reading == "mean" else f" at {_place(term.points, row)}"
            raise InputError(
                f"{term.points.equations.title}{which} is not finite{at}; check its functions and its domain"
            )


def _check_form(problem: Problem, points: Points) -> None:
    features = [f"feature {number}" for number in range(1, len(points.inputs) + 1)]
    of_fields = [f" of {name}" if len(problem.fields) > 1 else "" for name in problem.fields]
    named: list[tuple[str, Tensor]] = [
        *zip(features, points.inputs, strict=True),
        *((f"offset{of}", s) for of, s in zip(of_fields, points.offset, strict=True)),
        *((f"distance{of}", s) for of, s in zip(of_fields, points.distance, strict=True)),
    ]
    for name, streams in named:
        bad = ~torch.isfinite(streams)
        if bad.any():
            stream, row = bad.nonzero()[0].tolist()
            by = "".join(problem.inputs[axis] for axis in points.axes[stream])
            what = f"{name}, differentiated by {by}," if by else name
            raise InputError(
                f"problem {problem.name!r}: its {what} is not finite at {_place(points, row)}; check it and "
                "the domain"
            )


def _place(points: Points, row: int) -> str:
    return f"({', '.join(f'{value:.3g}' for value in points.x[row].tolist())})"
