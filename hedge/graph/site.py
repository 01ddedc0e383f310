"""One linear site of a graph."""

from __future__ import annotations

from dataclasses import dataclass

from hedge.graph.structures.factors import SiteMatrix


@dataclass(frozen=True)
class Site:
    """A linear site: reads tensor ``input`` (n, n_in), writes tensor ``output`` (n, n_out)."""

    name: str
    input: str
    output: str
    matrix: SiteMatrix
