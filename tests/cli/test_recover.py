"""``hedge compress --recover`` as a user runs it: one document, progress apart, Ctrl-C, refusals."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import hedge
from tests.cli.conftest import Refuses, Run
from tests.cli.test_commands import documents
from tests.cli.test_commands import hedge as run_hedge
from tests.conftest import random_mlp
from tests.recovery.cases import cut_gently

DEVICE = ["--device", "laptop-x86"]
BASIC = [*DEVICE, "--domain", "-1:1,-1:1", "--tolerance", "1e-3", "--out", "m.safetensors"]
RECOVER = [*BASIC, "--objective", "size", "--recover", "outputs", "--steps", "1000"]


@pytest.fixture
def model(tmp_path: Path) -> Path:
    path = tmp_path / "model.onnx"
    path.write_bytes(random_mlp([2, 24, 24, 1], seed=1).SerializeToString())
    return path


def test_one_document_on_stdout_and_progress_on_stderr(
    run: Run, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_gently(monkeypatch)
    outcome = run("compress", model.name, *RECOVER, "--json")
    assert outcome.code == 0
    document = json.loads(outcome.out)
    assert document["rungs"]
    assert document["rungs"][-1]["parameters"] == document["parameters"]
    assert document["relative_error"] <= 1e-3
    assert "fitting outputs: error" in outcome.err
    shown = run("inspect", "m.safetensors")
    assert f"recovery: {document['recovery']}" in shown.out
    assert "parameters: error" in shown.out
    again = run("compress", model.name, *RECOVER, "--resume")
    assert again.code == 0
    assert hedge.load(model.with_name("m.safetensors")).plan.parameters <= document["parameters"]


def test_ctrl_c_while_it_fits_ends_with_a_file(heat_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "h.safetensors"
    arguments = [
        "compress", str(heat_path), *DEVICE, "--tolerance", "1e-4", "--recover", "outputs",
        "--steps", "100000", "--out", str(out),
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-m", "hedge", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A suite that runs in the background ignores Ctrl-C, and so would its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith("fitting"):
            break
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate()
    assert process.returncode == 0
    assert "interrupted" in printed
    assert hedge.load(out).plan.recovery.endswith("interrupted")
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


@pytest.fixture(scope="module")
def without_torch(heat_path: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    """Plans by what is recovered on, made where torch is missing, all in one process."""
    folder = tmp_path_factory.mktemp("without-torch")
    model = folder / "model.onnx"
    model.write_bytes(random_mlp([2, 24, 24, 1], seed=1).SerializeToString())
    asked = [*BASIC[:-4], "--objective", "size", "--tolerance", "3e-2", "--steps", "1000"]
    commands = {
        on: ["compress", model, *asked, "--recover", on, "--out", folder / f"{on}.safetensors"]
        for on in ("outputs", "gradients", "auto")
    }
    best = [*DEVICE, "--tolerance", "1e-2", "--against", "reference", "--steps", "1000"]
    commands["best"] = ["compress", heat_path, *best, "--out", folder / "best.safetensors"]
    plans = documents(*commands.values(), block="torch")
    assert all((folder / f"{on}.safetensors").exists() for on in commands)
    return dict(zip(commands, plans, strict=True))


@pytest.mark.parametrize("on", ["outputs", "gradients", "auto"])
def test_without_torch_it_recovers_on_outputs(without_torch: dict[str, dict], on: str) -> None:
    plan = without_torch[on]
    assert plan["rungs"]
    assert {rung["on"] for rung in plan["rungs"]} <= {"outputs", "cut"}
    assert "torch" not in plan["versions"]


def test_without_torch_the_residual_says_what_to_install(heat_path: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.safetensors"
    asked = [*DEVICE, "--tolerance", "1e-3", "--out", out, "--recover", "residual"]
    outcome = run_hedge("compress", heat_path, *asked, block="torch")
    assert outcome.returncode == 1
    assert outcome.stderr == (
        "hedge: recover residual: torch is not installed; run: pip install 'hedge-pinn[train]', "
        "or recover outputs\n"
    )
    assert not out.exists()


def test_without_torch_what_is_best_recovers_on_outputs(without_torch: dict[str, dict]) -> None:
    plan = without_torch["best"]
    assert plan["rungs"]
    assert {rung["on"] for rung in plan["rungs"]} == {"outputs"}
    assert "--recover auto" in plan["command"]


def test_recovery_on_outputs_imports_no_torch_though_it_is_there(model: Path) -> None:
    code = (
        "import sys, hedge\n"
        f"found = hedge.compress({str(model)!r}, device='laptop-x86', domain='-1:1,-1:1',"
        " tolerance=3e-2, objective='size', recover='outputs', steps=200)\n"
        "print(len(found.plan.rungs) > 0, 'torch' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "True False\n"


REFUSED: dict[str, tuple[list[str], tuple[str, ...]]] = {
    "no steps": (["--steps", "0"], ("steps: 0", "at least 1")),
    "budget 0": (["--budget", "0"], ("budget", "0 s")),
    "budget NaN": (["--budget", "nan"], ("budget", "nan")),
    "budget infinite": (["--budget", "inf"], ("budget", "inf")),
    "budget negative": (["--budget=-5"], ("budget", "-5 s")),
    "method svd": (["--method", "svd"], ("recover", "'svd'")),
    "method paper": (["--method", "paper"], ("recover", "'paper'")),
    "residual of no problem": (["--recover", "residual"], ("residual", "--problem")),
    "residual of another network": (
        ["--recover", "residual", "--problem", "heat"], ("model.onnx", "its output is not")
    ),
    "residual of factors": (
        ["--recover", "residual", "--problem", "heat", "--keep-widths"], ("keep-widths",)
    ),
    "nothing to resume": (["--resume"], ("m.safetensors", "no such file")),
}  # fmt: skip


@pytest.mark.parametrize("kind", REFUSED)
def test_refused(refuses: Refuses, saved: Callable[..., Path], kind: str) -> None:
    saved(random_mlp([2, 12, 12, 1]))
    argv, named = REFUSED[kind]
    refuses("compress", "model.onnx", *RECOVER, *argv, named=named)


def test_gradients_of_samples(refuses: Refuses, saved: Callable[..., Path], tmp_path: Path) -> None:
    saved(random_mlp([2, 12, 12, 1]))
    np.save(tmp_path / "s.npy", np.random.default_rng(0).uniform(0, 1, (300, 2)))
    argv = [*DEVICE, "--samples", "s.npy", "--recover", "gradients", "--out", "m.safetensors"]
    refuses("compress", "model.onnx", *argv, named=("derivatives", "--domain", "--samples"))


def test_resume_without_recovery(refuses: Refuses, saved: Callable[..., Path]) -> None:
    saved(random_mlp([2, 12, 12, 1]))
    refuses(
        "compress",
        "model.onnx",
        *BASIC,
        "--no-recover",
        "--resume",
        named=("resume", "needs recover"),
    )
