"""What travels with an exported network: its columns, their units and domain, and its errors."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Annotated, Any

import numpy as np
from onnx import ModelProto
from pydantic import Strict, TypeAdapter, ValidationError

from hedge.certifying import Certificate, read_certificate
from hedge.compression import MOST_APART, Plan, box_of_origin
from hedge.documents import Figure, Number, fault, parse_json
from hedge.errors import InputError, ModelError, first_line, quoted
from hedge.exporting.onnx_export import DATASHEET_KEY
from hedge.exporting.stored_model import StoredModel
from hedge.exporting.units import ascii_unit, base_unit
from hedge.files import sha256_of
from hedge.graph import Wanted, column_names, input_dimension, metadata, output_widths
from hedge.names import as_text, certificate_of
from hedge.problems import Domain
from hedge.version import __version__

WIDEST_ABOUT = 200
WRITTEN_OUT = 16  # columns; of more the lines for people say how many there are


@dataclass(frozen=True)
class InputColumn:
    """A number that goes in; lower and upper are the ends of the domain, None where it is not known."""

    name: str
    unit: str = ""
    lower: Number | None = None
    upper: Number | None = None


@dataclass(frozen=True)
class OutputColumn:
    """A number that comes out, with its relative L2 error, and its largest error over its largest size.

    Both are None where nobody measured them. errors_of says of what they are where not of this column:
    of all columns of its output together, of which one may be further off, or of the worst, which is.
    """

    name: str
    unit: str = ""
    relative_l2: Figure | None = None
    largest: Figure | None = None
    errors_of: str | None = None

    @property
    def errors(self) -> str | None:
        """Its errors in words, and of what they are where not of this column; None where there are none."""
        if self.relative_l2 is None:
            return None
        largest = "" if self.largest is None else f" (largest {self.largest:.2e})"
        return f"{self.errors_of or self.name} {self.relative_l2:.2e}{largest}"


@dataclass(frozen=True)
class Bound:
    """Proved: ``what`` of the outputs ``of``, the worst column, is ``value`` at most over a box."""

    what: str
    value: Figure
    of: str
    over: str


@dataclass(frozen=True)
class _Training:
    relative_l2: Annotated[Figure, Strict()] | None = None


@dataclass(frozen=True)
class Datasheet:
    """What whoever uses an exported network has to know of it.

    errors says what the errors are of and where they were measured, bounds what a certificate proves; origin
    are lines on where the network comes from. Of a guarded one all results outside the domain are NaN.
    """

    inputs: tuple[InputColumn, ...]
    outputs: tuple[OutputColumn, ...]
    errors: str
    bounds: tuple[Bound, ...]
    origin: tuple[str, ...]
    guarded: bool = False

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
    where it may be used, units are by the names of columns. What the sheet in a file says of its outputs and
    their errors stays: its plan may be of others.

    Raises InputError for units that are unknown, of columns that there are not, or of two; ModelError for a
    sheet in the file that is damaged.
    """
    plan = source if isinstance(source, Plan) else source.plan
    certificate = None if isinstance(source, Plan) else certificate_beside(source)
    own = None if isinstance(source, Plan) else stored_datasheet(source)
    outputs = _output_columns(model, wanted, plan, own)
    _check_units(units, [*names, *(column.name for column in outputs)])
    ends = domain.intervals if domain is not None else [(None, None)] * len(names)
    said = [""] * len(names) if own is None else [column.unit for column in own.inputs]
    return Datasheet(
        tuple(
            InputColumn(name, units.get(name, unit), lower, upper)
            for name, unit, (lower, upper) in zip(names, said, ends, strict=True)
        ),
        tuple(replace(one, unit=units.get(one.name, one.unit)) for one in outputs),
        _errors_of(plan, slopes=any(each.columns for each in wanted))
        if own is None
        else own.errors,
        _bounds(model, plan, certificate) if own is None or not own.bounds else own.bounds,
        _origin(model, source),
        own is not None and own.guarded,
    )


def stored_datasheet(source: StoredModel) -> Datasheet | None:
    """That in the metadata of an ``.onnx``; None where there is none, and of a compressed model.

    Raises ModelError for one that is damaged, or is of other inputs and outputs.
    """
    if source.kind == "compressed":
        return None
    model = source.onnx
    text = metadata(model).get(DATASHEET_KEY)
    if text is None:
        return None
    try:
        found = TypeAdapter(Datasheet).validate_python(parse_json(text))
    except ValidationError as error:
        raise _damaged(fault(error)) from error
    except ValueError as error:
        raise _damaged(f"is no JSON: {first_line(error)}") from error
    outputs = [column.name for column in _output_columns(model, (), None, None)]
    if [column.name for column in found.outputs] != outputs:
        raise _damaged("its outputs are not those of the graph")
    if len(found.inputs) != input_dimension(model):
        raise _damaged(f"it has {len(found.inputs)} inputs, the graph {input_dimension(model)}")
    return found


def _damaged(reason: str) -> ModelError:
    return ModelError(
        f"{DATASHEET_KEY} in its metadata is damaged ({reason}); export the file anew, or remove that entry"
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
    model: ModelProto, wanted: Sequence[Wanted], plan: Plan | None, own: Datasheet | None
) -> list[OutputColumn]:
    names = [value.name for value in model.graph.output]
    inside = np.full((2, input_dimension(model)), 0.5)
    widths = dict(zip(names, output_widths(model, inside), strict=True))
    columns = column_names(model)
    said = {} if own is None else {column.name: column for column in own.outputs}
    found: list[OutputColumn] = []
    for each in wanted or [Wanted(name, name, ()) for name in names]:
        width = widths[each.tensor]
        for place in range(width):
            name, tensor = (
                one if width == 1 else f"{one}[{place}]" for one in (each.name, each.tensor)
            )
            by = [columns[c] for c in each.columns]
            if by:
                column = _slope_measured(plan, each.tensor, place, by)
            elif own is not None:
                column = said[tensor]
            else:
                column = _measured(plan, each.tensor, place, width, alone=len(names) == 1)
            found.append(replace(column, name=name))
    return found


def _slope_measured(plan: Plan | None, tensor: str, column: int, by: Sequence[str]) -> OutputColumn:
    """The relative L2 error of a derivative of this column."""
    slopes = () if plan is None or len(by) > 1 else plan.slope_errors
    for one in slopes:
        if one.output == tensor and one.column in (None, column) and one.by == by[0]:
            together = (
                None
                if one.column is not None
                else f"all derivatives of {tensor} by {by[0]} together"
            )
            return OutputColumn("", "", one.relative_error, None, together)
    return OutputColumn("")


def _measured(
    plan: Plan | None, tensor: str, column: int, width: int, *, alone: bool
) -> OutputColumn:
    """The relative L2 error of this column of so many, and its largest one, as far as the plan has them.

    alone says that the model has no other output.
    """
    if plan is None:
        return OutputColumn("")
    together = f"all columns of {tensor} together"
    for one in plan.errors:
        if one.output == tensor and one.column in (None, column):
            of = together if one.column is None else None
            return OutputColumn("", "", one.relative_error, one.max_error, of)
    of = together if width > 1 else None
    if len(plan.errors) >= MOST_APART:  # the worst are listed, this is none of them
        of = "the worst column"
    elif plan.errors or not alone:  # of one alone there is no list: the plan is of other outputs
        return OutputColumn("")
    return OutputColumn("", "", plan.relative_error, plan.max_error, of)


def _errors_of(plan: Plan | None, *, slopes: bool) -> str:
    if plan is None:
        return ""
    against = plan.against if plan.against != "dense" else f"the dense {plan.source}"
    told = f"against {against}, on {plan.fresh_points:,} fresh points, {plan.points}"
    if slopes and plan.slope_points not in (None, plan.fresh_points):
        told += f", of derivatives on {plan.slope_points:,} of them"
    if plan.relative_to == "spread":
        told += ", relative to how much an output varies"
    return told


def _bounds(
    model: ModelProto, plan: Plan | None, certificate: Certificate | None
) -> tuple[Bound, ...]:
    """What is proved of the graph's own outputs, and over which box."""
    of = listed([value.name for value in model.graph.output])
    if plan is not None and plan.proved is not None:
        proved = plan.proved
        told = _of_difference(proved.relative_l2, proved.largest)
        told += [_of_distance(each.kind, each.over, each.bound) for each in proved.to_solution]
        over = str(box_of_origin(plan.points) or plan.points)
        return tuple(Bound(what, value, of, over) for what, value in told)
    found: list[Bound] = []
    if certificate is not None:
        if certificate.difference is not None:
            claims = certificate.difference.claims
            known = [claim.relative_l2 for claim in claims if claim.relative_l2 is not None]
            sizes = [claim.dense_seen for claim in claims]
            if 0 < len(known) == len(claims) and all(sizes):
                largest = max(
                    claim.largest / size for claim, size in zip(claims, sizes, strict=True)
                )
                over = _told_box(certificate.difference.domain)
                told = _of_difference(max(known), largest)
                found += [Bound(what, value, of, over) for what, value in told]
        if certificate.solutions:  # distances are proved over the problem's domain alone
            over = _told_box(certificate.solutions[0].domain)
            found += [
                Bound(*_of_distance(each.kind, each.over, each.bound), of, over)
                for each in certificate.distances
                if each.bound is not None
            ]
    return tuple(found)


def _told_box(intervals: Sequence[tuple[float, float]]) -> str:
    return str(Domain(tuple((lower, upper) for lower, upper in intervals)))


def _of_difference(relative_l2: float, largest: float) -> list[tuple[str, float]]:
    return [
        ("relative L2 error against the dense network", relative_l2),
        ("largest error against the dense network, relative to its largest value", largest),
    ]


def _of_distance(kind: str, over: str, bound: float) -> tuple[str, float]:
    norm = {"max": "largest distance"}.get(kind, f"{kind} distance over {over}")
    return f"{norm} to the solution", bound


def _origin(model: ModelProto, source: StoredModel | Plan) -> tuple[str, ...]:
    plan = source if isinstance(source, Plan) else source.plan
    name = source.source if isinstance(source, Plan) else as_text(source.path.name)
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
        found = TypeAdapter(_Training).validate_python(
            parse_json(metadata(model).get("hedge.training", "{}"))
        )
    except ValueError:  # a file from elsewhere may hold anything
        return None
    return found.relative_l2


def _check_units(units: Mapping[str, str], names: Sequence[str]) -> None:
    for name, unit in units.items():
        base_unit(unit)
        if names.count(name) > 1:
            raise InputError(
                f"units: {quoted(name)} is the name of {names.count(name)} columns; call the inputs "
                "otherwise by --inputs"
            )
        if name not in names:
            raise InputError(
                f"units: {quoted(name)} is no column; give those of {', '.join(names[:WRITTEN_OUT])}"
            )


def _told_input(column: InputColumn) -> str:
    unit = ascii_unit(column.unit)
    if column.lower is None or column.upper is None:
        return f"{column.name} ({unit})" if unit else column.name
    return f"{column.name} in [{_exact(column.lower)}, {_exact(column.upper)}] {unit}".rstrip()


def _exact(end: float) -> str:
    """With every digit: where a guard ends must not be rounded."""
    return repr(float(end)).removesuffix(".0")


def _told_output(column: OutputColumn) -> str:
    return f"{column.name} ({ascii_unit(column.unit)})" if column.unit else column.name


def _told_errors(sheet: Datasheet) -> list[str]:
    each = dict.fromkeys(column.errors for column in sheet.outputs if column.errors)
    return [f"Relative L2 error {sheet.errors}: {listed(list(each))}"] if each else []


def _told_bounds(sheet: Datasheet) -> list[str]:
    places = dict.fromkeys((bound.of, bound.over) for bound in sheet.bounds)
    return [
        f"Proved of {of} over {over}: "
        + ", ".join(
            f"{bound.what} at most {bound.value:.2e}"
            for bound in sheet.bounds
            if (bound.of, bound.over) == (of, over)
        )
        for of, over in places
    ]


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
