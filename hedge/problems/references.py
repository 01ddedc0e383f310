"""Reference solutions as they are given, called and checked."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from hedge.arrays import Array
from hedge.errors import InputError
from hedge.problems.calls import called
from hedge.problems.problem import Solvable


def reference_of(problem: Solvable | None) -> Callable[[Array], Array] | None:
    """The reference of a problem, None where there is none: inputs (n, d) to outputs (n, m).

    It raises InputError, with the problem's name, if what the problem's own function returns is not that,
    not finite, or if it raises.

    >>> from hedge.problems import find_problem
    >>> reference_of(find_problem("heat"))(np.array([[0.5, 0.0]]))
    array([[0.5]])
    """
    given = None if problem is None else problem.reference
    if problem is None or given is None:
        return None
    name, outputs = problem.name, problem.outputs

    def checked(inputs: Array) -> Array:
        found = called(f"problem {name!r}: its reference", given, inputs)
        expected = (len(inputs), outputs)
        shape = getattr(found, "shape", type(found).__name__)
        if not isinstance(found, np.ndarray) or shape != expected:
            raise InputError(
                f"problem {name!r}: its reference returned {shape} for points {inputs.shape}; it must return "
                f"an array {expected}"
            )
        if found.dtype.kind not in "fiu":
            raise InputError(
                f"problem {name!r}: its reference returned numbers of {found.dtype}; it must return float64 "
                "(a complex solution is two fields)"
            )
        if not np.isfinite(found).all():
            row, column = np.argwhere(~np.isfinite(found))[0]
            where = ", ".join(f"{v:.3g}" for v in inputs[row])
            raise InputError(
                f"problem {name!r}: its reference{_of(problem, column)} is not finite at ({where:.200}); "
                "check it"
            )
        return found.astype(np.float64)

    return checked


def values_to_compare(problem: Solvable, inputs: Array) -> Array:
    """What the reference has at inputs (n, d) all over the domain: (n, m), no field of it zero everywhere.

    Raises InputError, with the problem and the field, for one that is: no error is relative to that; and
    where there is no reference.
    """
    reference = reference_of(problem)
    if reference is None:
        raise InputError(f"problem {problem.name!r} has no reference solution to compare with")
    found = reference(inputs)
    sizes = np.abs(found).max(axis=0).reshape(len(problem.fields), -1).max(axis=1)
    if not sizes.all():
        column = int(np.argmin(sizes)) * (found.shape[1] // len(problem.fields))
        raise InputError(
            f"problem {problem.name!r}: its reference{_of(problem, column)} is zero everywhere, and no error "
            "can be relative to that; check it, leave the field out, or give no reference"
        )
    return found


def _of(problem: Solvable, column: int) -> str:
    """The field that a column is part of, where there are several."""
    fields = problem.fields
    return f" of {fields[column * len(fields) // problem.outputs]}" if len(fields) > 1 else ""
