"""Lines of a problem that are zero for a solution: its residual, a condition, measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from hedge.errors import InputError

Field = Any
"""Values of a function at n points, shape (n,): a numpy array, a torch tensor or a graph
expression. Problems are written once, with operators and a :class:`Math`, and read by all."""


class Math(Protocol):
    """The functions beyond ``+ - * /`` that problems may use (numpy and torch have them)."""

    @property
    def sin(self) -> Callable[[Field], Field]:
        """sin x."""

    @property
    def cos(self) -> Callable[[Field], Field]:
        """cos x."""

    @property
    def exp(self) -> Callable[[Field], Field]:
        """eˣ."""

    @property
    def log(self) -> Callable[[Field], Field]:
        """Natural logarithm."""


Lines = Callable[[Sequence[Field], Mapping[str, Field], Math], Field | Sequence[Field]]
"""(columns of x, derivatives by name, math) -> what is zero for a solution, (n,), or one each equation."""


@dataclass(frozen=True)
class Equations:
    """One or more equations of a problem in one place.

    title        what messages call them, with their problem
    derivatives  what they read: fields and names such as ``u_t`` or ``v_xx``
    lines        (columns of x, derivatives by name, math) -> what is zero, (n,), or one for each equation
    """

    title: str
    derivatives: tuple[str, ...]
    lines: Lines

    def at(
        self, columns: Sequence[Field], derivatives: Mapping[str, Field], math: Math
    ) -> tuple[Field, ...]:
        """What each of them leaves, (n,).

        Raises InputError if there is none, or one reads a derivative that is not named.
        """
        try:
            found = self.lines(columns, derivatives, math)
        except KeyError as error:
            raise InputError(f"{self.title} reads {error}; name it in derivatives") from error
        equations = tuple(found) if isinstance(found, tuple | list) else (found,)
        if not equations:
            raise InputError(f"{self.title} returned none; give one or more")
        return equations
