"""What a file, its plan and the certificate beside it say of a network, as its datasheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Annotated

import numpy as np
from onnx import ModelProto
from pydantic import Strict, TypeAdapter, ValidationError

from hedge.certifying import Certificate, read_certificate
from hedge.compression import MOST_APART, Plan, box_of_origin
from hedge.documents import Figure, fault, parse_json
from hedge.errors import InputError, ModelError, first_line, quoted
from hedge.exporting.datasheet import (
    WRITTEN_OUT,
    Bound,
    Datasheet,
    InputColumn,
    OutputColumn,
    listed,
)
from hedge.exporting.onnx_export import DATASHEET_KEY
from hedge.exporting.stored_model import StoredModel
from hedge.exporting.units import base_unit
from hedge.files import sha256_of
from hedge.graph import Wanted, column_names, input_dimension, is_guarded, metadata, output_widths
from hedge.names import as_text, certificate_of
from hedge.problems import Domain, found_told

WIDEST_ABOUT, WIDEST_FIELD = 200, 40


@dataclass(frozen=True)
class _Training:
    relative_l2: Annotated[Figure, Strict()] | None = None
    by_field: dict[str, Annotated[Figure, Strict()] | None] = field(default_factory=dict)


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
        is_guarded(model),
        None if domain is None or domain.shape is None else str(domain.shape),
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
        found = _with_shape_as_written(found)
    except ValidationError as error:
        raise _damaged(fault(error)) from error
    except InputError as error:
        raise _damaged(str(error)) from error
    except ValueError as error:
        raise _damaged(f"is no JSON: {first_line(error)}") from error
    outputs = [column.name for column in _output_columns(model, (), None, None)]
    if [column.name for column in found.outputs] != outputs:
        raise _damaged("its outputs are not those of the graph")
    if len(found.inputs) != input_dimension(model):
        raise _damaged(f"it has {len(found.inputs)} inputs, the graph {input_dimension(model)}")
    return found


def _with_shape_as_written(sheet: Datasheet) -> Datasheet:
    """With the text that the shape has here, whoever wrote it; raises InputError if it is none of the box."""
    if sheet.shape is None:
        return sheet
    domain = sheet.domain
    if domain is None:
        raise InputError("shape: its box is not known")
    return replace(sheet, shape=str(domain.shape))


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
                over = str(certificate.difference.where)
                told = _of_difference(max(known), largest)
                found += [Bound(what, value, of, over) for what, value in told]
        if certificate.solutions:  # distances are proved over the problem's domain alone
            over = str(certificate.solutions[0].where)
            found += [
                Bound(*_of_distance(each.kind, each.over, each.bound), of, over)
                for each in certificate.distances
                if each.bound is not None
            ]
    return tuple(found)


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
        lines.append(f"As trained its relative L2 error against the reference was {trained}")
    if found := found_told(metadata(model)):
        lines.append(f"Constants found by training: {found}")
    if plan is not None:
        lines.append(
            f"compressed for {plan.device}, by its plan with a relative L2 error of "
            f"{plan.relative_error:.2e} against {plan.against}, tolerance {plan.tolerance:g}"
        )
    return tuple(line for line in lines if line)


def _trained_error(model: ModelProto) -> str | None:
    """What training says of the dense network and of its fields, if hedge trained it."""
    try:
        found = TypeAdapter(_Training).validate_python(
            parse_json(metadata(model).get("hedge.training", "{}"))
        )
    except ValueError:  # a file from elsewhere may hold anything
        return None
    if found.relative_l2 is None:
        return None
    # Names of fields are letters; a file from elsewhere may hold others, and long ones.
    of_each = [
        f"{name} {error:.2e}"
        for name, error in found.by_field.items()
        if error is not None and name.isascii() and name.isalpha() and len(name) <= WIDEST_FIELD
    ]
    told = f" ({listed(of_each)})" if of_each else ""
    return f"{found.relative_l2:.2e}{told}"


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
