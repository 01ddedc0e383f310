"""Hosts that hang, print without end or never read: given up, by name, and nothing goes on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hedge.benching import RemoteBench, bench_on
from hedge.benching.listening import AnswerLimits, GivenUpError, Patience
from hedge.benching.remote import bench_on_each, limits_of
from hedge.devices import find_profile
from hedge.errors import RemoteError
from tests.conftest import ROOT, random_mlp
from tests.reporting.documents import BATCHES, bench_document

SHORT = AnswerLimits(whole_s=600.0, first_s=0.3, silence_s=600.0, most_bytes=2**20)
AFTERWARDS = AnswerLimits(whole_s=600.0, first_s=600.0, silence_s=0.3, most_bytes=2**20)
LONG = AnswerLimits(whole_s=600.0, first_s=600.0, silence_s=600.0, most_bytes=2**20)


@pytest.fixture
def answers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Makes ``ssh`` a shell script that answers for all hosts."""

    def set_script(lines: str) -> None:
        path = tmp_path / "bin/ssh"
        path.parent.mkdir(exist_ok=True)
        path.write_text(f"#!/bin/sh\necho $$ >> {tmp_path}/pids\n{lines}\n")
        path.chmod(0o755)

    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    return set_script


def task(folder: Path, width: int = 8) -> RemoteBench:
    path = folder / "m.onnx"
    path.write_bytes(random_mlp([2, width, 1]).SerializeToString())
    return RemoteBench((path,), find_profile("laptop-x86"), BATCHES, 1, 0.02, "onnxruntime", None)


def all_gone(folder: Path) -> bool:
    started = folder / "pids"  # not there where it was given up before its first line
    pids = started.read_text().split() if started.exists() else []
    return not any(Path(f"/proc/{pid}").exists() for pid in pids)


GIVEN_UP: dict[str, tuple[str, AnswerLimits, str]] = {
    "endless output": ("exec yes x", LONG, "said more than 1048576 bytes"),
    "one endless line": ("exec cat /dev/zero", LONG, "said more than 1048576 bytes"),
    "endless errors": ("exec yes x >&2", LONG, "said more than 1048576 bytes"),
    "silence": ("exec sleep 1000", SHORT, "gave no sign of life in 0.3 s"),
    "silence after a greeting": (
        "echo hello; exec sleep 1000",
        AFTERWARDS,
        "has been silent for 0.3 s",
    ),
    "silence after an error": (
        "echo oh >&2; exec sleep 1000",
        AFTERWARDS,
        "has been silent for 0.3 s",
    ),
    "outputs closed": ("exec >&- 2>&-; exec sleep 1000", AFTERWARDS, "did not end"),
}


@pytest.mark.parametrize("kind", GIVEN_UP)
def test_a_host_that_never_answers_is_given_up(
    kind: str, answers: Callable[[str], None], tmp_path: Path
) -> None:
    script, limits, named = GIVEN_UP[kind]
    answers(script)
    with pytest.raises(RemoteError, match=rf"^pi@host: .*{named}"):
        bench_on("pi@host", task(tmp_path), limits=limits)
    assert all_gone(tmp_path)


def test_a_host_that_reads_nothing_is_given_up(
    answers: Callable[[str], None], tmp_path: Path
) -> None:
    """A model larger than a pipe, which a plain write would wait for."""
    answers("exec sleep 1000")
    with pytest.raises(RemoteError, match="gave no sign of life"):
        bench_on("host", task(tmp_path, width=100_000), limits=SHORT)
    assert all_gone(tmp_path)


def test_an_answer_is_heard_to_the_end_though_a_child_holds_the_pipes(
    answers: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "result.json").write_text(json.dumps(bench_document(["model0.onnx"])))
    answers(f"sleep 1000 & echo $! >> {tmp_path}/pids; cat {tmp_path}/result.json")
    result = bench_on("host", task(tmp_path), limits=LONG)
    assert result.models[0].path == "m.onnx"
    os.kill(int((tmp_path / "pids").read_text().split()[-1]), signal.SIGKILL)


@pytest.mark.parametrize(
    ("answer", "named"),
    [
        ("[" * 10**5, "is not JSON"),
        ('{"hedge_bench": 2, "hedge_bench": 2}', "is not JSON"),
        ('{"hedge_bench": ' + "1" * 5000 + "}", "is not JSON"),
        ('{"hedge_bench": 2, "threads": 1e999}', "key 'device'"),
        ("x" * 10**5, "begins with 'x{60}'"),
    ],
    ids=["deep", "a key twice", "5,000 digits", "an infinite number", "a long line"],
)
def test_an_answer_that_is_no_result_is_one_short_line(
    answer: str, named: str, answers: Callable[[str], None], tmp_path: Path
) -> None:
    (tmp_path / "answer").write_text(answer)
    answers(f"cat {tmp_path}/answer")
    with pytest.raises(RemoteError, match=rf"^host: .*{named}") as refusal:
        bench_on("host", task(tmp_path), limits=LONG)
    assert len(str(refusal.value)) < 300


@pytest.mark.parametrize(
    ("measured", "failed"),
    [
        ([], []),
        ([0], []),
        ([0, 0], []),
        ([0, 1, 1], []),
        ([0], [("model0.onnx", 1)]),
        ([0], [("other.onnx", None)]),
    ],
    ids=["nothing", "a part", "twice", "more", "a part failed, too", "another failed"],
)
def test_an_answer_to_another_question_is_none(
    measured: list[int],
    failed: list[tuple[str, int | None]],
    answers: Callable[[str], None],
    tmp_path: Path,
) -> None:
    """A result for each batch was asked for, and each is there or has failed."""
    whole = bench_document(["model0.onnx"])
    failures = [{"path": path, "batch": batch, "reason": "it"} for path, batch in failed]
    part = {**whole, "models": [whole["models"][i] for i in measured], "failures": failures}
    (tmp_path / "result.json").write_text(json.dumps(part))
    answers(f"cat {tmp_path}/result.json")
    with pytest.raises(RemoteError, match=r"^host: measured something else than was asked for"):
        bench_on("host", task(tmp_path), limits=LONG)


@pytest.mark.parametrize("batch", [BATCHES[1], None])
def test_what_failed_there_is_part_of_the_answer(
    batch: int | None, answers: Callable[[str], None], tmp_path: Path
) -> None:
    whole = bench_document(["model0.onnx"])
    failure = {"path": "model0.onnx", "batch": batch, "reason": "model0.onnx: no room"}
    part = {**whole, "models": whole["models"][:1], "failures": [failure]}
    (tmp_path / "result.json").write_text(json.dumps(part))
    answers(f"cat {tmp_path}/result.json; exit 1")
    (told,) = bench_on("host", task(tmp_path), limits=LONG).failures
    assert told.reason == "m.onnx: no room"


def test_a_long_error_is_told_in_part(answers: Callable[[str], None], tmp_path: Path) -> None:
    answers("head -c 300000 /dev/zero | tr '\\0' x >&2; exit 1")
    with pytest.raises(RemoteError, match=r"failed there \(x{300}\)$"):
        bench_on("host", task(tmp_path), limits=LONG)


def test_the_others_of_a_fleet_are_heard(answers: Callable[[str], None], tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(bench_document(["model0.onnx"])))
    answers(f'case "$*" in *loud*) exec yes x;; esac; cat {tmp_path}/result.json')
    found = bench_on_each(["loud", "good"], task(tmp_path))
    assert "said more than" in str(found["loud"])
    assert not isinstance(found["good"], RemoteError)


# --- Time, on a clock of our own ------------------------------------------------------------------


class Clock:
    """A clock that is set."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_patience_lasts_while_there_are_signs_of_life() -> None:
    clock = Clock()
    patience = Patience(AnswerLimits(whole_s=10_000.0, first_s=30.0, silence_s=120.0), clock)
    for clock.now in range(0, 9000, 100):
        patience.heard(1)
        patience.check()
    clock.now += 119.0
    patience.check()
    clock.now += 2.0
    with pytest.raises(GivenUpError, match="silent for 120 s"):
        patience.check()


def test_patience_for_the_first_sign_is_shorter() -> None:
    clock = Clock()
    patience = Patience(AnswerLimits(whole_s=10_000.0, first_s=30.0, silence_s=120.0), clock)
    clock.now = 29.0
    patience.check()
    clock.now = 31.0
    with pytest.raises(GivenUpError, match="no sign of life in 30 s"):
        patience.check()


def test_patience_ends_though_there_are_signs_of_life(tmp_path: Path) -> None:
    clock, limits = Clock(), limits_of(task(tmp_path))
    patience = Patience(limits, clock)
    assert limits.whole_s >= 3600.0
    clock.now = limits.whole_s + 1.0
    patience.heard(1)
    with pytest.raises(GivenUpError, match="was not done after"):
        patience.check()


# --- An interrupt -----------------------------------------------------------------------------------


def test_an_interrupt_ends_what_was_started(answers: Callable[[str], None], tmp_path: Path) -> None:
    answers("exec sleep 1000")
    model = task(tmp_path).models[0]
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from hedge.cli.app import main; main()"
    )
    command = [sys.executable, "-c", code, "bench", model, "--on", "h", "--device", "laptop-x86"]
    with subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE) as here:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text().strip():
            assert here.poll() is None
            time.sleep(0.02)
        here.send_signal(signal.SIGINT)
        _, said = here.communicate()
    assert here.returncode != 0
    assert b"Traceback" not in said
    assert all_gone(tmp_path)
