"""State dicts as people have them: several networks, weight norm, training states, other tools' files."""

from __future__ import annotations

import io
import pickle
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.utils import parametrizations, weight_norm

import hedge
from hedge.errors import InputError, ModelError
from hedge.graph import run_float32
from hedge.training import read_state_dict, state_dict_to_onnx

POINTS = torch.rand(50, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1


def chain(*names: str, widths: Sequence[int] = (2, 4, 4, 1)) -> dict[str, Tensor]:
    """Layers of these names, as wide as they come, without biases."""
    sizes = zip(widths, widths[1:], strict=False)  # noqa: RUF007
    return {f"{n}.weight": torch.ones(b, a) for n, (a, b) in zip(names, sizes, strict=True)}


SEVERAL = {
    "two Sequentials": (("u.0", "u.2", "k.0"), ("k.2", "k.4", "u.4"), "'u.', 'k.'"),
    "networks of a decomposition": (
        ("nets.0.0", "nets.0.2", "nets.1.0"),
        ("nets.1.2",),
        "'nets.0.'",
    ),
    "named layers": (("u.first", "u.last", "k.first"), ("k.last",), r"'u\.', 'k\.'"),
    "attributes of one module": (("u1", "u2", "k1"), ("k2",), "'u', 'k'"),
    "a last layer elsewhere": (
        ("u.net.0", "u.net.1", "u.out"),
        ("k.net.0", "k.net.1"),
        r"'u\.', 'k\.",
    ),
}


@pytest.mark.parametrize("kind", SEVERAL)
def test_several_networks_are_asked_about(kind: str) -> None:
    some, others, named = SEVERAL[kind]
    names = (*some, *others)
    state = chain(*names, widths=[2, *[4] * (len(names) - 1), 1])
    with pytest.raises(ModelError, match=rf"several networks.*begin with .*{named}.*--prefix"):
        state_dict_to_onnx(state)
    assert len(state_dict_to_onnx(state, is_one=True).graph.node) == 2 * len(names) - 1


@pytest.mark.parametrize(
    "names",
    [
        ("0", "2", "4"),
        ("first", "second", "last"),
        ("net.first", "net.hidden.0", "net.hidden.1", "net.last"),
        ("input", "hidden.0", "hidden.1", "output"),
        ("layers.0.linear", "layers.1.linear", "final.linear"),
    ],
)
def test_one_network_is_not(names: tuple[str, ...]) -> None:
    state = chain(*names, widths=[2, *[4] * (len(names) - 1), 1])
    assert len(state_dict_to_onnx(state).graph.node) == 2 * len(names) - 1


@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
def test_a_prefix_picks_one(suffix: str, tmp_path: Path) -> None:
    state = {**chain("u.0", "u.2", "u.4"), **chain("k.0", "k.10", "k.2")}
    path = tmp_path / f"net{suffix}"
    (torch.save if suffix == ".pt" else save_file)(state, path)
    assert list(read_state_dict(path, prefix="u.")) == ["0.weight", "2.weight", "4.weight"]
    with pytest.raises(ModelError, match="--prefix"):
        hedge.import_model(path)
    if suffix == ".pt":  # the order of the other kind is that of its numbers
        assert list(read_state_dict(path, prefix="k.")) == ["0.weight", "10.weight", "2.weight"]


# --- Weight norm ----------------------------------------------------------------------------------


def normalised(norm: Callable[[nn.Linear], nn.Module]) -> nn.Sequential:
    torch.manual_seed(0)
    net = nn.Sequential(
        norm(nn.Linear(2, 8)), nn.Tanh(), norm(nn.Linear(8, 8)), nn.Tanh(), nn.Linear(8, 1)
    )
    with torch.no_grad():
        for name, value in net.named_parameters():
            if name.endswith(("_g", "original0")):
                value.mul_(1.0 + torch.rand(value.shape))
    return net


def renamed(state: dict[str, Tensor]) -> dict[str, Tensor]:
    return {key.replace("weight_v", "weight"): value for key, value in state.items()}


NORMS: dict[str, tuple[Callable[[nn.Linear], nn.Module], Callable[..., dict[str, Tensor]]]] = {
    "torch's first": (weight_norm, dict),
    "of columns": (lambda layer: weight_norm(layer, dim=1), dict),
    "of the whole": (lambda layer: weight_norm(layer, dim=None), dict),
    "parametrizations": (parametrizations.weight_norm, dict),
    "PhysicsNeMo": (weight_norm, renamed),
}


@pytest.mark.filterwarnings("ignore:.*weight_norm")
@pytest.mark.parametrize("suffix", [".pt", ".safetensors"])
@pytest.mark.parametrize("kind", NORMS)
def test_weight_norm_is_folded(kind: str, suffix: str, tmp_path: Path) -> None:
    norm, spelled = NORMS[kind]
    net, path = normalised(norm), tmp_path / f"net{suffix}"
    (torch.save if suffix == ".pt" else save_file)(spelled(net.state_dict()), path)
    found = run_float32(hedge.import_model(path), POINTS.numpy())
    assert np.abs(found - net(POINTS).detach().numpy()).max() < 1e-6


def test_what_only_looks_like_weight_norm_is_refused() -> None:
    spectral = {"0.weight": torch.ones(4, 2), "0.weight_v": torch.ones(2)}
    with pytest.raises(ModelError, match=r"'0\.weight_v' \(2,\) belongs to no dense layer"):
        state_dict_to_onnx(spectral)
    with pytest.raises(ModelError, match=r"'0\.weight_g' \(3, 1\) belongs to no dense layer"):
        state_dict_to_onnx({"0.weight_g": torch.ones(3, 1), "0.weight_v": torch.ones(4, 2)})


# --- Training states ------------------------------------------------------------------------------


def test_values_of_numpy_beside_the_weights_do_no_harm(tmp_path: Path) -> None:
    values = {
        "loss": np.float64(0.1), "losses": [np.float32(i) for i in range(1000)],
        "bounds": np.arange(10_000.0), "dtype": np.dtype("f4"), "best": np.int64(3),
    }  # fmt: skip
    path = tmp_path / "net.pt"
    torch.save({"net": chain("0", "2", "4"), **values}, path)
    with pytest.raises(ModelError, match=r"of 'net', 'loss', .*: --key net"):
        read_state_dict(path)
    assert len(read_state_dict(path, key="net")) == 3
    torch.save({**chain("0", "2", "4"), **values}, path)
    with pytest.raises(ModelError, match=r"'loss' is of type NumpyValue.*--ignore loss"):
        read_state_dict(path)
    assert len(read_state_dict(path, ignore=list(values))) == 3
    with pytest.raises(InputError, match=r"has no 'x'; it has '0\.weight', .*'best'"):
        read_state_dict(path, ignore=["x"])


class Encoded:
    """A text that is encoded, and what comes of it again, so many times."""

    def __init__(self, times: int) -> None:
        self.times = times

    def __reduce__(self) -> tuple[object, ...]:
        import _codecs

        inner = Encoded(self.times - 1) if self.times > 1 else b"3" * 4096
        return _codecs.encode, (inner, "hex")


@pytest.mark.parametrize("times", [30, 100])
def test_a_text_that_grows_is_refused(times: int, tmp_path: Path) -> None:
    """Encoded thirty times in hexadecimal 4 KB are 4 TB."""
    torch.save({"0.weight": torch.ones(2, 2)}, tmp_path / "net.pt")
    buffer = io.BytesIO()
    pickle.dump({"w": Encoded(times)}, buffer, protocol=2)
    with zipfile.ZipFile(tmp_path / "net.pt", "a") as archive:
        records = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(tmp_path / "net.pt", "w") as archive:
        for name, data in records.items():
            archive.writestr(name, buffer.getvalue() if name.endswith("data.pkl") else data)
    with pytest.raises(ModelError, match="stand for more than 10,000,000 others"):
        read_state_dict(tmp_path / "net.pt")


# --- Files of other tools -------------------------------------------------------------------------


def archive_of(*names: str) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with zipfile.ZipFile(path, "w") as archive:
            for name in names:
                archive.writestr(name, b"")

    return write


def torchscript(path: Path) -> None:
    torch.jit.trace(nn.Linear(2, 1), torch.zeros(1, 2)).save(str(path))


FOREIGN: dict[str, tuple[str, Callable[[Path], object], str]] = {
    "TorchScript": ("net.pt", torchscript, r"TorchScript .*torch\.jit\.load\('net\.pt'\)"),
    "torch.export": ("net.pt2", archive_of("net/archive_format"), r"torch\.export"),
    "TensorFlow": ("m.ckpt.index", lambda path: path.write_bytes(b"\0"), r"TensorFlow.* m\.ckpt\.meta"),
    "Keras": ("net.keras", archive_of("config.json", "model.weights.h5"), "Keras.*export"),
    "HDF5": ("net.h5", lambda path: path.write_bytes(b"\x89HDF\r\n\x1a\n"), "Keras.*export"),
    "numpy": ("net.npz", lambda path: np.savez(path, w=np.ones(3)), "npz of numpy"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("kind", FOREIGN)
def test_files_of_other_tools_are_named(kind: str, tmp_path: Path) -> None:
    name, write, message = FOREIGN[kind]
    write(tmp_path / name)
    with pytest.raises(ModelError, match=rf"{name}: is an? .*{message}"):
        hedge.import_model(tmp_path / name)


def test_a_tensorflow_checkpoint_is_named_without_its_ending(tmp_path: Path) -> None:
    (tmp_path / "m.ckpt.index").write_bytes(b"\0")
    (tmp_path / "saved").mkdir()
    (tmp_path / "saved" / "saved_model.pb").write_bytes(b"\0")
    with pytest.raises(ModelError, match=r"m\.ckpt: is a checkpoint of TensorFlow"):
        hedge.import_model(tmp_path / "m.ckpt")
    with pytest.raises(ModelError, match=r"saved: is a SavedModel of TensorFlow"):
        hedge.import_model(tmp_path / "saved")
