"""What a worker does with a task of a sweep: the same that a user would do with one stage."""

from __future__ import annotations

import re
import socket
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

from hedge.api.benching import bench, bench_fleet
from hedge.api.certifying import certify
from hedge.api.compressing import compress
from hedge.api.training import train, train_operator
from hedge.benching import BenchResult, Effort, Measurement
from hedge.certifying import Certificate
from hedge.errors import HedgeError, InputError, first_line
from hedge.files import sha256_of
from hedge.formats import FORMATS, export_as
from hedge.names import certificate_of
from hedge.problems import OPERATORS, sensors_of
from hedge.sweeping.outcome import Outcome, Scalar
from hedge.sweeping.plan import InputFile, Task
from hedge.sweeping.timing import alone_on_board, alone_on_this_machine
from hedge.temporaries import scratch_folder

COMPRESSED, EXPORTED = ".hedge.safetensors", "exported"


@dataclass(frozen=True)
class _Made:
    """What a stage found: figures, times, and the files that it wrote, by role."""

    figures: Mapping[str, Scalar]
    files: Mapping[str, Sequence[Path]]
    timed: Mapping[str, Scalar]


@dataclass(frozen=True)
class _Place:
    """A folder with what was made before: files by role."""

    folder: Path
    files: Mapping[str, Path]
    problem: str | None

    @property
    def dense(self) -> Path:
        """The model that the chain began with."""
        return self.files["dense"]

    @property
    def newest(self) -> Path:
        """What was made last of it."""
        return next(
            self.files[role] for role in ("exported", "small", "dense") if role in self.files
        )


def run_task(
    task: Task, files: Mapping[str, bytes], before: Sequence[Outcome | None]
) -> Outcome | None:
    """What a task gives; None where one before it failed. files are those of its options, by option.

    What fails is an Outcome that says so in a line.
    """
    if any(outcome is None or outcome.failed is not None for outcome in before):
        return None
    started = perf_counter()
    host = socket.gethostname()
    scratch = ""
    try:
        with scratch_folder() as folder, warnings.catch_warnings():
            scratch = f"{folder}/"
            warnings.simplefilter("ignore")  # nobody sees what a worker prints
            options = dict(task.options) | _given(task, files, folder)
            place = _place(task, folder, files, [one for one in before if one is not None])
            made = STAGES[task.stage](place, options)
            written = {
                role: {_name(path, folder): path.read_bytes() for path in paths}
                for role, paths in made.files.items()
            }
    except Exception as error:  # a fault here is a row there, and others go on
        return Outcome(failed=_reason(error, scratch), host=host)
    return Outcome(made.figures, made.timed, written, None, perf_counter() - started, host)


def _reason(error: Exception, scratch: str) -> str:
    """In one line, which names files without the folder that they lay in meanwhile."""
    told = (
        str(error)
        if isinstance(error, HedgeError)
        else f"{type(error).__name__}: {first_line(error)}"
    )
    return " ".join((told.replace(scratch, "") if scratch else told).split())


def _name(path: Path, folder: Path) -> str:
    """From the folder that it was made in, of which some formats fill a whole one."""
    exported = folder / EXPORTED
    return str(path.relative_to(exported if exported in path.parents else folder))


def _given(task: Task, files: Mapping[str, bytes], folder: Path) -> dict[str, str]:
    """The options that name files, as they are called here."""
    found = {}
    for option, file in task.files.items():
        if option == "model":
            continue
        if not file.is_sent:
            found[option] = _seen(file)
        elif option == "device" and not file.name.endswith(".toml"):
            found[option] = file.name
        else:
            path = folder / option / file.name
            path.parent.mkdir()
            path.write_bytes(files[option])
            found[option] = str(path)
    return found


def _seen(file: InputFile) -> str:
    """A problem's file as it lies here; raises InputError, naming this machine, if it doesn't, or differs."""
    try:
        same = sha256_of(file.path) == file.sha256
    except InputError:
        raise InputError(
            f"{file.path}: worker {socket.gethostname()} does not see it; put it there, too"
        ) from None
    if not same:
        raise InputError(
            f"{file.path}: is another file on worker {socket.gethostname()}; put the same one there"
        )
    return f"{file.path}:{file.name.rpartition(':')[2]}"


def _place(
    task: Task, folder: Path, files: Mapping[str, bytes], before: Sequence[Outcome]
) -> _Place:
    """What was made before, written into a folder where models and certificates find each other."""
    contents: dict[str, Mapping[str, bytes]] = {}
    if "model" in task.files:
        contents["dense"] = {task.files["model"].name: files["model"]}
    for outcome in before:
        contents |= outcome.files
    found: dict[str, Path] = {}
    for role, named in contents.items():
        for name, data in named.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            found.setdefault(role, path)
    problems = (_problem(one) for one in (*task.chain, task))
    return _Place(folder, found, next(filter(None, problems), None))


def _problem(task: Task) -> str | None:
    own = task.files.get("problem")
    named: str | None = task.options.get("problem")
    return named if own is None else _seen(own)


def _train(place: _Place, options: dict[str, Any]) -> _Made:
    problem = options.pop("problem")
    name = Path(problem.rpartition(":")[0]).stem if ":" in problem else problem
    out = place.folder / f"{name}.onnx"
    limits = {"seed": options.pop("seed", 0), "budget_s": options.pop("budget_s", None)}
    limits["max_steps"] = options.pop("steps", None)
    sensors = options.pop("sensors", None)
    if problem in OPERATORS:
        if options:
            raise InputError(
                f"{problem}: is an operator, which takes no {min(options)}; leave it out"
            )
        if sensors is None:
            raise InputError(f"sensors: not given; {problem} needs a grid, as in sensors = 1024")
        nodes = sensors_of(problem, sensors)
        result: Any = train_operator(problem, out, sensors=nodes, **limits)
    elif sensors is not None:
        raise InputError(f"{problem}: is no operator and takes no sensors; leave it out")
    else:
        result = train(problem, out, **limits, **options)
    figures = {
        "train_error": result.relative_l2,
        "held_out_loss": result.held_out_loss,
        "dense_parameters": result.parameters,
        "steps": result.steps,
    }
    return _Made(figures, {"dense": [out]}, {})


def _compress(place: _Place, options: dict[str, Any]) -> _Made:
    out = place.folder / f"{place.dense.name.removesuffix('.onnx')}{COMPRESSED}"
    if options.get("recover") == "none":
        options["recover"] = None
    plan = compress(place.dense, out=out, **options).plan
    figures: dict[str, Scalar] = {
        "error": plan.promised_error,
        "parameters": plan.parameters,
        "bytes": plan.bytes,
        "predicted_s": plan.predicted_s,
        "energy_j": plan.energy_j,
        "dense_parameters": plan.dense_parameters,
        "dense_bytes": plan.dense_bytes,
        "dense_predicted_s": plan.dense_predicted_s,
        "dense_energy_j": plan.dense_energy_j,
        "gains": plan.gains,
    }
    return _Made(figures, {"small": [out]}, {})


def _certify(place: _Place, options: dict[str, Any]) -> _Made:
    if options.pop("to_solution", False):
        options.setdefault("problem", place.problem)
    small = place.files.get("small")
    out = certificate_of(small or place.dense)
    dense = None if small is None else place.dense
    found = certify(small or place.dense, dense, out=out, **options)
    return _Made(_proved(found), {"certificate": [out]}, {})


def _proved(found: Certificate) -> dict[str, Scalar]:
    """Of the worst column; where something can't be bounded, nothing."""
    figures: dict[str, Scalar] = {}
    if found.difference is not None:
        claims = found.difference.claims
        relative = [claim.relative_l2 for claim in claims]
        figures["proved_largest"] = max(claim.largest for claim in claims)
        figures["proved_error"] = (
            None if None in relative else max(filter(None, relative), default=0.0)
        )
    bounds = [each.bound for each in found.distances if each.bound is not None]
    if bounds:
        figures["proved_to_solution"] = min(bounds)
    return figures


def _export(place: _Place, options: dict[str, Any]) -> _Made:
    format = options.pop("format", "onnx")
    known = FORMATS.get(format)
    stem = place.newest.name.removesuffix(COMPRESSED).removesuffix(".onnx")
    ending = known.suffixes[0] if known is not None and known.suffixes else ""
    folder = place.folder / EXPORTED
    folder.mkdir()
    if format == "onnx":
        out = folder / f"{stem}{'.small' if 'small' in place.files else '.out'}{ending}"
    else:  # of C inside, whose names begin with the file's
        out = folder / f"{re.sub('[^A-Za-z0-9_]', '_', f'net_{stem}')}{ending}"
    exported = export_as(format, place.newest, out, options=options)
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    whole = sum(path.stat().st_size for path in paths)
    size = exported.document.get("bytes", whole)
    return _Made({"file_bytes": size}, {"exported": paths}, {})


def _bench(place: _Place, options: dict[str, Any]) -> _Made:
    on, remote = options.pop("on", None), options.pop("remote_hedge", None)
    batches = options.pop("batch", None) or (1, 1024)
    given = {"batches": batches, "effort": Effort.of(options.pop("seconds", 1.0)), **options}
    models = [place.dense] if place.newest == place.dense else [place.dense, place.newest]
    if on is not None:
        with alone_on_board(on):
            found = bench_fleet(models, [on], remote_hedge=remote, **given)[on]
        if isinstance(found, HedgeError):
            raise found
        return _timed(found, models[-1])
    with alone_on_this_machine():
        return _timed(bench(models, **given), models[-1])


def _timed(result: BenchResult, model: Path) -> _Made:
    found = [one for one in result.models if Path(one.path).name == model.name]
    for failure in result.failures:
        if Path(failure.path).name == model.name or not found:
            raise InputError(failure.reason)
    figures = [_measured(one, "" if i == 0 else f"_{one.batch}") for i, one in enumerate(found)]
    timed = {name: value for each in figures for name, value in each.items()}
    return _Made({}, {}, {**timed, "timed_on": result.machine.processor})


def _measured(one: Measurement, ending: str) -> dict[str, Scalar]:
    joules = one.measured_energy
    return {
        f"measured_s{ending}": one.median_s,
        f"speedup{ending}": one.speedup,
        **({} if joules is None else {f"measured_j{ending}": joules.net_j}),
        **({} if one.unstable is None else {f"unstable{ending}": one.unstable}),
    }


STAGES: dict[str, Callable[[_Place, dict[str, Any]], _Made]] = {
    "train": _train,
    "compress": _compress,
    "certify": _certify,
    "export": _export,
    "bench": _bench,
}
