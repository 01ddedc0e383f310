"""Checkpoints: the state at the end of a cycle, in one safetensors file beside the output."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast, get_args

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from hedge.errors import InputError, ModelError
from hedge.files import OwnFile, require_file, write_atomically
from hedge.quasi_newton import MEMORY, DenseUpdate
from hedge.training.growth import Growth, GrowthState
from hedge.training.network import Network, parameters_of, with_parameters
from hedge.training.optimisers import Descent, Optimiser, schedule
from hedge.training.run import NetworkRecord, TrainingRun
from hedge.training.trainer import LARGEST_INVERSE, State, initial_state

VERSION = 7
# A killed run loses no more seconds, unless writing so often took more than a fiftieth of the time.
INTERVAL_S, TIMES_WRITING = 10.0, 50.0
MOST = 2**53  # of anything that is counted; beyond, float64 skips whole numbers
MOST_DOUBLINGS = 16  # of a set of points
MOST_LAYERS = 1000


def save_checkpoint(path: Path, run: TrainingRun, state: State) -> None:
    """Write ``state`` and which run it belongs to, in place of an older checkpoint."""
    write_atomically(path, _checkpoint_bytes(run, state), force=True)


def _checkpoint_bytes(run: TrainingRun, state: State) -> bytes:
    """What the checkpoint of ``state`` holds, and which run it belongs to."""
    descent = state.descent
    header = {
        "run": _identity(run),
        "widths": [descent.network.widths, state.best.widths],
        "descent": {key: getattr(descent, key) for key in DESCENT_NUMBERS},
        "state": {key: getattr(state, key) for key in STATE_NUMBERS},
        "progress": asdict(state.progress),
        "balance": list(state.balance),
    }
    tensors = {
        "network": parameters_of(descent.network),
        "best": parameters_of(state.best),
        "inverse": descent.inverse,
        "memory": descent.memory,
        "attention": state.attention,
    }
    kept = {key: t for key, t in tensors.items() if t is not None}
    text = json.dumps(header)
    metadata = {"hedge": text, "sha256": _digest(text, kept)}
    data: bytes = save(kept, metadata)
    return data


def _digest(header: str, tensors: Mapping[str, Tensor]) -> str:
    digest = hashlib.sha256(header.encode())
    for key in sorted(tensors):
        digest.update(key.encode())
        digest.update(np.ascontiguousarray(tensors[key].cpu().numpy()).tobytes())
    return digest.hexdigest()


def load_checkpoint(path: Path, run: TrainingRun) -> State:
    """The state saved for this run.

    Raises ModelError if there is no checkpoint, it is damaged, or it belongs to another run.
    """
    identity = _identity(run)
    with _opened(path) as (file, header):
        of_one_field = {"fields": ["u"]}  # those written before there were several do not say so
        found = {key: (of_one_field | header["run"])[key] for key in identity}
        if found != identity:
            differs = ", ".join(f"{k} {found[k]!s:.60}" for k in found if found[k] != identity[k])
            raise ModelError(f"{path}: is of another run, with {differs}; use that again")
        # Copies, since those of the file lie anywhere in memory and products round by alignment.
        tensors = {key: file.get_tensor(key).clone() for key in file.keys()}  # noqa: SIM118
        metadata = file.metadata()
        if _digest(metadata["hedge"], tensors) != metadata["sha256"]:
            raise ValueError("the file is not as it was written")
        return _state(run, header, tensors)


def saved_widths(path: Path) -> tuple[int, ...]:
    """Hidden widths at the start of the run that a checkpoint is of; raises as :func:`load_checkpoint`."""
    with _opened(path) as (file, header):
        run = header["run"]
        widths = run["widths"] or [run["width"]] * min(_count(run["depth"]), MOST_LAYERS + 1)
        found = tuple(_count(width) for width in widths)
        (parameters,) = file.get_slice("network").get_shape()
        if not 0 < len(found) <= MOST_LAYERS or 0 in found or sum(found) > parameters:
            raise ValueError(f"hidden widths {found}")
        return found


@contextmanager
def _opened(path: Path) -> Iterator[tuple[Any, Any]]:
    """The file and header of a checkpoint; what is wrong with it is a ModelError, here and in the body."""
    try:
        require_file(path)
    except InputError as error:
        raise ModelError(f"{path}: there is no checkpoint to resume; leave out --resume") from error
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads(file.metadata()["hedge"])
            if header["run"]["version"] != VERSION:
                raise ModelError(
                    f"{path}: is of another version of hedge; delete it and start anew"
                )
            yield file, header
    except (
        SafetensorError,
        InputError,
        RecursionError,
        KeyError,
        ValueError,
        TypeError,
        RuntimeError,
        AttributeError,
        OverflowError,
        OSError,
    ) as error:
        raise ModelError(f"{path}: is no checkpoint of hedge; delete it and start anew") from error


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
    state = State(
        descent, best, progress=_progress(header["progress"]),
        attention=None if weights is None else _of_run(run, weights),
        balance=tuple(map(_amount, header["balance"])), **numbers,
    )  # fmt: skip
    _check_state(run, state)
    return state


def _method(name: object) -> Optimiser:
    if name not in get_args(Optimiser):
        raise ValueError(name)
    return cast("Optimiser", name)


def _count(value: object) -> int:
    if type(value) is not int or not 0 <= value <= MOST:
        raise ValueError(value)
    return value


def _figure(value: Any) -> float:
    """A number from 0 to infinity, which is a loss before the first cycle."""
    figure = float(value)
    if not figure >= 0.0:
        raise ValueError(value)
    return figure


def _amount(value: Any) -> float:
    """A number that can be printed, and written as JSON."""
    amount = _figure(value)
    if amount > MOST:
        raise ValueError(value)
    return amount


DESCENT_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "steps": _count,
    "loss": float,
    "damping": _figure,
    "remembered": _count,
}
STATE_NUMBERS: dict[str, Callable[[Any], Any]] = {
    "method": _method,
    "best_loss": _figure,
    "mark_loss": _figure,
    "mark_cycle": _count,
    "stalls": _count,
    "crowding": _count,
    "overfits": _count,
    "cycle": _count,
    "seconds": _amount,
}


def _network(run: TrainingRun, widths: list[int], parameters: Tensor) -> Network:
    """The network of these widths, which only a run that grows may have made its own."""
    found = tuple(_count(width) for width in widths)
    if len(found) != run.depth or 0 in found or not (run.grow or found == run.hidden):
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
            _count(growth["step"]),
            tuple(map(_count, growth["widths_before"])),
            tuple(map(_count, growth["widths_after"])),
            tuple(map(_amount, growth["errors"])),
        )
        for growth in saved["growths"]
    )
    return GrowthState(_figure(saved["mark_loss"]), _count(saved["mark_cycle"]), growths)


def _check_state(run: TrainingRun, state: State) -> None:
    """Refuse a state that the run can't have come to: its matrices and points would be of any size."""
    descent, weights = state.descent, state.attention
    if run.method not in ("auto", state.method):
        raise ValueError(f"method {state.method}")
    size = len(parameters_of(descent.network))
    if state.method in get_args(DenseUpdate) and size > LARGEST_INVERSE:
        raise ValueError(f"an inverse Hessian of {size} parameters")
    if descent.inverse is not None and descent.inverse.shape != (size, size):
        raise ValueError("the inverse Hessian is of another network")
    if descent.inverse is not None and descent.inverse.dtype != torch.float64:
        raise ValueError(f"an inverse Hessian of {descent.inverse.dtype}")
    _check_memory(state, size)
    work = schedule(state.method, size, run.problem.outputs)
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
        "version": VERSION,
        "problem": run.problem.name,
        "fields": list(run.problem.fields),
        "width": run.width,
        "depth": run.depth,
        "seed": run.seed,
        "method": run.method,
        "sampling": run.sampling,
        "precision": run.precision,
        "device": run.device.type,
        "grow": run.grow,
        "widths": None if run.widths is None else list(run.widths),
        "worst": None if run.worst is None else run.worst.digest,
    }


class Checkpointer:
    """Writes a run's checkpoint after the first cycle, then every few seconds, and when asked to.

    The clock gives seconds.
    """

    def __init__(
        self,
        file: OwnFile,
        run: TrainingRun,
        on_cycle: Callable[[State, NetworkRecord], None] | None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._file, self._run, self._on_cycle, self._clock = file, run, on_cycle, clock
        self._due = -math.inf
        self._state: State | None = None

    def __call__(self, state: State, record: NetworkRecord) -> None:
        """To be called after every cycle; passes it on to ``on_cycle``."""
        self._state = state
        if self._clock() >= self._due:
            self.write()
        if self._on_cycle is not None:
            self._on_cycle(state, record)

    def write(self) -> None:
        """Write the state of the last full cycle, if there is one.

        Raises OutputError if another process has written the file meanwhile, or the system refuses.
        """
        if self._state is not None:
            started = self._clock()
            self._file.write(_checkpoint_bytes(self._run, self._state))
            now = self._clock()
            self._due = now + max(INTERVAL_S, TIMES_WRITING * (now - started))

    def remove(self) -> None:
        """Remove the file, which nobody needs any more."""
        self._file.remove()
