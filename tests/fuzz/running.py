"""Inputs in a process of their own, of limited memory and time, that is started anew where it dies."""

from __future__ import annotations

import faulthandler
import importlib
import multiprocessing
import resource
import shutil
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from random import Random
from typing import Literal

from tests.fuzz.kind import Kind, run

MEMORY = 4 * 2**30  # bytes that are written to, of one process
SECONDS = 30  # of processor time, which another busy process does not lengthen
WAITING = 600  # seconds in which a process that only waits is given up
INPUTS_OF_A_PROCESS = 1000
# Where each kind stands; those of one module share what they import.
KINDS = {
    "onnx": "onnx_files:KIND", "network": "networks:KIND", "exported": "exported_files:KIND",
    "compressed": "compressed_files:KIND", "state dict": "torch_files:KIND", "profile": "documents:PROFILE",
    "result": "documents:RESULT", "checkpoint": "checkpoints:KINDS",
    "checkpoint, weighted": "checkpoints:KINDS", "checkpoint, growing": "checkpoints:KINDS",
    "samples": "samples:KIND", "certificate": "certificates:KIND",
}  # fmt: skip
# How many of 100 inputs are of each kind.
SHARES = {
    "onnx": 32, "network": 4, "exported": 8, "compressed": 17, "state dict": 13, "profile": 6, "result": 6,
    "checkpoint": 2, "checkpoint, weighted": 2, "checkpoint, growing": 1, "samples": 6,
    "certificate": 3,
}  # fmt: skip


@dataclass(frozen=True)
class Input:
    """What one is made of."""

    kind: str
    seed: int
    number: int


@dataclass(frozen=True)
class Verdict:
    """What came of an input."""

    input: Input
    found: Literal["accepted", "refused", "fault"]
    about: str


def inputs(count: int, seed: int, kind: str | None) -> list[Input]:
    """So many inputs, of one kind or of all."""
    names = [kind] if kind else [name for name, share in SHARES.items() for _ in range(share)]
    Random(seed).shuffle(names)
    return sorted(
        (Input(names[number % len(names)], seed, number) for number in range(count)),
        key=lambda one: list(KINDS).index(one.kind),
    )


def fuzz(wanted: Sequence[Input], folder: Path) -> Iterator[Verdict]:
    """The verdict of each input, in turn."""
    process: _Process | None = None
    for done, one in enumerate(wanted):
        if process is None or done % INPUTS_OF_A_PROCESS == 0:
            if process is not None:
                process.stop()
            process = _Process(folder)
        verdict = process.verdict(one)
        yield verdict
        if not process.lives:
            process = None
    if process is not None:
        process.stop()


class _Process:
    """A process that runs inputs."""

    def __init__(self, folder: Path) -> None:
        self._crash = folder / "crash.txt"
        context = multiprocessing.get_context("spawn")
        self._ours, theirs = context.Pipe()
        self._process = context.Process(
            target=_work, args=(theirs, folder, self._crash), daemon=True
        )
        self._process.start()
        theirs.close()
        self.lives = True

    def verdict(self, one: Input) -> Verdict:
        self._ours.send(one)
        try:
            if self._ours.poll(WAITING):
                found: Verdict = self._ours.recv()
                return found
            why = f"no answer within {WAITING} s"
        except EOFError:
            self._process.join()
            why = f"its process ended with {self._process.exitcode}"
        self.stop()
        return Verdict(one, "fault", f"{why}\n{self._crash.read_text()}")

    def stop(self) -> None:
        self.lives = False
        self._process.kill()
        self._process.join()
        self._ours.close()


def _work(connection: Connection, folder: Path, crash: Path) -> None:
    kinds = {name: _kind(name) for name in KINDS}
    with crash.open("w") as log, connection:
        faulthandler.enable(log)
        faulthandler.register(24, log, chain=True)  # SIGXCPU, which ends the process
        while True:
            try:
                one: Input = connection.recv()
            except EOFError:
                return
            honest = folder / one.kind
            if not honest.exists():
                made = Path(tempfile.mkdtemp(dir=folder))
                kinds[one.kind].honest(made)
                made.rename(honest)
            _limit()
            connection.send(_verdict(kinds[one.kind], one, honest))


def _kind(name: str) -> Kind:
    module, _, value = KINDS[name].partition(":")
    found = getattr(importlib.import_module(f"tests.fuzz.{module}"), value)
    return found[name] if isinstance(found, dict) else found


def _limit() -> None:
    used = resource.getrusage(resource.RUSAGE_SELF)
    _, most = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (int(used.ru_utime + used.ru_stime) + SECONDS, most))
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def _verdict(kind: Kind, one: Input, honest: Path) -> Verdict:
    with tempfile.TemporaryDirectory(dir=honest.parent) as place:
        shutil.copytree(honest, place, dirs_exist_ok=True)
        try:
            accepted, about = run(kind, Random(f"{one.kind} {one.seed} {one.number}"), Path(place))
        except Exception:
            return Verdict(one, "fault", traceback.format_exc())
    return Verdict(one, "accepted" if accepted else "refused", about)
