"""How far outputs are from a reference: of all fields together, and of each where there are several."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from hedge.arrays import Array


@dataclass(frozen=True)
class FieldErrors:
    """Relative L2 errors: of all outputs together and, where there are several fields, of each by name.

    That of a field whose reference is zero everywhere is infinite.
    """

    relative_l2: float
    by_field: Mapping[str, float]


def field_errors(found: Array, reference: Array, fields: Sequence[str]) -> FieldErrors:
    """Those of outputs (n, m) of which each field has as many columns as the others.

    >>> field_errors(np.array([[1.0, 2.0]]), np.array([[1.0, 1.0]]), ("u", "v")).by_field
    {'u': 0.0, 'v': 1.0}
    """
    parts = zip(
        fields,
        np.split(found, len(fields), axis=1),
        np.split(reference, len(fields), axis=1),
        strict=True,
    )
    of_each = {name: _relative(mine, theirs) for name, mine, theirs in parts}
    return FieldErrors(_relative(found, reference), of_each if len(of_each) > 1 else {})


def _relative(found: Array, reference: Array) -> float:
    error, size = float(np.linalg.norm(found - reference)), float(np.linalg.norm(reference))
    return error / size if size > 0.0 else math.inf
