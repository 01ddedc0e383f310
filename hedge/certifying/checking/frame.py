"""What is around boxes: the domain, order, unit and errors that a certificate was made with."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.certifying.certificate import Difference, Solution
from hedge.certifying.checking.functions import FLOAT32
from hedge.certifying.checking.nodes import Graph
from hedge.certifying.checking.proving import Figures
from hedge.certifying.checking.tiling import Whole
from hedge.errors import InputError

SINGLE = 2.0**-24
MOST_MONOMIALS = 1000
MOST_BOXES = 2**22  # what norms.py allows for


def check_frame(part: Difference | Solution, graphs: Sequence[Graph], deployed: Graph) -> None:
    """Raise InputError unless domain, order, unit and errors are such as these models need."""
    dimension = len(part.domain)
    for graph in graphs:
        if graph.dimension != dimension:
            raise InputError(
                f"domain: has {dimension} variable(s), {graph.name} {graph.dimension} input(s)"
            )
    for variable, ends in enumerate(part.domain):
        if not (all(math.isfinite(end) for end in ends) and ends[0] < ends[1]):
            raise InputError(f"domain: variable {variable} has no width")
    order = part.order
    if not 1 <= order <= 12 or math.comb(order + 1 + dimension, dimension) > MOST_MONOMIALS:
        raise InputError(f"order: {order} can't be checked in {dimension} variable(s)")
    if not SINGLE <= part.unit < 1.0:
        raise InputError(f"unit: {part.unit:g} is not that of float32, {SINGLE:g}")
    used = {node.op_type for node in deployed.model.graph.node}
    for name in sorted(used & set(FLOAT32)):
        given, least = part.errors.get(name, (0.0, 0.0)), FLOAT32[name]
        if not all(
            np.isfinite(g) and g >= at_least for g, at_least in zip(given, least, strict=True)
        ):
            raise InputError(f"errors: {name} is assumed closer than {least}, which was measured")


def check_tables(stated: Figures) -> None:
    """Raise InputError for bounds that are none."""
    for table in (stated.largest, stated.square, stated.least_square):
        if not np.isfinite(table).all() or (table < 0.0).any():
            raise InputError("boxes: a bound is negative or not finite")


def shares_of(levels: Whole) -> Array:
    """Of the domain's volume, exact. Raises InputError for boxes too small for it, or too many to add up."""
    if len(levels) >= MOST_BOXES:
        raise InputError(
            f"boxes: are {len(levels)}, of which sums may be off by more than is allowed for"
        )
    halvings = levels.sum(axis=1)
    if halvings.max() > 900:
        raise InputError(f"box {int(halvings.argmax())}: is too small to compute with")
    return np.asarray(np.ldexp(1.0, -halvings))


def orders(part: Difference | Solution) -> list[int]:
    """Orders of polynomials to try, one below the certificate's to one above."""
    return [each for each in (part.order - 1, part.order, part.order + 1) if each > 1]
