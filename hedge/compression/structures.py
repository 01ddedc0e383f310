"""The structures that a site may have: one entry each, by which plans are read and compress finds them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass, fields
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from hedge.arrays import Array
from hedge.compression.blocks import block_fits
from hedge.compression.hierarchies import hierarchy_fits
from hedge.compression.seen import Seen
from hedge.errors import quoted
from hedge.graph import BlockLayout, Factors, Form, Hierarchy, Matrix, Partition, Structure

Fits = Callable[[Seen, Array, float], Iterable[tuple[Matrix, float]]]
"""(what W reads and writes, metric, enough) -> matrices with bias 0 and their squared errors.

As for :class:`hedge.compression.target.SiteTarget`.
"""


@dataclass(frozen=True)
class Entry:
    """A structure, and what finds the candidates of it for a site if compress is to choose among them."""

    structure: type[Structure]
    fits: Fits | None = None


STRUCTURES: tuple[Entry, ...] = (
    Entry(Factors),  # of which every rank is tried, see site_choice.py
    Entry(BlockLayout, block_fits),
    Entry(Hierarchy, hierarchy_fits),
    Entry(Partition),  # what the paper's algorithms make
)

SIDES = {"outputs", "inputs"}
# Keys that a site has always had in plans, None where its structure has no such field.
WRITTEN = ("rank", "leaves", "tree")


def structure_keys() -> set[str]:
    """The keys of a site in a plan that describe a structure."""
    return {field.name for entry in STRUCTURES for field in fields(entry.structure)}


def structure_from(record: Mapping[str, Any]) -> Structure:
    """The structure whose fields are the keys that are not None.

    Raises ValueError (pydantic's of a value out of bounds) where no structure has such fields.
    """
    given = {key: value for key, value in record.items() if value is not None}
    for entry in STRUCTURES:
        own = fields(entry.structure)
        needed = {field.name for field in own if field.default is MISSING}
        if needed - SIDES <= given.keys() - SIDES <= {field.name for field in own} - SIDES:
            found: Structure = _adapter(entry.structure).validate_python(given)
            found.check()
            return found
    raise ValueError(
        f"{', '.join(sorted(given.keys() - SIDES))} describe no structure: leaves need a rank, and no "
        "tree beside them"
    )


_adapter = cache(TypeAdapter[Structure])


def known_form(form: Form) -> Form:
    """The same; raises ValueError where no structure has such a form."""
    known = {name for entry in STRUCTURES for name in entry.structure.FORMS}
    if form not in known:
        raise ValueError(f"{quoted(form)} is no form: give one of {', '.join(sorted(known))}")
    return form


def record_of(structure: Structure) -> dict[str, Any]:
    """The keys of a plan for it; raises TypeError for one that no entry would read again."""
    if all(type(structure) is not entry.structure for entry in STRUCTURES):
        raise TypeError(f"{type(structure).__name__} has no entry in STRUCTURES")
    sides = {"outputs": structure.outputs, "inputs": structure.inputs}
    own = {field.name: getattr(structure, field.name) for field in fields(structure)}
    return sides | dict.fromkeys(WRITTEN) | own
