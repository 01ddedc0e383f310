"""What a user says of the columns of an export, their names, units and domain, and what is known of them."""

from __future__ import annotations

from dataclasses import dataclass

from onnx import ModelProto

from hedge.compression import Plan, box_of_origin
from hedge.errors import InputError, ModelError, quoted
from hedge.exporting import StoredModel
from hedge.exporting.datasheet import Datasheet
from hedge.exporting.measured import datasheet, stored_datasheet
from hedge.graph import Wanted, check_fields, column_names, has_derivatives, wanted_outputs
from hedge.problems import GALLERY, Domain, Problem, chosen_problem, parse_domain


@dataclass(frozen=True)
class Columns:
    """Lists as given: ``outputs`` "u,u_x", ``inputs`` "x,t", ``domain`` "-1:1,0:1", ``units`` "x=m,t=s".

    problem is what the model solves, where the user says it.
    """

    outputs: str | None = None
    inputs: str | None = None
    domain: str | None = None
    units: str | None = None
    problem: Problem | str | None = None


@dataclass(frozen=True)
class Described:
    """Outputs in place of the model's own, by letters of its input columns, if any; and the datasheet."""

    wanted: tuple[Wanted, ...]
    letters: str
    sheet: Datasheet

    @property
    def outputs(self) -> list[str]:
        """The names of what is wanted."""
        return [each.name for each in self.wanted]


def described(columns: Columns, model: ModelProto, source: StoredModel | Plan) -> Described:
    """What the columns of a model come to, whose graph with its own outputs is ``model``.

    Input columns are called as given, as the file's own datasheet says, as in the problem that it solves, or
    as in the graph. Its domain is as given, that of the file's datasheet, of the points by which it was
    compressed, or of its problem.

    Raises InputError for names that don't fit the model, a domain beyond that which is known, units of no
    column, and outputs that there are not; ModelError for a datasheet in the file that is damaged.
    """
    own, known = column_names(model), _problem(columns.problem, model, source)
    stored = None if isinstance(source, Plan) else stored_datasheet(source)
    plan = source if isinstance(source, Plan) else source.plan
    letters = own if known is None else tuple(known.inputs)
    names = letters if stored is None else tuple(column.name for column in stored.inputs)
    if columns.inputs is not None:
        names = _names(columns.inputs, len(own))
    if all(len(name) == 1 for name in names):
        letters = names
    by_letters = "" if letters == own else "".join(letters)
    wanted: list[Wanted] = []
    if columns.outputs is not None:
        outputs = [each.strip() for each in columns.outputs.split(",")]
        if has_derivatives(model, outputs):
            _check_letters(columns.inputs, names)
        wanted = wanted_outputs(model, outputs, by_letters)
    box = _known_box(stored, plan, known, len(own))
    if columns.domain is not None:
        box = _domain(columns.domain, len(own), box)
    units = {} if columns.units is None else _units(columns.units)
    sheet = datasheet(model, source, names=names, wanted=wanted, domain=box, units=units)
    return Described(tuple(wanted), by_letters, sheet)


def _problem(
    given: Problem | str | None, model: ModelProto, source: StoredModel | Plan
) -> Problem | None:
    """What the model solves, as the user or the file says, if that is a problem of as many inputs.

    Raises InputError where the user names one that the file does not, or of other inputs or outputs.
    """
    columns = len(column_names(model))
    if given is None:
        named = GALLERY.get(source.problem or "")
        return named if named is not None and len(named.inputs) == columns else None
    found = chosen_problem(given)
    if source.problem not in (None, found.name):
        raise InputError(
            f"problem: the model solves {quoted(source.problem)}, by what it says, not {found.name!r}; leave "
            "out --problem, or name that one"
        )
    if len(found.inputs) != columns:
        raise InputError(
            f"problem {found.name!r} has {len(found.inputs)} inputs, the model {columns}; name the one that "
            "it was trained on"
        )
    check_fields(model, found)
    return found


def check_unguarded(found: Described) -> None:
    """Raise ModelError for a graph that has a guard: no C and no derivatives are written of one."""
    if found.sheet.guarded:
        raise ModelError(
            "it gives NaN outside of its domain already, as exported with --guard; give the file that it was "
            "exported from"
        )


def _known_box(
    stored: Datasheet | None, plan: Plan | None, known: Problem | None, count: int
) -> Domain | None:
    """Where the network may be used as far as the file, its plan or its problem say."""
    if stored is not None and stored.domain is not None:
        return stored.domain
    measured = None if plan is None else box_of_origin(plan.points)
    if measured is not None and measured.dimension == count:  # else a plan that was made by hand
        return measured
    return None if known is None else known.domain


def _names(given: str, count: int) -> tuple[str, ...]:
    names = tuple(each.strip() for each in given.split(","))
    if len(names) != count:
        raise InputError(
            f"inputs: the model has {count} input column(s), {quoted(given)} names {len(names)}; give a "
            "name for each, for example --inputs x,t"
        )
    if len(set(names)) < count or not all(names):
        raise InputError(f"inputs: {quoted(given)} must be names, none of them twice or empty")
    return names


def _check_letters(given: str | None, names: tuple[str, ...]) -> None:
    if given is not None and any(len(name) != 1 for name in names):
        raise InputError(
            f"inputs: {quoted(given)} is no list of letters, by which derivatives are named; write for "
            "example x,t"
        )


def _domain(given: str, count: int, known: Domain | None) -> Domain:
    box = parse_domain(given, count)
    if box.dimension != count:
        raise InputError(
            f"domain: {given} has {box.dimension} interval(s), the model has {count} input column(s); give "
            "one lower:upper for each"
        )
    if known is not None and not box.is_within(known):
        raise InputError(
            f"domain: {given} is not within {known}, where the network was trained or its errors measured; "
            "give a part of that, or train or compress for the whole"
        )
    return box


def _units(given: str) -> dict[str, str]:
    pairs = [each.partition("=") for each in given.split(",")]
    units = {name.strip(): unit.strip() for name, _, unit in pairs}
    if len(units) < len(pairs) or not all(equals and unit.strip() for _, equals, unit in pairs):
        raise InputError(
            f"units: {quoted(given)} is no list of columns with their units; write for example x=m,t=s"
        )
    return units
