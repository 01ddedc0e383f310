"""Files: what is opened is a file, what belongs together is written together, what is there stays."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from hedge.documents import read_text
from hedge.errors import InputError, OutputError
from hedge.files import (
    OwnFile,
    check_writable,
    open_file,
    require_file,
    write_atomically,
    write_together,
)
from hedge.temporaries import PREFIX, SUFFIX, remove_leftovers, temporary_file, temporary_folder

LONGEST_NAME = 255


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def refusing(method: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A system that refuses one way of giving files of that name theirs."""
    real = getattr(Path, method)

    def refused(self: Path, other: Path) -> Path | None:
        if name in (self.name, Path(other).name):
            raise PermissionError(errno.EPERM, "Operation not permitted")
        found: Path | None = real(self, other)
        return found

    monkeypatch.setattr(Path, method, refused)


# --- Written together -----------------------------------------------------------------------------


@pytest.mark.parametrize("there", [(), ("u.c",), ("u.c", "u.h")])
@pytest.mark.parametrize("refused", ["u.c", "u.h"])
def test_all_are_replaced_or_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: tuple[str, ...], refused: str
) -> None:
    for name in there:
        (tmp_path / name).write_bytes(b"old")
    refusing("replace", refused, monkeypatch)
    with pytest.raises(OutputError, match=rf"{refused}: can't be written: Operation not permitted"):
        write_together({tmp_path / "u.c": b"new", tmp_path / "u.h": b"new"}, force=True)
    assert contents(tmp_path) == dict.fromkeys(there, b"old")


@pytest.mark.parametrize("taken", ["u.c", "u.h"])
def test_none_is_new_where_a_name_is_taken_at_the_last_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taken: str
) -> None:
    monkeypatch.setattr(
        "hedge.files.remove_leftovers", lambda folder: (folder / taken).write_bytes(b"theirs")
    )
    with pytest.raises(OutputError, match=rf"{taken}: another process has just written it"):
        write_together({tmp_path / "u.c": b"new", tmp_path / "u.h": b"new"})
    assert contents(tmp_path) == {taken: b"theirs"}


def test_a_system_without_links_writes_as_well_and_replaces_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", no_links)
    path = tmp_path / "u.c"
    write_atomically(path, b"mine")
    monkeypatch.setattr("hedge.files.check_writable", lambda path, force: None)
    with pytest.raises(OutputError, match=r"u\.c: "):
        write_atomically(path, b"other")
    assert contents(tmp_path) == {"u.c": b"mine"}
    write_atomically(path, b"newer", force=True)
    assert contents(tmp_path) == {"u.c": b"newer"}


def test_where_a_name_is_taken_in_vain_no_empty_file_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where something tidies up temporaries meanwhile."""

    def tidy(target: Path, name: Path) -> None:
        name.unlink()
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    monkeypatch.setattr(Path, "hardlink_to", tidy)
    with pytest.raises(OutputError, match=r"u\.c: can't be written"):
        write_atomically(tmp_path / "u.c", b"mine")
    assert contents(tmp_path) == {}


@pytest.mark.parametrize("force", [False, True])
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, force: bool
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    if force:
        (tmp_path / "u.c").write_bytes(b"old")
    with pytest.raises(OutputError, match=r"u\.c: can't be written: No space left"):
        write_atomically(tmp_path / "u.c", b"new", force=force)
    assert contents(tmp_path) == ({"u.c": b"old"} if force else {})


def test_results_have_the_permissions_of_ordinary_files(tmp_path: Path) -> None:
    ordinary, result = tmp_path / "ordinary", tmp_path / "result"
    ordinary.write_bytes(b"")
    write_atomically(result, b"")
    assert result.stat().st_mode == ordinary.stat().st_mode


# --- What may be written --------------------------------------------------------------------------


def test_a_link_to_nowhere_is_somebody_s(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to("later")
    with pytest.raises(OutputError, match="exists already"):
        write_atomically(link, b"new")
    assert link.is_symlink()
    write_atomically(link, b"new", force=True)
    assert contents(tmp_path) == {"link": b"new"}


def test_the_system_s_links_to_streams_are_no_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Replacing /dev/stdout would break the system, though ``> file`` makes it lead to a file."""
    monkeypatch.setattr("hedge.files.DEVICES", tmp_path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "stdout").symlink_to("file")
    with pytest.raises(OutputError, match="is a device or a pipe"):
        check_writable(tmp_path / "stdout", force=True)


@pytest.mark.parametrize("length", [236, 246, LONGEST_NAME])
def test_a_name_is_as_long_as_the_system_takes(tmp_path: Path, length: int) -> None:
    name = "ä" * (length // 2) + "x" * (length % 2)
    write_atomically(tmp_path / name, b"whole")
    assert contents(tmp_path) == {name: b"whole"}


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("x" * (LONGEST_NAME + 1), "File name too long"),
        ("ä" * (LONGEST_NAME // 2 + 1), "File name too long"),
        ("a/" * 3000 + "m", "File name too long"),
        ("m\0.onnx", "null"),
        ("gone/m.onnx", "there is no folder"),
        ("file/m.onnx", "there is no folder"),
        (".", "is a folder"),
    ],
)
@pytest.mark.parametrize("force", [False, True])
def test_what_can_not_be_written_is_refused_before_the_work(
    tmp_path: Path, name: str, said: str, force: bool
) -> None:
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(OutputError, match=said):
        check_writable(tmp_path / name, force=force)
    assert contents(tmp_path) == {"file": b"kept"}


def test_the_path_of_the_temporary_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = Path()
    while len(bytes(folder)) < 4085 - 256:
        folder /= "d" * 200
        folder.mkdir()
    folder /= "d" * (4090 - len(bytes(folder)) - 1)
    folder.mkdir()
    with pytest.raises(OutputError, match="File name too long"):
        check_writable(folder / "m", force=False)


def test_the_file_of_another_user_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tmp_path.chmod(0o1777)
    (tmp_path / "theirs").write_bytes(b"")
    monkeypatch.setattr(os, "geteuid", lambda: 12345)
    with pytest.raises(OutputError, match="another user"):
        check_writable(tmp_path / "theirs", force=True)
    tmp_path.chmod(0o777)
    check_writable(tmp_path / "theirs", force=True)


# --- Leftovers ------------------------------------------------------------------------------------


def leftover(name: str) -> str:
    return f"{PREFIX}{name}{SUFFIX}"


def test_the_next_run_removes_leftovers_and_nothing_else(tmp_path: Path) -> None:
    for name in (leftover("0123abcd"), leftover("0123abc"), leftover("my-notes"), ".hedge-rc", "x"):
        (tmp_path / name).write_bytes(b"some")
    (tmp_path / leftover("00000000")).mkdir()
    (tmp_path / leftover("00000000") / "inside").write_bytes(b"some")
    (tmp_path / leftover("11111111")).symlink_to("x")
    os.mkfifo(tmp_path / leftover("22222222"))
    write_atomically(tmp_path / "u.c", b"new")
    kept = {leftover("0123abc"), leftover("my-notes"), ".hedge-rc", "x", "u.c"}
    assert {path.name for path in tmp_path.iterdir()} - kept <= {
        leftover("11111111"), leftover("22222222")
    }  # fmt: skip
    assert (tmp_path / "x").read_bytes() == b"some"


def test_temporaries_of_a_live_run_stay(tmp_path: Path) -> None:
    with temporary_file(tmp_path) as file, temporary_folder(tmp_path) as folder:
        (folder.path / "inside").write_bytes(b"some")
        remove_leftovers(tmp_path)
        write_atomically(tmp_path / "u.c", b"new")
        assert file.path.exists()
        assert (folder.path / "inside").exists()
    assert contents(tmp_path) == {"u.c": b"new"}


@pytest.mark.parametrize("make", [temporary_file, temporary_folder])
def test_a_new_temporary_that_is_taken_for_a_leftover_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[..., object]
) -> None:
    """Another run removes it between its making and its locking."""
    real, removed = fcntl.flock, []

    def late(descriptor: int, how: int) -> None:
        if not removed:
            removed.extend(tmp_path.iterdir())
            for path in removed:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", late)
    with make(tmp_path) as made:  # type: ignore[attr-defined]
        assert made.path.exists()
        assert made.path not in removed
    assert removed
    assert not contents(tmp_path)


def test_a_new_folder_that_another_run_removes_before_it_is_locked_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, made = Path.mkdir, []

    def tidied(self: Path, mode: int) -> None:
        real(self, mode)
        made.append(self)
        if len(made) == 1:
            remove_leftovers(tmp_path)

    monkeypatch.setattr(Path, "mkdir", tidied)
    with temporary_folder(tmp_path) as folder:
        assert [*tmp_path.iterdir()] == [folder.path] == made[1:]


def test_where_nothing_can_be_locked_nothing_is_taken_for_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_locks(descriptor: int, how: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", no_locks)
    (tmp_path / leftover("0123abcd")).write_bytes(b"some")
    write_atomically(tmp_path / "u.c", b"new")
    assert contents(tmp_path) == {"u.c": b"new", leftover("0123abcd"): b"some"}


# --- A file of one's own --------------------------------------------------------------------------


def in_place(path: Path) -> None:
    path.write_bytes(b"theirs")


def by_another_file(path: Path) -> None:
    other = path.with_name("other")
    other.write_bytes(b"theirs")
    other.replace(path)


@pytest.mark.parametrize("change", [in_place, by_another_file])
@pytest.mark.parametrize("force", [False, True])
def test_what_another_process_writes_meanwhile_stays(
    tmp_path: Path, change: Callable[[Path], None], force: bool
) -> None:
    path = tmp_path / "m.hedge.safetensors"
    if force:
        path.write_bytes(b"offered")
    own = OwnFile(path, force=force)
    own.write(b"first")
    own.write(b"second")
    assert path.read_bytes() == b"second"
    change(path)
    for data in (b"third", b"fourth"):
        with pytest.raises(OutputError, match=re.escape("is in " + str(tmp_path / "m.hedge.2."))):
            own.write(data)
    own.remove()
    assert contents(tmp_path) == {
        "m.hedge.safetensors": b"theirs", "m.hedge.2.safetensors": b"third"
    }  # fmt: skip


def test_what_appears_before_the_first_result_stays(tmp_path: Path) -> None:
    own = OwnFile(tmp_path / "m")
    (tmp_path / "m").write_bytes(b"theirs")
    (tmp_path / "m.2").write_bytes(b"theirs, too")
    with pytest.raises(OutputError, match=r"m\.3$"):
        own.write(b"mine")
    assert contents(tmp_path) == {"m": b"theirs", "m.2": b"theirs, too", "m.3": b"mine"}


@pytest.mark.parametrize("make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("gone")])
def test_a_pipe_a_folder_and_a_link_are_not_its_own(
    tmp_path: Path, make: Callable[[Path], None]
) -> None:
    own = OwnFile(tmp_path / "m")
    own.write(b"first")
    (tmp_path / "m").unlink()
    make(tmp_path / "m")
    with pytest.raises(OutputError, match=r"m\.2$"):
        own.write(b"second")
    assert (tmp_path / "m").is_fifo() or (tmp_path / "m").is_dir() or (tmp_path / "m").is_symlink()


def test_what_was_offered_is_replaced_and_what_was_moved_away_is_written_anew(
    tmp_path: Path,
) -> None:
    path = tmp_path / "m"
    path.write_bytes(b"a")
    known = "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb"  # of b"a"
    own = OwnFile(path, offered=known)
    own.write(b"first")
    path.rename(tmp_path / "moved")
    own.write(b"second")
    assert contents(tmp_path) == {"m": b"second", "moved": b"first"}
    own.remove()
    assert contents(tmp_path) == {"moved": b"first"}


# --- What is read ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone", "there is no such file"),
        ("file/gone", "there is no such file"),
        ("link", "there is no such file"),
        ("folder", "is a folder"),
        ("pipe", "is a device or a pipe"),
        ("zero", "is a device or a pipe"),
        ("x" * 300, "can't be read: File name too long"),
        ("a\0b", "can't be read"),
    ],
)
def test_what_is_no_file_is_not_opened(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("nowhere")
    (tmp_path / "zero").symlink_to("/dev/zero")
    os.mkfifo(tmp_path / "pipe")
    for reading in (require_file, read_text):
        with pytest.raises(InputError, match=f"{re.escape(name)}: {said}"):
            reading(tmp_path / name)


def test_a_file_that_becomes_a_pipe_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and opening."""
    path = tmp_path / "m"
    path.write_bytes(b"")
    real = os.open

    def late(name: Path, flags: int) -> int:
        path.unlink()
        os.mkfifo(path)
        return real(name, flags)

    monkeypatch.setattr(os, "open", late)
    with pytest.raises(InputError, match="is a device or a pipe"):
        open_file(path)


def test_a_document_with_a_hole_of_a_terabyte_is_not_read(tmp_path: Path) -> None:
    with (tmp_path / "d.toml").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(InputError, match=r"d\.toml: has 1099511627776 bytes"):
        read_text(tmp_path / "d.toml")
