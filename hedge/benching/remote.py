"""bench on another machine: models go there through the system's ssh, the result comes back.

One connection does it all: ssh's standard input carries a tar archive with fixed names, its output is
the JSON that hedge prints there. So no name of a file passes through a shell, and the folder is
removed by the same shell that made it. The input stays open while hedge runs there: where it ends
early, nobody waits for the result any more, and that shell ends hedge. It also says every few seconds
that it lives: a machine may be slow, but a silent one is given up.
"""

from __future__ import annotations

import io
import re
import shlex
import tarfile
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import product
from pathlib import Path

from hedge.benching.last_words import how_it_ended, last_words
from hedge.benching.listening import Answer, AnswerLimits, GivenUpError, Process, listen, start
from hedge.benching.result import BenchResult, Failure, parse_result
from hedge.devices import Device, write_profile
from hedge.documents import parse_json
from hedge.errors import HedgeError, InputError, RemoteError, naming, quoted
from hedge.exporting import open_model
from hedge.graph import check_read, reads_of

# A name, not an option of ssh's: user@host, an alias of ~/.ssh/config, or ssh://user@host:port.
HOST = re.compile(r"[A-Za-z0-9_\[][A-Za-z0-9_.@:/%\[\]-]*")
# Keys only, and no waiting for a host that is not there. Host keys are checked as the user configured.
SSH = ("ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ServerAliveInterval=15")
SSH_FAILED, NOT_FOUND, SIGNALLED = 255, 127, 129  # exit codes; from the last one up signals
# Where environments of Python's are made, below the home folder; ssh's path has none of them.
PLACES = (
    ".local/bin", ".venv/bin", "venv/bin", "hedge/bin", "hedge/.venv/bin", "hedge/venv/bin",
)  # fmt: skip
PROFILE = "device.toml"
MOST_QUOTED = 60  # characters of an answer that is none
# What the shell there prints now and then, so that a slow machine is told from a dead one.
ALIVE, ALIVE_EVERY_S = "hedge-bench-alive", 10
# Seconds for a machine that shows that it lives: a calibration, and each model at each batch.
LONGEST_CALIBRATION_S, LONGEST_START_S, MOST_TIMED = 3600.0, 1200.0, 60.0


@dataclass(frozen=True)
class RemoteBench:
    """What ``hedge bench`` is to do there; ``device`` is None for a calibration on the spot.

    ``hedge`` is the program there, by a path that may begin in the home folder; None looks for it.
    """

    models: tuple[Path, ...]
    device: Device | None
    batches: tuple[int, ...]
    threads: int
    timed_s: float
    backend: str
    energy_s: float | None
    hedge: str | None = None


def bench_on_each(hosts: Sequence[str], task: RemoteBench) -> dict[str, BenchResult | RemoteError]:
    """:func:`bench_on` for all hosts at once; a host that fails is its RemoteError.

    An interrupt ends what runs on all of them.
    """
    running: list[Process] = []

    def result_or_error(host: str) -> BenchResult | RemoteError:
        try:
            return bench_on(host, task, running)
        except RemoteError as error:
            return error

    with ThreadPoolExecutor(len(hosts)) as pool:
        try:
            return dict(zip(hosts, pool.map(result_or_error, hosts), strict=True))
        except BaseException:  # the pool waits for its threads, and those for ssh
            for process in running:
                process.kill()
            raise


def bench_on(
    host: str,
    task: RemoteBench,
    running: list[Process] | None = None,
    limits: AnswerLimits | None = None,
) -> BenchResult:
    """Run ``hedge bench`` on ``host`` (user@host, or a name of the user's ssh configuration).

    Models that can't be read here are listed under ``failures`` beside those that fail there. The ssh
    that is started is added to ``running``. ``limits`` are those of :func:`limits_of` if not given.

    Raises InputError for what is no host's name, RemoteError if the host can't be reached, has no hedge,
    its hedge fails, or it passes the limits.
    """
    check_host(host)
    sent, failures = _packed(task)
    if not sent:
        raise RemoteError(f"{host}: nothing to send: {failures[0].reason}")
    archive = _archive(sent, task.device)
    started = [] if running is None else running
    script = _script(sent, task, len(archive))
    done = _ssh(host, script, archive, limits or limits_of(task), started)
    result = _result(host, task.hedge, done)
    _check_answers(host, result, Counter(product(sent, task.batches)))
    originals = {alias: path.name for alias, (path, _) in sent.items()}
    return result.model_copy(
        update={
            "models": tuple(
                one.model_copy(update={"path": originals.get(one.path, one.path)})
                for one in result.models
            ),
            "failures": (*failures, *(_renamed(one, originals) for one in result.failures)),
        }
    )


def limits_of(task: RemoteBench) -> AnswerLimits:
    """How long a machine that lives may take: far longer than any that is of use."""
    each = LONGEST_START_S + MOST_TIMED * task.timed_s + 2.0 * (task.energy_s or 0.0)
    return AnswerLimits(LONGEST_CALIBRATION_S + len(task.models) * len(task.batches) * each)


def check_host(host: str) -> None:
    """Raise InputError unless ``host`` can be given to ssh as a destination."""
    if not HOST.fullmatch(host):
        raise InputError(f"on: {host!r} is no host; write user@host")


def _packed(task: RemoteBench) -> tuple[dict[str, tuple[Path, bytes]], list[Failure]]:
    """Each model in one piece, with its external data inside, by the name it has there."""
    sent: dict[str, tuple[Path, bytes]] = {}
    failures = []
    for path in task.models:
        try:
            model = open_model(path).onnx
            with naming(path):
                check_read(model, reads_of(task.device))
            sent[f"model{len(sent)}.onnx"] = path, model.SerializeToString()
        except HedgeError as error:
            failures.append(Failure(path=path.name, batch=None, reason=str(error)))
    return sent, failures


def _archive(sent: dict[str, tuple[Path, bytes]], device: Device | None) -> bytes:
    files = {alias: data for alias, (_, data) in sent.items()}
    if device is not None:
        files[PROFILE] = write_profile(device)
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        for name, data in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    return stream.getvalue()


def _script(sent: Iterable[str], task: RemoteBench, archive_bytes: int) -> str:
    """What the shell there does with the files ``sent``, in an archive of so many bytes."""
    options = {
        "--device": "auto" if task.device is None else PROFILE,
        "--batch": ",".join(map(str, task.batches)),
        "--threads": task.threads,
        "--seconds": task.timed_s,
        "--backend": task.backend,
    }
    if task.energy_s is not None:
        options["--energy"] = task.energy_s
    words = ["bench", *sent, "--json"]
    words += [str(word) for option in options.items() for word in option]
    return (
        f"echo {ALIVE} >&2; "
        f"{_found(task.hedge)} || exit {NOT_FOUND}; "
        'folder=$(mktemp -d) || exit 1; export TMPDIR="$folder"; job=; beat=; '
        "trap 'kill $job $beat 2>/dev/null; rm -rf \"$folder\"' EXIT; trap 'exit 1' HUP INT PIPE TERM; "
        # Its sleep holds no pipe: ssh would wait for that at the end.
        f"{{ while sleep {ALIVE_EVERY_S} >/dev/null 2>&1; do echo {ALIVE} >&2 || exit; done; }} "
        "</dev/null >/dev/null & beat=$!; "
        f'cd "$folder" && head -c {archive_bytes} | tar xf - || exit 1; exec 3<&0; '
        f'"$hedge" {shlex.join(words)} </dev/null & job=$!; '
        '{ cat; kill "$job"; } <&3 >/dev/null 2>&1 & watch=$!; '
        'wait "$job"; status=$?; job=; kill "$watch"; exit "$status"'
    )


def _found(hedge: str | None) -> str:
    """Shell that sets ``hedge`` to the program there, and fails where there is none."""
    if hedge is None:
        places = "".join(f":$HOME/{place}" for place in PLACES)
        return f'PATH="$PATH{places}"; hedge=$(command -v hedge)'
    path = shlex.quote(hedge.removeprefix("~/"))
    below = "" if hedge.startswith("/") else '"$HOME"/'
    return f'hedge={below}{path}; [ -f "$hedge" ] && [ -x "$hedge" ]'


def _ssh(
    host: str, script: str, given: bytes, limits: AnswerLimits, running: list[Process]
) -> Answer:
    try:
        process = start([*SSH, host, f"exec sh -c {shlex.quote(script)}"])
    except OSError as error:
        raise RemoteError(f"{host}: ssh can't be run here ({error.strerror})") from error
    running.append(process)
    try:
        return listen(process, given, limits)
    except GivenUpError as error:
        raise RemoteError(f"{host}: {error}") from error


def _not_there(hedge: str | None, said: bytes) -> str:
    if said.strip():  # it is, but what runs it is gone
        return f"hedge can't be started there ({last_words(said)}); install it again"
    if hedge is not None:
        return (
            f"there is no program {quoted(hedge)}; give the path of hedge there as --remote-hedge"
        )
    places = ", ".join(f"~/{place}" for place in PLACES)
    return (
        f"hedge is not there, on the path of ssh or in {places}; install it, or give its path there as "
        "--remote-hedge"
    )


def _result(host: str, hedge: str | None, done: Answer) -> BenchResult:
    said = done.said.replace(ALIVE.encode(), b"")
    if done.code == SSH_FAILED:
        raise RemoteError(f"{host}: can't be reached by ssh ({last_words(said)})")
    if done.code == NOT_FOUND:
        raise RemoteError(f"{host}: {_not_there(hedge, said)}")
    if not done.output.strip():  # exit code 1 with a document means that some models failed
        why = last_words(said) if done.code < SIGNALLED else how_it_ended(done.code, said)
        raise RemoteError(f"{host}: hedge bench failed there ({why})")
    try:
        return parse_result(parse_json(done.output), host)
    except ValueError as error:
        begin = done.output.decode(errors="replace").split("\n", 1)[0][:MOST_QUOTED]
        raise RemoteError(
            f"{host}: what came back is not JSON but begins with {begin!r}; does its shell print a "
            "greeting, or is its hedge older?"
        ) from error
    except InputError as error:
        raise RemoteError(str(error)) from error


def _check_answers(host: str, result: BenchResult, asked: Counter[tuple[str, int]]) -> None:
    """Raise RemoteError unless each model at each batch was measured, or is said to have failed."""
    measured = Counter((one.path, one.batch) for one in result.models)
    failed = {(one.path, one.batch) for one in result.failures}
    silent = [run for run in asked - measured if not failed & {run, (run[0], None)}]
    if silent or measured - asked:
        raise RemoteError(
            f"{host}: measured something else than was asked for; is what answers there hedge?"
        )


def _renamed(failure: Failure, originals: dict[str, str]) -> Failure:
    """The failure with the name that the model has here."""
    original = originals.get(failure.path, failure.path)
    return failure.model_copy(
        update={"path": original, "reason": failure.reason.replace(failure.path, original)}
    )
