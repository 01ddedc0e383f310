"""``hedge problems``: the gallery and the operators."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hedge.cli.console import print_table
from hedge.problems import GALLERY, LEAST_SENSORS, MOST_TRAINED, OPERATORS, Problem, template

OPERATOR_INPUTS = "n sensors"
LONGEST_DOMAIN, MOST_LETTERS = 40, 12
MOST_FIELDS = 4  # that are written out
SMALL = 4  # sensors, on an interval or on a square
TITLES = {name: operator(SMALL).title for name, operator in OPERATORS.items()}


def template_text() -> str:
    """A file with a problem of one's own, that can be trained as it stands."""
    return Path(template.__file__).read_text(encoding="utf-8")


def problem_document() -> dict[str, Any]:
    """What there is as JSON values."""
    return {
        "problems": [
            {
                "name": p.name,
                "title": p.title,
                "inputs": list(p.inputs),
                "fields": list(p.fields),
                "domain": str(p.domain),
                "unknowns": {u.name: [u.lower, u.upper] for u in p.unknowns},
                "measured_values": _measured_values(p),
                "layers": {"width": p.layers.width, "depth": p.layers.depth},
                "windows": p.windows,
            }
            for p in GALLERY.values()
        ],
        "operators": [
            {
                "name": name,
                "title": title,
                "inputs": OPERATOR_INPUTS,
                "least_sensors": LEAST_SENSORS,
                "most_sensors": MOST_TRAINED,
            }
            for name, title in TITLES.items()
        ],
    }


def _measured_values(problem: Problem) -> int:
    return sum(len(measured.values) for measured in problem.data)


def _inputs(problem: Problem) -> str:
    """Their letters, or the first and the last and how many there are."""
    letters = problem.inputs
    if len(letters) <= MOST_LETTERS:
        return letters
    return f"{letters[:3]} … {letters[-1]} ({len(letters)})"


def _domain(problem: Problem) -> str:
    """As text, of shapes with many parts their beginning: the JSON document has all of it."""
    text = str(problem.domain)
    return text if len(text) <= LONGEST_DOMAIN else f"{text[: LONGEST_DOMAIN - 2]} …"


def networks(problem: Problem) -> str:
    """The layers that suit it, and how many networks of them where each has a window of time."""
    several = f"{problem.windows} of " if problem.windows > 1 else ""
    return f"{several}{problem.layers}"


def _fields(problem: Problem) -> str:
    """Their names, of many the first and the last."""
    names = problem.fields
    if len(names) <= MOST_FIELDS:
        return ", ".join(names)
    return f"{names[0]}, {names[1]}, … {names[-1]}"


def print_problems() -> None:
    """A table of the problems, and one of the operators."""
    rows = [
        [
            p.name,
            p.title,
            _inputs(p),
            _fields(p),
            ", ".join(u.name for u in p.unknowns) or "–",
            str(_measured_values(p) or "–"),
            networks(p),
            _domain(p),
        ]
        for p in GALLERY.values()
    ]
    heads = [
        "name",
        "problem",
        "inputs",
        "fields",
        "unknowns",
        "measured values",
        "network",
        "domain",
    ]
    print_table("Problems", heads, rows, prose={"problem"})
    print_table(
        f"Operators (n = {LEAST_SENSORS} to {MOST_TRAINED} sensors, hedge train NAME --sensors n)",
        ["name", "operator", "inputs"],
        [[name, title, OPERATOR_INPUTS] for name, title in TITLES.items()],
        prose={"operator"},
    )
