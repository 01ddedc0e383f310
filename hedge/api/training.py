"""Dense models: trained, imported from elsewhere and compared with the user's own outputs, or shipped."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import numpy as np
from onnx import ModelProto

from hedge.array_files import read_array
from hedge.arrays import Array
from hedge.errors import InputError, ModelError, naming, read_again
from hedge.files import (
    OwnFile,
    check_distinct,
    check_writable,
    require_file,
    sha256_of,
    write_atomically,
)
from hedge.graph import as_pairs, check_readable, input_dimension, run_float32
from hedge.graph.activations import ACTIVATIONS
from hedge.names import checkpoint_of
from hedge.problems import MOST_TRAINED, Problem, chosen_problem, find_operator

if TYPE_CHECKING:
    from torch import nn

    from hedge.training import (
        Checkpointer,
        NetworkRecord,
        OperatorResult,
        Record,
        State,
        TrainingResult,
    )
    from hedge.training.module_inputs import Inputs
    from hedge.training.run import Accelerator, OptimiserChoice, Precision, Sampling


def train(
    problem: Problem | str,
    out: Path | str | None = None,
    *,
    width: int | None = None,
    depth: int | None = None,
    seed: int = 0,
    method: OptimiserChoice = "auto",
    sampling: Sampling = "residual",
    precision: Precision | None = None,
    accelerator: Accelerator = "auto",
    grow: bool = False,
    budget_s: float | None = None,
    max_steps: int | None = None,
    worst: Path | str | None = None,
    windows: int | None = None,
    resume: bool = False,
    force: bool = False,
    on_cycle: Callable[[State, NetworkRecord], None] | None = None,
) -> TrainingResult:
    """Train a PINN on a problem and write it to ``out`` (``.onnx``).

    It is one of the gallery by name, yours as a value, or yours in a file, which is run:
    ``"my_problem.py:plate"``.
    ``depth`` hidden layers of ``width`` neurons, if not given as many as suit the problem (its ``layers``).
    A checkpoint beside ``out`` is written after the first cycle, every ten seconds and on Ctrl-C, and removed
    at the end; ``resume`` goes on from it or, where there is none, from the model in ``out``, with the widths
    found there, and replaces ``out``. Ctrl-C ends the run with the best network so far. With ``precision``
    "float64" the file is in double precision, which shows errors that float32 hides; else it is float32,
    computed in float64 unless that is "float32".
    ``worst`` is a certificate of the problem's solution (:func:`hedge.certify`): half of all points are then
    drawn where its bound of the residual is large. ``windows`` are parts of the time with a network each, if
    not given as many as suit the problem. See :class:`hedge.training.TrainingRun` for the choices.

    Raises InputError if torch is not installed (``pip install 'hedge-pinn[train]'``), a checkpoint is there
    and neither ``resume`` nor ``force``, there is nothing to resume, or ``worst`` is of something else;
    ModelError for a checkpoint or a model that training can't go on from.
    """
    training = _with_torch("train")
    known = chosen_problem(problem)
    run = training.TrainingRun(
        known,
        width, depth, seed, method, sampling, precision, accelerator, grow,
        worst=None if worst is None else training.worst_boxes(Path(worst), known), windows=windows,
    )  # fmt: skip
    result: TrainingResult
    if out is None:
        result = training.train(run, budget_s=budget_s, max_steps=max_steps, on_cycle=on_cycle)
        return result
    path = Path(out)
    own = _checkpoint_file(path, resume=resume, force=force)
    if worst is not None:
        check_distinct(path, Path(worst))
    state = None
    if resume:
        run, state = training.resumed(run, path, width, depth)
    training.check_exportable(run)
    watch = training.Checkpointer(own, partial(training.checkpoint_bytes, run), on_cycle)
    # What an interrupted run wrote is there by now; what comes later is somebody else's.
    replaces = force or (resume and os.path.lexists(path))
    with _leaving_a_checkpoint(watch) as leave:
        result = training.train(
            run, budget_s=budget_s, max_steps=max_steps, resume_from=state, on_cycle=watch
        )
        leave(result)
        write_model(training.result_to_onnx(result), path, force=replaces)
    return result


def _checkpoint_file(path: Path, *, resume: bool, force: bool) -> OwnFile:
    """The checkpoint's, beside the model's ``path``; refused where either can't be written.

    Raises InputError if there is one and neither ``resume`` nor ``force``.
    """
    check_writable(path, force=force or resume)
    checkpoint = checkpoint_of(path)
    check_writable(checkpoint, force=True)
    there = os.path.lexists(checkpoint)
    if there and not (resume or force):
        raise InputError(
            f"{checkpoint}: is the checkpoint of an earlier run; pass --resume to go on from it, "
            "or --force to start anew"
        )
    return OwnFile(
        checkpoint, force=force, offered=sha256_of(checkpoint) if resume and there else None
    )


@contextmanager
def _leaving_a_checkpoint(
    watch: Checkpointer[Any, Any],
) -> Iterator[Callable[[TrainingResult | OperatorResult], None]]:
    """What ends a training leaves the checkpoint of the last cycle, but not if its result is written.

    To be told of the result before that; one that was interrupted leaves a checkpoint, too.
    """
    stopped = ""

    def leave(result: TrainingResult | OperatorResult) -> None:
        nonlocal stopped
        stopped = result.stopped
        if stopped == "interrupted":
            watch.write()

    try:
        yield leave
    except BaseException:
        watch.write()
        raise
    if stopped != "interrupted":
        watch.remove()


def train_operator(
    name: str,
    out: Path | str | None = None,
    *,
    sensors: int,
    seed: int = 0,
    budget_s: float | None = None,
    max_steps: int | None = None,
    resume: bool = False,
    force: bool = False,
    on_cycle: Callable[[Record], None] | None = None,
) -> OperatorResult:
    """Train the operator called ``name`` on a grid of ``sensors``, and write it to ``out`` (``.onnx``).

    A checkpoint beside ``out`` is written and removed as by :func:`train`; ``resume`` goes on from it. Ctrl-C
    ends the run with the best network so far. Raises InputError if torch is not installed
    (``pip install 'hedge-pinn[train]'``), the name is unknown, a number is out of its range, or a checkpoint
    is there and neither ``resume`` nor ``force``; ModelError for a checkpoint that is damaged or of another
    run; :class:`hedge.training.DivergenceError` if training diverges: then the best network before that is
    written to ``out``.
    """
    problem = find_operator(name, sensors)
    if problem.sensors > MOST_TRAINED:
        raise InputError(
            f"sensors: {sensors} is more than {MOST_TRAINED}, up to which operators are trained: the whole "
            "matrix would take hours; give fewer"
        )
    training = _with_torch("train")
    limits = {"seed": seed, "budget_s": budget_s, "max_steps": max_steps}
    result: OperatorResult
    if out is None:
        result = training.train_operator(
            problem,
            **limits,
            on_cycle=None if on_cycle is None else lambda _, record: on_cycle(record),
        )
        return result
    path = Path(out)
    own = _checkpoint_file(path, resume=resume, force=force)
    state = training.load_operator_checkpoint(own.path, problem, seed) if resume else None
    watch = training.Checkpointer(
        own,
        partial(training.operator_checkpoint_bytes, problem, seed),
        None if on_cycle is None else lambda _, record: on_cycle(record),
    )
    replaces = force or (resume and os.path.lexists(path))
    try:
        with _leaving_a_checkpoint(watch) as leave:
            result = training.train_operator(problem, **limits, resume_from=state, on_cycle=watch)
            leave(result)
            write_model(training.operator_to_onnx(result), path, force=replaces)
    except training.DivergenceError as error:
        watch.remove()  # it would diverge again
        if error.best is None:
            raise
        write_model(training.operator_network_to_onnx(error.best), path, force=replaces)
        raise training.DivergenceError(f"{error}, and {out} is that one", error.best) from error
    return result


def import_model(
    model: Path | str | nn.Module,
    out: Path | str | None = None,
    *,
    inputs: Inputs | None = None,
    activation: str | None = None,
    key: str | None = None,
    prefix: str | None = None,
    ignore: Sequence[str] = (),
    check: tuple[Path | str, Path | str] | None = None,
    force: bool = False,
) -> ModelProto:
    """A network that torch trained elsewhere as a dense ``.onnx``, written to ``out`` if given.

    ``model`` is a module that takes ``inputs`` numbers per row, or the file of a state dict. Of a module of
    several arguments, or of a tuple or dict of tensors, ``inputs`` are their names, of one column each
    (``("x", "t")``), or their widths (``(16, 1)``, ``{"f": 16, "y": 1}``); the model then has as many
    inputs. A file is a checkpoint of DeepXDE or PINA, any ``.pt`` or ``.safetensors`` of weights alone.
    In it a plain chain of dense layers is expected, with ``activation`` (tanh unless given; sin, silu, gelu,
    relu, …) between them. A ``.mdlus`` of PhysicsNeMo says itself what its network is.

    Of a file ``key`` names the state dict inside a training's state, ``prefix`` what the keys of one
    network among several begin with ("" says that all are one), ``ignore`` what its function does not
    use. What a state dict doesn't tell (other activations, one behind the last layer, scaling,
    transforms) can only be seen from outputs: ``check`` are the ``.npy`` files of some inputs (n, d) and
    of your network's outputs (n, m) there.

    Raises InputError if torch is not installed, the file is missing, ``inputs`` is missing for a
    module or the activation is unknown; ModelError, naming the file and the key or submodule, for what
    can't be imported or gives other outputs; OutputError if ``out`` can't be written.
    """
    if isinstance(model, str | Path) and Path(model).suffix == ".onnx":
        require_file(Path(model))
        raise InputError(f"{model}: is an .onnx already; give it to compress")
    if out is not None:
        check_writable(Path(out), force=force)
        if isinstance(model, str | Path):
            check_distinct(Path(out), Path(model))
    training = _with_torch("import")
    imported: ModelProto
    if isinstance(model, str | Path) and Path(model).suffix == ".mdlus":
        _check_nothing_to_tell(activation=activation, key=key, prefix=prefix, ignore=ignore or None)
        stored = training.read_mdlus(Path(model))
        with naming(Path(model)):
            imported = training.mdlus_to_onnx(stored)
            if check is not None:
                _check_agreement(imported, *map(Path, check))
    elif isinstance(model, str | Path):
        state = training.read_state_dict(Path(model), key=key, prefix=prefix, ignore=ignore)
        chain = partial(training.state_dict_to_onnx, state, is_one=prefix == "")
        with naming(Path(model)):
            imported = chain(activation or USUAL_ACTIVATION)
            if check is not None:
                _check_outputs(chain, activation or USUAL_ACTIVATION, *map(Path, check))
    elif inputs is None:
        raise InputError(
            "inputs: not given; say how many numbers per row the module takes, or the names of its arguments"
        )
    else:
        imported = training.module_to_onnx(model, inputs)
    if out is not None:
        write_model(imported, Path(out), force=force)
    return imported


def reference_models() -> dict[str, Path]:
    """The dense models that come with hedge, by the name of their problem or operator.

    Where a problem has several, the last by file name.
    """
    installed, checkout = (Path(__file__).parents[level] / "models" for level in (1, 2))
    folder = installed if installed.is_dir() else checkout
    return {path.stem.rpartition("-")[0]: path for path in sorted(folder.glob("*.onnx"))}


def _with_torch(command: str) -> ModuleType:
    """The stage of training; raises InputError, naming ``command``, if torch is not installed."""
    try:
        from hedge import training
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise InputError(
            f"{command}: torch is not installed; run: pip install 'hedge-pinn[train]'"
        ) from error
    return training


def write_model(model: ModelProto, path: Path, *, force: bool) -> None:
    """Write an ``.onnx`` file, atomically; equal models give equal bytes.

    Raises OutputError if it can't be written, or hedge could not read it again.
    """
    with read_again():
        check_readable(model)
    write_atomically(path, model.SerializeToString(deterministic=True), force=force)


USUAL_ACTIVATION = "tanh"
# Far above float32's rounding, also of steep networks; far below what another function would differ.
AGREEMENT = 1e-4
BY_CHANCE = (
    "another activation, one behind the last layer, scaling, or a transform of inputs or outputs"
)


def _check_nothing_to_tell(**given: object) -> None:
    """Raise InputError for options that say what a file itself does."""
    for name, value in given.items():
        if value is not None:
            raise InputError(f"{name}: a .mdlus says itself what its network is; leave it out")


def _check_outputs(
    chain: Callable[[str], ModelProto], activation: str, inputs: Path, outputs: Path
) -> None:
    """Raise ModelError unless the network with that ``activation`` gives ``outputs`` at ``inputs``.

    The message names an activation that does, if one does. Raises InputError for files that are no
    (n, d) and (n, m) of the network's d and m.
    """
    points, expected = _columns(inputs), _columns(outputs)
    off = _difference(chain(activation), points, expected, inputs, outputs)
    if off <= AGREEMENT:
        return
    others = (name for name in ACTIVATIONS if name != activation)
    fitting = (
        n for n in others if _difference(chain(n), points, expected, inputs, outputs) <= AGREEMENT
    )
    found = next(fitting, None)
    way = (
        f"with --activation {found} it does not"
        if found
        else f"a state dict tells nothing of {BY_CHANCE}: if your network has any, give the module itself to "
        "hedge.import_model in Python"
    )
    raise ModelError(
        f"with {activation} between its layers and nothing else it differs from {outputs.name} by "
        f"{off:.1e} of its size; {way}"
    )


def _check_agreement(model: ModelProto, inputs: Path, outputs: Path) -> None:
    """The same of a model of which the file says all."""
    off = _difference(model, _columns(inputs), _columns(outputs), inputs, outputs)
    if off > AGREEMENT:
        raise ModelError(
            f"its network differs from {outputs.name} by {off:.1e} of its size: your program scales or "
            "transforms inputs or outputs besides; give the whole as a module to hedge.import_model in Python"
        )


def _columns(path: Path) -> Array:
    values = read_array(path)
    is_real = values.ndim in (1, 2) and values.dtype.kind in "fiu"
    if not is_real or not values.size or not np.isfinite(values).all():
        raise InputError(f"{path}: holds no finite numbers (n, d); write them with numpy.save")
    with np.errstate(over="ignore"):  # a long double beyond all is infinitely far off
        return values.reshape(len(values), -1).astype(np.float64)


def _difference(
    model: ModelProto, points: Array, expected: Array, inputs: Path, outputs: Path
) -> float:
    """The largest of any column, relative to the column's largest number."""
    if points.shape[1] != input_dimension(model):
        raise InputError(
            f"{inputs}: has shape {points.shape}; the network takes (n, {input_dimension(model)})"
        )
    found = run_float32(as_pairs(model), points)
    if found.shape != expected.shape:
        raise InputError(f"{outputs}: has shape {expected.shape}; the network gives {found.shape}")
    sizes = np.abs(expected).max(axis=0)
    return float((np.abs(found - expected).max(axis=0) / np.where(sizes > 0.0, sizes, 1.0)).max())
