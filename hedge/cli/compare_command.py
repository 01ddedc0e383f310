"""``hedge compare``: hedge beside the other ways to a small model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from hedge.cli.options import (
    Batches,
    Box,
    DeviceName,
    Json,
    ProblemName,
    Samples,
    SchedulerAddress,
    Seed,
    TimedSeconds,
    Tolerance,
    Workers,
    batches_of,
    file_argument,
    timed_seconds,
)


def compare(
    model: Annotated[Path, file_argument(help="A dense .onnx, from any tool.")],
    tolerance: Tolerance = 1e-3,
    device: DeviceName = "auto",
    batch: Batches = "1,1024",
    problem: ProblemName = None,
    domain: Box = None,
    samples: Samples = None,
    steps: Annotated[
        int, typer.Option(help="Steps for each method that trains, at most.")
    ] = 20_000,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which each of these ends early.")
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads of onnxruntime.")] = 1,
    seconds: TimedSeconds = 1.0,
    seed: Seed = 0,
    workers: Workers = 1,
    scheduler: SchedulerAddress = None,
    json: Json = False,
) -> None:
    """Set hedge beside SVD, pruning, int8, a table and a small network, each at its best.

    Every method looks for its smallest result within the tolerance. The small network is trained from
    scratch where the problem is known, and needs torch.
    """
    from hedge import api
    from hedge.benching import Effort
    from hedge.cli.comparison_table import print_comparison
    from hedge.cli.console import print_json, progress, warn

    batches = batches_of(batch)
    effort = Effort.of(timed_seconds(seconds))
    with progress() as on_progress:
        table = api.compare_methods(
            model, device=device, tolerance=tolerance, batches=batches, problem=problem,
            domain=domain, samples=samples, steps=steps, budget_s=budget, threads=threads, effort=effort,
            seed=seed, workers=workers, scheduler=scheduler, on_progress=on_progress,
        )  # fmt: skip
    if api.runtime_of(device) == "c":
        warn(f"times are of onnxruntime, predictions of C on {table.device}")
    if json:
        print_json({"model": str(model), **table.to_json()})
    else:
        print_comparison(str(model), table)
