"""Work on a real scheduler, on loopback, with two workers in homes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hedge
from hedge.benching import Effort
from hedge.clusters import cluster_settings, on_cluster, open_cluster, opening, versions
from hedge.comparing import compare
from hedge.errors import HedgeError, InputError, RemoteError
from hedge.methods import METHODS
from tests.conftest import ROOT, random_mlp
from tests.methods.cases import case_of
from tests.sshd import free_port, wait_for, wait_until

BRIEF = Effort(warm_up_s=0.01, timed_s=0.01)


@contextmanager
def running(
    home: Path, module: str, *words: object, path: str = ""
) -> Iterator[subprocess.Popen[bytes]]:
    home.mkdir(exist_ok=True)
    there = {**os.environ, "HOME": str(home), "PYTHONPATH": f"{path}{ROOT}"}
    command = [sys.executable, "-m", f"distributed.cli.{module}", *map(str, words)]
    process = subprocess.Popen(command, cwd=home, env=there, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def worker(home: Path, address: str, path: str = "") -> Any:
    return running(
        home, "dask_worker", address, "--nthreads", 1, "--no-nanny", "--no-dashboard", path=path
    )


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A scheduler with two workers."""
    folder, port = tmp_path_factory.mktemp("homes"), free_port()
    found = f"tcp://127.0.0.1:{port}"
    listening = ("--host", "127.0.0.1", "--port", port, "--dashboard-address", "127.0.0.1:0")
    with running(folder / "scheduler", "dask_scheduler", *listening):
        wait_for(port)
        with worker(folder / "one", found), worker(folder / "two", found):
            yield found


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[Any]:
    with open_cluster(cluster_settings({"kind": "scheduler", "address": address})) as found:
        found.wait_for_workers(2, timeout=60)
        yield found


def test_a_certificate_is_the_same_to_the_byte(client: Any, address: str, tmp_path: Path) -> None:
    homes = client.run(os.getcwd)
    assert len(set(homes.values())) == 2
    model = hedge.reference_models()["heat"]
    alone = hedge.certify(model, problem="heat", boxes=500)
    together = hedge.certify(model, problem="heat", boxes=500, scheduler=address)
    assert alone.as_bytes() == together.as_bytes()


def test_methods_find_the_same(client: Any) -> None:
    model = random_mlp([2, 16, 16, 1], 1)
    names = ("dense", "activation-svd", "quantize-static", "small-net")
    methods = {name: METHODS[name].solve for name in names}
    alone, together = (
        compare(
            case_of(model, 1e-2),
            methods,
            batches=[1],
            threads=1,
            effort=BRIEF,
            **spread,
        )
        for spread in ({}, {"spread": on_cluster(client)})
    )
    for one, other in zip(alone.rows, together.rows, strict=True):
        assert replace(one, latencies=(), seconds=0.0) == replace(other, latencies=(), seconds=0.0)
    assert alone.absent == together.absent


def test_cells_of_a_sweep_need_nothing_of_the_clients_folders(
    client: Any, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a.onnx").write_bytes(random_mlp([2, 16, 16, 1], 0).SerializeToString())
    monkeypatch.chdir(tmp_path)
    asked = {"domain": "-1:1,0:1", "recover": "none"}
    axes = {"model": "a.onnx", "tolerance": [0.1], "device": "raspberry-pi-4b"}
    swept = hedge.sweep(
        {"stages": ["compress"], "axes": axes, "compress": asked}, "runs", scheduler=address
    )
    alone = [
        hedge.compress(
            "a.onnx", tolerance=tolerance, device="raspberry-pi-4b", domain="-1:1,0:1", recover=None
        )
        for tolerance in axes["tolerance"]
    ]
    assert [row.figures["parameters"] for row in swept.rows] == [c.plan.parameters for c in alone]
    assert [row.figures["error"] for row in swept.rows] == [c.plan.relative_error for c in alone]


def test_results_come_in_order_on_one_thread_and_refusals_as_they_are(client: Any) -> None:
    weights = np.arange(6.0)
    with on_cluster(client)(lambda place: weights[place]) as each:
        assert list(each([4, 1, 2])) == [4.0, 1.0, 2.0]
        assert list(each([3])) == [3.0]
        assert list(each([])) == []

    def refuse(number: int) -> int:
        raise InputError(f"number: {number} is refused")

    with (
        pytest.raises(InputError, match=r"^number: 1 is refused"),
        on_cluster(client)(refuse) as each,
    ):
        list(each([1, 2]))


def test_other_versions_are_refused_with_both_and_the_host(
    address: str, client: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = dict(versions.versions_here())
    monkeypatch.setitem(versions.versions_here(), "hedge", "0.0.9")
    settings = cluster_settings({"kind": "scheduler", "address": address})
    host, there = here["host"], here["hedge"]
    with (
        pytest.raises(RemoteError, match=rf"{host} has hedge .*, this machine 0\.0\.9") as caught,
        open_cluster(settings),
    ):
        pass
    assert there in str(caught.value)


def test_a_worker_that_comes_later_with_other_versions_is_turned_away(
    address: str, client: Any, tmp_path: Path
) -> None:
    older = tmp_path / "scipy-0.0.1.dist-info"
    older.mkdir()
    (older / "METADATA").write_text("Metadata-Version: 2.1\nName: scipy\nVersion: 0.0.1\n")
    before = set(client.scheduler_info()["workers"])
    with worker(tmp_path / "late", address, path=f"{tmp_path}:") as late:
        wait_until(lambda: late.poll() is not None)
    assert set(client.run(os.getpid)) == before


def test_nobody_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opening, "LONGEST_CONNECTING_S", 0.3)
    nowhere = f"tcp://127.0.0.1:{free_port()}"
    with (
        pytest.raises(RemoteError, match=f"^{nowhere}: no Dask scheduler answers there"),
        open_cluster(cluster_settings({"kind": "scheduler", "address": nowhere})),
    ):
        pass


def test_a_way_to_connect_that_is_not_set_up_is_told() -> None:
    with (
        pytest.raises(RemoteError, match=r"^tls://127\.0\.0\.1:1: .*needs certificates"),
        open_cluster(cluster_settings({"kind": "scheduler", "address": "tls://127.0.0.1:1"})),
    ):
        pass


def test_workers_that_die_are_told(client: Any) -> None:
    with (
        pytest.raises(HedgeError, match="or all workers are"),
        on_cluster(client)(os._exit) as each,
    ):
        list(each([1, 2]))
