"""``hedge reproduce``: the paper's items, its figures beside ours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hedge.cli.options import Json, Seed, file_option

if TYPE_CHECKING:
    from hedge.reproducing import Item
    from hedge.reproducing.item import Value

COLUMNS = ["id", "what", "paper", "hedge", "agrees?", "why"]
ANSWERS = {True: "yes", False: "no", None: "-"}
INTERRUPTED = 130  # what shells give for Ctrl-C


def reproduce(
    out: Annotated[Path, file_option(help="The folder to write results and figures into.")],
    ids: Annotated[
        list[str] | None, typer.Argument(metavar="ID", help="Items; all without any.")
    ] = None,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer points, shorter trainings and timings.")
    ] = False,
    seed: Seed = 0,
    force: Annotated[
        bool, typer.Option("--force", help="Replace results that are in the folder.")
    ] = False,
    json: Json = False,
) -> None:
    """Reproduce the paper's definitions, theorems, algorithms, examples, figures and table.

    From real runs on trained networks. Ids are def1, alg1–4, thm1–11, cor1, lem1, secF, ex1–5, exV,
    fig2a–8 and tab1. Ctrl-C keeps the items that are finished.
    """
    from hedge import api, reproducing
    from hedge.cli.console import print_json, print_table, progress, say, warn

    asked = reproducing.chosen(ids or [])
    reproducing.check_extras(asked)
    reproducing.check_folder(out, force=force)
    materials = reproducing.Materials(api.reference_models(), quick, seed)
    items: list[Item] = []
    interrupted = False
    try:
        with progress() as on_progress:
            for id in asked:
                on_progress(f"reproducing {id}")
                items.append(reproducing.ITEMS[id](materials))
    except KeyboardInterrupt:
        interrupted = True
    finally:
        if items:
            reproducing.write_results(out, items, asked, materials, force=force)
    if interrupted and not items:
        warn("interrupted: no item is finished, nothing is written")
        raise typer.Exit(INTERRUPTED)
    if json:
        print_json(reproducing.document(items, asked, materials))
    else:
        size = "quick run: fewer points, shorter trainings" if quick else "full run"
        rows = [line for item in items for line in _lines(item)]
        print_table(f"The paper beside hedge ({size}, seed {seed})", COLUMNS, rows,
                    prose={*COLUMNS})  # fmt: skip
        say(f"{out}: figures, and all numbers in {reproducing.RESULTS}")
    if interrupted:
        warn(f"interrupted: {len(items)} of {len(asked)} items are in {out}")
        raise typer.Exit(INTERRUPTED)


def _lines(item: Item) -> Sequence[list[str]]:
    return [
        [
            item.id,
            claim.what,
            shown(claim.paper, claim.unit),
            shown(claim.hedge, claim.unit),
            ANSWERS[claim.agrees],
            claim.why,
        ]
        for claim in item.claims
    ]


def shown(value: Value, unit: str = "") -> str:
    """A value as a table shows it: four digits and its unit.

    >>> shown(0.123456, "s"), shown(None), shown("1 to 2")
    ('0.1235 s', '-', '1 to 2')
    """
    if value is None:
        return "-"
    text = value if isinstance(value, str) else f"{value:.4g}"
    return f"{text} {unit}".rstrip()
