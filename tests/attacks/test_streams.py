"""Standard streams that are closed, full, gone or of another encoding; disks that are full; no home."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest
from matplotlib import rc_context

import hedge
from hedge.benching.calibration import cache
from hedge.cli.streams import open_streams
from hedge.devices import find_profile, named_after
from hedge.errors import OutputError
from hedge.reproducing.item import Picture
from hedge.reproducing.writing import drawn
from tests.cli.conftest import Refuses, Run
from tests.conftest import random_mlp

HEDGE = f"{sys.executable} -c 'from hedge.cli.app import main; main()'"
COMPRESS = (
    "compress m.onnx --device laptop-x86 --domain 0:1,0:1 --tolerance 0.5 --out o.safetensors"
)
OUTPUT_LOST = "hedge: standard output: can't be written: "

needs_full = pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")


def shell(line: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[bytes]:
    """What a shell with bash's rules makes of the line; {} stands for hedge."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", line.replace("{}", HEDGE)],
        cwd=folder, env={**os.environ, **environment}, capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "m.onnx"
    path.write_bytes(random_mlp([2, 4, 1], seed=1).SerializeToString())
    return path


# --- Streams --------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["--version", "--help"])
@pytest.mark.parametrize(
    ("streams", "said"),
    [
        (">&-", f"{OUTPUT_LOST}Bad file descriptor\n"),
        pytest.param(">/dev/full", f"{OUTPUT_LOST}No space left on device\n", marks=needs_full),
    ],
    ids=["closed", "full"],
)
def test_an_output_that_is_lost_is_one_line(
    command: str, streams: str, said: str, tmp_path: Path
) -> None:
    done = shell(f"{{}} {command} {streams}", tmp_path)
    assert (done.returncode, done.stderr.decode()) == (1, said)


@needs_full
@pytest.mark.parametrize("streams", [">/dev/full", "2>&-"])
def test_the_work_is_done_whatever_the_streams(model: Path, streams: str) -> None:
    """With no messages all is well; with no output the file is there, and one line says what is not."""
    done = shell(f"{{}} {COMPRESS} {streams}", model.parent)
    assert hedge.load(model.with_name("o.safetensors")).plan.relative_error <= 0.5
    assert done.returncode == (1 if streams == ">/dev/full" else 0)
    assert b"Traceback" not in done.stderr


@pytest.fixture
def stuck() -> Iterator[tuple[int, int]]:
    """Both ends of a pipe that takes no byte more, and does not block."""
    read, write = os.pipe()
    os.set_blocking(write, False)
    with suppress(BlockingIOError):
        while os.write(write, b"x" * 512):
            pass
    yield read, write
    os.close(read)
    os.close(write)


def test_messages_that_would_block_are_gone_and_the_work_is_done(
    model: Path, stuck: tuple[int, int]
) -> None:
    command = ["bash", "-c", f"{{}} {COMPRESS}".replace("{}", HEDGE)]
    done = subprocess.run(command, cwd=model.parent, stderr=stuck[1], check=False)
    assert done.returncode == 0
    assert model.with_name("o.safetensors").exists()


def test_an_output_that_would_block_is_waited_for(model: Path, stuck: tuple[int, int]) -> None:
    command = ["bash", "-c", f"{HEDGE} inspect m.onnx --json"]
    with subprocess.Popen(command, cwd=model.parent, stdout=stuck[1]) as process:
        heard = b""
        while b"\n}\n" not in heard:
            heard += os.read(stuck[0], 512)
        assert process.wait() == 0
    assert json.loads(heard.lstrip(b"x"))["sites"]


def test_closed_streams_are_no_place_for_the_next_file(model: Path) -> None:
    """Its descriptor would be theirs, and what a library prints would go into it."""
    code = (
        "import os; from hedge.cli.streams import open_streams; open_streams()\n"
        "file = open('next', 'wb'); os.write(file.fileno(), b'whole')\n"
        "for descriptor in (0, 1, 2):\n"
        "    try: os.write(descriptor, b'from a library')\n"
        "    except OSError: pass\n"
    )
    shell(f'{sys.executable} -c "{code}" <&- >&- 2>&-', model.parent)
    assert model.with_name("next").read_bytes() == b"whole"


def test_a_reader_that_has_seen_enough_is_no_error(tmp_path: Path) -> None:
    done = shell("{} devices --json | head -c 1", tmp_path)
    assert done.stderr == b""
    assert done.stdout == b"{"


def test_any_encoding_shows_what_it_can(model: Path) -> None:
    """The theorems' Σ and λ are not in latin-1, nor is a Greek name."""
    model.rename(model.with_name("ω.onnx"))
    done = shell(
        "{} ntk ω.onnx --domain 0:1,0:1 --points 4 && {} evaluate ω.gone --problem heat",
        model.parent, PYTHONIOENCODING="latin-1",
    )  # fmt: skip
    assert done.stderr == b"hedge: ?.gone: there is no such file\n"
    assert done.returncode == 1
    assert b"effective rank (??)\xb2/??\xb2" in done.stdout


def test_streams_that_stand_in_for_others_are_left_alone(
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = sys.stdout, sys.stderr
    open_streams()
    assert (sys.stdout, sys.stderr) == before
    print("seen")
    assert capsys.readouterr().out == "seen\n"


def test_json_is_ascii_and_holds_every_character(model: Path, run: Run) -> None:
    name = "\u00e4\u03c9\U0001f600\x7f.onnx"
    model.rename(model.with_name(name))
    outcome = run(
        "bench", name, "--device", "laptop-x86", "--batch", "1", "--seconds", "0.01", "--json"
    )
    assert outcome.out.isascii()
    assert json.loads(outcome.out)["models"][0]["path"] == name


# --- Disks that are full --------------------------------------------------------------------------


def full(*_: object, **__: object) -> None:
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.parametrize("out", ["d", "a/b/d"])
def test_a_demo_on_a_full_disk_leaves_no_folder(
    refuses: Refuses, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    monkeypatch.setattr(os, "fsync", full)
    refuses("demo", "heat", "--device", "laptop-x86", "--out", out, named=("No space left", out))


def test_a_demo_that_fails_later_keeps_what_is_whole(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.cli.demo.write_profile", full)
    outcome = run("demo", "heat", "--device", "laptop-x86", "--out", "d")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == "hedge: No space left on device"
    whole = {"heat.onnx", "heat.certificate.json"}
    assert {path.name for path in (tmp_path / "d").iterdir()} == whole


@pytest.mark.parametrize(
    "place", ["pathlib.Path.write_text", "pathlib.Path.mkdir"], ids=["files", "their folder"]
)
def test_c_on_a_full_disk_is_a_line(
    model: Path, run: Run, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    monkeypatch.setattr(place, full)
    outcome = run("bench", "m.onnx", "--device", "laptop-x86", "--batch", "1", "--backend", "c")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1] == (
        "hedge: m.onnx: its C can't be written (No space left on device); name another folder in TMPDIR"
    )


def test_a_compiler_that_is_no_program_is_a_line(
    model: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = model.with_name("cc")
    broken.write_bytes(b"\x00\x01")
    broken.chmod(0o755)
    monkeypatch.setenv("CC", str(broken))
    argv = ("bench", "m.onnx", "--device", "laptop-x86", "--batch", "1", "--backend", "c")
    refuses(*argv, named=("can't be run", "CC"))


@pytest.mark.parametrize("error", [OSError(errno.EMFILE, "Too many open files"), MemoryError()])
def test_whatever_the_system_refuses_is_a_line(
    model: Path, refuses: Refuses, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def refused(*_: object) -> None:
        raise error

    monkeypatch.setattr("hedge.cli.plan_table.open_model", refused)
    refuses("inspect", "m.onnx", named=("open files" if isinstance(error, OSError) else "memory",))


# --- The profile of this machine ------------------------------------------------------------------


@pytest.fixture(params=["no home", "a file for a folder", "a folder for a file"])
def nowhere(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> list[str]:
    """Nowhere to keep it; what is calibrated meanwhile."""
    calibrated: list[str] = []

    def calibrate(*_: object, **__: object) -> object:
        calibrated.append("here")
        return find_profile("laptop-x86")

    monkeypatch.setattr(cache, "calibrate", calibrate)
    monkeypatch.setattr("hedge.benching.calibrate", calibrate)
    if request.param == "no home":
        monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
        monkeypatch.setattr(Path, "home", no_home)
        return calibrated
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    if request.param == "a file for a folder":
        (tmp_path / "cache").write_bytes(b"")
    else:
        cache.cached_path().mkdir(parents=True)
    return calibrated


def no_home() -> Path:
    raise RuntimeError("Could not determine home directory.")


def test_a_profile_that_can_not_be_kept_is_measured_all_the_same(nowhere: list[str]) -> None:
    said: list[str] = []
    assert cache.this_machine(said.append) == find_profile("laptop-x86")
    assert nowhere == ["here"]
    assert "can't be kept" in said[-1]


def test_to_refresh_it_is_refused_before_the_work(refuses: Refuses, nowhere: list[str]) -> None:
    refuses("calibrate", "--refresh", "--out", "here.toml", named=("hedge",))
    with pytest.raises(OutputError):
        cache.check_can_be_kept()
    assert nowhere == []


def test_a_profile_that_can_no_longer_be_kept_is_an_error_after_the_work(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What --out names is written before."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def calibrate(*_: object, **__: object) -> object:
        cache.cached_path().mkdir()
        return find_profile("laptop-x86")

    monkeypatch.setattr("hedge.benching.calibrate", calibrate)
    outcome = run("calibrate", "--refresh", "--out", "here.toml")
    assert outcome.code == 1
    assert outcome.err.splitlines()[-1].endswith("is a folder; name a file")
    written = find_profile(str(tmp_path / "here.toml"))
    assert written == named_after(Path("here.toml"), find_profile("laptop-x86"))


# --- onnxruntime's own files ----------------------------------------------------------------------


def test_onnxruntime_tells_nobody_and_writes_nothing(model: Path) -> None:
    """Its telemetry writes .ses in TMPDIR through a link, and a database into the user's cache."""
    (model.parent / ".ses").symlink_to(model.with_name("precious"))
    model.with_name("precious").write_text("the only copy")
    folders = {"TMPDIR": str(model.parent), "XDG_CACHE_HOME": str(model.with_name("cache"))}
    done = shell("unset ORT_DISABLE_TELEMETRY; {} inspect m.onnx", model.parent, **folders)
    assert done.returncode == 0
    assert model.with_name("precious").read_text() == "the only copy"
    assert not model.with_name("cache").exists()


# --- matplotlib's settings ------------------------------------------------------------------------


def test_pages_are_the_same_whatever_matplotlib_is_told(tmp_path: Path) -> None:
    """A matplotlibrc lies in a home or in the current folder; image.origin turned maps upside down."""
    model = hedge.reference_models()["heat"]
    hedge.report([model], tmp_path / "plain.html")
    (tmp_path / "matplotlibrc").write_text("image.origin: lower\n")
    line = f"{{}} report {model} --out page.html"
    done = shell(line, tmp_path, MPLBACKEND="no_such_backend")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_bytes() == (tmp_path / "plain.html").read_bytes()


def test_figures_are_the_same_whatever_matplotlib_is_told() -> None:
    line = Picture("a line", lambda figure: figure.subplots().plot([1, 2]), (2, 2))
    plain = drawn(line, "svg")
    with rc_context({"lines.linewidth": 9}):
        assert drawn(line, "svg") == plain
