"""The report: one HTML page that needs nothing beside it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from unicodedata import category

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from hedge.reporting.asking import asked, devices, provenance
from hedge.reporting.bounds import bounds
from hedge.reporting.contents import Contents
from hedge.reporting.glance import glance
from hedge.reporting.latency import distributions
from hedge.reporting.layers import layers
from hedge.reporting.maps import maps
from hedge.reporting.methods import methods
from hedge.reporting.parts import Section
from hedge.reporting.results import energy, results
from hedge.reporting.structure import structures
from hedge.reporting.summary import summary
from hedge.reporting.tradeoff import tradeoffs

TEMPLATES = Path(__file__).parent / "templates"
# In the order in which a reader asks.
SECTIONS: tuple[Callable[[Contents], Section | None], ...] = (
    glance,
    asked,
    results,
    maps,
    structures,
    layers,
    tradeoffs,
    methods,
    distributions,
    devices,
    bounds,
    energy,
    provenance,
)


def _sections_of(contents: Contents) -> tuple[Section, ...]:
    """The sections for which there is something to tell."""
    return tuple(section for tell in SECTIONS if (section := tell(contents)) is not None)


def page(contents: Contents) -> str:
    """The page as HTML. Equal contents give equal pages."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    style = (TEMPLATES / "style.css").read_text(encoding="utf-8")
    html = environment.get_template("page.html").render(
        summary=summary(contents), sections=_sections_of(contents), style=style
    )
    return _printable(html)


def _printable(text: str) -> str:
    """Names in files can hold control characters, which turn text around or are no UTF-8 at all."""
    return "".join(c if c == "\n" or category(c)[0] != "C" else "?" for c in text)
