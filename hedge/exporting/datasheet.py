"""What travels with an exported network: its columns, their units and domain, and its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from onnx import ModelProto

from hedge.certifying import Certificate, read_certificate
from hedge.compression import Plan, box_of_origin
from hedge.errors import InputError, quoted
from hedge.exporting.stored_model import StoredModel
from hedge.exporting.units import base_unit
from hedge.files import sha256_of
from hedge.graph import Wanted, column_names, input_dimension, metadata, output_widths
from hedge.names import certificate_of
from hedge.problems import Domain
from hedge.version import __version__

DATASHEET_KEY = "hedge.datasheet"
WIDEST_ABOUT = 200
WRITTEN_OUT = 16  # columns; of more the lines for people say how many there are


@dataclass(frozen=True)
class InputColumn:
    """A number that goes in; lower and upper are the ends of the domain, None where it is not known."""

    name: str
    unit: str = ""
    lower: float | None = None
    upper: float | None = None


@dataclass(frozen=True)
class OutputColumn:
    """A number that comes out, with its relative L2 error, and its largest error over its largest size.

    Both are None where nobody measured them.
    """

    name: str
    unit: str = ""
    relative_l2: float | None = None
    largest: float | None = None


@dataclass(frozen=True)
class Bound:
    """What is proved of ``what``, ``value`` at most, over the box ``over``, "-1:1,0:1".

    That is the box of the proof, which the domain of an export may exceed or be a part of.
    """

    what: str
    value: float
    over: str


@dataclass(frozen=True)
class Datasheet:
    """What whoever uses an exported network has to know of it.

    errors says what the errors are of and where they were measured, bounds what a certificate proves; origin
    are lines on where the network comes from.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[OutputColumn, ...]
    errors: str
    bounds: tuple[Bound, ...]
    origin: tuple[str, ...]

    @property
    def domain(self) -> Domain | None:
        """The box of the inputs, if it is known."""
        pairs = [(c.lower, c.upper) for c in self.inputs]
        known = tuple((a, b) for a, b in pairs if a is not None and b is not None)
        return Domain(known) if len(known) == len(pairs) else None

    def domain_to_guard(self) -> Domain:
        """The box of the inputs; raises InputError if it is not known."""
        if self.domain is None:
            raise InputError("guard: the domain is not known; give --domain")
        return self.domain

    @property
    def summary(self) -> str:
        """Errors and bounds in a line; empty where there is neither."""
        return "; ".join([*_told_errors(self), *_told_bounds(self)])

    def lines(self) -> list[str]:
        """Text for people: origin, columns with units and domain, errors, bounds."""
        return [
            *self.origin,
            f"Inputs: {listed([_told_input(column) for column in self.inputs])}.",
            f"Outputs: {listed([_told_output(column) for column in self.outputs])}.",
            *(f"{told}." for told in (*_told_errors(self), *_told_bounds(self))),
        ]

    def as_json(self) -> str:
        """The same as a JSON object; what is not known is left out."""
        document = {"hedge_datasheet": 1, "made_with": f"hedge {__version__}", **asdict(self)}
        return json.dumps(_without_unknown(document), indent=1, allow_nan=False) + "\n"


def datasheet(
    model: ModelProto,
    source: StoredModel | Plan,
    *,
    names: Sequence[str],
    wanted: Sequence[Wanted] = (),
    domain: Domain | None = None,
    units: Mapping[str, str],
) -> Datasheet:
    """That of a graph from a file, or of what was compressed by a plan.

    names are those of the input columns; wanted are the outputs where they are not the graph's own; domain is
    where it may be used, units are by the names of columns.

    Raises InputError for units that are unknown, or of columns that there are not.
    """
    plan = source if isinstance(source, Plan) else source.plan
    certificate = None if isinstance(source, Plan) else certificate_beside(source)
    outputs = _output_columns(model, wanted, plan)
    _check_units(units, [*names, *(column.name for column in outputs)])
    ends = domain.intervals if domain is not None else [(None, None)] * len(names)
    return Datasheet(
        tuple(
            InputColumn(name, units.get(name, ""), lower, upper)
            for name, (lower, upper) in zip(names, ends, strict=True)
        ),
        tuple(
            OutputColumn(one.name, units.get(one.name, ""), one.relative_l2, one.largest)
            for one in outputs
        ),
        _errors_of(plan),
        _bounds(plan, certificate),
        _origin(model, source),
    )


def certificate_beside(model: StoredModel) -> Certificate | None:
    """What is proved of this very file, unchecked, where a certificate lies beside it.

    Raises InputError for a file of that name that is no certificate.
    """
    path = certificate_of(model.path)
    if not path.exists():
        return None
    found = read_certificate(path)
    return found if found.model.sha256 == sha256_of(model.path) else None


def _output_columns(
    model: ModelProto, wanted: Sequence[Wanted], plan: Plan | None
) -> list[OutputColumn]:
    names = [value.name for value in model.graph.output]
    inside = np.full((2, input_dimension(model)), 0.5)
    widths = dict(zip(names, output_widths(model, inside), strict=True))
    columns = column_names(model)
    return [
        OutputColumn(
            each.name if widths[each.tensor] == 1 else f"{each.name}[{place}]",
            "",
            *_measured(plan, each.tensor, place, [columns[c] for c in each.columns]),
        )
        for each in wanted or [Wanted(name, name, ()) for name in names]
        for place in range(widths[each.tensor])
    ]


def _measured(
    plan: Plan | None, tensor: str, column: int, by: Sequence[str]
) -> tuple[float | None, float | None]:
    """The relative L2 error of this column, or of its derivative, and the largest error."""
    if plan is None or len(by) > 1:
        return None, None
    if by:
        slopes = [
            one.relative_error
            for one in plan.slope_errors
            if one.output == tensor and one.column in (None, column) and one.by == by[0]
        ]
        return (slopes[0], None) if slopes else (None, None)
    found = [one for one in plan.errors if one.output == tensor and one.column in (None, column)]
    if found:
        return found[0].relative_error, found[0].max_error
    # Of several only the worst are listed, and of an only one there is no list: the worst bounds it.
    return plan.relative_error, plan.max_error


def _errors_of(plan: Plan | None) -> str:
    if plan is None:
        return ""
    return (
        f"against {plan.against if plan.against != 'dense' else f'the dense {plan.source}'}, on "
        f"{plan.fresh_points:,} fresh points, {plan.points}"
    )


def _bounds(plan: Plan | None, certificate: Certificate | None) -> tuple[Bound, ...]:
    found: list[Bound] = []
    if plan is not None and plan.proved is not None:
        proved, box = plan.proved, str(box_of_origin(plan.points) or "its box")
        found += _of_difference(proved.relative_l2, proved.largest, box)
        found += [
            _of_distance(each.kind, each.over, each.bound, box) for each in proved.to_solution
        ]
    elif certificate is not None:
        if certificate.difference is not None:
            claims = certificate.difference.claims
            relatives = [claim.relative_l2 for claim in claims]
            known = [relative for relative in relatives if relative is not None]
            largest = max(claim.largest / claim.dense_seen for claim in claims)
            if len(known) == len(claims):
                box = str(Domain(tuple(certificate.difference.domain)))
                found += _of_difference(max(known), largest, box)
        for solution in certificate.solutions[:1]:  # distances are over the box of all
            box = str(Domain(tuple(solution.domain)))
            found += [
                _of_distance(each.kind, each.over, each.bound, box)
                for each in certificate.distances
                if each.bound is not None
            ]
    return tuple(found)


def _of_difference(relative_l2: float, largest: float, box: str) -> list[Bound]:
    of_largest = "largest error against the dense network, relative to its largest value"
    return [
        Bound("relative L2 error against the dense network", relative_l2, box),
        Bound(of_largest, largest, box),
    ]


def _of_distance(kind: str, inputs: str, bound: float, box: str) -> Bound:
    norm = {"max": "largest distance"}.get(kind, f"{kind} distance over {inputs}")
    return Bound(f"{norm} to the solution", bound, box)


def _origin(model: ModelProto, source: StoredModel | Plan) -> tuple[str, ...]:
    plan = source if isinstance(source, Plan) else source.plan
    name = source.source if isinstance(source, Plan) else source.path.name
    lines = [name if plan is None else plan.source, model.doc_string[:WIDEST_ABOUT]]
    trained = _trained_error(model)
    if trained is not None:
        lines.append(f"As trained its relative L2 error against the reference was {trained:.2e}")
    if plan is not None:
        lines.append(
            f"compressed for {plan.device}, by its plan with a relative L2 error of "
            f"{plan.relative_error:.2e} against {plan.against}, tolerance {plan.tolerance:g}"
        )
    return tuple(line for line in lines if line)


def _trained_error(model: ModelProto) -> float | None:
    """What training says of the dense network, if hedge trained it."""
    try:
        found = json.loads(metadata(model).get("hedge.training", "{}")).get("relative_l2")
        return float(found)
    except (ValueError, TypeError, AttributeError):  # a file from elsewhere may hold anything
        return None


def _check_units(units: Mapping[str, str], names: Sequence[str]) -> None:
    for name, unit in units.items():
        base_unit(unit)
        if name not in names:
            raise InputError(
                f"units: {quoted(name)} is no column; give those of {', '.join(names[:WRITTEN_OUT])}"
            )


def _told_input(column: InputColumn) -> str:
    unit = f" {column.unit}" if column.unit else ""
    if column.lower is None or column.upper is None:
        return f"{column.name}{f' ({column.unit})' if unit else ''}"
    return f"{column.name} in [{column.lower:g}, {column.upper:g}]{unit}"


def _told_output(column: OutputColumn) -> str:
    return f"{column.name} ({column.unit})" if column.unit else column.name


def _told_errors(sheet: Datasheet) -> list[str]:
    known = [column for column in sheet.outputs if column.relative_l2 is not None]
    if not known:
        return []
    each = [
        f"{column.name} {column.relative_l2:.2e}"
        + ("" if column.largest is None else f" (largest {column.largest:.2e})")
        for column in known
    ]
    return [f"Relative L2 error {sheet.errors}: {listed(each)}"]


def _told_bounds(sheet: Datasheet) -> list[str]:
    told: dict[str, list[str]] = {}
    for bound in sheet.bounds:
        told.setdefault(bound.over, []).append(f"{bound.what} at most {bound.value:.2e}")
    return [f"Proved over {box}: {', '.join(each)}" for box, each in told.items()]


def listed(items: Sequence[str]) -> str:
    """Few in full, of many the first and the last.

    >>> listed([f"x[{i}]" for i in range(99)])
    'x[0] to x[98], 99 in all'
    """
    if len(items) <= WRITTEN_OUT:
        return ", ".join(items)
    return f"{items[0]} to {items[-1]}, {len(items)} in all"


def _without_unknown(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_unknown(v) for k, v in value.items() if v is not None}
    if isinstance(value, tuple | list):
        return [_without_unknown(each) for each in value]
    return value
