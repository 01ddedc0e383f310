"""Networks of their own for some of a problem's fields, such as a coefficient that depends on x alone."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Subnetwork:
    """A network of its own for these fields, as deep and wide as those of the others.

    reads are the letters of the inputs that it depends on, all of them if not given.

    >>> Subnetwork(("kappa",), reads="x").fields
    ('kappa',)
    """

    fields: tuple[str, ...]
    reads: str = ""
