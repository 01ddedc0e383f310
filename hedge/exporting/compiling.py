"""The C compiler of this machine, with its flags, and the flags that a profile of C names."""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from hedge.devices import CRuntime
from hedge.errors import InputError, ModelError, first_line, quoted
from hedge.temporaries import scratch_folder

FLAGS = ("-std=c99", "-O3", "-march=native")
# A profile may be a stranger's, and some flags run programs or write files. These do neither.
HARMLESS = re.compile(r"-std=[\w+]+|-O\w*|-g\d?|-m[\w.+-]+(=[\w.+,-]+)?|-f[a-z0-9-]+")
SHARED = "model.so"
FREE = "Free Software Foundation"  # of gcc, which calls itself what it was called by
# What compilers define where vectors hold so many floats, the widest first.
VECTORS: Mapping[str, int] = {
    "__AVX512F__": 16, "__AVX__": 8, "__SSE2__": 4, "__aarch64__": 4, "__wasm_simd128__": 4,
}  # fmt: skip


@dataclass(frozen=True)
class Compiler:
    """A program that compiles C, and the flags that it is given."""

    command: str
    flags: tuple[str, ...] = FLAGS

    @cached_property
    def label(self) -> str:
        """What it calls itself, with the flags; the same by whatever name it was found."""
        printed = _finished([self.command, "--version"]).stdout
        line = printed.partition("\n")[0].strip()
        if FREE in printed:
            line = re.sub(r"^\S+ \(", "gcc (", line)
        return " ".join([line, *self.flags])

    @cached_property
    def lanes(self) -> int:
        """Floats of a vector of the target.

        Raises InputError if it can't be asked.
        """
        done = _finished([self.command, *self.flags, "-dM", "-E", "-xc", "-"])
        if done.returncode:
            raise InputError(f"compiler: {_refusal(done)}; correct --flags or --compiler")
        defined = {line.split()[1] for line in done.stdout.splitlines() if line.count(" ") > 0}
        return next((lanes for name, lanes in VECTORS.items() if name in defined), 1)

    @cached_property
    def target(self) -> str:
        """What it compiles for, as it calls it: x86_64-linux-gnu.

        Raises InputError if it can't be asked.
        """
        done = _finished([self.command, "-dumpmachine"])
        if done.returncode or not done.stdout.strip():
            raise InputError(
                f"compiler: {self.command} does not say what it compiles for; name gcc or clang"
            )
        return done.stdout.strip()

    def shared(self, files: Mapping[str, str], *link: str) -> bytes:
        """A shared object of C files, given by name and text; ``link`` are flags for the linker.

        Raises ModelError if they don't compile; InputError if that is no compiler.
        """
        sources = sorted(name for name in files if name.endswith(".c"))
        objects = [f"{name.removesuffix('.c')}.o" for name in sources]
        with _temporary_folder() as folder:
            for name, text in files.items():
                (folder / name).write_text(text)
            self._run([*self.flags, "-fPIC", "-c", *sources], folder)
            # Without the flags: -ffast-math would flush the whole process's subnormals.
            self._run(["-shared", *link, *objects, "-o", SHARED, "-lm"], folder)
            if not (folder / SHARED).exists():
                raise InputError(
                    f"compiler: {self.command} compiles nothing; name a C compiler in CC"
                )
            return (folder / SHARED).read_bytes()

    def library(self, files: Mapping[str, str]) -> ctypes.CDLL:
        """The functions of C files, loaded into this process; raises what :meth:`shared` does.

        Raises ModelError if they can't be loaded.
        """
        shared = self.shared(files)
        with _temporary_folder() as folder:
            (folder / SHARED).write_bytes(shared)
            try:
                return ctypes.CDLL(str(folder / SHARED))
            except (
                OSError
            ) as error:  # code of another machine, or a folder whose files may not be run
                raise ModelError(
                    f"its C can't be loaded ({first_line(error)}); take a compiler for this machine, or "
                    "name another folder in TMPDIR"
                ) from error

    def _run(self, words: Sequence[str], folder: Path) -> None:
        done = _finished([self.command, *words], folder)
        if done.returncode:
            raise ModelError(f"its C does not compile here ({_refusal(done)})")


def compiler_here(name: str | None = None, flags: Sequence[str] = FLAGS) -> Compiler:
    """The compiler of that name or, without one, ``$CC`` or ``cc``.

    Raises InputError if there is none.
    """
    usual = os.environ.get("CC") or "cc"
    found = shutil.which(name or usual)
    if found is not None:  # it runs in another folder than this one
        return Compiler(str(Path(found).absolute()), tuple(flags))
    if name is not None:
        raise InputError(f"compiler: {quoted(name)} is not there; install it, or name another one")
    if usual != "cc":
        raise InputError(
            f"backend: c needs a C compiler, and CC names {quoted(usual)}, which is no program; name one "
            "there without flags"
        )
    raise InputError("backend: c needs a C compiler; install gcc, or name one in CC")


def compiler_if_any(name: str | None, flags: str | None, usual: Sequence[str]) -> Compiler | None:
    """The compiler of that name with these flags; without a name the usual one, None if there is none.

    Raises InputError for a name that is no program, and flags that can't be split into words.
    """
    if name is None and not has_compiler():
        return None
    try:
        return compiler_here(name, usual if flags is None else shlex.split(flags))
    except ValueError as error:
        raise InputError(f"flags: {quoted(flags)} can't be read ({error})") from error


def none_here() -> str:
    """Why there is no compiler, and what to do."""
    usual = os.environ.get("CC")
    if usual:
        return (
            f"there is no C compiler {quoted(usual)}, which CC names: name a program there, without flags, "
            "and export again"
        )
    return "there is no C compiler here: install gcc or name one in CC, and export again"


def has_compiler() -> bool:
    """Whether there is one."""
    return shutil.which(os.environ.get("CC") or "cc") is not None


def flags_in(text: str) -> tuple[str, ...]:
    """The flags of a command line.

    Raises InputError for one that may do more than say how code is made.
    """
    try:
        flags = tuple(shlex.split(text))
    except ValueError as error:
        raise InputError(f"flags: {quoted(text)} can't be read ({error})") from error
    for flag in flags:
        if not HARMLESS.fullmatch(flag):
            raise InputError(
                f"flags: {quoted(flag)} may not stand in a profile; give -std=, -O, -m and -f without ="
            )
    return flags


def compiler_of(runtime: CRuntime) -> Compiler | None:
    """The compiler here with the flags of a profile, if it is that which the profile's figures are of."""
    _, dash, flags = f" {runtime.compiler}".partition(" -")
    try:
        found = compiler_here(flags=flags_in(dash.strip() + flags))
        return found if found.label == runtime.compiler else None
    except InputError:
        return None


@contextmanager
def _temporary_folder() -> Iterator[Path]:
    """A folder for what is compiled; raises ModelError if nothing can be written there."""
    try:
        with scratch_folder() as folder:
            yield folder
    except OSError as error:
        raise ModelError(
            f"its C can't be written ({error.strerror}); name another folder in TMPDIR"
        ) from error


def _refusal(done: subprocess.CompletedProcess[str]) -> str:
    """What it says first of what is wrong: before that it may say in which file."""
    lines = done.stderr.strip().splitlines()
    if not lines:
        return f"{done.args[0]} says nothing and ends with {done.returncode}"
    return next((line for line in lines if "error" in line), lines[0])


def _finished(command: list[str], folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    """The compiler's run; raises InputError if it is no program."""
    try:
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, errors="replace", check=False,
            stdin=subprocess.DEVNULL,
            # A compiler that is killed leaves files, too.
            env=os.environ | ({} if folder is None else {"TMPDIR": str(folder)}),
        )  # fmt: skip
    except OSError as error:
        raise InputError(
            f"compiler: {command[0]} can't be run ({error.strerror}); name a C compiler in CC"
        ) from error
