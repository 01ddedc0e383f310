"""Compressing."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

from onnx import ModelProto

from hedge.api.certifying import solution_beside
from hedge.api.inputs import (
    check_not_read,
    check_outputs,
    chosen_device,
    is_inside,
    of_its_shape,
    points_of,
    solved_by,
    way_to_problem,
)
from hedge.api.results import Results
from hedge.api.room import Fitting, Room
from hedge.benching import backend_for, calibrated_here, time_ratio
from hedge.compression import (
    Allowance,
    Case,
    CompressedModel,
    PointSets,
    Request,
    certifying_points,
    check_grid,
    dense_as_it_is,
    load_compressed,
    prepare,
)
from hedge.compression.case import TimeRatio
from hedge.devices import AUTO, Device
from hedge.errors import InputError, ToleranceError, naming, quoted
from hedge.exporting import COptions, check_c, open_model
from hedge.files import check_writable
from hedge.formats import Exported
from hedge.graph import SplitModel, split
from hedge.grids import in_words
from hedge.hmatrix.threads import one_blas_thread
from hedge.memory import keep_freed_memory
from hedge.methods import COMPRESSING
from hedge.problems import OperatorProblem, Problem, is_in_file, reference_of, shortened
from hedge.progress import Progress, silent
from hedge.recovery import (
    RecoverOn,
    Recovery,
    can_be_cut,
    check_residual,
    earlier_result,
    interrupted,
    recover_to_file,
    resumed,
    too_large,
)
from hedge.request import Against, Asked, options_of

# Options that a plan's command line names where they are the usual ones, too.
ALWAYS_TOLD = ("tolerance", "objective", "batch", "method", "seed")


@one_blas_thread()
def compress(
    model: Path | str,
    *,
    device: Device | str = "auto",
    out: Path | str | None = None,
    against: Against = "dense",
    problem: Problem | str | None = None,
    domain: str | None = None,
    samples: Path | str | None = None,
    recover: RecoverOn | None = "auto",
    steps: int = 50_000,
    budget_s: float | None = None,
    resume: bool = False,
    flash: int | None = None,
    ram: int | None = None,
    force: bool = False,
    on_progress: Progress = silent,
    on_written: Callable[[Exported], None] | None = None,
    **asked: Unpack[Asked],
) -> CompressedModel:
    """Compress a dense ``.onnx`` for a device, within a relative L2 ``tolerance`` of its output.

    The inputs it will be used on are named by ``problem``, ``domain`` (``"-1:1,0:1"``) or
    ``samples`` (``.npy``, or ``.npz`` of an array for each input); a model trained by hedge knows its
    problem. Those of an operator are its
    random sources. Several inputs are named column by column, in the graph's order; with several
    outputs or columns the tolerance holds for each, unless ``columns`` are "joint"; it is relative
    to their size or, with ``relative_to`` "spread", to what they vary by. With ``norm``
    "max" it bounds the largest error relative to the largest output in place of the L2 norms.
    ``derivatives`` bounds the relative L2 errors of the derivatives by every input, too. Writes to ``out``
    if given: a ``.hedge.safetensors``, or what it is exported as where that ends in ``.onnx``, ``.c`` or
    ``.fmu``; ``on_written`` is told what came of the last export.

    flash and ram are bytes that the C of a result may take, as for :func:`hedge.export_c`, whatever is
    written; of a device that runs C they are by default what its profile has. Results that take more are left
    out; where all do, the smallest is looked for, and RoomError is raised if that takes more, too.

    hedge's own method then cuts further and fits what is left again, unless ``recover`` is None, in at most
    so many ``steps``; with these and a seed it gives the same on a machine, bit for bit. ``budget_s``
    seconds end it early if they are given. Each better result is written to ``out`` at once, that without
    recovery first, Ctrl-C ends with the best so far, and ``resume`` goes on from ``out``. See
    :class:`hedge.recovery.Recovery` for what ``recover`` may be fitted to.
    For a device that was calibrated on this machine, as ``"auto"`` is, and the objective latency
    results are timed beside the dense model, and where none is faster, the model stays dense.
    ``asked`` are the fields of :class:`hedge.compression.Request`.
    """
    keep_freed_memory()
    path, target = Path(model), None if out is None else Path(out)
    request = Request(**asked)
    if recover == "auto" and not request.fits:
        recover = None
    told = {name: value for name, value in _told(request).items() if name != "seed"}
    options = {
        "device": _device_name(device), "tolerance": request.tolerance, "against": against, **told,
        "problem": problem and _problem_name(problem), "domain": domain and shortened(domain),
        "samples": samples and Path(samples),
        "recover": recover, "no_recover": recover is None and request.fits,
        "steps": recover and steps, "budget": recover and budget_s,
        "flash": flash, "ram": ram, "resume": resume, "seed": request.seed, "out": target,
    }  # fmt: skip
    request = replace(request, command=_command(path, options), flash=flash, ram=ram)
    if request.method not in COMPRESSING:
        known_methods = ", ".join(COMPRESSING)
        raise InputError(
            f"method: {quoted(request.method)} is not known; take one of {known_methods}"
        )
    room = Room(flash, ram)
    if resume and (target is None or recover is None):
        raise InputError("resume: needs recover, and out with the file to go on from")
    read = [path, *([] if samples is None else [Path(samples)])]
    results = None if target is None else _results(target, read, device, force=force, resume=resume)
    file = open_model(path, on_progress)
    dense = file.onnx
    with naming(path):
        parts = split(dense)
        check_grid(request.sides, parts)
    if results is not None:
        results.check(path)
    known = solved_by(dense, problem)
    if isinstance(known, OperatorProblem):
        with naming(path):
            check_outputs(dense, known)
    with naming(path):
        points = points_of(
            dense, parts, known, domain, samples, request.seed, certifying_points(request)
        )
    source = file.source(known.name if known else None)
    recovery, earlier = None, None
    if recover is not None:
        with naming(path):
            recovery = _recovery(
                request, parts, recover, Allowance(steps, budget_s), known, against
            )
        if can_be_cut(parts, keep_widths=request.keep_widths) and (why := too_large(parts)):
            on_progress(f"recovery is {why}")
        if resume and target is not None:
            earlier = earlier_result(target, parts, source)
    if against == "reference":
        with naming(path):
            _check_reference(dense, known, points)
    is_auto = device == AUTO
    device = chosen_device(device, on_progress)
    here = is_auto or calibrated_here(device)
    room = room.on(device)
    described_by = None if problem is None else of_its_shape(dense, known)
    fitting = Fitting(room)

    def write(model: CompressedModel) -> None:
        if fitting.takes(model) and results is not None:
            results.write(model, room, described_by)

    def search(case: Case, earlier: CompressedModel | None = None) -> CompressedModel:
        if earlier is not None and target is not None:
            best = resumed(case, earlier, target)
        else:
            cut = recovery is not None and can_be_cut(parts, keep_widths=request.keep_widths)
            best = _without_recovery(case, is_last=not cut)
        if recovery is not None:
            return recover_to_file(case, best, recovery, write, resume=earlier is not None)
        write(best)
        return best

    with naming(path):
        if room.options or device.runs_c:
            check_c(parts.skeleton, parts.matrices, COptions("model"))
        if results is not None:
            results.check_device(dense, device)
        on_progress("running the dense model")
        case = prepare(
            dense,
            device,
            points,
            request,
            source,
            problem=known,
            reference=reference_of(known),
            against=against,
            time_ratio=_timed(dense, device, request.batch) if here else None,
            tell=on_progress,
            parts=parts,
            dense_solution=solution_beside(file, known) if request.certify else None,
        )
        if recover == "gradients":
            case.slopes  # noqa: B018 - raises what it must, before the search
        best = search(case, earlier)
        if fitting.missed and request.objective != "size" and not interrupted(best):
            on_progress(f"{fitting.missed}; looking for the smallest")
            best = search(replace(case, request=replace(request, objective="size")))
        fitting.check()
        if results is not None and on_written is not None and results.written is not None:
            on_written(results.written)
    return fitting.last or best


def _timed(dense: ModelProto, device: Device, batch: int) -> TimeRatio:
    """A candidate's time over the dense model's, in the device's runtime, which is at hand."""
    if device.runs_c:
        return partial(time_ratio, dense, batch=batch, start=backend_for(device).start)
    return partial(time_ratio, dense, batch=batch)


def _results(
    out: Path,
    read: Sequence[Path],
    device: Device | str,
    *,
    force: bool,
    resume: bool,
) -> Results:
    """Where results go; refused if that can't be written, or is what is read."""
    check_writable(out, force=force or resume)
    check_not_read(out, read, device)
    results = Results(out, force=force, resume=resume)
    for written in results.paths:
        check_not_read(written, read, device)
    return results


def _check_reference(
    model: ModelProto, known: Problem | OperatorProblem | None, points: PointSets
) -> None:
    """Raise InputError where there is no solution to measure errors against."""
    if known is None:
        raise InputError(
            f"against reference: the problem is not known; give {way_to_problem(model)}"
        )
    if known.reference is None:
        raise InputError(f"against reference: {known.name!r} has no reference solution")
    check_outputs(model, known)
    if isinstance(known, Problem):
        _check_inside(known, points)


def _device_name(device: Device | str) -> str:
    """As the command line takes it, without folders."""
    name = device if isinstance(device, str) else device.name
    return Path(name).name if name.endswith(".toml") else name


def _problem_name(problem: Problem | str) -> Path | str:
    """As the command line takes it, without folders."""
    name = problem if isinstance(problem, str) else problem.name
    return Path(name) if is_in_file(name) else name


def _recovery(
    request: Request,
    parts: SplitModel,
    on: RecoverOn,
    allowance: Allowance,
    known: Problem | OperatorProblem | None,
    against: Against,
) -> Recovery:
    if not request.fits:
        raise InputError(f"recover: does not go with method {request.method!r}; leave one out")
    recovery = Recovery(allowance, on, known if isinstance(known, Problem) else None)
    check_residual(parts, recovery, against, keep_widths=request.keep_widths)
    return recovery


def _without_recovery(case: Case, *, is_last: bool) -> CompressedModel:
    """What is found by cutting alone: the dense model where only recovery may reach the reference."""
    try:
        return COMPRESSING[case.request.method](case)
    except ToleranceError:
        if is_last or case.against == "dense":
            raise
        return dense_as_it_is(case)


def load(path: Path | str) -> CompressedModel:
    """Read a compressed model (``.hedge.safetensors``)."""
    return load_compressed(Path(path))


def _told(request: Request) -> dict[str, Any]:
    """The options that the command line for a plan names."""
    given = {one.name: getattr(request, one.name) for one in options_of(type(request))}
    usual = {one.name: one.default for one in options_of(type(request))}
    return {
        name: value for name, value in given.items() if name in ALWAYS_TOLD or value != usual[name]
    }


def _as_word(value: object) -> str:
    if isinstance(value, tuple):
        return in_words(value)
    return _word(value) if isinstance(value, Path) else str(value)


def _command(model: Path, options: Mapping[str, object]) -> str:
    """The command line that does the same, for plans to record: every option that is given.

    Options by their names in Python; None and False are left out; of paths the file's name only.

    >>> _command(Path("/data/heat.onnx"), {"tolerance": 1e-2, "keep_widths": True, "out": None})
    'hedge compress heat.onnx --tolerance 0.01 --keep-widths'
    >>> _command(Path("-x.onnx"), {})
    'hedge compress ./-x.onnx'
    """
    words = ["hedge", "compress", _word(model)]
    for name, value in options.items():
        if value is None or value is False:
            continue
        words.append(f"--{name.replace('_', '-')}")
        if value is not True:
            words.append(_as_word(value))
    return shlex.join(words)


def _word(path: Path) -> str:
    """The file's name, which is not to be taken for an option."""
    return f"./{path.name}" if path.name.startswith("-") else path.name


def _check_inside(problem: Problem, points: PointSets) -> None:
    """Raise InputError if points leave the domain on which the problem has a reference."""
    if not is_inside(problem, points):
        raise InputError(
            f"against reference: the points leave the domain {problem.domain} of {problem.name!r}, "
            "outside which it has no reference; narrow them"
        )
