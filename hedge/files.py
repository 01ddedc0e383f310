"""Files: read if they are files, written whole or not at all, and never over one that was not offered."""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Literal

from hedge.errors import InputError, OutputError
from hedge.temporaries import remove_leftovers, temporary_file, unused_name

DEVICES = Path("/dev")


def open_file(path: Path) -> BufferedReader:
    """Open a file to read; whatever takes its name later, this is the file that was looked at.

    Raises InputError if there is none, or it is a folder, a device or a pipe, which may have no end.
    """
    try:
        # Opening a device or a pipe can already do something, or wait.
        _check_is_file(path, path.stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise InputError(f"{path}: there is no such file") from error
    except OSError as error:  # a name too long for the system, for one
        raise InputError(f"{path}: can't be read: {error.strerror}") from error
    except ValueError as error:  # a null character in the name
        raise InputError(f"{path}: can't be read: {error}") from error
    stream = os.fdopen(descriptor, "rb")
    try:
        _check_is_file(path, os.fstat(descriptor))
    except InputError:
        stream.close()
        raise
    return stream


def _check_is_file(path: Path, found: os.stat_result) -> None:
    if stat.S_ISDIR(found.st_mode):
        raise InputError(f"{path}: is a folder; name a file")
    if not stat.S_ISREG(found.st_mode):
        raise InputError(f"{path}: is a device or a pipe; name a file")


def require_file(path: Path) -> None:
    """Raise InputError unless ``path`` is a file that can be read."""
    open_file(path).close()


def require_any(paths: Iterable[Path]) -> None:
    """Raise InputError, for the first of ``paths``, unless one is a file that can be read."""
    refusals = []
    for path in paths:
        try:
            require_file(path)
        except InputError as error:
            refusals.append(error)
        else:
            return
    if refusals:
        raise refusals[0]


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file, in hexadecimal."""
    with open_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_writable(path: Path, *, force: bool) -> None:
    """Raise OutputError unless ``path`` can be written; called before long work starts."""
    with refused(path):
        found = _found_at(path)
        if found == "folder":
            raise OutputError(f"{path}: is a folder; name a file")
        if found == "device":  # replacing /dev/null would break the system
            raise OutputError(f"{path}: is a device or a pipe; name a file")
        if found == "file" and not force:
            raise OutputError(f"{path}: exists already; choose another name or pass --force")
        if not path.parent.is_dir():
            raise OutputError(f"{path}: there is no folder {path.parent}; create it first")
        if not os.access(path.parent, os.W_OK | os.X_OK):
            raise OutputError(
                f"{path}: the folder {path.parent} is not writable; choose another one"
            )
        if found == "file" and not _may_be_replaced(path):
            raise OutputError(f"{path}: belongs to another user; choose another name")
        with suppress(FileNotFoundError):  # the path of the temporary may be too long
            (path.parent / unused_name()).lstat()


def _found_at(path: Path) -> Literal["nothing", "file", "folder", "device"]:
    """What has the name: a link is what it leads to, and one to nowhere can be lost as a file can."""
    try:
        mode = path.lstat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        return "nothing"
    if stat.S_ISLNK(mode):
        if path.parent.resolve() == DEVICES:
            return "device"  # /dev/stdout is the system's, even where it leads to a file
        try:
            mode = path.stat().st_mode
        except OSError:
            return "file"
    return "file" if stat.S_ISREG(mode) else "folder" if stat.S_ISDIR(mode) else "device"


def _may_be_replaced(path: Path) -> bool:
    """In folders such as /tmp everybody may write, but replaces only what is their own."""
    folder, user = path.parent.stat(), os.geteuid()
    return not folder.st_mode & stat.S_ISVTX or user in (0, folder.st_uid, path.lstat().st_uid)


def check_distinct(out: Path, *inputs: Path) -> None:
    """Raise OutputError if ``out`` is one of the files that are read, which ``--force`` would lose."""
    for path in inputs:
        with suppress(OSError, ValueError):  # one of them is not there
            if out.samefile(path):
                raise OutputError(f"{out}: is the file that is read; choose another name")


def write_atomically(path: Path, data: bytes, *, force: bool = False) -> None:
    """Write ``data`` to ``path`` through a temporary file beside it, so no reader sees a part.

    Raises OutputError if the file exists and ``force`` is False, or if the system refuses.
    """
    write_together({path: data}, force=force)


def write_together(contents: Mapping[Path, bytes], *, force: bool = False) -> None:
    """Write several files, or none: all lie beside their places before the first one takes its own.

    A run killed between two of these last steps, a few microseconds, leaves files of two runs.

    Raises OutputError if one exists and ``force`` is False, be it since a moment ago, or if the system
    refuses.
    """
    for path in contents:
        check_writable(path, force=force)
    for folder in {path.parent for path in contents}:
        remove_leftovers(folder)
    parts: dict[Path, Path] = {}
    with ExitStack() as made:
        for path, data in contents.items():
            with refused(path):
                part = made.enter_context(temporary_file(path.parent))
                with os.fdopen(part.descriptor, "wb", closefd=False) as stream:
                    stream.write(data)
                # What a full disk refuses comes up now, and renaming has nothing left to write.
                os.fsync(part.descriptor)
                parts[path] = part.path
        if force:
            _replace(parts)
        else:
            _take(parts)


def check_folder_writable(folder: Path, *, force: bool) -> None:
    """Raise OutputError unless files can be written into a folder of this name, which may not be there yet.

    One that holds anything is taken with ``force`` only.
    """
    with refused(folder):
        found = _found_at(folder)
        if found in ("file", "device"):
            raise OutputError(f"{folder}: is no folder; name one, or one that is not there yet")
        if found == "folder":
            if not force and any(folder.iterdir()):
                raise OutputError(f"{folder}: is not empty; choose another name or pass --force")
            return
    check_writable(folder, force=force)


def write_folder(
    folder: Path,
    contents: Mapping[str, bytes],
    *,
    force: bool = False,
    stale: Iterable[str] = (),
) -> None:
    """Write files by their names below a folder, all or none.

    ``stale`` are names that may lie there from an earlier run: those that are not written now are removed.

    Raises what :func:`check_folder_writable` does, and OutputError where the system refuses.
    """
    check_folder_writable(folder, force=force)
    files = {folder / name: data for name, data in contents.items()}
    made: list[Path] = []
    try:
        for path in files:
            for parent in reversed([p for p in path.parents if p == folder or folder in p.parents]):
                if not parent.exists():
                    with refused(parent):
                        parent.mkdir()
                    made.append(parent)
        write_together(files, force=force)
    except BaseException:
        for parent in reversed(made):
            with suppress(OSError):
                parent.rmdir()
        raise
    for name in set(stale) - contents.keys():
        with refused(folder / name):
            (folder / name).unlink(missing_ok=True)


def _take(parts: Mapping[Path, Path]) -> None:
    """Give the parts names that nobody has, or none if somebody has one."""
    taken: list[Path] = []
    try:
        for path, part in parts.items():
            with refused(path):
                _take_name(path, part)
            taken.append(path)
    except BaseException:
        for path in taken:
            path.unlink(missing_ok=True)
        raise


def _take_name(path: Path, part: Path) -> None:
    try:
        path.hardlink_to(part)  # unlike a rename, replaces nothing
    except FileExistsError as error:
        raise OutputError(
            f"{path}: another process has just written it; choose another name or pass --force"
        ) from error
    except OSError:  # no links there: take the name with an empty file, which is ours to replace
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        try:
            part.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _replace(parts: Mapping[Path, Path]) -> None:
    """Give the parts the names of what is there, or put that back if the system refuses one."""
    # Second names of the old files, which also keep the system from freeing them between two renames.
    old = {path: _second_name(path) for path in parts if os.path.lexists(path)}
    replaced: list[Path] = []
    try:
        for path, part in parts.items():
            with refused(path):
                part.replace(path)
            replaced.append(path)
    except BaseException:
        for path in replaced:
            _put_back(path, old)
        raise
    finally:
        for name in old.values():
            if name is not None:
                name.unlink(missing_ok=True)


def _second_name(path: Path) -> Path | None:
    name = path.with_name(unused_name())
    try:
        os.link(path, name, follow_symlinks=False)
    except (OSError, NotImplementedError):
        return None
    return name


def _put_back(path: Path, old: Mapping[Path, Path | None]) -> None:
    with suppress(OSError):
        if path not in old:
            path.unlink()
        elif (name := old[path]) is not None:
            name.replace(path)


class OwnFile:
    """A file that a run writes again and again, and replaces only while it is its own.

    That is what the run wrote last, or what the user offered: with ``force`` anything at first, else what
    has the SHA-256 ``offered``. What another process puts there meanwhile stays.
    """

    def __init__(self, path: Path, *, force: bool = False, offered: str | None = None) -> None:
        self.path, self._force, self._refusal = path, force, ""
        self._known = {offered} if offered else set()

    def write(self, data: bytes) -> None:
        """Write it anew.

        Raises OutputError if another process has written it since, and says where ``data`` lies instead.
        """
        if self._refusal:
            raise OutputError(self._refusal)
        is_there = os.path.lexists(self.path)
        if is_there and not self._force and not self._is_own():
            beside = _unused_beside(self.path)
            write_atomically(beside, data)
            self._refusal = (
                f"{self.path}: another process has written it meanwhile; it is left as it is, and what "
                f"this run found is in {beside}"
            )
            raise OutputError(self._refusal)
        # Before it is written: Ctrl-C may come before anything could be noted behind.
        self._known.add(hashlib.sha256(data).hexdigest())
        write_atomically(self.path, data, force=self._force or is_there)
        self._force = False

    def remove(self) -> None:
        """Remove it, if it is still its own."""
        if self._is_own():
            self.path.unlink(missing_ok=True)

    def _is_own(self) -> bool:
        try:
            return sha256_of(self.path) in self._known
        except InputError:
            return False


def _unused_beside(path: Path) -> Path:
    """The path with the first number before its ending that makes it a new one."""
    number = 2
    while os.path.lexists(beside := path.with_name(f"{path.stem}.{number}{path.suffix}")):
        number += 1
    return beside


@contextmanager
def refused(path: Path) -> Iterator[None]:
    """What the system says against writing, as an OutputError."""
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: can't be written: {error.strerror}") from error
    except ValueError as error:  # a null character in the name
        raise OutputError(f"{path}: can't be written: {error}") from error
