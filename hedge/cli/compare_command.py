"""``hedge compare``: hedge beside the other ways to a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hedge.cli.numbers import batches_of, timed_seconds


def compare(
    model: Annotated[Path, typer.Argument(help="A dense .onnx, from any tool.")],
    tolerance: Annotated[
        float, typer.Option(help="Relative L2 error of the output, in (0, 1).")
    ] = 1e-3,
    device: Annotated[
        str,
        typer.Option("--device", help="A profile's name or .toml file, or auto: this machine."),
    ] = "auto",
    batch: Annotated[str, typer.Option(help="Batches, separated by commas.")] = "1,1024",
    problem: Annotated[
        str | None, typer.Option(help="The problem or operator whose inputs to sample.")
    ] = None,
    domain: Annotated[
        str | None, typer.Option(help='The inputs\' box, for example "-1:1,0:1".')
    ] = None,
    samples: Annotated[Path | None, typer.Option(help="Inputs of your own, .npy (n, d).")] = None,
    steps: Annotated[
        int, typer.Option(help="Steps for each method that trains, at most.")
    ] = 10_000,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which each of these ends early.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of onnxruntime.")] = 1,
    seconds: Annotated[float, typer.Option(help="Timed seconds per model and batch.")] = 1.0,
    seed: Annotated[int, typer.Option(help="Seed of everything random.")] = 0,
    json: Annotated[
        bool, typer.Option("--json", help="Print one JSON document instead of text.")
    ] = False,
) -> None:
    """Set hedge beside SVD, pruning, int8, a table and a small network, each at its best.

    Every method looks for its smallest result within the tolerance. Recovery needs torch; so does the
    small network, trained from scratch where the problem is known.
    """
    from hedge import api
    from hedge.benching import Effort
    from hedge.cli.comparison_table import print_comparison
    from hedge.cli.console import print_json, progress

    batches = batches_of(batch)
    effort = Effort.of(timed_seconds(seconds))
    with progress() as on_progress:
        table = api.compare_methods(
            model, device=device, tolerance=tolerance, batches=batches, problem=problem,
            domain=domain, samples=samples, steps=steps, budget_s=budget, threads=threads, effort=effort,
            seed=seed, on_progress=on_progress,
        )  # fmt: skip
    if json:
        print_json({"model": str(model), **table.to_json()})
    else:
        print_comparison(str(model), table)
