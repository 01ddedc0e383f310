"""``hedge bench`` as a user runs it: what fails beside what is measured, earlier results, other hosts."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest
from onnx import ModelProto

from hedge.benching import read_result
from hedge.devices import predicted_seconds, write_profile
from hedge.graph import graph_work
from hedge.meters import PowerMeter
from tests.benching.test_result import SCHEMA_1, first_model
from tests.cli.conftest import Run
from tests.conftest import random_mlp
from tests.devices.c_profile import c_device
from tests.exporting.c_compiler import needs_gcc

QUICK = ["--device", "laptop-x86", "--batch", "1", "--seconds", "0.01"]

Saved = Callable[[ModelProto, str], Path]


def test_a_failing_model_is_a_line_and_the_rest_a_table(run: Run, saved: Saved) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    outcome = run("bench", "m.onnx", "gone.onnx", *QUICK, "--out", "r.json")
    assert outcome.code == 1
    assert "m.onnx" in outcome.out
    assert outcome.err.splitlines()[-1] == "hedge: gone.onnx: there is no such file"
    kept = read_result(Path("r.json"))
    assert [m.path for m in kept.models] == ["m.onnx"]
    assert [f.path for f in kept.failures] == ["gone.onnx"]


@needs_gcc
def test_a_profile_of_c_is_benched_in_c(run: Run, saved: Saved, tmp_path: Path) -> None:
    model = random_mlp([2, 8, 1])
    saved(model, "m.onnx")
    (tmp_path / "board.toml").write_bytes(write_profile(c_device(1)))
    asked = ["--device", "board.toml", "--batch", "1,20", "--seconds", "0.01"]
    outcome = run("bench", "m.onnx", *asked, "--out", "r.json")
    assert outcome.code == 0
    assert ", c " in outcome.out.splitlines()[0]
    assert "times are of this machine, figures of made-up-c, calibrated elsewhere" in outcome.err
    assert "figures describe" not in outcome.err
    found = read_result(Path("r.json"))
    assert (found.backend, found.figures_of, found.calibrated_here) == ("c", "c", False)
    assert [m.predicted_s for m in found.models] == [
        predicted_seconds(c_device(1), graph_work(model, batch)) for batch in (1, 20)
    ]
    other = run("bench", "m.onnx", *asked, "--backend", "onnxruntime")
    assert "figures describe c, times are of onnxruntime" in other.err
    refused = run("bench", "m.onnx", *asked, "--against", "r.json", "--backend", "onnxruntime")
    assert "backend" in refused.err
    assert run("bench", "m.onnx", *asked, "--against", "r.json").code == 0


def test_the_document_of_a_run_with_a_failure_is_whole(run: Run, saved: Saved) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    outcome = run("bench", "gone.onnx", "m.onnx", *QUICK, "--json")
    assert outcome.code == 1
    document = json.loads(outcome.out)
    assert [m["path"] for m in document["models"]] == ["m.onnx"]
    assert document["failures"][0]["reason"].startswith("gone.onnx: ")


def test_against_an_earlier_result_of_this_machine(run: Run, saved: Saved) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    assert run("bench", "m.onnx", *QUICK, "--out", "r.json").code == 0
    (change,) = run("bench", "m.onnx", *QUICK, "--against", "r.json", "--json").document()[
        "against"
    ]
    assert change["before_s"] == read_result(Path("r.json")).models[0].median_s
    assert change["verdict"] in ("faster", "slower", "the same", "unstable")
    printed = run("bench", "m.onnx", *QUICK, "--against", "r.json")
    assert printed.code == 0
    assert "Against r.json" in printed.out
    refused = run("bench", "m.onnx", *QUICK, "--against", "r.json", "--threads", "2")
    assert refused.code == 1
    assert "threads is 1, here 2" in refused.err
    assert refused.out == ""  # refused before anything is measured


def test_another_machines_result_needs_force(run: Run, saved: Saved) -> None:
    saved(random_mlp([2, 8, 1]), "heat.onnx")
    elsewhere = {**SCHEMA_1, "machine": {**SCHEMA_1["machine"], "processor": "Abacus 1"}}
    Path("old.json").write_text(json.dumps(elsewhere))
    arguments = ["bench", "heat.onnx", *QUICK, "--batch", "4", "--threads", "2"]
    refused = run(*arguments, "--against", "old.json")
    assert refused.code == 1
    assert "old.json: can't be compared with: its processor is Abacus 1" in refused.err
    (change,) = run(*arguments, "--against", "old.json", "--force", "--json").document()["against"]
    assert change["before_s"] == 2e-5


def test_an_unstable_time_is_marked(
    run: Run, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    module = import_module("hedge.benching.bench")  # the package has a function of that name
    monkeypatch.setattr(module, "throttling", lambda: (("throttled",), None))
    outcome = run("bench", "m.onnx", *QUICK)
    assert outcome.code == 0
    assert "unstable: m.onnx at batch 1: throttled" in outcome.err


def test_throttling_that_can_not_be_asked_for_is_unknown(
    run: Run, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    (tmp_path / "vcgencmd").write_text("#!/bin/sh\necho 'no /dev/vcio' >&2\nexit 255\n")
    (tmp_path / "vcgencmd").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    outcome = run("bench", "m.onnx", *QUICK)
    assert outcome.code == 0
    reason = "whether it throttled meanwhile is unknown: vcgencmd get_throttled: no /dev/vcio"
    assert reason in " ".join(outcome.err.split())


def test_remote_hedge_is_for_other_machines(run: Run) -> None:
    outcome = run("bench", "m.onnx", "--remote-hedge", "x/hedge")
    assert outcome.code == 1
    assert outcome.err == "hedge: remote-hedge: is for --on; leave it out\n"


def test_energy_from_a_meter_stands_in_the_table_with_its_name(
    run: Run, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    fake = PowerMeter("a fake plug", 0.01, lambda: 2.0)
    monkeypatch.setattr("hedge.api.benching.find_meter", lambda: fake)
    monkeypatch.setattr("hedge.api.benching.check_window", lambda seconds: None)
    outcome = run("bench", "m.onnx", *QUICK, "--energy", "0.05")
    assert outcome.code == 0
    assert "Energy per call by a fake plug" in outcome.out


def test_hosts_give_a_table_each_and_a_line_where_they_fail(
    run: Run, saved: Saved, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    answer = tmp_path / "answer.json"
    answer.write_text(json.dumps(first_model(SCHEMA_1, path="model0.onnx", batch=1)))
    ssh = tmp_path / "bin/ssh"
    ssh.parent.mkdir()
    ssh.write_text(f'#!/bin/sh\ncase "$*" in *gone*) exit 255;; esac\ncat {answer}\n')
    ssh.chmod(0o755)
    monkeypatch.setenv("PATH", f"{ssh.parent}:{os.environ['PATH']}")
    fleet = ["bench", "m.onnx", *QUICK, "--on", "pi@one", "--on", "gone"]
    outcome = run(*fleet)
    assert outcome.code == 1
    assert "pi@one, AMD EPYC" in outcome.out
    assert "m.onnx" in outcome.out
    assert outcome.err.splitlines()[-1].startswith("hedge: gone: can't be reached by ssh")
    document = json.loads(run(*fleet, "--json", "--out", "fleet.json").out)
    assert document == json.loads(Path("fleet.json").read_text())
    one, gone = document["hosts"]
    assert one["result"]["hedge_bench"] == 2
    assert gone["error"].startswith("gone: ")
    shown = run("sweep", "show", "fleet.json")
    assert "fleet.json: 2 of 2 cells" in shown.out
    assert "pi@one laptop-x86 m.onnx" in shown.out
    assert "gone – – –: failed: can't be reached by ssh" in shown.out
    rows = json.loads(run("sweep", "show", "fleet.json", "--by", "measured_s", "--json").out)
    first, last = rows["cells"]
    assert first["measured_s"] == one["result"]["models"][0]["median_s"]
    assert (last["host"], last["model"]) == ("gone", None)
    Path("damaged.json").write_text(json.dumps({**document, "hosts": [{"host": "a", "port": 1}]}))
    assert "damaged.json: key 'hosts.0.port'" in run("sweep", "show", "damaged.json").err
    Path("alone.json").write_text(json.dumps(one["result"]))
    assert "AMD EPYC" in run("sweep", "show", "alone.json").out


def test_a_check_of_predictions_tells_what_failed_and_what_is_unstable(
    run: Run, saved: Saved, monkeypatch: pytest.MonkeyPatch
) -> None:
    saved(random_mlp([2, 8, 1]), "m.onnx")
    bench = import_module("hedge.benching.bench")
    monkeypatch.setattr(bench, "too_wide", lambda spread: "a noisy neighbour")
    monkeypatch.setattr(bench, "loop_seconds", lambda: 1.0)  # whatever this machine's clock does
    outcome = run("devices", "m.onnx", "gone.onnx", "--check", "laptop-x86", *QUICK[2:], "--json")
    assert outcome.code == 1
    assert json.loads(outcome.out)["runs"] == 1
    assert "unstable: m.onnx at batch 1: a noisy neighbour" in outcome.err
    assert "times are of this machine, figures of laptop-x86, not measured here" in outcome.err
    assert outcome.err.splitlines()[-1] == "hedge: gone.onnx: there is no such file"
