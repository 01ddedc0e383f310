"""Whether the parts of a problem fit together."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from hedge.errors import InputError, quoted
from hedge.problems.conditions import At, Condition, Faces, Inside, Period, Piece, Place
from hedge.problems.domain import Domain
from hedge.problems.layers import Layers
from hedge.problems.measurements import Measurements
from hedge.problems.quotients import HIGHEST_ORDER, SUMMED
from hedge.problems.subnetworks import Subnetwork
from hedge.problems.unknowns import Unknown

if TYPE_CHECKING:
    from hedge.problems.problem import Problem


def check_problem(problem: Problem) -> None:
    """Raise InputError, naming the problem and what of it, where its parts don't fit together."""
    _check_kinds(problem)
    count, dimension = len(problem.inputs), problem.domain.dimension
    if count != dimension:
        raise InputError(
            f"problem {problem.name!r}: inputs {problem.inputs!r} has {count} letters, its domain "
            f"{dimension} intervals; give one letter for each"
        )
    if len(set(problem.inputs)) != count:
        raise InputError(
            f"problem {problem.name!r}: inputs {problem.inputs!r} names a letter twice"
        )
    space = problem.space
    if (
        not isinstance(space, str)
        or not set(space) <= set(problem.inputs)
        or len(set(space)) < len(space)
    ):
        raise InputError(
            f"problem {problem.name!r}: space {space!r:.60} must be letters of {problem.inputs!r}, each once"
        )
    _check_fields(problem)
    _check_derivatives(problem, f"problem {problem.name!r}", problem.derivatives)
    _check_parts(problem)
    for number, condition in enumerate(problem.conditions, 1):
        _check_condition(problem, f"problem {problem.name!r}: condition {number}", condition)
    _check_unknowns(problem)
    _check_networks(problem)
    for data in problem.data:
        _check_data(problem, data)
    theorems = [(each.kind, each.over, each.theorem) for each in problem.stability]
    for kind, over, theorem in theorems:
        if not set(over) <= set(problem.inputs) or len(set(over)) < len(over):
            raise InputError(
                f"problem {problem.name!r}: theorem {theorem!r} is over {over!r}; write letters of "
                f"{problem.inputs!r}, each once"
            )
        if theorems.count((kind, over, theorem)) > 1:
            raise InputError(f"problem {problem.name!r}: has theorem {theorem!r} twice")


def _check_kinds(problem: Problem) -> None:
    """Of what the other checks, files and tables take for granted."""
    name = problem.name
    if not isinstance(name, str) or not name.strip() or not name.isprintable():
        raise InputError(f'problem {name!r}: its name must be a text of one line; write "plate"')
    if not isinstance(problem.title, str) or not problem.title.isprintable():
        raise InputError(f"problem {name!r}: title {problem.title!r} must be a text of one line")
    if not isinstance(problem.inputs, str):
        raise InputError(
            f'problem {name!r}: inputs {problem.inputs!r} must be letters in a text; write "xy"'
        )
    if not isinstance(problem.domain, Domain):
        raise InputError(
            f"problem {name!r}: domain {problem.domain!r} must be a Domain; write for example "
            "Domain(((0.0, 1.0), (0.0, 1.0)))"
        )
    if not isinstance(problem.layers, Layers):
        raise InputError(
            f"problem {name!r}: layers {problem.layers!r:.60} must be Layers; write Layers(24, 3)"
        )
    if type(problem.windows) is not int or problem.windows < 1:
        raise InputError(
            f"problem {name!r}: windows {problem.windows!r:.60} must be a whole number of at least 1"
        )
    for part in ("residual", "offset", "distance", "features", "reference"):
        given = getattr(problem, part)
        if not callable(given) and (given is not None or part == "residual"):
            told = "lambda x, d, math" if part == "residual" else "lambda x, math"
            raise InputError(
                f"problem {name!r}: its {part} is {quoted(given)}, no function; write "
                f"{'lambda points' if part == 'reference' else told}: …"
            )


def _check_fields(problem: Problem) -> None:
    # A string is a tuple of its letters to most of what reads one.
    fields = problem.fields if isinstance(problem.fields, tuple) else ()
    named = all(isinstance(f, str) and f.isascii() and f.isalpha() for f in fields)
    if not (fields and named) or len(set(fields)) < len(fields):
        raise InputError(
            f"problem {problem.name!r}: fields {problem.fields!r} must be a tuple of names in letters, none "
            'of them twice; write for example ("u", "v", "p")'
        )
    taken = next((f for f in fields if f in (*problem.inputs, "x")), None)
    if taken is not None:
        raise InputError(
            f"problem {problem.name!r}: field {taken!r} has the name of an input (x is that of all of them "
            "in exported files); call it otherwise"
        )
    if problem.stability and len(fields) > 1:
        raise InputError(
            f"problem {problem.name!r}: has theorems and {len(fields)} fields; theorems are of one field"
        )


def _check_parts(problem: Problem) -> None:
    kinds = {
        "conditions": Condition,
        "unknowns": Unknown,
        "data": Measurements,
        "networks": Subnetwork,
    }
    for what, kind in kinds.items():
        given = getattr(problem, what)
        if not isinstance(given, tuple) or not all(isinstance(each, kind) for each in given):
            raise InputError(
                f"problem {problem.name!r}: its {what} must be a tuple of {kind.__name__}; write them in "
                "parentheses, with a comma behind one alone"
            )


def _check_derivatives(problem: Problem, which: str, names: object, where: str = "") -> None:
    if not isinstance(names, tuple | list) or not all(isinstance(name, str) for name in names):
        raise InputError(
            f"{which}: derivatives {names!r:.100} must be a tuple of names; write for example "
            '("u", "u_xx")'
        )
    for name in names:
        _check_derivative(problem, name, where)


def _check_derivative(problem: Problem, name: str, where: str = "") -> None:
    function, bar, letters = name.partition("_")
    is_known = letters == SUMMED or (
        len(letters) <= HIGHEST_ORDER and set(letters) <= set(problem.inputs)
    )
    if function not in problem.fields or (bar and not letters) or not is_known:
        raise InputError(
            f"problem {problem.name!r}: {where}derivative {name!r} is unknown; write "
            f"{' or '.join(problem.fields)}, alone or with _ and one to four letters of "
            f"{problem.inputs!r} (first to fourth derivatives), or with _{SUMMED}"
        )


def _check_condition(problem: Problem, which: str, condition: Condition) -> None:
    on = condition.on
    if not isinstance(on, Place):
        raise InputError(
            f'{which} is on {on!r:.60}, which is no place; write for example Faces("{problem.inputs[0]}")'
        )
    if isinstance(on, Faces | Period) and (len(on.letter) != 1 or on.letter not in problem.inputs):
        raise InputError(f"{which} is at ends of {on.letter!r}, no letter of {problem.inputs!r}")
    if isinstance(on, Faces) and on.ends not in ((0,), (1,), (0, 1), (1, 0)):
        raise InputError(f"{which} has the ends {on.ends!r}; write (0,), (1,) or (0, 1)")
    if (
        isinstance(on, Faces | Period)
        and problem.inputs.index(on.letter) in problem.domain.of_shape
    ):
        raise InputError(
            f"{which} is at ends of {on.letter!r}, of which the domain has a shape; name a piece of its "
            f"boundary: {', '.join(problem.domain.pieces)}"
        )
    if isinstance(on, Piece) and on.name not in problem.domain.pieces:
        pieces = ", ".join(problem.domain.pieces) or "none, as it is a box"
        raise InputError(f"{which} is on the piece {on.name!r}; the domain has {pieces}")
    if isinstance(on, At) and not _holds(problem, on.points):
        raise InputError(
            f"{which} is at points that are no finite (n, {problem.dimension}), n ≥ 1, of the domain "
            f"{problem.domain}; give such"
        )
    if not isinstance(condition.mean, bool | str):
        raise InputError(
            f"{which} has the mean {condition.mean!r:.60}; write True, or inputs such as "
            f"{problem.inputs[0]!r}"
        )
    if isinstance(condition.mean, str):
        _check_means(problem, which, condition, condition.mean)
    _check_derivatives(problem, which, condition.derivatives)


def _check_means(problem: Problem, which: str, condition: Condition, letters: str) -> None:
    """Of a condition on the means over some inputs, at each value of the others."""
    on = condition.on
    if not isinstance(on, Faces | Piece | Inside):
        raise InputError(
            f"{which} is on means over {letters!r} of the {on}; these are for Faces, Piece or Inside, "
            "write mean=True for the mean over all of it"
        )
    free = [a for a in problem.inputs if not (isinstance(on, Faces) and a == on.letter)]
    of_shape = {problem.inputs[i] for i in problem.domain.of_shape}
    if len(set(letters)) < len(letters) or not set(letters) < set(free) or not letters:
        raise InputError(
            f"{which} is on means over {letters!r}, at each value of other inputs; name some but not all of "
            f"{', '.join(free)}, or write mean=True"
        )
    if of_shape and set(letters) & of_shape != of_shape:
        raise InputError(
            f"{which} is on means over {letters!r}, but the domain's shape is of "
            f"{', '.join(sorted(of_shape))}; name all of these"
        )


def _holds(problem: Problem, points: object) -> bool:
    """Whether these are points (n, d) of the domain."""
    return (
        isinstance(points, np.ndarray)
        and points.dtype.kind in "fiu"
        and points.shape[1:] == (problem.dimension,)
        and bool(len(points) and problem.domain.contains(points).all())
    )


def _check_unknowns(problem: Problem) -> None:
    names = [unknown.name for unknown in problem.unknowns]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice is not None:
        raise InputError(
            f"problem {problem.name!r}: has the unknown {twice!r} twice; name each once"
        )
    for name in names:
        if name in (*problem.inputs, *problem.fields) or name.partition("_")[0] in (
            *problem.fields,
            "normal",
        ):
            raise InputError(
                f"problem {problem.name!r}: the unknown {name!r} has the name of an input, a field or a "
                "derivative; call it otherwise"
            )


def _check_networks(problem: Problem) -> None:
    named = [name for network in problem.networks for name in network.fields]
    if problem.networks and sorted(named) != sorted(problem.fields):
        raise InputError(
            f"problem {problem.name!r}: its networks are of {', '.join(named) or 'nothing'}, its fields are "
            f"{', '.join(problem.fields)}; name each field in one of them"
        )
    for network in problem.networks:
        if not network.fields or not set(network.reads) <= set(problem.inputs):
            raise InputError(
                f"problem {problem.name!r}: a network of {', '.join(network.fields) or 'no field'} reads "
                f"{network.reads!r}; write letters of {problem.inputs!r}"
            )
        if network.reads and problem.features is not None:
            raise InputError(
                f"problem {problem.name!r}: its networks read the features; leave out what that of "
                f"{', '.join(network.fields)} reads, {network.reads!r}"
            )


def _check_data(problem: Problem, data: Measurements) -> None:
    which = f"problem {problem.name!r}: {data.name}"
    if data.points.shape[1] != problem.dimension:
        raise InputError(
            f"{which}: its points have {data.points.shape[1]} coordinates, the problem's inputs are "
            f"{', '.join(problem.inputs)}; give one for each"
        )
    inside = problem.domain.contains(data.points)
    if not inside.all():
        row = int(np.argmin(inside))
        where = ", ".join(f"{v:.6g}" for v in data.points[row])
        raise InputError(
            f"{which}: {int((~inside).sum())} of its {len(data.points)} points lie outside the domain "
            f"{problem.domain}, first point {row + 1} at ({where}); leave them out, or widen the domain"
        )
    _check_derivatives(problem, which, data.reads, f"{data.name}: ")
