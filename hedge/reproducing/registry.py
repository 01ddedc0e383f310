"""Every item of the paper, by id, in the paper's order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec

from hedge.errors import InputError
from hedge.reproducing import (
    construction,
    dependencies,
    energy,
    growing,
    latency,
    layers,
    stability,
    theorems,
    tradeoffs,
)
from hedge.reproducing.item import Item
from hedge.reproducing.materials import Materials

ITEMS: dict[str, Callable[[Materials], Item]] = {
    "def1": construction.definition,
    "alg1": construction.algorithm_1,
    "thm1": theorems.theorem_1,
    "thm2": theorems.theorem_2,
    "thm3": theorems.theorem_3,
    "cor1": theorems.corollary_1,
    "thm4": theorems.theorem_4,
    "thm5": theorems.theorem_5,
    "thm6": theorems.theorem_6,
    "secF": growing.section_f,
    "lem1": growing.lemma_1,
    "thm7": growing.theorem_7,
    "ex1": growing.example_1,
    "alg2": dependencies.algorithm_2,
    "thm8": dependencies.theorem_8,
    "thm9": dependencies.theorem_9,
    "ex2": dependencies.example_2,
    "alg3": energy.algorithm_3,
    "thm10": energy.theorem_10,
    "thm11": energy.theorem_11,
    "alg4": energy.algorithm_4,
    "ex3": energy.example_3,
    "ex4": energy.example_4,
    "exV": construction.section_5,
    "ex5": construction.example_5,
    "fig2a": tradeoffs.figure_2a,
    "fig2b": layers.figure_2b,
    "fig3a": tradeoffs.figure_3a,
    "fig3b": tradeoffs.figure_3b,
    "fig4": tradeoffs.figure_4,
    "fig5": layers.figure_5,
    "tab1": latency.table_1,
    "fig6": latency.figure_6,
    "fig7": stability.figure_7,
    "fig8": stability.figure_8,
}
TRAINED = frozenset({"secF", "lem1", "fig2b", "fig8"})
"""Items that train networks, and need torch."""
DRAWN = frozenset({
    "def1", "thm7", "alg2", "alg4", "ex4", "exV", "ex5", "fig2a", "fig2b", "fig3a", "fig3b", "fig4",
    "fig5", "fig6", "fig7", "fig8",
})  # fmt: skip
"""Items with figures, which need matplotlib."""


def chosen(ids: Sequence[str]) -> tuple[str, ...]:
    """The ids in the paper's order, each once; all of them if none is given.

    Raises InputError, with the known ids, for an unknown one.

    >>> chosen(["ex4", "ex1", "ex4"])
    ('ex1', 'ex4')
    """
    unknown = [id for id in ids if id not in ITEMS]
    if unknown:
        raise InputError(
            f"reproduce: {', '.join(map(repr, unknown))} is no item; known: {', '.join(ITEMS)}"
        )
    return tuple(id for id in ITEMS if not ids or id in ids)


def check_extras(ids: Sequence[str]) -> None:
    """Raise InputError, with the command that installs them, if items need packages not there."""
    needed = (("train", "torch", TRAINED), ("report", "matplotlib", DRAWN))
    missing = [(extra, package, [id for id in ids if id in those])
               for extra, package, those in needed if find_spec(package) is None]  # fmt: skip
    asked = [one for one in missing if one[2]]
    if asked:
        packages = " and ".join(package for _, package, _ in asked)
        extras = ",".join(extra for extra, _, _ in asked)
        items = ", ".join(id for id in ids if any(id in those for _, _, those in asked))
        raise InputError(
            f"reproduce: {packages} not installed; run pip install 'hedge-pinn[{extras}]', or leave "
            f"out {items}"
        )
