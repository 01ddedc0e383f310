"""Lines of a problem that are zero for a solution: its residual, a condition, measurements."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from hedge.errors import InputError, quoted
from hedge.problems.calls import called

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

    @property
    def arctan(self) -> Callable[[Field], Field]:
        """Inverse of tan, within ±π/2."""

    @property
    def sqrt(self) -> Callable[[Field], Field]:
        """Square root; of what is positive inside the domain, where it is differentiated."""


Lines = Callable[[Sequence[Field], Mapping[str, Field], Math], Field | Sequence[Field]]
"""(columns of x, derivatives by name, math) -> what is zero for a solution, (n,), or one each equation."""


class _Named(dict[str, Field]):
    """Derivatives and constants by name; one that is read and not there is told as that."""

    def __init__(
        self, title: str, derivatives: Mapping[str, Field], constants: Mapping[str, float | None]
    ) -> None:
        known = {name: value for name, value in constants.items() if value is not None}
        super().__init__({**known, **derivatives})
        self.title, self.constants = title, constants

    def __missing__(self, name: object) -> Field:
        if name in self.constants:
            raise InputError(
                f"{self.title} reads the unknown {quoted(name)}, which has no value yet; train, or give a "
                "model of hedge train, which knows what was found"
            )
        raise InputError(f"{self.title} reads {quoted(name)}; name it in derivatives")


@dataclass(frozen=True)
class Equations:
    """One or more equations of a problem in one place.

    title        what messages call them, with their problem
    derivatives  what they read: fields and names such as ``u_t`` or ``v_xx``
    lines        (columns of x, derivatives by name, math) -> what is zero, (n,), or one for each equation
    constants    what is known of the problem's unknown constants, which lines read beside derivatives
    """

    title: str
    derivatives: tuple[str, ...]
    lines: Lines
    constants: Mapping[str, float | None] = field(default_factory=dict)

    def at(
        self, columns: Sequence[Field], derivatives: Mapping[str, Field], math: Math
    ) -> tuple[Field, ...]:
        """What each of them leaves, (n,).

        Raises InputError if there is none, or one reads a derivative that is not named, or an
        unknown without a value.
        """
        named = _Named(self.title, derivatives, self.constants)
        found = called(self.title, self.lines, columns, named, math)
        equations = tuple(found) if isinstance(found, tuple | list) else (found,)
        if not equations:
            raise InputError(f"{self.title} returned none; give one or more")
        return equations
