"""What a sweep gains by several workers, what it costs a cell, and whether it survives kills.

    OMP_NUM_THREADS=1 python benchmarks/sweeping.py            all of it
    OMP_NUM_THREADS=1 python benchmarks/sweeping.py speedup    200 cells on one worker and on two
    …                                               plan       10,000 cells listed and shown
    …                                               kills      30 kills of client, workers and scheduler

The 200 cells are five of the shipped networks, four tolerances, five devices and two methods, compressed
without recovery and exported. Times are of the wall clock: workers are processes.
"""

from __future__ import annotations

import compileall
import json
import os
import random
import resource
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

MODELS = [
    "burgers-128x4", "burgers-nu-24x3", "heat-64x3", "pendulum-64x4", "poisson-64x3"
]  # fmt: skip
DEVICES = [
    "laptop-x86",
    "n100-mini-pc",
    "raspberry-pi-3b-plus",
    "raspberry-pi-4b",
    "raspberry-pi-5",
]
FOLDER = Path(__file__).parent.parent / "models"
KILLS = 30
HEDGE = [sys.executable, "-m", "hedge"]


def sweep_of(models: list[str], tolerances: str = "{from = 1e-4, to = 1e-1, count = 4}") -> str:
    files = json.dumps([str(FOLDER / f"{name}.onnx") for name in models])
    return (
        'stages = ["compress", "export"]\n[axes]\n'
        f"model = {files}\ntolerance = {tolerances}\ndevice = {json.dumps(DEVICES)}\n"
        'method = ["hierarchical", "activation-svd"]\n[compress]\nrecover = "none"\n'
    )


def ran(*arguments: str | Path, workers: int | None = None) -> float:
    """Seconds of the wall clock that a command takes."""
    started = time.monotonic()
    count = [] if workers is None else ["--workers", str(workers)]
    done = subprocess.run(
        [*HEDGE, "sweep", *map(str, arguments), *count, "--json"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr
    return time.monotonic() - started


def cells(out: Path) -> dict[str, dict]:
    """What is kept of every cell, times and hosts aside."""
    found = {}
    for path in (out / "cells").glob("[!.]*.json"):
        document = json.loads(path.read_text())
        del document["timed"]
        document["contents"] = [
            (out / name).read_bytes() for names in document["files"].values() for name in names
        ]
        found[document["key"]] = document
    return found


def work(out: Path) -> float:
    """Seconds that the stages themselves took."""
    documents = [
        json.loads(path.read_text())["timed"] for path in (out / "cells").glob("[!.]*.json")
    ]
    return sum(each["compress_s"] + each["export_s"] for each in documents)


def speedup(folder: Path) -> None:
    file = folder / "sweep.toml"
    file.write_text(sweep_of(MODELS))
    took = {}
    for workers in (1, 2):
        took[workers] = ran(file, "--out", folder / f"on{workers}", workers=workers)
        print(f"{workers} worker(s): {took[workers]:.0f} s", flush=True)
    count = len(cells(folder / "on1"))
    same = cells(folder / "on1") == cells(folder / "on2")
    print(f"{count} cells: {took[1] / took[2]:.2f} times faster on two; results the same: {same}")
    stages = work(folder / "on1")
    print(
        f"overhead: {1e3 * (took[1] - stages) / count:.0f} ms a cell beside {stages:.0f} s of the stages"
    )
    print(f"a second start: {ran(file, '--out', folder / 'on2'):.1f} s")


def plan(folder: Path) -> None:
    file, out = folder / "many.toml", folder / "many"
    file.write_text(sweep_of(MODELS, "{from = 1e-4, to = 1e-1, count = 200}"))
    took = ran(file, "--dry-run")
    print(f"10,000 cells listed: {took:.1f} s, {most_mib():.0f} MiB")
    fill(file, out)
    print(f"10,000 cells shown: {ran('show', out, '--by', 'error'):.1f} s, {most_mib():.0f} MiB")
    started = time.monotonic()
    subprocess.run(
        [*HEDGE, "sweep", "show", out, "--by", "error"], stdout=subprocess.DEVNULL, check=True
    )
    print(f"10,000 cells as a table: {time.monotonic() - started:.1f} s, {most_mib():.0f} MiB")


def fill(file: Path, out: Path) -> None:
    """A folder as if all cells were done."""
    from hedge.api import planned
    from hedge.sweeping import Outcome, Store

    found, store = planned(file).plan, Store(out)
    store.begin(found, force=False)
    names = (
        "parameters",
        "bytes",
        "predicted_s",
        "energy_j",
        "dense_parameters",
        "dense_bytes",
        "file_bytes",
    )
    for i, cell in enumerate(found.cells):
        figures = {"error": 1e-3 / (1 + i), **dict.fromkeys(names, 1 + i)}
        store.finish(cell, {cell.tasks[0].key: Outcome(figures), cell.tasks[1].key: Outcome()})


def most_mib() -> float:
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024


class Cluster:
    """A scheduler and a process with two workers, which can be killed and come again."""

    def __init__(self, folder: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.log = (folder / "dask.log").open("w")
        self.scheduler = self.workers = None
        self.start()

    def start(self) -> None:
        """What of it does not run; workers end with their scheduler."""
        dask = [sys.executable, "-m", "dask"]
        if self.scheduler is None or self.scheduler.poll() is not None:
            if self.workers is not None:
                self.workers.wait()
            self.scheduler = self._started(
                *dask,
                "scheduler",
                "--host",
                "127.0.0.1",
                "--port",
                str(self.port),
                "--no-dashboard",
            )
        if self.workers is None or self.workers.poll() is not None:
            self.workers = self._started(
                *dask,
                "worker",
                self.address,
                "--nthreads",
                "1",
                "--nworkers",
                "2",
                "--no-dashboard",
            )

    def _started(self, *command: str) -> subprocess.Popen:
        return subprocess.Popen(command, stdout=self.log, stderr=self.log)

    def worker(self) -> int | None:
        """The process of one of the workers, if there is one; its nanny starts another when it dies."""
        import psutil

        try:
            children = psutil.Process(self.workers.pid).children()
        except psutil.NoSuchProcess:
            return None
        found = [child.pid for child in children if "spawn_main" in " ".join(child.cmdline())]
        return random.choice(found) if found else None

    def stop(self) -> None:
        for process in (self.workers, self.scheduler):
            if process is not None and process.poll() is None:
                process.terminate()
                process.wait(30)


def kills(folder: Path) -> None:
    """Kill −9 at random moments, and go on with the same command."""
    random.seed(0)
    file, out = folder / "killed.toml", folder / "killed"
    file.write_text(sweep_of(MODELS))
    cluster = Cluster(folder)
    done = {"client": 0, "worker": 0, "scheduler": 0}
    unfinished = 0
    try:
        while sum(done.values()) < KILLS:
            if out.exists() and not left(file, out):
                shutil.rmtree(out)
            whom = min(done, key=done.get)
            cluster.start()
            client = subprocess.Popen(
                [*HEDGE, "sweep", file, "--out", out, "--scheduler", cluster.address, "--json"],
                stdout=subprocess.DEVNULL, stderr=cluster.log,
            )  # fmt: skip
            wait_for(out, client, random.randint(1, 12))
            time.sleep(random.uniform(0, 0.5))
            pid = {
                "client": client.pid,
                "worker": cluster.worker(),
                "scheduler": cluster.scheduler.pid,
            }[whom]
            if client.poll() is None and pid is not None:
                os.kill(pid, signal.SIGKILL)
                done[whom] += 1
                time.sleep(random.uniform(0, 2))
            if client.poll() is None and whom == "worker":
                client.send_signal(signal.SIGKILL)
            client.wait()
            check_whole(out)
            unfinished += left(file, out) > 0
            print(f"{sum(done.values())} kills, {left(file, out)} cells left", flush=True)
        cluster.start()
        ran(file, "--out", out, "--scheduler", cluster.address)
    finally:
        cluster.stop()
    alone = folder / "alone"
    ran(file, "--out", alone, workers=2)
    found, wanted = cells(out), cells(alone)
    print(f"kills: {done}, {unfinished} of them while there was work left")
    print(
        f"results are the same, cell for cell: {found == wanted} ({len(found)} of {len(wanted)} cells)"
    )
    beside = [path.name for part in ("tasks", "cells") for path in (out / part).glob(".*")]
    print(f"left beside results: {beside or 'nothing'}")


def wait_for(out: Path, client: subprocess.Popen, more: int) -> None:
    """Until so many more tasks are done, or the client is."""

    def count() -> int:
        return len(list((out / "tasks").glob("[!.]*"))) if (out / "tasks").exists() else 0

    before = count()
    while client.poll() is None and count() < before + more:
        time.sleep(0.02)


def check_whole(out: Path) -> None:
    """Every file of a cell can be read, and so can all that it names."""
    if (out / "cells").exists():
        cells(out)
        for place in (out / "tasks").glob("[!.]*"):
            json.loads((place / "result.json").read_text())


def left(file: Path, out: Path) -> int:
    if not (out / "cells").exists():
        return 200
    return 200 - len(list((out / "cells").glob("[!.]*.json")))


if __name__ == "__main__":
    asked = sys.argv[1:] or ["speedup", "plan", "kills"]
    compileall.compile_dir(FOLDER.parent / "hedge", quiet=2)  # as after a first start
    with tempfile.TemporaryDirectory() as name:
        for one in asked:
            {"speedup": speedup, "plan": plan, "kills": kills}[one](Path(name))
