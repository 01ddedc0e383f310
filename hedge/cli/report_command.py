"""``hedge report``: what was found, as one page."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from hedge.cli.options import Force, Json, file_argument, file_option


def report(
    runs: Annotated[
        list[Path],
        file_argument(
            help="Compressed models, .onnx files, results of bench --out and compare --json."
        ),
    ],
    out: Annotated[Path, file_option(help="The .html file to write.")],
    force: Force = False,
    json: Json = False,
) -> None:
    """Write one HTML page about models, bench results and comparisons, for people to look at."""
    from hedge import api
    from hedge.cli.console import print_json, progress, say

    with progress() as on_progress:
        api.report(runs, out, force=force, on_progress=on_progress)
    size = out.stat().st_size
    if json:
        print_json({"out": str(out), "bytes": size})
    else:
        say(f"{out}: one page of {size} bytes, needs nothing else")
