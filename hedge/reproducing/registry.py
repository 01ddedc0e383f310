"""Every item of the paper, by id, in the paper's order."""

from __future__ import annotations

from collections.abc import Sequence
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

_MODULES = (
    construction, dependencies, energy, growing, latency, layers, stability, theorems, tradeoffs
)  # fmt: skip
_ORDER = (
    "def1", "alg1", "thm1", "thm2", "thm3", "cor1", "thm4", "thm5", "thm6", "secF", "lem1", "thm7",
    "ex1", "alg2", "thm8", "thm9", "ex2", "alg3", "thm10", "thm11", "alg4", "ex3", "ex4", "exV", "ex5",
    "fig2a", "fig2b", "fig3a", "fig3b", "fig4", "fig5", "tab1", "fig6", "fig7", "fig8",
)  # fmt: skip
_MADE = {id: make for module in _MODULES for id, make in module.ITEMS.items()}
ITEMS = {id: _MADE[id] for id in _ORDER}
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
