"""The commands as a user runs them: every stage, its JSON keys, and start-up."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hedge import compress, reference_models
from hedge.benching import Effort, has_compiler
from hedge.cli.messages import missing_package
from hedge.compression import load_compressed
from hedge.devices import shipped_profiles
from hedge.formats import FORMATS, format_of
from hedge.problems import GALLERY
from tests.cli.conftest import Refuses, Run
from tests.conftest import ROOT
from tests.exporting.c_compiler import needs_gcc

COMMANDS = [
    "demo", "problems", "devices", "train", "import", "evaluate", "calibrate", "compress", "inspect",
    "certify", "export", "bench", "compare", "report",
]  # fmt: skip


BOUNDARY = "-- next --"


def hedge(*arguments: str | Path, block: str = "") -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own, with modules of these names missing."""
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({block.split()!r}))\n"
        "from hedge.cli.app import main; main()"
    )
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )


def document(run: subprocess.CompletedProcess[str]) -> dict:
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


def in_one_process(
    *commands: Sequence[str | Path], block: str
) -> tuple[list[str], subprocess.CompletedProcess[str]]:
    """What each command prints, one after the other in one process as in :func:`hedge`, and the process."""
    argvs = [["hedge", *map(str, command)] for command in commands]
    code = (
        f"import sys; sys.modules.update(dict.fromkeys({block.split()!r}))\n"
        "from hedge.cli.app import main\n"
        f"for sys.argv in {argvs!r}:\n"
        "    try: main()\n"
        "    except SystemExit as stopped:\n"
        "        if stopped.code: raise\n"
        f"    print({BOUNDARY!r}, flush=True)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    return run.stdout.split(BOUNDARY)[:-1], run


def documents(*commands: Sequence[str | Path], block: str) -> list[dict]:
    """What commands print with ``--json``."""
    printed, _ = in_one_process(*([*command, "--json"] for command in commands), block=block)
    return [json.loads(text) for text in printed]


def test_the_torch_free_stages_run_with_torch_blocked(heat_path: Path, tmp_path: Path) -> None:
    small, out = tmp_path / "b.hedge.safetensors", tmp_path / "b.onnx"
    pi = ("--device", "raspberry-pi-4b")
    result, exported, of_small, of_out, of_dense, benched, evaluated = documents(
        [
            "compress",
            heat_path,
            *pi,
            "--no-recover",
            "--tolerance",
            "1e-2",
            "--batch",
            "64",
            "--out",
            small,
        ],
        ["export", small, "--out", out],
        ["inspect", small],
        ["inspect", out],
        ["inspect", heat_path],
        ["bench", heat_path, out, *pi, "--batch", "1,64", "--seconds", "0.01"],
        ["evaluate", out, "--problem", "heat"],
        block="torch",
    )
    keys = {
        "relative_error", "tolerance", "parameters", "dense_parameters", "bytes", "dense_bytes",
        "predicted_s", "dense_predicted_s", "energy_j", "dense_energy_j", "sites",
    }  # fmt: skip
    assert keys <= result.keys()
    assert result["relative_error"] < 1e-2
    assert exported["nodes"] > 3
    assert all(site["form"] for site in of_out["sites"])
    assert not any(site["form"] for site in of_small["sites"])
    for inspected in (of_small, of_out):
        assert [{**site, "form": None} for site in inspected["sites"]] == result["sites"]
    assert of_dense["parameters"] == 8577
    assert len(benched["models"]) == 4
    keys = {
        "path", "batch", "median_s", "p90_s", "p99_s", "paper_bound_s", "roofline_s",
        "predicted_s", "energy_j", "times_s",
    }  # fmt: skip
    assert keys <= benched["models"][0].keys()
    assert {"relative_l2", "max_abs", "residual_rms", "parameters"} <= evaluated.keys()
    assert evaluated["relative_l2"] < 1.1e-2


def with_two_inputs(path: Path, out: Path) -> None:
    """The model with its input ``x`` [n, 2] taken apart: ``place`` [n, 1] and ``time`` [n]."""
    model = onnx.load(path)
    graph = model.graph
    nodes = [
        helper.make_node("Unsqueeze", ["time", "second"], ["time.column"]),
        helper.make_node("Concat", ["place", "time.column"], [graph.input[0].name], axis=1),
        *graph.node,
    ]
    graph.initializer.append(numpy_helper.from_array(np.array([1]), "second"))
    del graph.node[:], graph.input[:]
    graph.node.extend(nodes)
    graph.input.extend(
        [
            helper.make_tensor_value_info("place", TensorProto.FLOAT, ["n", 1]),
            helper.make_tensor_value_info("time", TensorProto.FLOAT, ["n"]),
        ]
    )
    out.write_bytes(model.SerializeToString())


def test_a_model_of_two_inputs_from_file_to_file(run: Run, heat_path: Path, tmp_path: Path) -> None:
    with_two_inputs(heat_path, tmp_path / "d.onnx")
    device = ("--device", "laptop-x86")
    plan = run("compress", "d.onnx", *device, "--no-recover", "--tolerance", "1e-2", "--batch", "64",
               "--out", "s.hedge.safetensors", "--json").document()  # fmt: skip
    assert plan["parameters"] < plan["dense_parameters"]
    assert run("inspect", "s.hedge.safetensors", "--json").document()["sensitivities"] == "exact"
    assert run("export", "s.hedge.safetensors", "--out", "s.onnx").code == 0
    assert [value.name for value in onnx.load("s.onnx").graph.input] == ["place", "time"]
    benched = run("bench", "d.onnx", "s.onnx", *device, "--batch", "1,64", "--seconds", "0.05",
                  "--json").document()  # fmt: skip
    assert [m["path"] for m in benched["models"]] == ["d.onnx", "s.onnx"] * 2
    evaluated = run("evaluate", "s.onnx", "--problem", "heat", "--json").document()
    assert evaluated["relative_l2"] < 1e-2


def test_inspect_prints_how_sensitivities_were_taken(run: Run, heat_path: Path) -> None:
    out = ("--out", "s.hedge.safetensors")
    arguments = ["--device", "laptop-x86", "--tolerance", "1e-2", *out]
    assert run("compress", str(heat_path), "--no-recover", *arguments).code == 0
    printed = " ".join(run("inspect", "s.hedge.safetensors").out.split())
    assert "sensitivities: exact" in printed
    assert "feed output" in printed


def test_the_command_in_a_plan_makes_the_same_again(
    run: Run, heat_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, there = tmp_path / "here", tmp_path / "there"
    for folder in (here, there):
        folder.mkdir()
        shutil.copy(heat_path, folder / "my heat.onnx")
        shutil.copy(shipped_profiles()["laptop-x86"], folder / "my.toml")
        np.save(folder / "x.npy", np.random.default_rng(0).random((1000, 2)))
    plan = compress(
        here / "my heat.onnx", device=str(here / "my.toml"), tolerance=3e-2, batch=64,
        keep_widths=True, samples=here / "x.npy", out=here / "s.hedge.safetensors",
    ).plan  # fmt: skip
    assert str(tmp_path) not in plan.model_dump_json()
    assert "made with" in " ".join(run("inspect", "here/s.hedge.safetensors").out.split())
    monkeypatch.chdir(there)
    program, *words = shlex.split(plan.command)
    assert program == "hedge"
    assert run(*words).code == 0
    assert load_compressed(there / "s.hedge.safetensors").plan == plan


def test_train_without_torch_says_what_to_install(tmp_path: Path) -> None:
    run = hedge("train", "heat", "--out", tmp_path / "h.onnx", block="torch")
    assert run.returncode == 1
    assert (
        run.stderr == "hedge: train: torch is not installed; run: pip install 'hedge-pinn[train]'\n"
    )


def test_train_writes_a_model_that_evaluates(run: Run) -> None:
    sizes = ["--width", "12", "--depth", "2", "--steps", "200"]
    trained = run("train", "poisson", *sizes, "--out", "p.onnx", "--json").document()
    assert trained["converged"]
    assert len(trained["history"]) == 2
    evaluated = run("evaluate", "p.onnx", "--problem", "poisson", "--json").document()
    assert evaluated["relative_l2"] == pytest.approx(trained["relative_l2"], rel=0.2)


def test_demo_leaves_its_files_and_prints_one_document(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hedge.cli.demo.QUICK", Effort.of(0.01))
    monkeypatch.setattr("hedge.cli.demo.STEPS", 500)
    demo = ["demo", "heat", "--device", "laptop-x86", "--quick", "--out", "demo"]
    result = run(*demo, "--json").document()
    names = [m["name"] for m in result["models"]]
    assert names[:3] == ["dense", "compressed", "recovered"]
    assert names[3:] == (["recovered, in C"] if has_compiler() else [])
    assert all(m["relative_error"] < 1e-2 for m in result["models"])
    sizes = [m["parameters"] for m in result["models"]]
    assert sizes[0] > sizes[1] > sizes[2]
    claim, to_solution, _ = result["proved"]
    assert to_solution["kind"] == "max"
    assert to_solution["bound"] <= 1.01 * claim["largest"] + 1e-5
    assert claim["largest_seen"] <= claim["largest"] <= 3.0 * claim["largest_seen"]
    in_c = ["heat.recovered.c", "heat.recovered.h"] if has_compiler() else []
    assert sorted(p.name for p in (tmp_path / "demo").iterdir()) == sorted(
        [
            "bench.json",
            "heat.certificate.json",
            "heat.compressed.certificate.json",
            "heat.recovered.certificate.json",
            "device.toml",
            "heat.compressed.hedge.safetensors",
            "heat.compressed.onnx",
            "heat.onnx",
            "heat.recovered.hedge.safetensors",
            "heat.recovered.onnx",
            "report.html",
            *in_c,
        ]
    )
    assert run("certify", "--check", "demo/heat.recovered.certificate.json").code == 0
    again = run(*demo)
    assert again.code == 1
    assert "--force" in again.err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(run: Run, command: str) -> None:
    outcome = run(command, "--help")
    assert outcome.code == 0
    assert "Example:" in outcome.out
    assert f"hedge {command}" in outcome.out


@needs_gcc
def test_the_help_of_export_has_an_example_for_each_format_that_works(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    told = run("export", "--help").out
    shutil.copy(ROOT / "models" / "heat-64x3.onnx", tmp_path / "burgers.onnx")
    shutil.copy(
        ROOT / "models" / "burgers-128x4.hedge.safetensors", tmp_path / "burgers.hedge.safetensors"
    )
    for name, one in FORMATS.items():
        assert f"Example: {one.example}\n" in re.sub(" +\n", "\n", told)
        command = shlex.split(one.example)
        out = Path(command[command.index("--out") + 1])
        found = run(*command[1:], "--json")
        assert found.code == 0
        assert ("--format" in command and name in command) or format_of(out) == name
        assert (tmp_path / out).exists()


def test_lists_name_what_ships(run: Run) -> None:
    assert "burgers-half" in run("problems").out
    listed = run("devices").out
    assert "raspberry-pi-zero-2w" in listed
    assert re.search(r"^stm32f407 +c .* 1\.00 MiB +128 KiB STM32F407", listed, flags=re.MULTILINE)
    assert len(run("devices", "--json").document()["devices"]) == len(shipped_profiles())
    assert len(run("problems", "--json").document()["problems"]) == len(GALLERY)


def test_a_profile_is_checked_on_models_timed_here(run: Run, heat_path: Path) -> None:
    argv = [
        "devices",
        str(heat_path),
        "--check",
        "laptop-x86",
        "--batch",
        "1,64",
        "--seconds",
        "0.05",
    ]
    found = run(*argv, "--json").document()
    assert (found["device"], found["runs"], len(found["furthest"])) == ("laptop-x86", 2, 2)
    off = [abs(one["ratio"] - 1.0) for one in found["furthest"]]
    assert off == sorted(off, reverse=True)
    assert found["worst"] == pytest.approx(off[0])
    assert found["median"] == pytest.approx(np.mean(off))
    assert "predicted over measured" in run(*argv).out


def test_a_package_that_is_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a 32-bit system, for which onnxruntime has no wheels."""
    done = hedge("inspect", reference_models()["heat"], block="onnxruntime")
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert line.startswith("hedge: onnxruntime can't be imported by this 64-bit Python (")
    monkeypatch.setattr("struct.calcsize", lambda kind: 4)
    told = missing_package(ModuleNotFoundError("No module named 'onnx'", name="onnx.helper"))
    assert told.startswith(
        "onnx can't be imported by this 32-bit Python (No module named 'onnx'); onnxruntime"
    )
    with pytest.raises(ImportError, match="ours"):
        missing_package(ImportError("ours", name="hedge.gone"))


HEAVY = ["torch", "onnx", "onnxruntime", "matplotlib", "numpy", "scipy"]
IMPORT = "import hedge"
HELP = (
    "import sys; sys.argv = ['hedge', '--help']\n"
    "from hedge.cli.app import main\n"
    "try: main()\n"
    "except SystemExit: pass"
)


@pytest.mark.parametrize("code", [IMPORT, HELP], ids=["import", "help"])
def test_import_and_help_load_nothing_heavy(code: str) -> None:
    check = f"{code}\nimport sys; print([m for m in {HEAVY} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"


def test_the_public_names_resolve() -> None:
    import hedge as package

    for name in package.__all__:
        assert getattr(package, name) is not None
    with pytest.raises(AttributeError, match="surprise"):
        package.surprise  # noqa: B018


def test_hmatrix_needs_numpy_and_scipy_only() -> None:
    blocked = ["torch", "onnx", "onnxruntime", "pydantic", "typer"]
    code = f"import sys; sys.modules.update(dict.fromkeys({blocked})); import hedge.hmatrix"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_interrupted_training_goes_on_where_it_stopped(run: Run, tmp_path: Path) -> None:
    out = tmp_path / "h.onnx"
    train = ["train", "heat", "--width", "8", "--depth", "2", "--out", str(out)]
    code = (
        "import os, signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "import hedge.training.marching as marching\n"
        "cycles = marching.run_cycles\n"
        "def interrupted(*what):\n"
        "    for number, item in enumerate(cycles(*what)):\n"
        "        if number == 1: os.kill(os.getpid(), signal.SIGINT)\n"
        "        yield item\n"
        "marching.run_cycles = interrupted\n"
        "from hedge.cli.app import main; main()"
    )
    interrupted = subprocess.run(
        [sys.executable, "-c", code, *train, "--steps", "100000"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert interrupted.returncode == 1
    last = interrupted.stderr.splitlines()[-1]
    assert last.startswith(f"hedge: train: interrupted; {out} is the best network so far")
    assert {path.name for path in tmp_path.iterdir()} == {"h.onnx", "h.onnx.checkpoint"}
    run("evaluate", str(out), "--problem", "heat", "--json").document()
    again = run(*train, "--steps", "300")
    assert again.code == 1
    assert "exists already" in again.err
    out.unlink()
    again = run(*train, "--steps", "300")
    assert again.code == 1
    assert "--resume" in again.err
    resumed = run(*train, "--steps", "300", "--resume", "--json").document()
    assert resumed["steps"] == 300
    assert resumed["history"][0]["step"] == 200
    assert [path.name for path in tmp_path.iterdir()] == ["h.onnx"]


def test_resuming_without_a_checkpoint_is_refused(refuses: Refuses) -> None:
    argv = ["train", "heat", "--out", "h.onnx", "--resume"]
    refuses(*argv, named=("there is no checkpoint to resume",))


def test_c_is_calibrated_to_a_file_and_onnxruntime_to_what_auto_means_too(run: Run) -> None:
    told = "hedge: calibrate: name a file with --out"
    assert run("calibrate", "--runtime", "c").err == f"{told}\n"
    assert run("calibrate").err == f"{told}, or give --refresh, or both\n"
