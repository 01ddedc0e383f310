"""The stages as functions of files: what ``import hedge`` offers and the command line calls."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from onnx import ModelProto

from hedge.benching import (
    AUTO,
    Accuracy,
    BenchResult,
    Effort,
    OperatorAccuracy,
    check_batches,
    check_threads,
    evaluate_operator,
    this_machine,
    time_ratio,
)
from hedge.benching import bench as bench_models
from hedge.benching import evaluate as evaluate_points
from hedge.comparing import METHODS, ComparisonTable
from hedge.comparing import compare as compare_candidates
from hedge.compression import (
    CompressedModel,
    PointSets,
    Request,
    Source,
    Task,
    dense_as_it_is,
    load_compressed,
    points_of_domain,
    points_of_file,
    points_of_sources,
    prepare,
    save_compressed,
)
from hedge.compression import compress as compress_task
from hedge.compression.allocation import Objective
from hedge.compression.request import Against, Method
from hedge.devices import Device, find_profile
from hedge.errors import InputError, ToleranceError, naming
from hedge.exporting import to_onnx
from hedge.files import check_distinct, check_writable, require_file, write_atomically
from hedge.graph import SplitModel, input_dimension, load_model, metadata, run_float32, split
from hedge.invocation import compress_command
from hedge.ntk import Comparison, TangentKernel, compare_kernels, output_kernel, residual_kernel
from hedge.problems import (
    GALLERY,
    LEAST_SENSORS,
    MOST_SENSORS,
    OPERATORS,
    Domain,
    OperatorProblem,
    Problem,
    find_operator,
    find_problem,
    parse_domain,
)
from hedge.rivals import Contest

if TYPE_CHECKING:
    from torch import nn

    from hedge.recovery import RecoverOn, Recovery
    from hedge.training import OperatorRecord, OperatorResult, Record, State, TrainingResult
    from hedge.training.run import Accelerator, Choice, Precision, Sampling

Progress = Callable[[str], None]

LONGEST_BUDGET_S = 7 * 24 * 3600.0
MOST_KERNEL_POINTS = 65536  # activations and gradients of more points fill the memory


def _silent(message: str) -> None:
    pass


def find_device(name: str, on_progress: Progress = _silent) -> Device:
    """A shipped profile by name, a profile file by path, or this machine for ``"auto"``."""
    return this_machine(on_progress) if name == AUTO else find_profile(name)


def train(
    problem: Problem | str,
    out: Path | str | None = None,
    *,
    width: int = 64,
    depth: int = 3,
    seed: int = 0,
    method: Choice = "auto",
    sampling: Sampling = "residual",
    precision: Precision = "float64",
    accelerator: Accelerator = "auto",
    grow: bool = False,
    budget_s: float = 120.0,
    max_steps: int | None = None,
    resume: bool = False,
    force: bool = False,
    on_cycle: Callable[[State, Record], None] | None = None,
) -> TrainingResult:
    """Train a PINN on a problem, yours or one of the gallery, and write it to ``out`` (``.onnx``).

    A checkpoint beside ``out`` is written every minute and on Ctrl-C, and removed at the end; ``resume``
    goes on from it. Ctrl-C ends the run with the best network so far. See
    :class:`hedge.training.Run` for the choices. Raises InputError if torch is not installed
    (``pip install 'hedge-pinn[train]'``) or a checkpoint is there and neither ``resume`` nor ``force``.
    """
    training = _with_torch("train")
    known = problem if isinstance(problem, Problem) else find_problem(problem)
    run = training.Run(known, width, depth, seed, method, sampling, precision, accelerator, grow)
    result: TrainingResult
    if out is None:
        result = training.train(run, budget_s=budget_s, max_steps=max_steps, on_cycle=on_cycle)
        return result
    path = Path(out)
    check_writable(path, force=force or resume)
    checkpoint = training.checkpoint_path(path)
    check_writable(checkpoint, force=True)
    training.check_exportable(run)
    if checkpoint.exists() and not (resume or force):
        raise InputError(
            f"{checkpoint}: is the checkpoint of an earlier run; pass --resume to go on from it, "
            "or --force to start anew"
        )
    state = training.load_checkpoint(checkpoint, run) if resume else None
    watch = training.Checkpointer(checkpoint, run, on_cycle)
    try:
        result = training.train(
            run, budget_s=budget_s, max_steps=max_steps, resume_from=state, on_cycle=watch
        )
        if result.stopped == "interrupted":
            watch.write()
        _write(training.result_to_onnx(result), path, force=force or resume)
    except BaseException:
        watch.write()
        raise
    if result.stopped != "interrupted":
        checkpoint.unlink(missing_ok=True)
    return result


def train_operator(
    name: str,
    out: Path | str | None = None,
    *,
    sensors: int,
    seed: int = 0,
    budget_s: float = 120.0,
    max_steps: int | None = None,
    force: bool = False,
    on_cycle: Callable[[OperatorRecord], None] | None = None,
) -> OperatorResult:
    """Train the operator called ``name`` on a grid of ``sensors``, and write it to ``out`` (``.onnx``).

    Ctrl-C ends the run with the best network so far. Raises InputError if torch is not installed
    (``pip install 'hedge-pinn[train]'``), the name is unknown or a number is out of its range, and
    :class:`hedge.training.DivergenceError` if training diverges; the best network before that is
    written to ``out``.
    """
    training = _with_torch("train")
    problem = find_operator(name, sensors)
    if out is not None:
        check_writable(Path(out), force=force)
    result: OperatorResult
    try:
        result = training.train_operator(
            problem, seed=seed, budget_s=budget_s, max_steps=max_steps, on_cycle=on_cycle
        )
    except training.DivergenceError as error:
        if out is None or error.best is None:
            raise
        _write(training.operator_network_to_onnx(error.best), Path(out), force=force)
        raise training.DivergenceError(f"{error}, and {out} is that one", error.best) from error
    if out is not None:
        _write(training.operator_to_onnx(result), Path(out), force=force)
    return result


def _with_torch(command: str) -> ModuleType:
    try:
        from hedge import training
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"{command}: torch is not installed; run: pip install 'hedge-pinn[train]'"
        ) from error
    return training


def compress(
    model: Path | str,
    *,
    device: Device | str = "auto",
    tolerance: float = 1e-3,
    out: Path | str | None = None,
    against: Against = "dense",
    objective: Objective = "latency",
    batch: int = 1,
    method: Method = "hierarchical",
    keep_widths: bool = False,
    problem: str | None = None,
    domain: str | None = None,
    samples: Path | str | None = None,
    recover: RecoverOn | None = None,
    budget_s: float = 120.0,
    resume: bool = False,
    seed: int = 0,
    force: bool = False,
    on_progress: Progress = _silent,
) -> CompressedModel:
    """Compress a dense ``.onnx`` for a device, within a relative L2 ``tolerance`` of its output.

    The inputs it will be used on are named by ``problem``, ``domain`` (``"-1:1,0:1"``) or
    ``samples`` (``.npy``); a model trained by hedge knows its problem. Those of an operator are its
    random sources. Several inputs are named column by column, in the graph's order; with several
    outputs the tolerance holds for each. Writes to ``out`` if given.

    ``recover`` then cuts further and fits what is left again, for ``budget_s`` seconds at most; each
    better result is written to ``out`` at once, Ctrl-C ends with the best so far, and ``resume`` goes
    on from ``out``. See :class:`hedge.recovery.Recovery` for what it may be fitted to. For ``"auto"``
    and the objective latency results are timed beside the dense model, and where none is faster, the
    model stays dense.
    """
    path, target = Path(model), None if out is None else Path(out)
    options = {
        "device": _device_name(device), "tolerance": tolerance, "against": against,
        "objective": objective, "batch": batch, "method": method, "keep_widths": keep_widths,
        "problem": problem, "domain": domain, "samples": samples and Path(samples),
        "recover": recover, "budget": recover and budget_s, "resume": resume, "seed": seed,
        "out": target,
    }  # fmt: skip
    command = compress_command(path, options)
    request = Request(tolerance, objective, batch, method, keep_widths, seed, command)
    if resume and (target is None or recover is None):
        raise InputError("resume: needs recover, and out with the file to go on from")
    if target is not None:
        check_writable(target, force=force or resume)
        check_distinct(target, path, *([] if samples is None else [Path(samples)]))
    dense = load_model(path)
    with naming(path):
        parts = split(dense)
    known = _solved_by(dense, problem)
    if isinstance(known, OperatorProblem):
        with naming(path):
            _check_outputs(dense, known)
    points = _points(dense, parts, known, domain, samples, seed)
    source = Source(path.name, _sha256(path), known.name if known else None)
    recovery, earlier = None, None
    if recover is not None:
        _with_torch("recover")
        from hedge.recovery import earlier_result, recover_to_file, resumed

        box = None if samples is not None else _box(known, domain)
        with naming(path):
            recovery = _recovery(request, parts, recover, budget_s, known, box)
        if resume and target is not None:
            earlier = earlier_result(target, parts, source)
    reference = None
    if against == "reference":
        if known is None:
            raise InputError("against reference: the problem is not known; give --problem")
        if known.reference is None:
            raise InputError(f"against reference: {known.name!r} has no reference solution")
        reference = known.reference
        if isinstance(known, Problem):
            _check_inside(known, points)
    measured = partial(time_ratio, dense, batch=batch) if device == AUTO else None
    if isinstance(device, str):
        device = find_device(device, on_progress)
    with naming(path):
        on_progress("measuring activations and how the output feels each site")
        task = prepare(
            parts, device, points, request, source, reference=reference, time_ratio=measured
        )
        if earlier is not None and target is not None:
            best = resumed(task, earlier, target)
        else:
            best = _without_recovery(task, on_progress, is_last=recovery is None)
        if recovery is not None:
            best = recover_to_file(
                task, best, recovery, target, resume=resume, on_progress=on_progress
            )
    if target is not None:
        save_compressed(best, target, force=force or recovery is not None)
    return best


def _device_name(device: Device | str) -> str:
    """As the command line takes it, without folders."""
    name = device if isinstance(device, str) else device.name
    return Path(name).name if name.endswith(".toml") else name


def _recovery(
    request: Request,
    parts: SplitModel,
    on: RecoverOn,
    budget_s: float,
    known: Problem | OperatorProblem | None,
    box: Domain | None,
) -> Recovery:
    from hedge.recovery import Recovery, check_residual

    if request.method != "hierarchical":
        raise InputError(f"recover: does not go with method {request.method!r}; leave one out")
    recovery = Recovery(budget_s, on, known if isinstance(known, Problem) else None, box)
    check_residual(parts, recovery, keep_widths=request.keep_widths)
    return recovery


def _without_recovery(task: Task, on_progress: Progress, *, is_last: bool) -> CompressedModel:
    """What is found by cutting alone: the dense model where only recovery may reach the reference."""
    try:
        return compress_task(task, on_progress)
    except ToleranceError:
        if is_last or task.against == "dense":
            raise
        return dense_as_it_is(task)


def export(
    compressed: CompressedModel | Path | str, out: Path | str, *, force: bool = False
) -> ModelProto:
    """Write a compressed model, or the file of one, as an ``.onnx`` of standard ops."""
    check_writable(Path(out), force=force)
    if not isinstance(compressed, CompressedModel):
        check_distinct(Path(out), Path(compressed))
        compressed = load_compressed(Path(compressed))
    model = to_onnx(compressed)
    _write(model, Path(out), force=force)
    return model


def bench(
    models: Sequence[Path | str],
    *,
    device: Device | str = "auto",
    batches: Sequence[int] = (1, 1024),
    threads: int = 1,
    effort: Effort | None = None,
    on_progress: Progress = _silent,
) -> BenchResult:
    """Time ``.onnx`` files side by side on this machine; the first is the one compared with."""
    if isinstance(device, str):
        device = find_device(device, on_progress)
    return bench_models(
        [Path(m) for m in models],
        device,
        batches=batches,
        threads=threads,
        effort=effort or Effort(),
        on_progress=on_progress,
    )


def compare_methods(
    model: Path | str,
    *,
    device: Device | str = "auto",
    tolerance: float = 1e-3,
    batches: Sequence[int] = (1, 1024),
    problem: str | None = None,
    domain: str | None = None,
    samples: Path | str | None = None,
    budget_s: float = 60.0,
    threads: int = 1,
    effort: Effort | None = None,
    seed: int = 0,
    on_progress: Progress = _silent,
) -> ComparisonTable:
    """hedge beside the other ways to a small model, each within ``tolerance`` of a dense ``.onnx``.

    Inputs are named as for :func:`compress`; hedge optimises for the largest of ``batches``.
    ``budget_s`` is what each method that trains may take: recovery, pruning with recovery and, where the
    problem is known, a small network from scratch; without torch they have no row. The problem's
    reference counts if the points lie inside its domain.
    """
    check_batches(batches)
    check_threads(threads)
    if not 0.0 < budget_s <= LONGEST_BUDGET_S:
        raise InputError(f"budget: {budget_s:g} s is not between 0 and {LONGEST_BUDGET_S:g}")
    request = Request(tolerance, batch=max(batches), seed=seed)
    path = Path(model)
    dense = load_model(path)
    with naming(path):
        parts = split(dense)
    known = _solved_by(dense, problem)
    points = _points(dense, parts, known, domain, samples, seed)
    if isinstance(known, Problem) and not _is_inside(known, points):
        known = None
    if known is not None:
        with naming(path):
            _check_outputs(dense, known)
    if isinstance(device, str):
        device = find_device(device, on_progress)
    contest = Contest(
        dense=dense,
        split=parts,
        source=Source(path.name, _sha256(path), known.name if known else None),
        points=points,
        request=request,
        device=device,
        budget_s=budget_s,
        problem=known,
        reference=known.reference if known else None,
    )
    with naming(path):
        return compare_candidates(
            contest,
            METHODS,
            batches=batches,
            threads=threads,
            effort=effort or Effort(),
            on_progress=on_progress,
        )


def evaluate(model: Path | str, problem: str, *, seed: int = 0) -> Accuracy | OperatorAccuracy:
    """The error of an ``.onnx`` against the reference of a problem or operator, and its residual.

    Over uniform points of the problem's domain, or random sources on the grid of the model's inputs.
    """
    path = Path(model)
    loaded = load_model(path)
    with naming(path):
        if problem in OPERATORS:
            return evaluate_operator(loaded, _operator_of(loaded, problem), seed)
        return evaluate_points(loaded, find_problem(problem), seed)


def tangent_kernels(
    model: Path | str,
    compressed: Path | str | None = None,
    *,
    problem: str | None = None,
    domain: str | None = None,
    points: int = 1024,
    residual: bool = False,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> Comparison:
    """The neural tangent kernel of a model, and of its compressed form beside it.

    ``compressed`` is an ``.onnx`` or ``.hedge.safetensors``. The kernel is that of the outputs or, with
    ``residual`` (needs torch), of the problem's residuals, at uniform ``points`` of the domain that
    the problem, ``domain`` or the model itself names. Above 2,048 rows it is an H-matrix to
    ``tolerance``.
    """
    if not 2 <= points <= MOST_KERNEL_POINTS:
        raise InputError(f"points: {points} is out of range; give 2 to {MOST_KERNEL_POINTS}")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance: {tolerance:g} is not between 0 and 1; give for example 1e-6")
    path = Path(model)
    if path.suffix == ".safetensors":
        raise InputError(
            f"{path}: is a compressed model; give the dense .onnx first, then this one"
        )
    dense = load_model(path)
    known = _solved_by(dense, problem)
    if isinstance(known, OperatorProblem):
        raise InputError(
            f"ntk: {known.name!r} is an operator, a map of functions on a grid; tangent kernels are "
            "of networks that take points"
        )
    if residual and known is None:
        raise InputError("residual: the problem is not known; give --problem")
    if domain is None and known is None:
        raise InputError("domain: not known for this model; give --problem or --domain")
    box = parse_domain(domain) if domain is not None else known.domain if known else None
    assert box is not None
    where = box.sample(points, seed)
    other = None if compressed is None else _runnable(Path(compressed))

    def make(network: ModelProto) -> TangentKernel:
        if residual and known is not None:
            return residual_kernel(network, known, where)
        return output_kernel(network, where)

    with naming(path):
        return compare_kernels(dense, other, make, tolerance, seed)


def _runnable(path: Path) -> ModelProto:
    return load_compressed(path).to_onnx() if path.suffix == ".safetensors" else load_model(path)


def import_model(
    model: Path | str | nn.Module,
    out: Path | str | None = None,
    *,
    inputs: int | None = None,
    activation: str = "tanh",
    force: bool = False,
) -> ModelProto:
    """A network that torch trained elsewhere as a dense ``.onnx``, written to ``out`` if given.

    ``model`` is a module that takes ``inputs`` numbers per row, or the file of a state dict: a
    checkpoint of DeepXDE or PINA, any ``.pt`` or ``.safetensors`` of weights alone. In a file a plain
    chain of dense layers is expected, with ``activation`` (tanh, sin, silu, gelu, relu, …) between them.

    Raises InputError if torch is not installed, the file is missing, ``inputs`` is missing for a
    module or the activation is unknown; ModelError, naming the file and the key or submodule, for what
    can't be imported; OutputError if ``out`` can't be written.
    """
    if isinstance(model, str | Path):
        require_file(Path(model))
        if Path(model).suffix == ".onnx":
            raise InputError(f"{model}: is an .onnx already; give it to compress")
    if out is not None:
        check_writable(Path(out), force=force)
        if isinstance(model, str | Path):
            check_distinct(Path(out), Path(model))
    training = _with_torch("import")
    imported: ModelProto
    if isinstance(model, str | Path):
        state = training.read_state_dict(Path(model))
        with naming(Path(model)):
            imported = training.state_dict_to_onnx(state, activation)
    elif inputs is None:
        raise InputError("inputs: not given; say how many numbers per row the module takes")
    else:
        imported = training.module_to_onnx(model, inputs)
    if out is not None:
        _write(imported, Path(out), force=force)
    return imported


def load(path: Path | str) -> CompressedModel:
    """Read a compressed model (``.hedge.safetensors``)."""
    return load_compressed(Path(path))


def reference_models() -> dict[str, Path]:
    """The dense models that come with hedge, by the name of their problem or operator.

    Where a problem has several, the last by file name.
    """
    installed, checkout = (Path(__file__).parents[level] / "models" for level in (0, 1))
    folder = installed if installed.is_dir() else checkout
    return {path.stem.rpartition("-")[0]: path for path in sorted(folder.glob("*.onnx"))}


def _operator_of(model: ModelProto, name: str) -> OperatorProblem:
    """The operator called ``name`` on the grid of the model's inputs.

    Raises InputError if no grid has so many sensors, or the name is unknown.
    """
    inputs = input_dimension(model)
    if not LEAST_SENSORS <= inputs <= MOST_SENSORS:
        raise InputError(
            f"problem {name!r} is on {LEAST_SENSORS} to {MOST_SENSORS} sensors, the model has "
            f"{inputs} input(s); name the problem it was trained on"
        )
    return find_operator(name, inputs)


def _solved_by(model: ModelProto, name: str | None) -> Problem | OperatorProblem | None:
    """The problem that the user names or, without one, the model itself."""
    if name is None:
        name = metadata(model).get("hedge.problem", "")
        if name not in GALLERY and name not in OPERATORS:
            return None
    return _operator_of(model, name) if name in OPERATORS else find_problem(name)


def _check_outputs(model: ModelProto, problem: Problem | OperatorProblem) -> None:
    if isinstance(problem, OperatorProblem):
        inputs, named = problem.sources(1, seed=0), f"{problem.sensors} outputs, as many as sensors"
        wanted = problem.sensors
    else:
        inputs, named, wanted = problem.domain.sample(1, seed=0), "1 output", 1
    outputs = run_float32(model, inputs).shape[1]
    if outputs != wanted:
        raise InputError(
            f"problem {problem.name!r} has {named}, the model has {inputs.shape[1]} input(s) and "
            f"{outputs} output(s); name the problem it was trained on"
        )


def _write(model: ModelProto, path: Path, *, force: bool) -> None:
    write_atomically(path, model.SerializeToString(deterministic=True), force=force)


def _points(
    model: ModelProto,
    parts: SplitModel,
    problem: Problem | OperatorProblem | None,
    domain: str | None,
    samples: Path | str | None,
    seed: int,
) -> PointSets:
    dimension = input_dimension(model)
    if domain is not None and samples is not None:
        raise InputError("domain and samples: give one of them, not both")
    if samples is not None:
        return points_of_file(Path(samples), dimension, seed)
    if domain is None and isinstance(problem, OperatorProblem):
        return points_of_sources(problem, dimension, seed)
    box = _box(problem, domain)
    if box is None:
        raise InputError(
            f"domain: not known for this model; give --problem, --samples, or --domain with "
            f"{dimension} lower:upper"
        )
    widest = max(max(site.matrix.shape) for site in parts.sites)
    return points_of_domain(box, dimension, widest, seed)


def _box(problem: Problem | OperatorProblem | None, domain: str | None) -> Domain | None:
    """The box that the user names or, without one, that of the problem."""
    if domain is not None:
        return parse_domain(domain)
    return problem.domain if isinstance(problem, Problem) else None


def _check_inside(problem: Problem, points: PointSets) -> None:
    if not _is_inside(problem, points):
        raise InputError(
            f"against reference: the points leave the domain {problem.domain} of {problem.name!r}, "
            "outside which it has no reference; narrow them"
        )


def _is_inside(problem: Problem, points: PointSets) -> bool:
    box = problem.domain
    return all(
        used.shape[1] == box.dimension and ((used >= box.lower) & (used <= box.upper)).all()
        for used in (points.fit, points.validation)
    )


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
