"""What a kind of file is to the fuzzer, and how a command is run on one."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shlex
import sys
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random

from hedge.cli.app import main
from tests.cli.conftest import PROGRESS, contents

LONGEST_LINE = 1100  # of a refusal, whatever names the file holds
# What the machine has too little of, in the words of hedge, numpy, torch and onnxruntime.
OUT_OF_MEMORY = re.compile(r"out of memory|bad.?alloc|allocate|MemoryError", re.IGNORECASE)

FOREIGN = re.compile(r"Traceback|\.py:\d+: \w*Warning")


class Fault(Exception):  # noqa: N818 - of hedge, not of the fuzzer
    """What may not come of a file."""


@dataclass(frozen=True)
class Said:
    """What a command did."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Kind:
    """A kind of file.

    honest writes files into a folder, once. alter changes one of them, in a copy of the folder, and says
    how. One of the commands is run there; where it succeeds, check raises Fault if that was a lie.
    """

    honest: Callable[[Path], None]
    alter: Callable[[Random, Path], str]
    commands: tuple[str, ...]
    check: Callable[[Path, str, Said], None] = lambda folder, command, said: None


def hedge(folder: Path, command: str) -> Said:
    """Run ``hedge`` in a folder as the console script does; raises Fault for a traceback."""
    out, err = io.StringIO(), io.StringIO()
    before, argv, code = Path.cwd(), sys.argv, 0
    sys.argv = ["hedge", *shlex.split(command)]
    os.chdir(folder)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            warnings.catch_warnings(),
        ):
            warnings.simplefilter("always")
            main()
    except SystemExit as stopped:
        code = int(stopped.code or 0)
    finally:
        os.chdir(before)
        sys.argv = argv
    return Said(code, out.getvalue(), err.getvalue())


def run(kind: Kind, rng: Random, folder: Path) -> tuple[bool, str]:
    """One input in its folder: whether it was accepted, and what it was; raises Fault.

    Other exceptions are tracebacks of hedge, too.
    """
    how = kind.alter(rng, folder)
    command = rng.choice(kind.commands)
    before = contents(folder)
    try:
        said = hedge(folder, command)
        judge(folder, before, command, said)
        if said.code == 0:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of doubles that are read again
                kind.check(folder, command, said)
    except Exception as error:
        error.add_note(f"{command}\n  after: {how}")
        raise
    return said.code == 0, f"{command} after {how}: {said.err}"


def judge(folder: Path, before: dict[Path, bytes | None], command: str, said: Said) -> None:
    """Raise Fault unless a command worked, or refused in one line and left everything as it was."""
    lines = [line for line in said.err.splitlines() if not line.startswith(PROGRESS)]
    if OUT_OF_MEMORY.search(said.err):
        raise Fault(f"asks for gigabytes: {said.err}")
    if FOREIGN.search(said.err):
        raise Fault(f"a message of another library: {said.err}")
    if said.code == 0:
        _judge_success(command, said)
    elif said.code != 1:
        raise Fault(f"exit code {said.code}: {said.err}")
    elif not lines or not all(line.startswith("hedge: ") for line in lines):
        raise Fault(f"refused in other words than one line: {said.err!r}")
    elif any(len(line) > LONGEST_LINE for line in lines):
        raise Fault(f"a line of {max(map(len, lines))} characters: {said.err[:2000]!r}")
    elif contents(folder) != before and not command.startswith("bench"):
        raise Fault(f"refused, and wrote: {contents(folder).keys() ^ before.keys()}")


def _judge_success(command: str, said: Said) -> None:
    if "--json" in command:

        def no_number(name: str) -> None:
            raise Fault(f"prints {name} as JSON")

        json.loads(said.out, parse_constant=no_number)
    elif not command.startswith("ntk") and re.search(r"\b(nan|inf)\b", said.out):
        raise Fault(f"prints a number that is none: {said.out}")
