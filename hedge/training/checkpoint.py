"""Checkpoints of networks of points: the state at the end of a cycle, beside the output."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast, get_args

import torch
from torch import Tensor

from hedge.files import write_atomically
from hedge.quasi_newton import MEMORY, DenseUpdate
from hedge.training.checkpoint_file import (
    amount_in,
    count_in,
    figure_in,
    file_bytes,
    opened,
    read_file,
)
from hedge.training.growth import Growth, GrowthState
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.optimisers import Descent, Optimiser, schedule
from hedge.training.run import TrainingRun
from hedge.training.sizes import LARGEST_INVERSE
from hedge.training.trainer import State, initial_state

MOST_DOUBLINGS = 16  # of a set of points
MOST_LAYERS = 1000


def save_checkpoint(path: Path, run: TrainingRun, state: State) -> None:
    """Write ``state`` and which run it belongs to, in place of an older checkpoint."""
    write_atomically(path, checkpoint_bytes(run, state), force=True)


def checkpoint_bytes(run: TrainingRun, state: State) -> bytes:
    """What the checkpoint of ``state`` holds, and which run it belongs to."""
    descent = state.descent
    header = {
        "widths": [descent.network.widths, state.best.widths],
        "descent": {key: getattr(descent, key) for key in DESCENT_NUMBERS},
        "state": {key: getattr(state, key) for key in STATE_NUMBERS},
        "progress": asdict(state.progress),
        "balance": list(state.balance),
        "earlier_losses": list(state.earlier_losses),
    }
    tensors = {
        "network": parameters_of(descent.network),
        "best": parameters_of(state.best),
        "inverse": descent.inverse,
        "memory": descent.memory,
        "attention": state.attention,
        "earlier": torch.stack(list(map(parameters_of, state.earlier))) if state.earlier else None,
    }
    return file_bytes(_identity(run), header, {k: t for k, t in tensors.items() if t is not None})


def load_checkpoint(path: Path, run: TrainingRun) -> State:
    """The state saved for this run.

    Raises ModelError if there is no checkpoint, it is damaged, or it belongs to another run.
    """
    return read_file(path, _identity(run), lambda header, tensors: _state(run, header, tensors))


def saved_widths(path: Path) -> tuple[int, ...]:
    """Hidden widths at the start of the run that a checkpoint is of; raises as :func:`load_checkpoint`."""
    with opened(path) as (file, header):
        run = header["run"]
        widths = run["widths"] or [run["width"]] * min(count_in(run["depth"]), MOST_LAYERS + 1)
        found = tuple(count_in(width) for width in widths)
        (parameters,) = file.get_slice("network").get_shape()
        if not 0 < len(found) <= MOST_LAYERS or 0 in found or sum(found) > parameters:
            raise ValueError(f"hidden widths {found}")
        return found


def as_saved(path: Path, run: TrainingRun) -> TrainingRun:
    """The run with the precision and the windows of its checkpoint, where it has no choice of its own.

    Raises as :func:`load_checkpoint`, but leaves it to that to refuse a checkpoint of another problem.
    """
    with opened(path) as (_, header):
        saved = header["run"]
        if saved["problem"] != run.problem.name:
            return run
        if run.precision is None:
            run = replace(run, precision=saved["precision"])
        if run.windows is None and saved["windows"] != run.window_count:
            run = replace(run, windows=saved["windows"])
        return run


def _state(run: TrainingRun, header: Any, tensors: Mapping[str, Tensor]) -> State:
    network, best = (
        _network(run, widths, tensors[key])
        for widths, key in zip(header["widths"], ("network", "best"), strict=True)
    )
    numbers = {key: kind(header["state"][key]) for key, kind in STATE_NUMBERS.items()}
    descent = Descent(
        network, inverse=tensors.get("inverse"), memory=tensors.get("memory"),
        **{key: kind(header["descent"][key]) for key, kind in DESCENT_NUMBERS.items()},
    )  # fmt: skip
    weights = tensors.get("attention")
    windows = tensors.get("earlier", ())
    state = State(
        descent, best, progress=_progress(header["progress"]),
        attention=None if weights is None else _of_run(run, weights),
        balance=tuple(map(amount_in, header["balance"])),
        earlier=tuple(_network(run, header["widths"][1], each) for each in windows),
        earlier_losses=tuple(map(amount_in, header["earlier_losses"])), **numbers,
    )  # fmt: skip
    _check_state(run, state)
    return state


def _method(name: object) -> Optimiser:
    if name not in get_args(Optimiser):
        raise ValueError(name)
    return cast("Optimiser", name)


DESCENT_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "steps": count_in,
    "loss": float,
    "damping": figure_in,
    "remembered": count_in,
}
STATE_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "method": _method,
    "best_loss": figure_in,
    "mark_loss": figure_in,
    "mark_cycle": count_in,
    "stalls": count_in,
    "crowding": count_in,
    "overfits": count_in,
    "halved_loss": figure_in,
    "halved_cycle": count_in,
    "cycle": count_in,
    "seconds": amount_in,
}


def _network(run: TrainingRun, widths: list[int], parameters: Tensor) -> Network:
    """The network of these widths, which only a run that grows may have made its own."""
    found = tuple(count_in(width) for width in widths)
    if len(found) != len(run.hidden) or 0 in found or not (run.grow or found == run.hidden):
        raise ValueError(f"hidden widths {found}")
    network = initial_state(run, found).descent.network
    if parameters.shape != (len(parameters_of(network)),):
        raise ValueError(f"{tuple(parameters.shape)} parameters")
    own_numbers = _of_run(run, parameters)
    if not torch.isfinite(own_numbers.float()).all():
        raise ValueError("parameters are not finite in the float32 of the .onnx")
    return with_parameters(network, own_numbers)


def _of_run(run: TrainingRun, numbers: Tensor) -> Tensor:
    """The numbers where the run has them; of another type it did not write them."""
    if numbers.dtype != run.dtype:
        raise ValueError(f"numbers of {numbers.dtype}")
    return numbers.to(run.device)


def _progress(saved: dict[str, Any]) -> GrowthState:
    growths = tuple(
        Growth(
            count_in(growth["step"]),
            tuple(map(count_in, growth["widths_before"])),
            tuple(map(count_in, growth["widths_after"])),
            tuple(map(amount_in, growth["errors"])),
        )
        for growth in saved["growths"]
    )
    return GrowthState(figure_in(saved["mark_loss"]), count_in(saved["mark_cycle"]), growths)


def _check_state(run: TrainingRun, state: State) -> None:
    """Refuse a state that the run can't have come to: its matrices and points would be of any size."""
    descent, weights = state.descent, state.attention
    if run.method not in ("auto", state.method):
        raise ValueError(f"method {state.method}")
    if not len(state.earlier) == len(state.earlier_losses) < run.window_count:
        raise ValueError(f"networks of {len(state.earlier)} earlier windows")
    size = len(parameters_of(descent.network))
    if state.method in get_args(DenseUpdate) and size > LARGEST_INVERSE:
        raise ValueError(f"an inverse Hessian of {size} parameters")
    if descent.inverse is not None and descent.inverse.shape != (size, size):
        raise ValueError("the inverse Hessian is of another network")
    if descent.inverse is not None and descent.inverse.dtype != torch.float64:
        raise ValueError(f"an inverse Hessian of {descent.inverse.dtype}")
    _check_memory(state, size)
    work = schedule(state.method, size, run.problem.outputs, run.problem.dimension)
    if state.crowding > MOST_DOUBLINGS:
        raise ValueError(f"points doubled {state.crowding} times")
    points = min(work.points * 2**state.crowding, work.most_points)
    if weights is not None and (run.sampling != "attention" or weights.shape != (points,)):
        raise ValueError("weights of other points")
    if weights is not None and not ((weights >= 0.0) & torch.isfinite(weights)).all():
        raise ValueError("weights that are negative or not finite")


def _check_memory(state: State, size: int) -> None:
    memory = state.descent.memory
    if memory is None:
        return
    most = {"lbfgs": MEMORY, "adam": 1}.get(state.method, 0)
    if memory.ndim != 3 or memory.shape[::2] != (2, size) or not 0 < memory.shape[1] <= most:
        raise ValueError(f"a memory of shape {tuple(memory.shape)}")
    if memory.dtype != torch.float64 or not torch.isfinite(memory).all():
        raise ValueError("a memory of other numbers")
    downhill = (memory[0] * memory[1]).sum(1) > 0.0 if state.method == "lbfgs" else memory[1] >= 0.0
    if not downhill.all():
        raise ValueError("a memory of other steps")
    if state.descent.remembered < memory.shape[1]:
        raise ValueError(f"a memory of {state.descent.remembered} steps")


def _identity(run: TrainingRun) -> dict[str, object]:
    return {
        "problem": run.problem.name,
        "fields": list(run.problem.fields),
        "width": max(run.hidden),
        "depth": len(run.hidden),
        "seed": run.seed,
        "method": run.method,
        "sampling": run.sampling,
        "precision": run.precision,
        "device": run.device.type,
        "grow": run.grow,
        "widths": None if run.widths is None else list(run.widths),
        "worst": None if run.worst is None else run.worst.digest,
        "windows": run.window_count,
    }
