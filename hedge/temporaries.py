"""Temporary files and folders beside results: locked while their run lives, so that leftovers are known.

A run that is killed can't tidy up. The system drops its locks, though, on whichever machine it ran, so a
temporary that can be locked belongs to nobody, and the next run in the folder removes it.
"""

from __future__ import annotations

import fcntl
import os
import re
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

# Of one length whatever the result is called, whose own name may be as long as the system takes.
PREFIX, SUFFIX = ".hedge-", ".part"
RANDOM_BYTES = 4
PATTERN = re.compile(rf"{re.escape(PREFIX)}[0-9a-f]{{{2 * RANDOM_BYTES}}}{re.escape(SUFFIX)}")
# A name is only tried again where another run took the new file for a leftover.
ATTEMPTS = 100


@dataclass(frozen=True)
class _Temporary:
    """A file or folder that no other run removes, and its open descriptor."""

    path: Path
    descriptor: int


@contextmanager
def temporary_file(folder: Path) -> Iterator[_Temporary]:
    """A new file in ``folder``, open to write, with the permissions of ordinary files.

    At the end its name is removed, if it still has it. Raises OSError if the system refuses.
    """
    made = _made(folder)
    try:
        yield made
    finally:
        with suppress(OSError):
            made.path.unlink(missing_ok=True)
        os.close(made.descriptor)


@contextmanager
def temporary_folder(folder: Path) -> Iterator[_Temporary]:
    """The same as a new folder in ``folder``, removed with all it holds unless it was renamed."""
    with _folder(folder, 0o777) as made:
        yield made


@contextmanager
def scratch_folder() -> Iterator[Path]:
    """A new folder among the system's temporary ones, for this user alone; those of dead runs go first.

    Raises OSError if the system refuses.
    """
    folder = Path(tempfile.gettempdir())
    remove_leftovers(folder)
    with _folder(folder, 0o700) as made:
        yield made.path


@contextmanager
def _folder(folder: Path, mode: int) -> Iterator[_Temporary]:
    made = _made(folder, mode)
    try:
        yield made
    finally:
        shutil.rmtree(made.path, ignore_errors=True)
        os.close(made.descriptor)


def unused_name() -> str:
    """The name of a temporary that does not exist yet, in all likelihood."""
    return f"{PREFIX}{secrets.token_hex(RANDOM_BYTES)}{SUFFIX}"


def remove_leftovers(folder: Path) -> None:
    """Remove the temporaries of dead runs in ``folder``; those of live runs stay, and what can't be told."""
    with suppress(OSError):
        for path in folder.iterdir():
            if PATTERN.fullmatch(path.name):
                _remove_if_dead(path)


def _made(folder: Path, mode: int | None = None) -> _Temporary:
    """A new folder of a mode, or a file."""
    for _ in range(ATTEMPTS):
        path = folder / unused_name()
        if mode is None:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
        else:
            path.mkdir(mode)
            try:
                descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
            except FileNotFoundError:  # another run has removed it as a leftover already
                continue
        if _locked(descriptor) is not False and _is_there(path, descriptor):
            return _Temporary(path, descriptor)
        os.close(descriptor)  # another run has locked it as a leftover, and removes it
    raise OSError(None, f"{folder}: other runs remove what is written there")


def _locked(descriptor: int) -> bool | None:
    """Whether it is locked now by us; None where the file system has no locks."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return None
    return True


def _is_there(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.lstat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _remove_if_dead(path: Path) -> None:
    # Some file systems lock only what is open to write, which a folder can't be.
    mode = os.O_RDONLY if path.is_dir() else os.O_RDWR
    with suppress(OSError):
        descriptor = os.open(path, mode | os.O_NOFOLLOW | os.O_NONBLOCK)
        try:
            if _locked(descriptor) is True:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        finally:
            os.close(descriptor)
