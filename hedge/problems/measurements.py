"""Measured values of a field, a derivative or an expression of them, at points of a problem's domain."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from hedge.arrays import Array
from hedge.documents import LARGEST, SMALLEST
from hedge.errors import InputError


@dataclass(frozen=True, eq=False)
class Measurements:
    """Values of ``of`` at ``points``, with the standard deviations of their errors where these are known.

    points       (n, d), float64, in the problem's domain
    values       (n,), float64
    deviations   (n,), or one for all; None if nobody knows it, and it is then estimated from the misfit; 0 if
                 there are no errors, as in what another program has computed
    of           a field or a derivative such as ``p_x``; or (columns of x, derivatives by name, math) -> (n,)
    derivatives  what ``of`` reads where it is a function
    name         what messages call them, such as the file they are from

    Raises InputError for shapes that don't fit, and for numbers that are not finite.
    """

    points: Array
    values: Array
    deviations: Array | float | None = None
    of: str | Callable[[Sequence[Any], Mapping[str, Any], Any], Any] = "u"
    derivatives: tuple[str, ...] = ()
    name: str = "data"

    def __post_init__(self) -> None:
        points, values = (
            self._finite("points", self.points, 2),
            self._finite("values", self.values, 1),
        )
        if len(points) != len(values) or not len(values):
            raise InputError(
                f"{self.name}: has {len(points)} points and {len(values)} values; give one value for each"
            )
        object.__setattr__(self, "points", points)
        object.__setattr__(self, "values", values)
        if self.deviations is not None:
            given = _numbers(self.deviations)
            if (
                given is None
                or given.shape not in ((), values.shape)
                or not (((given >= SMALLEST) & (given <= LARGEST)).all() or (given == 0.0).all())
            ):
                raise InputError(
                    f"{self.name}: its standard deviations must be positive and finite, one for all or one "
                    "for each value; or all 0, if there are no errors"
                )
            each = np.broadcast_to(given, values.shape).copy()
            each.flags.writeable = False
            object.__setattr__(self, "deviations", each)
        if callable(self.of) and not self.derivatives:
            raise InputError(
                f"{self.name}: an expression needs the names of what it reads; give derivatives, such as "
                '("u", "u_x")'
            )

    def _finite(self, what: str, given: Array, dimensions: int) -> Array:
        found = _numbers(given)
        shape = "(n, d)" if dimensions == 2 else "(n,)"
        if found is None or found.ndim != dimensions:
            got = "something else" if found is None else str(found.shape)
            raise InputError(
                f"{self.name}: its {what} are no numbers {shape}, but {got}; check them"
            )
        if not (np.abs(found) <= LARGEST).all():
            raise InputError(
                f"{self.name}: its {what} are not all finite; leave out those that are not"
            )
        found.flags.writeable = False
        return found

    @property
    def are_exact(self) -> bool:
        """Whether there are said to be no errors."""
        return self.deviations is not None and not np.any(self.deviations)

    @property
    def state_errors(self) -> bool:
        """Whether it is known how large errors are."""
        return self.deviations is not None and not self.are_exact

    @property
    def scale(self) -> Array:
        """What misfits are divided by, (n,): the deviations or, without them, the values' size."""
        if self.state_errors:
            return np.asarray(self.deviations)
        size = float(np.sqrt(np.mean(self.values**2)))
        return np.full(len(self.values), size or 1.0)

    @property
    def reads(self) -> tuple[str, ...]:
        """Derivatives that are needed to compare with the values."""
        return self.derivatives if callable(self.of) else (self.of,)

    def expected(self, columns: Sequence[Any], d: Mapping[str, Any], math: Any) -> Any:
        """What a function with these derivatives would give, (n,)."""
        return self.of(columns, d, math) if callable(self.of) else d[self.of]


def _numbers(given: object) -> Array | None:
    """A copy as float64, of any shape; None if these are no real numbers."""
    try:
        found = np.array(given)
    except ValueError:  # lists of different lengths
        return None
    return found.astype(np.float64) if found.dtype.kind in "fiu" else None
