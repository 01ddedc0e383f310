"""Checkpoints: the state at the end of a cycle, in one safetensors file beside the output."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from hedge.errors import ModelError
from hedge.files import write_atomically
from hedge.training.levenberg import parameters_of, with_parameters
from hedge.training.trainer import Record, Run, State, initial_state

VERSION = 1
INTERVAL_S = 5.0


def checkpoint_path(model: Path) -> Path:
    """Where the checkpoint of a model that is being trained lies."""
    return model.with_name(model.name + ".checkpoint")


def save_checkpoint(path: Path, run: Run, state: State) -> None:
    """Write ``state`` and which run it belongs to, in place of an older checkpoint."""
    header = {
        **_identity(run),
        "best_loss": state.best_loss,
        "mark_loss": state.mark_loss,
        "mark_cycle": state.mark_cycle,
        "cycle": state.cycle,
        "damping": state.damping,
        "seconds": state.seconds,
    }
    tensors = {
        "network": parameters_of(state.network).clone(),
        "best": parameters_of(state.best).clone(),
    }
    write_atomically(path, save(tensors, {"hedge": json.dumps(header)}), force=True)


def load_checkpoint(path: Path, run: Run) -> State:
    """The state saved for this run.

    Raises ModelError if there is no checkpoint, it is damaged, or it belongs to another run.
    """
    if not path.is_file():
        raise ModelError(f"{path}: there is no checkpoint to resume; leave out --resume")
    fresh = initial_state(run)
    identity = _identity(run)
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})["hedge"])
            found = {key: header[key] for key in identity}
            if found != identity:
                raise ModelError(f"{path}: is of another run, {found}; use those settings again")
            network, best = (
                with_parameters(fresh.network, file.get_tensor(name))
                for name in ("network", "best")
            )
            return State(
                network=network,
                best=best,
                best_loss=float(header["best_loss"]),
                mark_loss=float(header["mark_loss"]),
                mark_cycle=int(header["mark_cycle"]),
                cycle=int(header["cycle"]),
                damping=float(header["damping"]),
                seconds=float(header["seconds"]),
            )
    except (SafetensorError, KeyError, ValueError, TypeError, RuntimeError) as error:
        raise ModelError(f"{path}: is no checkpoint of hedge; delete it and start anew") from error


def _identity(run: Run) -> dict[str, object]:
    return {
        "version": VERSION,
        "problem": run.problem.name,
        "width": run.width,
        "depth": run.depth,
        "seed": run.seed,
    }


class Checkpointer:
    """Writes a run's checkpoint at the end of a cycle, every few seconds, and when asked to."""

    def __init__(
        self, path: Path, run: Run, on_cycle: Callable[[State, Record], None] | None
    ) -> None:
        self._path, self._run, self._on_cycle = path, run, on_cycle
        self._last_written = time.monotonic()
        self._state: State | None = None

    def __call__(self, state: State, record: Record) -> None:
        """To be called after every cycle; passes it on to ``on_cycle``."""
        self._state = state
        if time.monotonic() - self._last_written >= INTERVAL_S:
            self.write()
        if self._on_cycle is not None:
            self._on_cycle(state, record)

    def write(self) -> None:
        """Write the state of the last full cycle, if there is one."""
        if self._state is not None:
            save_checkpoint(self._path, self._run, self._state)
            self._last_written = time.monotonic()
