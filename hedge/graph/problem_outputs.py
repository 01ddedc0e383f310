"""Whether the outputs of a graph are the fields of a problem, by their names."""

from __future__ import annotations

from onnx import ModelProto

from hedge.errors import InputError
from hedge.graph.reading import metadata
from hedge.problems import Solvable


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
