"""Options that several commands share, and how their values are read."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_type_hints

import typer

from hedge.errors import InputError, quoted
from hedge.request import Request, options_of


def file_argument(help: str) -> Any:
    """An argument that names files: if one can't be read, hedge says so as of any bad input."""
    return typer.Argument(help=help, readable=False)


def file_option(*, help: str, metavar: str | None = None) -> Any:
    """An option that does."""
    return typer.Option(help=help, metavar=metavar, readable=False)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of text.")]
Force = Annotated[bool, typer.Option("--force", help="Overwrite what is there.")]
Seed = Annotated[int, typer.Option(help="Seed of everything random.")]
DeviceName = Annotated[
    str, typer.Option("--device", help="A profile's name or .toml file, or auto: this machine.")
]
Batches = Annotated[str, typer.Option(help="Batches, separated by commas.")]
TimedSeconds = Annotated[float, typer.Option(help="Timed seconds per model and batch.")]
OnnxOut = Annotated[Path, file_option(help="The .onnx file to write.")]

IN_FILE = "FILE.py:NAME is yours, and runs that file."
ProblemName = Annotated[
    str | None, typer.Option(help=f"The problem or operator whose inputs to sample. {IN_FILE}")
]
Box = Annotated[
    str | None,
    typer.Option(
        help='The inputs\' box, "-1:1,0:1"; "-1:1" for all alike; or a shape for the first ones, as in '
        '"rectangle(0 0, 2 1) - disc(0.5 0.5, 0.2), 0:1".'
    ),
]
Samples = Annotated[
    Path | None,
    file_option(help="Inputs of your own: .npy (n, d), or .npz with an array for each input."),
]
Workers = Annotated[int, typer.Option(help="Processes of this machine to spread the work over.")]
SchedulerAddress = Annotated[
    str | None,
    typer.Option(
        "--scheduler", help="Spread it over the workers of this Dask scheduler: tcp://host:8786."
    ),
]
Tolerance = Annotated[float, typer.Option(help="Relative L2 error of the output, in (0, 1).")]

LONGEST_TIMING_S = 3600.0


def with_options_of(request: type[Request]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Gives a command an option for every one of a request, in place of its ``**asked``."""

    def given(command: Callable[..., None]) -> Callable[..., None]:
        @wraps(command)
        def run(**values: Any) -> None:
            command(**values)

        hints = get_type_hints(command, include_extras=True)
        own = [
            parameter.replace(kind=Parameter.KEYWORD_ONLY, annotation=hints[name])
            for name, parameter in signature(command).parameters.items()
            if parameter.kind != Parameter.VAR_KEYWORD
        ]
        needed = [one for one in own if one.default is Parameter.empty]
        others = [one for one in own if one not in needed]
        parameters = [*needed, *_options_of(request), *others]
        run.__annotations__ = {one.name: one.annotation for one in parameters}
        vars(run)["__signature__"] = Signature(parameters)
        return run

    return given


def _options_of(request: type[Request]) -> list[Parameter]:
    types = get_type_hints(request)
    found = []
    for one in options_of(request):
        names = [f"--{one.name.replace('_', '-')}"] if types[one.name] is bool else []
        option = typer.Option(*names, help=one.metadata["help"])
        type_ = str | None if one.metadata.get("text") else types[one.name]
        kind = Annotated[type_, option]  # type: ignore[valid-type]
        found.append(
            Parameter(one.name, Parameter.KEYWORD_ONLY, default=one.default, annotation=kind)
        )
    return found


def batches_of(text: str) -> list[int]:
    """Batches separated by commas.

    Raises InputError if one is not a whole number.

    >>> batches_of("1,1024")
    [1, 1024]
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise InputError(
            f"batch: {quoted(text)} is not whole numbers; write for example 1,1024"
        ) from None


def timed_seconds(value: float) -> float:
    """The seconds to time a model for, if they are between 0 and an hour; else raises InputError."""
    if not 0.0 < value <= LONGEST_TIMING_S:
        raise InputError(f"seconds: {value:g} is not between 0 and {LONGEST_TIMING_S:g}")
    return value
