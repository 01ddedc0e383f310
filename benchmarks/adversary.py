"""Training on where a certificate is worst: what is proved of the residual before, and after more steps.

Each network is trained, certified, and trained for some steps more: as usual, and with half of the points
in the boxes whose bound is large. Given are geometric means over the seeds. The last row goes on from a
model that comes with hedge.

    OMP_NUM_THREADS=1 python benchmarks/adversary.py [SEEDS]
"""

from __future__ import annotations

import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

import hedge
from hedge.arrays import Array

SEEDS = 5


@dataclass(frozen=True)
class Row:
    """A network of ``depth`` x ``width`` after ``steps``, or a shipped one (no steps), and what follows."""

    problem: str
    width: int
    depth: int
    steps: int | None
    more: int


ROWS = (
    Row("heat", 16, 2, 300, 300),
    Row("heat", 16, 2, 3000, 600),
    Row("poisson", 12, 2, 300, 300),
    Row("heat", 64, 3, None, 40),
)


def proved(model: Path, problem: str) -> tuple[float, float]:
    """Bounds of max|r| and of its rms; the certificate lies beside the model."""
    out = model.with_suffix(".certificate.json")
    (found,) = hedge.certify(model, problem=problem, out=out, force=True).solutions
    return found.residual.largest, found.residual.rms


def bounds_of(row: Row, seed: int, folder: Path) -> list[tuple[float, float]]:
    """Before, after steps as usual, and after steps on the worst boxes."""
    start = folder / "start.onnx"
    if row.steps is None:
        shutil.copy(hedge.reference_models()[row.problem], start)
    else:
        hedge.train(
            row.problem, start, width=row.width, depth=row.depth, seed=seed, max_steps=row.steps,
            force=True,
        )  # fmt: skip
    bounds = [proved(start, row.problem)]
    for worst in (None, start.with_suffix(".certificate.json")):
        out = folder / "further.onnx"
        shutil.copy(start, out)
        hedge.train(row.problem, out, seed=seed, max_steps=row.more, resume=True, worst=worst)
        bounds.append(proved(out, row.problem))
    return bounds


def geometric_mean(bounds: list[list[tuple[float, float]]]) -> Array:
    return np.asarray(np.exp(np.log(np.array(bounds)).mean(axis=0)))


def main() -> None:
    seeds = int(sys.argv[1]) if len(sys.argv) > 1 else SEEDS
    columns = [
        f"{what}, {when}"
        for what in ("max|r| <=", "rms <=")
        for when in ("before", "as usual", "--worst")
    ]
    table = Table("network", "steps, then", *columns, "lower max with --worst")
    with tempfile.TemporaryDirectory() as folder:
        for row in ROWS:
            runs = range(seeds if row.steps is not None else 1)
            bounds = [bounds_of(row, seed, Path(folder)) for seed in runs]
            means = geometric_mean(bounds)
            wins = sum(worst[0] < usual[0] for _, usual, worst in bounds)
            table.add_row(
                f"{row.problem}, {row.depth} x {row.width}",
                f"{row.steps or 'shipped'}, {row.more}",
                *(f"{bound:.2e}" for bound in means.T.ravel()),
                f"{wins} of {len(bounds)}",
            )
    Console(width=160).print(table)


if __name__ == "__main__":
    main()
