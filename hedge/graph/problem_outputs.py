"""What a model says of its problem: whether its outputs are the fields, and what its unknowns are."""

from __future__ import annotations

from onnx import ModelProto

from hedge.errors import InputError
from hedge.graph.reading import metadata
from hedge.problems import Problem, Solvable, found_in
from hedge.problems.unknowns import UNKNOWNS_KEY


def check_fields(model: ModelProto, problem: Solvable) -> None:
    """Raise InputError for outputs that hedge has named after others than the problem's fields in order.

    Such are derivatives, and fields in another order. Names of other tools say nothing.
    """
    if not any(key.startswith("hedge.") for key in metadata(model)):
        return
    names = [value.name for value in model.graph.output]
    for place, name in enumerate(names):
        field, bar, _ = name.partition("_")
        if field in problem.fields and (bar or problem.fields.index(field) != place):
            raise InputError(
                f"problem {problem.name!r} has the outputs {', '.join(problem.fields)}, the model "
                f"{', '.join(names)}; give one whose outputs are those, called so, in that order"
            )


def as_found(problem: Problem, model: ModelProto) -> Problem:
    """The problem with the values of its unknowns that its model says were found.

    Raises InputError if the model's metadata can't be read, or holds values beyond the unknowns' bounds.
    """
    own, known = metadata(model), {unknown.name for unknown in problem.unknowns}
    if not known or own.get("hedge.problem", problem.name) != problem.name:
        return problem
    found = found_in(own)
    try:
        return problem.with_values({name: found[name].value for name in known & found.keys()})
    except InputError as error:
        raise InputError(f"the model says otherwise ({UNKNOWNS_KEY}): {error}") from error
