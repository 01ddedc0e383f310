"""``hedge import``: what it prints and writes, and one line for whatever it refuses."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from hedge.cli.app import main
from hedge.graph import load_model, run_float32
from tests.cli.conftest import Run
from tests.cli.test_commands import document, hedge
from tests.conftest import random_mlp

POINTS = np.random.default_rng(0).uniform(-1, 1, (50, 2)).astype(np.float32)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(2, 16), nn.GELU(), nn.Linear(16, 16), nn.GELU(), nn.Linear(16, 1)
    )


def test_a_state_dict_is_imported_and_compressed(run: Run, tmp_path: Path) -> None:
    net, weights, out = network(), tmp_path / "net.pt", tmp_path / "net.onnx"
    torch.save(net.state_dict(), weights)
    found = run(
        "import", str(weights), "--activation", "gelu", "--out", str(out), "--json"
    ).document()
    assert found == {
        "out": str(out),
        "widths": [2, 16, 16, 1],
        "activation": "gelu",
        "parameters": 337,
        "bytes": out.stat().st_size,
        "checked": False,
    }
    expected = net(torch.tensor(POINTS)).detach().numpy()
    assert np.abs(run_float32(load_model(out), POINTS) - expected).max() < 1e-6
    small = tmp_path / "net.hedge.safetensors"
    compressed = hedge(
        "compress", out, "--no-recover", "--domain", "-1:1,-1:1", "--device", "laptop-x86",
        "--tolerance", "1e-2",
        "--objective", "size", "--out", small, "--json", block="torch",
    )  # fmt: skip
    assert document(compressed)["relative_error"] < 1e-2


def test_text_names_what_the_file_does_not_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(network().state_dict(), "net.pt")

    def run(*more: str) -> tuple[object, str, str]:
        monkeypatch.setattr(sys, "argv", ["hedge", "import", "net.pt", "--out", "o.onnx", *more])
        with pytest.raises(SystemExit) as stopped:
            main()
        return stopped.value.code, *capsys.readouterr()

    code, out, err = run()
    assert (code, err) == (0, "")
    assert "o.onnx: 2 - 16 - 16 - 1, tanh between the layers, 337 parameters" in out
    assert "not in the model: another activation, one behind the last layer, scaling" in out
    code, out, err = run()
    assert (code, out) == (1, "")
    assert "o.onnx: exists already" in err
    assert run("--force")[0] == 0


class Touches:
    """Makes a file when it is unpickled by what runs code."""

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        return os.system, ("touch exploded",)


def truncated(path: Path) -> None:
    torch.save(network().state_dict(), path)
    path.write_bytes(path.read_bytes()[:-50])


REFUSED: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "missing": ("net.pt", lambda path: None, "there is no such file"),
    "a folder": ("net.pt", Path.mkdir, "is a folder; name a file"),
    "text": ("net.pt", lambda path: path.write_text("weights\n" * 99), "is not a torch file"),
    "truncated": ("net.pt", truncated, "is not a torch file, or is cut short"),
    "no safetensors": (
        "n.safetensors",
        lambda path: path.write_bytes(b"\xff" * 99),
        "is not a safe",
    ),
    "code": (
        "net.ckpt",
        lambda path: torch.save({"state_dict": Touches()}, path),
        "holds Python objects (posix.system), which hedge never loads; save the weights alone",
    ),
    "a module": ("net.pt", lambda path: torch.save(network(), path), "holds Python objects"),
    "an .onnx": (
        "net.onnx",
        lambda path: path.write_bytes(random_mlp([2, 8, 1]).SerializeToString()),
        "is an .onnx already; give it to compress",
    ),
    "a convolution": (
        "net.pt",
        lambda path: torch.save(nn.Conv1d(2, 2, 3).state_dict(), path),
        "'weight' (2, 2, 3) belongs to no dense layer",
    ),
    "a key with line breaks": (
        "net.pt",
        lambda path: torch.save({"a\nb\x1b[31m": torch.ones(1)}, path),
        "belongs to no dense layer",
    ),
}


@pytest.fixture
def refusal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Callable[..., str]:
    """Runs ``hedge import`` in the temporary folder and returns the one line it refuses with."""
    monkeypatch.chdir(tmp_path)

    def run(*argv: str) -> str:
        monkeypatch.setattr(sys, "argv", ["hedge", "import", *argv, "--out", "out.onnx"])
        with pytest.raises(SystemExit) as stopped:
            main()
        out, err = capsys.readouterr()
        assert (stopped.value.code, out, err.count("\n")) == (1, "", 1)
        assert not (tmp_path / "out.onnx").exists()
        return err

    return run


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_in_one_line(kind: str, tmp_path: Path, refusal: Callable[..., str]) -> None:
    name, write, message = REFUSED[kind]
    write(tmp_path / name)
    line = refusal(name)
    assert line.startswith(f"hedge: {name}: ")
    assert message in line
    assert {path.name for path in tmp_path.iterdir()} <= {name}


def saved_points(net: nn.Module) -> None:
    np.save("x.npy", POINTS)
    with torch.no_grad():
        np.save("u.npy", net(torch.tensor(POINTS)).numpy())


CHECK = ("--check", "x.npy", "u.npy")


def test_outputs_are_checked(
    tmp_path: Path, refusal: Callable[..., str], run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    net = network()
    torch.save(net.state_dict(), "net.pt")
    saved_points(net)
    line = refusal("net.pt", *CHECK)
    assert "net.pt: with tanh between its layers and nothing else it differs from u.npy by" in line
    assert "with --activation gelu it does not" in line
    saved_points(nn.Sequential(net, nn.Tanh()))
    assert "one behind the last layer, scaling" in refusal("net.pt", "--activation", "gelu", *CHECK)
    np.save("x.npy", POINTS[:, :1])
    assert "x.npy: has shape (50, 1); the network takes (n, 2)" in refusal("net.pt", *CHECK)
    np.save("x.npy", POINTS[:7])
    assert "u.npy: has shape (50, 1); the network gives (7, 1)" in refusal("net.pt", *CHECK)
    saved_points(net)
    done = run("import", "net.pt", "--activation", "gelu", *CHECK, "--out", "net.onnx")
    assert "its outputs are those of u.npy" in done.out


def test_keys_of_a_larger_file_are_chosen(
    tmp_path: Path, refusal: Callable[..., str], run: Run
) -> None:
    both = nn.ModuleDict({"u": network(), "k": network()})
    both.register_parameter("raw", nn.Parameter(torch.ones(())))
    torch.save({"model": both.state_dict(), "loss": np.float64(0.1)}, "net.pt")
    assert "a training, of 'model', 'loss'; say which" in refusal("net.pt")
    assert "key: net.pt has no 'net'; it has 'model', 'loss'" in refusal("net.pt", "--key", "net")
    assert "'raw' () belongs to no dense layer" in refusal("net.pt", "--key", "model")
    chosen = ("--key", "model", "--ignore", "raw")
    assert "keys begin with 'u.', 'k.': name one with --prefix" in refusal("net.pt", *chosen)
    assert "no key of net.pt begins with 'v.'" in refusal("net.pt", *chosen, "--prefix", "v.")
    assert "has no 'rwa'" in refusal("net.pt", "--key", "model", "--ignore", "rwa")
    saved_points(both["k"])
    words = (*chosen, "--prefix", "k.", "--activation", "gelu", *CHECK, "--out", "net.onnx")
    assert "2 - 16 - 16 - 1" in run("import", "net.pt", *words).out


@pytest.mark.parametrize("name", ["x.npy", "u.npy"])
def test_no_rows_are_nothing_to_check_with(
    tmp_path: Path, refusal: Callable[..., str], name: str
) -> None:
    net = network()
    torch.save(net.state_dict(), tmp_path / "net.pt")
    saved_points(net)
    np.save(name, np.load(name)[:0])
    assert refusal("net.pt", *CHECK).startswith(f"hedge: {name}: holds no finite numbers")


def test_unknown_activation(tmp_path: Path, refusal: Callable[..., str]) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    line = refusal("net.pt", "--activation", "tahn")
    assert line.startswith("hedge: activation: 'tahn' is not known; give one of tanh, sin, ")


def test_without_torch_it_says_what_to_install(tmp_path: Path) -> None:
    torch.save(network().state_dict(), tmp_path / "net.pt")
    run = hedge("import", tmp_path / "net.pt", "--out", tmp_path / "net.onnx", block="torch")
    assert run.returncode == 1
    assert (
        run.stderr
        == "hedge: import: torch is not installed; run: pip install 'hedge-pinn[train]'\n"
    )
