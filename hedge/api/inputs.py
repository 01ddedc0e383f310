"""What a model is run on: its problem, the points of its inputs, the device it is for."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from onnx import ModelProto

from hedge.benching import this_machine
from hedge.compression import (
    FRESH_POINTS,
    PointSets,
    check_functions_differ,
    points_of_arrays,
    points_of_domain,
    points_of_file,
    points_of_sources,
)
from hedge.devices import AUTO, Device, find_profile
from hedge.errors import InputError, UnstableProfileWarning, quoted
from hedge.files import check_distinct
from hedge.graph import (
    SplitModel,
    as_found,
    check_fields,
    check_room,
    files_of,
    grid_of,
    input_dimension,
    input_widths,
    metadata,
    run_float32,
)
from hedge.problems import (
    GALLERY,
    OPERATORS,
    Domain,
    OperatorProblem,
    Problem,
    Solvable,
    chosen_problem,
    parse_domain,
)
from hedge.progress import Progress, silent

# Of so many rows a graph that mixes them makes far more numbers than one that does not.
ROWS_THAT_SHOW_MIXING = 16_384


def check_not_read(out: Path, inputs: Sequence[Path], device: Device | str | None = None) -> None:
    """Raise OutputError if ``out`` is a file that is read: an input, its weights, or the device's profile."""
    if not out.exists():
        return  # and large models are not parsed for nothing
    read = [file for path in inputs for file in files_of(path)]
    if isinstance(device, str) and device.endswith(".toml"):
        read.append(Path(device))
    check_distinct(out, *read)


def find_device(name: str, on_progress: Progress = silent) -> Device:
    """A shipped profile by name, a profile file by path, or this machine for ``"auto"``."""
    return this_machine(on_progress) if name == AUTO else find_profile(name)


def chosen_device(device: Device | str, on_progress: Progress = silent) -> Device:
    """The device that predictions are made for; warns if it is unstable."""
    found = find_device(device, on_progress) if isinstance(device, str) else device
    warn_if_unstable(found)
    return found


def runtime_of(device: str) -> str:
    """The runtime of a device by name or file; ``"auto"`` is not calibrated for that."""
    return "onnxruntime" if device == AUTO else find_profile(device).runtime.name


def warn_if_unstable(device: Device) -> None:
    """Warn, once for each device, that what is predicted and chosen by its figures may be wrong."""
    if device.unstable is not None:
        again = "--refresh" if device.name == AUTO else f"--out {device.name}.toml --force"
        text = (
            f"the profile {device.name!r} is unstable ({device.unstable}); calibrate again where the "
            f"machine is quieter: hedge calibrate {again}"
        )
        warnings.warn(text, UnstableProfileWarning, stacklevel=2)


def solved_by(model: ModelProto, given: Problem | str | None) -> Problem | OperatorProblem | None:
    """The problem that the user gives or names or, without one, the model itself."""
    if given is not None:
        return problem_of(model, given)
    name = metadata(model).get("hedge.problem", "")
    return problem_of(model, name) if name in GALLERY or name in OPERATORS else None


def problem_of(model: ModelProto, given: Problem | str) -> Problem | OperatorProblem:
    """The problem that is given or named, for the model's inputs, with what the model knows of it.

    Raises InputError for a name that is not known, or not for so many inputs.
    """
    problem = chosen_problem(given, input_dimension(model))
    return as_found(problem, model) if isinstance(problem, Problem) else problem


def way_to_problem(model: ModelProto) -> str:
    """What to type for a model whose problem is needed and not known: one of the user's own is in a file.

    >>> from hedge import reference_models
    >>> from hedge.graph import load_model
    >>> way_to_problem(load_model(reference_models()["heat"]))
    '--problem'
    """
    name = metadata(model).get("hedge.problem", "")
    if not name or name in GALLERY or name in OPERATORS:
        return "--problem"
    return f"--problem FILE.py:NAME, the file that has the {quoted(name)} which it solves"


def points_of(
    model: ModelProto,
    parts: SplitModel,
    problem: Problem | OperatorProblem | None,
    domain: str | None,
    samples: Path | str | None,
    seed: int,
    certifying: int = FRESH_POINTS,
) -> PointSets:
    """The points that errors are taken over: the user's samples, a box, or sources of an operator.

    Raises InputError if none is known, or both a box and samples are given.
    """
    dimension = input_dimension(model)
    widest = max(max(site.matrix.shape) for site in parts.sites)
    if domain is not None and samples is not None:
        raise InputError("domain and samples: give one of them, not both")
    if samples is not None and Path(samples).suffix == ".npz":
        grid = grid_of(model)
        if (
            grid is None
        ):  # that a graph mixes rows is the reason why arrays of other lengths do not fit
            check_room(model, ROWS_THAT_SHOW_MIXING)
        return points_of_arrays(Path(samples), input_widths(model), grid, widest, seed)
    if samples is not None:
        if (grid := grid_of(model)) is not None:
            check_functions_differ(Path(samples), input_widths(model), grid)
        return points_of_file(Path(samples), dimension, seed)
    if domain is None and isinstance(problem, OperatorProblem):
        return points_of_sources(problem, dimension, seed)
    box = box_of(problem, domain, dimension)
    if box is None and grid_of(model) is not None:
        arrays = ", ".join(f"{name} (n, {width})" for name, width in input_widths(model).items())
        raise InputError(
            f"samples: an operator's functions are not known; give --samples FILE.npz with {arrays}, the "
            "functions and points that it will be used on"
        )
    if box is None:
        raise InputError(
            f"domain: not known for this model; give --samples, --domain with {dimension} lower:upper, or "
            f"{way_to_problem(model)}"
        )
    return points_of_domain(box, dimension, widest, seed, certifying)


def box_of(
    problem: Problem | OperatorProblem | None, domain: str | None, dimension: int
) -> Domain | None:
    """The box that the user names or, without one, that of the problem."""
    if domain is not None:
        return parse_domain(domain, dimension)
    return problem.domain if isinstance(problem, Problem) else None


def is_inside(problem: Problem, points: PointSets) -> bool:
    """Whether points to fit and to choose by lie in the problem's domain."""
    domain = problem.domain
    return all(
        used.shape[1] == domain.dimension and domain.contains(used).all()
        for used in (points.fit, points.validation)
    )


def of_its_shape(model: ModelProto, problem: Problem | OperatorProblem | None) -> Problem | None:
    """The problem, if it is one of points and the model has its inputs and outputs."""
    if not isinstance(problem, Problem) or input_dimension(model) != problem.dimension:
        return None
    try:
        check_outputs(model, problem)
    except InputError:
        return None
    return problem


def check_outputs(model: ModelProto, problem: Solvable) -> None:
    """Raise InputError if the model has other outputs than the problem."""
    inputs = problem.sample(1, seed=0)
    outputs = run_float32(model, inputs).shape[1]
    if outputs != problem.outputs:
        raise InputError(
            f"problem {problem.name!r} has {problem.outputs} output(s), the model has "
            f"{inputs.shape[1]} input(s) and {outputs} output(s); name the problem it was trained on"
        )
    check_fields(model, problem)
