"""The report: one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hedge.reporting.asking import asked, devices, provenance
from hedge.reporting.latency import bounds, distributions
from hedge.reporting.layers import layers
from hedge.reporting.maps import maps
from hedge.reporting.parts import Section
from hedge.reporting.results import comparisons, energy, results
from hedge.reporting.story import Story
from hedge.reporting.structure import structures
from hedge.reporting.summary import summary
from hedge.reporting.tradeoff import tradeoffs

TEMPLATES = Path(__file__).parent / "templates"
# In the order in which a reader asks.
SECTIONS: tuple[Callable[[Story], Section | None], ...] = (
    results,
    asked,
    devices,
    maps,
    structures,
    layers,
    tradeoffs,
    comparisons,
    distributions,
    bounds,
    energy,
    provenance,
)


def sections_of(story: Story) -> tuple[Section, ...]:
    """The sections for which there is something to tell."""
    return tuple(section for tell in SECTIONS if (section := tell(story)) is not None)


def page(story: Story) -> str:
    """The page as HTML. Equal stories give equal pages."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    return environment.get_template("page.html").render(
        summary=summary(story), sections=sections_of(story), style=style
    )
