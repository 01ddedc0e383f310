"""Writing results: whole or not at all, and never over a file the user did not offer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from hedge.errors import InputError, OutputError


def require_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file."""
    try:
        found = path.is_file()
    except OSError as error:  # a name too long for the system, for one
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    if not found:
        raise InputError(f"{path}: there is no such file")


def check_writable(path: Path, *, force: bool) -> None:
    """Raise OutputError unless ``path`` can be written; called before long work starts."""
    try:
        is_folder, is_file, exists = path.is_dir(), path.is_file(), path.exists()
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror}") from error
    if is_folder:
        raise OutputError(f"{path}: is a folder; name a file")
    if exists and not is_file:  # replacing /dev/null would break the system
        raise OutputError(f"{path}: is a device or a pipe; name a file")
    if exists and not force:
        raise OutputError(f"{path}: exists already; choose another name or pass --force")
    if not path.parent.is_dir():
        raise OutputError(f"{path}: there is no folder {path.parent}; create it first")
    if not os.access(path.parent, os.W_OK):
        raise OutputError(f"{path}: the folder {path.parent} is not writable; choose another one")


def check_distinct(out: Path, *inputs: Path) -> None:
    """Raise OutputError if ``out`` is one of the files that are read, which ``--force`` would lose."""
    for path in inputs:
        if path.exists() and out.exists() and out.samefile(path):
            raise OutputError(f"{out}: is the file that is read; choose another name")


def write_atomically(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write ``data`` to ``path`` through a temporary file beside it, so no reader sees a part.

    Raises OutputError if the file exists and ``force`` is False, or if the system refuses.
    """
    write_together({path: data}, force=force)


def write_together(contents: Mapping[Path, bytes], *, force: bool = False) -> None:
    """Write several files, or none: all lie beside their places before the first one takes its own.

    Raises OutputError if one exists and ``force`` is False, or if the system refuses.
    """
    for path in contents:
        check_writable(path, force=force)
    written: dict[Path, Path] = {}
    try:
        for path, data in contents.items():
            with _refused(path):
                handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
                written[path] = Path(name)
                with os.fdopen(handle, "wb") as stream:
                    stream.write(data)
                mask = os.umask(0)
                os.umask(mask)
                # mkstemp makes private files; results are ordinary ones
                written[path].chmod(0o666 & ~mask)
        for path, temporary in written.items():
            with _refused(path):
                temporary.replace(path)
    finally:
        for temporary in written.values():
            temporary.unlink(missing_ok=True)


@contextmanager
def _refused(path: Path) -> Iterator[None]:
    """What the system says against writing, as an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror}") from error
