"""``python -m tests.fuzz --inputs 10000 --seed 1``: run altered files; exit code 1 if one is a fault."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

from tests.fuzz.running import KINDS, SHARES, Input, fuzz, inputs


def main() -> int:
    """Print every fault as it is found, then how many inputs of each kind came to what."""
    options = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    options.add_argument("--inputs", type=int, default=10_000)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--kind", choices=KINDS)
    options.add_argument("--number", type=int, help="one input alone, by what its fault printed")
    options.add_argument("--all", action="store_true", help="print what came of each input")
    given = options.parse_args()
    wanted = inputs(given.inputs, given.seed, given.kind)
    if given.number is not None:
        wanted = [Input(given.kind, given.seed, given.number)]
    counts: Counter[tuple[str, str]] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        for verdict in fuzz(wanted, Path(folder)):
            one = verdict.input
            counts[one.kind, verdict.found] += 1
            if verdict.found == "fault" or given.all:
                print(
                    f"--kind '{one.kind}' --seed {one.seed} --number {one.number}: {verdict.about}"
                )
                sys.stdout.flush()
    for kind in SHARES:
        found = {what: counts[kind, what] for what in ("accepted", "refused", "fault")}
        print(kind, *(f"{count} {what}" for what, count in found.items()), sep=", ")
    return int(any(what == "fault" for _, what in counts))


if __name__ == "__main__":
    sys.exit(main())
