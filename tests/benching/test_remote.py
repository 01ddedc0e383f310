"""bench on another machine: what is sent and run there, with a stand-in for ssh and with a real sshd."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest

from hedge import bench_fleet
from hedge.benching import BenchResult, RemoteBench, bench_on
from hedge.benching.remote import PLACES
from hedge.devices import Device, find_profile
from hedge.errors import InputError, RemoteError
from hedge.graph import load_model, run_float32
from tests.benching.test_result import SCHEMA_1, first_model
from tests.conftest import ROOT, random_mlp
from tests.devices.c_profile import c_device
from tests.sshd import SSH, running_sshd, script, wait_until

# Runs the command that ssh was given here, where the folder `there` is home; SSH_SAYS makes it fail.
FAKE_SSH = """#!/bin/sh
printf '%s\\n' "$@" > {folder}/argv
if [ -n "$SSH_SAYS" ]; then echo "$SSH_SAYS" >&2; exit 255; fi
while [ $# -gt 1 ]; do shift; done
export HOME={folder}/there TMPDIR={folder}/there/tmp PATH={folder}/there/bin:/usr/bin:/bin
cd "$HOME" && exec sh -c "$1"
"""
HEDGE = """#!/bin/sh
PYTHONPATH={root} exec {python} -c 'from hedge.cli.app import main; main()' "$@"
"""

# Keeps what it was sent, and answers with a result made before.
CANNED = """#!/bin/sh
cp model0.onnx "$HOME/received.onnx" && cat <<'END'
{result}
END
"""


def a_hedge(path: Path) -> None:
    """A command that runs the hedge of this checkout."""
    script(path, HEDGE.format(root=ROOT, python=sys.executable))


def a_canned_hedge(path: Path) -> None:
    """A command that says what an older hedge said, once."""
    answer = first_model(SCHEMA_1, path="model0.onnx", batch=1)
    script(path, CANNED.format(result=json.dumps(answer)))


@pytest.fixture
def there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home folder of the other machine; ssh leads there."""
    script(tmp_path / "bin/ssh", FAKE_SSH.format(folder=tmp_path))
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    (tmp_path / "there/tmp").mkdir(parents=True)
    return tmp_path / "there"


def task(*models: Path) -> RemoteBench:
    return RemoteBench(
        models=models, device=find_profile("laptop-x86"), batches=(1,), threads=1, timed_s=0.02,
        backend="onnxruntime", energy_s=None,
    )  # fmt: skip


@pytest.fixture
def models(tmp_path: Path) -> tuple[Path, Path]:
    """Two models whose names a shell would take apart."""
    paths = tmp_path / "a b;touch pwned.onnx", tmp_path / "$(touch pwned).onnx"
    for path in paths:
        path.write_bytes(random_mlp([2, 8, 1]).SerializeToString())
    return paths


def test_models_go_there_and_the_result_comes_back(
    there: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    a_hedge(there / "bin/hedge")
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"no model")
    result = bench_on("pi@host", task(models[0], broken, models[1]))
    names = [path.name for path in models]
    assert [(m.path, m.batch) for m in result.models] == [(name, 1) for name in names]
    assert result.device == "laptop-x86"
    (failure,) = result.failures
    assert failure.path == "broken.onnx"
    assert not list((there / "tmp").glob("tmp.*"))  # what was sent is gone
    assert not list(tmp_path.rglob("pwned"))
    argv = (tmp_path / "argv").read_text().splitlines()
    assert "BatchMode=yes" in argv
    assert "pi@host" in argv
    assert not any("StrictHostKeyChecking" in word for word in argv)


def test_the_folder_there_is_removed_when_hedge_fails(
    there: Path, models: tuple[Path, Path]
) -> None:
    script(there / "bin/hedge", "#!/bin/sh\nls >&2\necho 'hedge: no such profile' >&2\nexit 1\n")
    with pytest.raises(
        RemoteError, match=r"^pi@host: hedge bench failed there \(no such profile\)$"
    ):
        bench_on("pi@host", task(*models))
    assert not list((there / "tmp").glob("tmp.*"))


@pytest.mark.parametrize(
    ("device", "asked", "backend"),
    [
        ("auto", None, "onnxruntime"),
        (c_device(1), None, "c"),
        (c_device(1), "openvino", "openvino"),
    ],
)
def test_other_machines_run_what_the_profile_is_of(
    device: Device | str, asked: str | None, backend: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[RemoteBench] = []
    monkeypatch.setattr(
        "hedge.api.benching.bench_on_each", lambda hosts, task: sent.append(task) or {}
    )
    bench_fleet([Path("m.onnx")], ["host"], device=device, backend=asked)
    assert [task.backend for task in sent] == [backend]


@pytest.mark.parametrize("place", PLACES)
def test_hedge_in_an_environment_of_its_own_is_found(
    place: str, there: Path, models: tuple[Path, Path]
) -> None:
    a_canned_hedge(there / place / "hedge")
    assert bench_on("host", task(models[0])).runtime == "onnxruntime 1.22.0"


@pytest.mark.parametrize(
    "named", ["my envs/$(touch pwned)/hedge", "~/my envs/$(touch pwned)/hedge", "{home}/h"]
)
def test_hedge_is_where_it_is_said_to_be(
    named: str, there: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    for place in ("my envs/$(touch pwned)/hedge", "h"):
        a_canned_hedge(there / place)
    asked = replace(task(models[0]), hedge=named.format(home=there))
    assert bench_on("host", asked).runtime == "onnxruntime 1.22.0"
    assert not list(tmp_path.rglob("pwned"))


@pytest.mark.parametrize("named", ["elsewhere/hedge", "", "."])
def test_a_hedge_that_is_not_where_it_is_said_to_be_is_one_line(
    named: str, there: Path, models: tuple[Path, Path]
) -> None:
    a_canned_hedge(there / "bin/hedge")
    with pytest.raises(RemoteError, match=rf"^host: there is no program '{named}'; give the path"):
        bench_on("host", replace(task(models[0]), hedge=named))


def test_a_machine_without_hedge_is_one_line(there: Path, models: tuple[Path, Path]) -> None:
    with pytest.raises(
        RemoteError, match=r"^pi@host: hedge is not there, on .*~/\.venv/bin.*--remote-hedge"
    ):
        bench_on("pi@host", task(*models))


def test_an_environment_whose_python_is_gone_is_told_from_none(
    there: Path, models: tuple[Path, Path]
) -> None:
    script(there / "bin/hedge", "#!/gone/python3\n")
    with pytest.raises(
        RemoteError, match=r"^pi: hedge can't be started there \(.*not found\); install it again$"
    ):
        bench_on("pi", task(*models))


def test_a_host_that_can_not_be_reached_is_one_line(
    there: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSH_SAYS", "ssh: connect to host pi port 22: No route to host")
    with pytest.raises(RemoteError, match=r"^pi: can't be reached by ssh \(.*No route to host\)$"):
        bench_on("pi", task(*models))


@pytest.mark.parametrize(
    ("says", "named"),
    [
        ("echo Welcome to this machine", "not JSON but begins with 'Welcome to this machine'"),
        ("head -c 100000 /dev/zero | tr '\\\\0' '['", "not JSON"),
        ("echo '{}'", "is not a result"),
        ("echo '{\"hedge_bench\": 9}'", "schema 9"),
        ("exit 3", "it said nothing"),
        (
            "echo 'hedge: device: pi9 is not known' >&2; echo '2026 [W:onnxruntime:] no GPU' >&2; exit 1",
            r"\(device: pi9 is not known\)$",
        ),
        (
            "echo 'hedge: m: is cut short' >&2; echo 'hedge: warning: pi is unstable' >&2; exit 1",
            r"\(m: is cut short\)$",
        ),
        (
            "echo 'ImportError: No module named onnx' >&2; echo 'x.py:1: UserWarning: old' >&2; exit 1",
            r"\(ImportError: No module named onnx\)$",
        ),
        ("echo '[W:onnxruntime:] no GPU' >&2; exit 1", r"\(\[W:onnxruntime:\] no GPU\)$"),
        ("kill -ILL $$", r"signal 4, Illegal instruction: .* onnxruntime 1\.22 or newer\)$"),
        ("kill -KILL $$", r"signal 9, Killed, as where memory runs out\)$"),
        (
            "printf '╭ Error ╮\\n│ No such option: --energy │\\n╰─────╯\\n' >&2; exit 2",
            r"\(No such option: --energy\)",
        ),
    ],
)
def test_an_answer_that_is_no_result_is_one_line(
    there: Path, models: tuple[Path, Path], says: str, named: str
) -> None:
    script(there / "bin/hedge", f"#!/bin/sh\n{says}\n")
    with pytest.raises(RemoteError, match=rf"^pi@host: .*{named}"):
        bench_on("pi@host", task(*models))


def test_without_ssh_here_it_is_one_line(
    tmp_path: Path, models: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path / "nothing"))
    with pytest.raises(RemoteError, match="ssh can't be run here"):
        bench_on("pi@host", task(*models))


@pytest.mark.parametrize(
    "host", ["", "-oProxyCommand=touch pwned", "a b", "pi;ls", "$(ls)", "a\nb"]
)
def test_a_host_that_ssh_or_a_shell_would_take_for_something_else_is_refused(host: str) -> None:
    with pytest.raises(InputError, match="no host; write user@host"):
        bench_on(host, task())


def test_a_fleet_keeps_the_results_of_the_others(
    there: Path, models: tuple[Path, Path], tmp_path: Path
) -> None:
    a_canned_hedge(there / "bin/hedge")
    fake = tmp_path / "bin/ssh"
    fake.write_text(
        fake.read_text().replace("while", 'case "$*" in *gone*) exit 255;; esac\nwhile', 1)
    )
    fleet = bench_fleet([models[0]], ["pi@one", "pi@gone"], device="laptop-x86", batches=[1])
    assert list(fleet) == ["pi@one", "pi@gone"]
    assert isinstance(fleet["pi@one"], BenchResult)
    assert isinstance(fleet["pi@gone"], RemoteError)
    with pytest.raises(InputError, match="twice"):
        bench_fleet([models[0]], ["a", "a"], device="laptop-x86")


def test_a_model_with_its_weights_beside_it_is_sent_whole(there: Path, tmp_path: Path) -> None:
    a_canned_hedge(there / "bin/hedge")
    path = tmp_path / "apart.onnx"
    onnx.save(
        random_mlp([2, 64, 1]), path, save_as_external_data=True, location="apart.data",
        size_threshold=0,
    )  # fmt: skip
    bench_on("pi@host", task(path))
    points = np.random.default_rng(0).random((5, 2), dtype=np.float32)
    received = load_model(there / "received.onnx")
    np.testing.assert_array_equal(
        run_float32(received, points), run_float32(load_model(path), points)
    )


# --- A real sshd, on loopback, with keys of its own ------------------------------------------------


@pytest.fixture
def sshd(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The folder of a server that the host name ``loopback`` leads to."""
    with running_sshd() as folder:
        script(folder / "client-bin/ssh", f'#!/bin/sh\nexec {SSH} -F {folder}/ssh_config "$@"\n')
        monkeypatch.setenv("PATH", f"{folder / 'client-bin'}:{os.environ['PATH']}")
        yield folder


def test_a_bench_through_a_real_sshd(sshd: Path, models: tuple[Path, Path]) -> None:
    with pytest.raises(RemoteError, match=r"^loopback: hedge is not there"):
        bench_on("loopback", task(*models))
    a_hedge(sshd / "bin/hedge")
    result = bench_on("loopback", task(*models))
    assert [m.path for m in result.models] == [path.name for path in models]
    assert not list((sshd / "tmp").glob("tmp.*"))


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_when_the_bench_here_ends_nothing_goes_on_there(
    sshd: Path, models: tuple[Path, Path], how: signal.Signals
) -> None:
    pid_file = sshd / "pid"
    script(
        sshd / "bin/hedge", f"#!/bin/sh\necho $$ > {pid_file}.new\nmv {pid_file}.new {pid_file}\n"
        "exec sleep 300\n",
    )  # fmt: skip
    # Where the suite runs in the background, interrupts are ignored and children inherit that.
    code = (
        "import signal; signal.signal(signal.SIGINT, signal.default_int_handler); "
        "from hedge.cli.app import main; main()"
    )
    command = [
        sys.executable, "-c", code, "bench", models[0], "--on", "loopback",
        "--device", "laptop-x86", "--batch", "1",
    ]  # fmt: skip
    here = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.DEVNULL)
    wait_until(pid_file.exists)
    here.send_signal(how)
    here.wait()
    pid = int(pid_file.read_text())
    wait_until(lambda: not Path(f"/proc/{pid}").exists())
    wait_until(lambda: not list((sshd / "tmp").iterdir()))


def test_a_real_server_that_is_not_known_or_refuses_the_key(
    sshd: Path, models: tuple[Path, Path]
) -> None:
    (sshd / "known_hosts").write_text("")
    with pytest.raises(RemoteError, match=r"^loopback: can't be reached by ssh \(Host key"):
        bench_on("loopback", task(*models))
    config = (sshd / "ssh_config").read_text()
    (sshd / "ssh_config").write_text(config.replace("Checking yes", "Checking no"))
    (sshd / "client.pub").write_text("")
    with pytest.raises(RemoteError, match="Permission denied"):
        bench_on("loopback", task(*models))
