"""Networks that DeepXDE and PINA trained and saved themselves, imported and compressed."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import numpy as np
import pytest

import hedge
from hedge.errors import ModelError
from hedge.graph import load_model, run_float32
from tests.conftest import ROOT, blocks

MAKER = Path(__file__).with_name("peers.py")


@dataclass(frozen=True)
class Made:
    """What a peer left in its folder."""

    folder: Path
    activation: str

    def difference(self, model: Path, outputs: str) -> float:
        """Relative to the largest output that the peer itself gives."""
        expected = np.load(self.folder / outputs)
        found = run_float32(load_model(model), np.load(self.folder / "points.npy"))
        return float(np.abs(found - expected).max() / np.abs(expected).max())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Made]:
    """By the peers that are installed, and by the page on importing: all in one process."""
    found = {
        peer: Made(tmp_path_factory.mktemp(peer), activation)
        for peer, activation in (("deepxde", "tanh"), ("pina", "silu"))
        if importlib.util.find_spec(peer) is not None
    }
    wanted = [[peer, str(one.folder), one.activation] for peer, one in found.items()]
    if found.keys() == {"deepxde", "pina"}:
        page = tmp_path_factory.mktemp("page")
        text = (ROOT / "docs" / "importing.md").read_text(encoding="utf-8")
        (page / "page.py").write_text("\n".join(blocks(text, "python")), encoding="utf-8")
        found["page"] = Made(page, "")
        wanted.append(["page", str(page), "page.py"])
    run = subprocess.run(
        [sys.executable, str(MAKER), *chain.from_iterable(wanted)],
        capture_output=True,
        text=True,
        check=False,
        stdin=subprocess.DEVNULL,
    )
    assert run.returncode == 0, run.stderr
    return found


def made_by(peer: str, made: dict[str, Made]) -> Made:
    if peer not in made:
        pytest.skip(f"{peer} is not installed; run: pip install 'hedge-pinn[peers]'")
    return made[peer]


@pytest.fixture(scope="module")
def by_deepxde(made: dict[str, Made]) -> Made:
    return made_by("deepxde", made)


@pytest.fixture(scope="module")
def by_pina(made: dict[str, Made]) -> Made:
    return made_by("pina", made)


def check_import_and_compression(made: Made, file: str, tmp_path: Path) -> None:
    dense = tmp_path / "dense.onnx"
    hedge.import_model(made.folder / file, dense, activation=made.activation)
    assert made.difference(dense, "outputs.npy") < 2e-6
    small = hedge.compress(
        dense,
        device="laptop-x86",
        tolerance=1e-2,
        objective="size",
        domain="-1:1,0:1",
        recover=None,
    )
    assert small.plan.relative_error < 1e-2
    assert small.plan.parameters < small.plan.dense_parameters


def test_checkpoint_of_deepxde(by_deepxde: Made, tmp_path: Path) -> None:
    check_import_and_compression(by_deepxde, "checkpoint.pt", tmp_path)


@pytest.mark.parametrize("file", ["checkpoint.ckpt", "solver.pt", "net.pt"])
def test_checkpoints_of_pina(by_pina: Made, file: str, tmp_path: Path) -> None:
    check_import_and_compression(by_pina, file, tmp_path)


@pytest.mark.parametrize("what", ["transformed", "parallel"])
def test_modules_of_deepxde(by_deepxde: Made, what: str) -> None:
    assert by_deepxde.difference(by_deepxde.folder / f"{what}.onnx", f"{what}.npy") < 2e-6


@pytest.mark.parametrize(("what", "outputs"), [("module", "outputs"), ("residual", "residual")])
def test_modules_of_pina(by_pina: Made, what: str, outputs: str) -> None:
    assert by_pina.difference(by_pina.folder / f"{what}.onnx", f"{outputs}.npy") < 2e-6


def test_python_of_the_page_on_importing_runs(
    by_deepxde: Made, by_pina: Made, made: dict[str, Made]
) -> None:
    written = {path.name for path in made["page"].folder.glob("*.onnx")}
    assert written == {"burgers.onnx", "poisson.onnx", "residual.onnx"}


def test_state_dicts_that_are_no_chain_are_refused(by_deepxde: Made, by_pina: Made) -> None:
    with pytest.raises(ModelError, match=r"parallel\.pt: holds several networks, or blocks"):
        hedge.import_model(by_deepxde.folder / "parallel.pt")
    with pytest.raises(ModelError, match=r"residual\.pt: '\S+' .*hedge\.import_model"):
        hedge.import_model(by_pina.folder / "residual.pt")


def test_a_pickled_module_of_pina_is_refused(by_pina: Made) -> None:
    with pytest.raises(ModelError, match=r"module\.pt: holds Python objects \(pina\.\S+FeedF"):
        hedge.import_model(by_pina.folder / "module.pt")
