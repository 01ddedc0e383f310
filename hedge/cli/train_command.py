"""``hedge train``: a problem of the gallery, or an operator, as a dense .onnx."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from hedge.cli.options import IN_FILE, Force, Json, OnnxOut, Seed, file_option
from hedge.documents import finite
from hedge.errors import InputError
from hedge.files import check_distinct

if TYPE_CHECKING:
    from hedge.training import OperatorResult, TrainingResult

OF_POINTS = [
    "width", "depth", "method", "sampling", "precision", "accelerator", "grow", "worst", "windows"
]  # fmt: skip


def train(
    context: typer.Context,
    problem: Annotated[
        str, typer.Argument(help=f"A problem or an operator (hedge problems). {IN_FILE}")
    ],
    out: OnnxOut,
    sensors: Annotated[
        str | None,
        typer.Option(help="Of an operator's grid, required there; 2 to 4096, or 2x2 to 64x64."),
    ] = None,
    width: Annotated[
        int | None,
        typer.Option(
            help="Neurons per hidden layer; if not given what suits the problem (1,000 in one layer for "
            "least-squares), or what is resumed."
        ),
    ] = None,
    depth: Annotated[
        int | None,
        typer.Option(
            help="Hidden layers; if not given what suits the problem, or what is resumed."
        ),
    ] = None,
    seed: Seed = 0,
    steps: Annotated[
        int | None, typer.Option(help="Steps to train for, at most; they make a run repeatable.")
    ] = None,
    budget: Annotated[
        float | None,
        typer.Option(help="Seconds to train for, at most; 120 where no --steps are given."),
    ] = None,
    method: Annotated[
        Literal[
            "auto", "levenberg", "ssbroyden", "ssbfgs", "bfgs", "lbfgs", "adam", "least-squares"
        ],
        typer.Option(
            help="The optimiser; auto picks by size and changes when progress stalls, least-squares solves "
            "for the last layer over random neurons."
        ),
    ] = "auto",
    sampling: Annotated[
        Literal["residual", "sobol", "attention"],
        typer.Option(
            help="New points where the residual is large, new points, or weighted points."
        ),
    ] = "residual",
    precision: Annotated[
        Literal["float64", "float32"] | None,
        typer.Option(
            help="Of the arithmetic and the file; if not given, a float32 file computed in float64."
        ),
    ] = None,
    accelerator: Annotated[
        Literal["auto", "cpu", "cuda"], typer.Option(help="auto takes CUDA where there is one.")
    ] = "auto",
    grow: Annotated[
        bool, typer.Option("--grow", help="Add neurons where progress stalls (paper, section F).")
    ] = False,
    worst: Annotated[
        Path | None,
        file_option(help="Draw half of the points where this certificate's bound is large."),
    ] = None,
    windows: Annotated[
        int | None,
        typer.Option(
            help="Parts of the time t with a network each; if not given as many as suit the problem."
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Go on from the checkpoint or, without one, from the model."),
    ] = False,
    log: Annotated[
        Path | None, file_option(help="Write one JSON object per cycle to this file as it goes.")
    ] = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Train a PINN on a problem's residual and write a dense .onnx (needs torch).

    Ctrl-C ends with the best network so far and leaves a checkpoint; --resume goes on from it, or from a
    finished model: with --worst on points where hedge certify --problem found the residual large. An
    operator, trained on the energy of random sources, takes of the choices of training --sensors, --seed,
    --steps and --budget only, and goes on from a checkpoint only.
    """
    from hedge import api
    from hedge.cli.training_progress import training_reports
    from hedge.problems import OPERATORS, sensors_of

    is_operator = problem in OPERATORS
    if log is not None and worst is not None:
        check_distinct(log, worst)
    _check_options(context, problem, sensors, is_operator=is_operator)
    result: TrainingResult | OperatorResult
    with training_reports(budget, log, out, resume=resume, force=force) as on_record:
        if sensors is not None:
            nodes = sensors_of(problem, sensors)
            result = api.train_operator(
                problem, out, sensors=nodes, seed=seed, budget_s=budget, max_steps=steps,
                resume=resume, force=force, on_cycle=on_record,
            )  # fmt: skip
            own: dict[str, object] = {"sensors": nodes}
        else:
            result = api.train(
                problem, out, width=width, depth=depth, seed=seed, method=method,
                sampling=sampling, precision=precision, accelerator=accelerator, grow=grow,
                budget_s=budget, max_steps=steps, worst=worst, windows=windows, resume=resume, force=force,
                on_cycle=lambda state, record: on_record(record),
            )  # fmt: skip
            growths = [growth.as_dict() for growth in result.growths]
            own = {
                "widths": result.network.widths,
                "windows": len(result.networks),
                "growths": growths,
            }
    _tell(out, result, own, json=json)


def _tell(
    out: Path,
    result: TrainingResult | OperatorResult,
    own: Mapping[str, object],
    *,
    json: bool,
) -> None:
    """What a training gave; ``own`` is what only those of its kind have."""
    from hedge.cli.console import print_json, say, warn
    from hedge.cli.training_progress import by_field

    reached = f"held-out loss {result.held_out_loss:.2e}"
    if result.relative_l2 is not None:
        reached = f"relative L2 error {result.relative_l2:.2e}{by_field(result)}"
    found = getattr(result, "found", {})  # of an operator nothing is unknown, and nothing measured
    misfits = getattr(result, "misfits", ())
    missed = getattr(result, "missed", {})
    left = getattr(result, "windows_left", 0)
    untrained = f", without {left} of its time windows" if left else ""
    if result.stopped == "interrupted":
        raise InputError(
            f"train: interrupted; {out} is the best network so far ({reached}){untrained}, and the same "
            "command with --resume goes on"
        )
    if result.stopped == "diverged":
        kept = "last good" if math.isfinite(result.held_out_loss) else "untrained"
        warn(f"the loss is no longer finite; {out} is the {kept} network{untrained}")
    elif result.converged is False and not misfits:  # else the readings' errors bound it from below
        warn(f"not converged: {reached}; raise --steps or --budget")
    for misfit in misfits:
        if misfit.is_large:
            warn(
                f"{misfit}, which errors of that size would not give; raise --steps, or something in the "
                "equations or the deviations is wrong, and so may be what was found"
            )
    for name, each in found.items():
        if each.at_bound:
            warn(
                f"{name} is at a bound of what it may be, {each.value:g}, which decided; widen its "
                "bounds, or measure what depends on it"
            )
    if json:
        print_json(
            {
                "out": str(out),
                "relative_l2": finite(result.relative_l2),
                "by_field": finite(getattr(result, "by_field", {})),
                "unknowns": {name: each.model_dump() for name, each in found.items()},
                "misfits": {each.name: finite(each.rms) for each in misfits},
                "missed": finite(missed),
                "held_out_loss": finite(result.held_out_loss),
                "parameters": result.parameters,
                "steps": result.steps,
                "seconds": result.seconds,
                "stopped": result.stopped,
                "converged": result.converged,
                **own,
                "history": [record.as_dict() for record in result.history],
            }
        )
    else:
        say(
            f"{out}: {reached} after {result.steps} steps and "
            f"{result.seconds:.0f} s (stopped by {result.stopped}), {result.parameters} parameters"
            + "".join(f"\n{name} = {each}" for name, each in found.items())
            + "".join(f"\n{each}" for each in misfits)
            + "".join(f"\n{name}: missed by {rms:.2e} (rms)" for name, rms in missed.items())
        )


def _check_options(
    context: typer.Context, problem: str, sensors: str | None, *, is_operator: bool
) -> None:
    """Raise InputError for options of networks of points with an operator, or the other way round."""
    from hedge.problems import chosen_problem

    if not is_operator:
        if sensors is not None:
            name = chosen_problem(problem).name
            raise InputError(f"train: {name} is no operator and takes no --sensors; leave out")
        return
    given = [f"--{name}" for name in OF_POINTS if _is_given(context, name)]
    if given:
        options = ", ".join(given)
        raise InputError(f"train: {problem} is an operator, which takes no {options}; leave out")
    if sensors is None:
        raise InputError(f"sensors: not given; {problem} needs a grid, for example --sensors 1024")


def _is_given(context: typer.Context, name: str) -> bool:
    source = context.get_parameter_source(name)
    return source is not None and source.name == "COMMANDLINE"
