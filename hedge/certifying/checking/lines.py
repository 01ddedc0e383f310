"""A problem's lines, read as rules on what numbers lie within.

Lines are functions of real numbers. The float64 numbers that stand in them are taken as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hedge.certifying.checking.functions import FUNCTIONS, RECIPROCAL
from hedge.certifying.checking.held import Held, constant
from hedge.certifying.checking.rules import Rules
from hedge.errors import InputError
from hedge.problems import Problem
from hedge.problems.calls import RAISED_BY_LINES, reason_of

Lines = Callable[[Sequence[Any], Mapping[str, Any], Any], Any]


@dataclass(frozen=True)
class Term:
    """A number (1,) of a problem's lines; arithmetic on it follows the rules."""

    held: Held
    rules: Rules

    def __neg__(self) -> Term:
        return Term(
            Held(-self.held.polynomials, self.held.radius, self.held.rounding, (1,)), self.rules
        )

    def __add__(self, other: Term | float) -> Term:
        return self._joined(self, other, 1.0)

    def __sub__(self, other: Term | float) -> Term:
        return self._joined(self, other, -1.0)

    def __rsub__(self, other: float) -> Term:
        return self._joined(self._of(other), self, -1.0)

    def __mul__(self, other: Term | float) -> Term:
        return Term(self.rules.multiply(self.held, self._of(other).held), self.rules)

    def __truediv__(self, other: Term | float) -> Term:
        return self * self._of(other).inverse()

    def __rtruediv__(self, other: float) -> Term:
        return self._of(other) * self.inverse()

    __radd__ = __add__
    __rmul__ = __mul__

    def inverse(self) -> Term:
        """1/x."""
        return Term(self.rules.apply(RECIPROCAL, self.held, (0.0, 0.0)), self.rules)

    def _joined(self, x: Term, y: Term | float, sign: float) -> Term:
        return Term(self.rules.combined(x.held, self._of(y).held, sign), self.rules)

    def _of(self, number: Term | float) -> Term:
        return number if isinstance(number, Term) else _number(number, self.rules)


def _number(value: float, rules: Rules) -> Term:
    return Term(constant(np.array([float(value)])), rules)


@dataclass(frozen=True)
class Functions:
    """The functions of a problem's lines: a :class:`hedge.problems.Math`."""

    rules: Rules

    def sin(self, x: Term) -> Term:
        """sin x."""
        return self._of("Sin", x)

    def cos(self, x: Term) -> Term:
        """cos x."""
        return self._of("Cos", x)

    def exp(self, x: Term) -> Term:
        """eˣ."""
        return self._of("Exp", x)

    def log(self, x: Term) -> Term:
        """Natural logarithm."""
        return self._of("Log", x)

    def sqrt(self, x: Term) -> Term:
        """Square root."""
        return self._of("Sqrt", x)

    def _of(self, name: str, x: Term | float) -> Term:
        term = x if isinstance(x, Term) else _number(x, self.rules)
        return Term(self.rules.apply(FUNCTIONS[name], term.held, (0.0, 0.0)), self.rules)


def read_lines(
    lines: Lines, problem: Problem, rules: Rules, points: Held, named: Mapping[str, Held]
) -> Held:
    """What a problem's lines make of points (d,) and of derivatives by name, (1,).

    Raises InputError for lines that need more than + − * / and the functions above.
    """
    columns = [Term(points.at(np.array([v])), rules) for v in range(problem.dimension)]
    derivatives = {name: Term(part, rules) for name, part in named.items()}
    try:
        found = lines(columns, derivatives, Functions(rules))
        return found.held if isinstance(found, Term) else _number(found, rules).held
    except RAISED_BY_LINES as error:
        raise InputError(
            f"problem {problem.name!r}: its lines can't be checked ({reason_of(error)}); use + - * / and "
            "math.sin, cos, exp, log, sqrt, on the inputs and the derivatives that are named"
        ) from error
