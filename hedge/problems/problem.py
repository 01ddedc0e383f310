"""What a problem is: a domain, a residual, hard constraints and a reference solution."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isfinite
from typing import Protocol

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems.calls import called
from hedge.problems.checks import check_problem
from hedge.problems.conditions import Condition
from hedge.problems.domain import Domain
from hedge.problems.equations import Equations, Field, Lines, Math
from hedge.problems.layers import USUAL_LAYERS, Layers
from hedge.problems.measurements import Measurements
from hedge.problems.quotients import LAPLACIAN, SUMMED, Axes, derivative, reach
from hedge.problems.stability import Stability
from hedge.problems.subnetworks import Subnetwork
from hedge.problems.unknowns import Unknown

RESIDUAL_POINTS = 4_000


class Solvable(Protocol):
    """A problem as commands see it, of points or an operator: rows of inputs to rows of outputs."""

    @property
    def name(self) -> str:
        """What users call it."""

    @property
    def title(self) -> str:
        """What it is, in one line."""

    @property
    def dimension(self) -> int:
        """Numbers in a row of inputs: coordinates, or sensors of a grid."""

    @property
    def outputs(self) -> int:
        """Numbers in a row of outputs."""

    @property
    def fields(self) -> tuple[str, ...]:
        """Names of what the outputs are parts of, alike in size: their errors are told apart."""

    @property
    def test_rows(self) -> int:
        """Rows that its error is measured on."""

    @property
    def reference(self) -> Callable[[Array], Array] | None:
        """Inputs (n, d) to the outputs of a solution (n, m), float64; None if nobody knows it."""

    def sample(self, count: int, seed: int) -> Array:
        """Independent random inputs (count, d), float64."""

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float | None:
        """Root mean square residual of ``solution``, (n, d) to (n, m), on random inputs.

        None where the equation says nothing of inputs and outputs alone.
        """


@dataclass(frozen=True)
class Problem:
    """Partial differential equations, their conditions, and what else is known of their solution.

    The network N, with a column for each field, enters as u(x) = offset(x) + distance(x) N(x), where
    ``distance`` vanishes wherever u is prescribed and ``offset`` takes the prescribed values there, so
    initial and boundary conditions hold exactly and only the residual is trained (Lagaris et al., 1998).
    Of the ``conditions`` those that this form does not meet whatever N is are trained beside the residual.

    inputs       one letter per input, in the model's order
    derivatives  what the residual needs: fields and names such as ``u_t`` or ``v_xx``, up to fourth ones, and
                 ``u_laplacian``, the sum of u's second derivatives along each input of ``space``
    residual     (columns of x, derivatives by name, math) -> residual, or one for each equation, each
                 (n,); 0 for a solution
    offset, distance  (columns of x, math) -> (n,), or of several fields one for each; an offset of None
                 is zero, a distance of None one, numbers are the same everywhere
    reference    points (n, d) -> the fields (n, m) in float64, accurate to 1e-10; None if nobody knows it
    features     (columns of x, math) -> what the network reads, each (n,) and of size about one, such
                 as cos πx for a periodic input; None stands for the inputs scaled to [−1, 1]
    conditions   what the solution meets at the start, on the boundary or elsewhere
    fields       names of the m unknown functions, in letters, in the order of the model's outputs
    unknowns     constants that training finds; functions read them as ``d["kappa"]``, like derivatives
    data         what has been measured of the solution
    networks     which fields have a network of their own, and what it reads; if not given, one has all
    space        letters of the inputs that Laplacians are of, all if not given
    layers       hidden layers that suit it, taken where no others are asked for
    windows      parts of the time ``t``, each with a network of its own, that suit it
    """

    name: str
    title: str
    inputs: str
    domain: Domain
    derivatives: tuple[str, ...]
    residual: Lines
    offset: Callable[[Sequence[Field], Math], Field | Sequence[Field]] | None = None
    distance: Callable[[Sequence[Field], Math], Field | Sequence[Field]] | None = None
    reference: Callable[[Array], Array] | None = None
    features: Callable[[Sequence[Field], Math], Sequence[Field]] | None = None
    conditions: tuple[Condition, ...] = ()
    stability: tuple[Stability, ...] = ()
    fields: tuple[str, ...] = ("u",)
    unknowns: tuple[Unknown, ...] = ()
    data: tuple[Measurements, ...] = ()
    networks: tuple[Subnetwork, ...] = ()
    space: str = ""
    layers: Layers = USUAL_LAYERS
    windows: int = 1

    def __post_init__(self) -> None:
        check_problem(self)

    @property
    def dimension(self) -> int:
        """Coordinates of a point."""
        return self.domain.dimension

    @property
    def outputs(self) -> int:
        """Of the solution, at a point: one for each field."""
        return len(self.fields)

    @property
    def test_rows(self) -> int:
        """Points that an error is measured on."""
        return 20_000

    def sample(self, count: int, seed: int) -> Array:
        """Independent uniform points of the domain, (count, d)."""
        return self.domain.sample(count, seed)

    def residual_rms(self, solution: Callable[[Array], Array], seed: int) -> float:
        """Root mean square residual of a function (n, d) to (n, m) at 4,000 uniform points.

        Of several equations the root of the mean sum of squares. Derivatives are central differences, so that
        it works for any function; points keep so far from the faces that none of them leaves the domain.
        """
        wanted = {name: self.axes(name) for name in self.derivatives}
        away = reach(wanted.values(), self.dimension)
        widths = self.domain.upper - self.domain.lower
        points = self.domain.sample_away(RESIDUAL_POINTS, seed + 1, away)
        with np.errstate(over="ignore", invalid="ignore"):  # of outputs that overflowed
            every = set(wanted.values())
            found = {axes: derivative(solution, points, axes, widths) for axes in every}
            named = {name: found[axes][:, self.field(name)] for name, axes in wanted.items()}
            residuals = self.residuals(list(points.T), named, np)
            return float(np.sqrt(sum(np.mean(np.asarray(r) ** 2) for r in residuals)))

    @property
    def equations(self) -> Equations:
        """Of its residual."""
        return self.equations_of("its residual", self.derivatives, self.residual)

    def equations_of(self, what: str, derivatives: tuple[str, ...], lines: Lines) -> Equations:
        """Lines that are zero for a solution and read values of the unknowns beside derivatives."""
        known = {unknown.name: unknown.value for unknown in self.unknowns}
        return Equations(f"problem {self.name!r}: {what}", derivatives, lines, known)

    def residuals(
        self, columns: Sequence[Field], derivatives: Mapping[str, Field], math: Math
    ) -> tuple[Field, ...]:
        """The residual of each equation, (n,).

        Raises InputError if there is none, one reads a derivative that is not named, or an unknown without
        a value.
        """
        return self.equations.at(columns, derivatives, math)

    def with_values(self, values: Mapping[str, float]) -> Problem:
        """The same with these values of its unknowns."""
        if not self.unknowns:
            return self
        return replace(
            self,
            unknowns=tuple(
                replace(each, value=values.get(each.name, each.value)) for each in self.unknowns
            ),
        )

    def only_residual(
        self, columns: Sequence[Field], derivatives: Mapping[str, Field], math: Math
    ) -> Field:
        """That of one field, one equation and second derivatives at most, (n,).

        Raises InputError for others, whose residuals no certificate bounds.
        """
        self.check_certifiable()
        equations = self.residuals(columns, derivatives, math)
        if len(equations) > 1:
            raise InputError(
                f"problem {self.name!r}: has {len(equations)} equations; residuals are certified of problems "
                "of one. Certify against the dense model: hedge certify SMALL DENSE"
            )
        return equations[0]

    def check_certifiable(self) -> None:
        """Raise InputError for several fields, third derivatives and Laplacians, which none bounds."""
        read = [*self.derivatives, *(d for each in self.conditions for d in each.derivatives)]
        refused = [d for d in read if d.endswith(f"_{SUMMED}")]
        refused += [d for d in self.derivatives if len(self.axes(d)) > 2]
        higher = refused[0] if refused else None
        if len(self.fields) > 1 or higher is not None:
            what = (
                f"the fields {', '.join(self.fields)}"
                if higher is None
                else f"the derivative {higher}"
            )
            raise InputError(
                f"problem {self.name!r}: has {what}; residuals are certified of problems of one field, one "
                "equation and second derivatives, each by its name. Certify against the dense model: "
                "hedge certify SMALL DENSE"
            )

    def offsets(self, columns: Sequence[Field], math: Math) -> tuple[Field, ...]:
        """The offset of each field, (n,) or a number; raises InputError for other than one for each."""
        if self.offset is None:
            return (0.0,) * len(self.fields)
        return self._one_for_each_field("offset", self.offset, columns, math)

    def distances(self, columns: Sequence[Field], math: Math) -> tuple[Field, ...]:
        """The distance of each field, (n,) or a number; raises InputError for other than one for each."""
        if self.distance is None:
            return (1.0,) * len(self.fields)
        return self._one_for_each_field("distance", self.distance, columns, math)

    def _one_for_each_field(
        self,
        name: str,
        function: Callable[[Sequence[Field], Math], Field | Sequence[Field]],
        columns: Sequence[Field],
        math: Math,
    ) -> tuple[Field, ...]:
        found = called(f"problem {self.name!r}: its {name}", function, columns, math)
        given = tuple(found) if isinstance(found, tuple | list) else (found,)
        if len(given) != len(self.fields):
            raise InputError(
                f"problem {self.name!r}: its {name} returned {len(given)} for the fields "
                f"{', '.join(self.fields)}; it must return a tuple with one for each"
            )
        for field, value in zip(self.fields, given, strict=True):
            if isinstance(value, int | float) and not isfinite(value):
                raise InputError(
                    f"problem {self.name!r}: its {name} of {field} is {value}; give a finite number"
                )
        return given

    def network_inputs(self, columns: Sequence[Field], math: Math) -> list[Field]:
        """What the network reads at points given by ``columns``, each (n,)."""
        if (features := self.features) is not None:
            title = f"problem {self.name!r}: its features"
            return called(title, list, called(title, features, columns, math))
        lower, upper = self.domain.lower, self.domain.upper
        return [
            (x - float(a + b) / 2.0) / (float(b - a) / 2.0)
            for x, a, b in zip(columns, lower, upper, strict=True)
        ]

    def field(self, derivative: str) -> int:
        """The number of the field that a derivative's name begins with."""
        return self.fields.index(derivative.partition("_")[0])

    def axes(self, derivative: str) -> Axes:
        """Input numbers a derivative's name stands for, in order: ``u`` is (), ``u_tx`` is (0, 1)."""
        _, _, letters = derivative.partition("_")
        if letters == SUMMED:
            return (LAPLACIAN, *(self.inputs.index(letter) for letter in self.space or self.inputs))
        return tuple(sorted(self.inputs.index(letter) for letter in letters))
