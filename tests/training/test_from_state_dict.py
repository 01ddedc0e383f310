"""State dicts of plain chains are rebuilt; everything else is refused by key, and no code is run."""

from __future__ import annotations

import pickle
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import hedge
from hedge.errors import HedgeError, InputError, ModelError
from hedge.graph import load_model, run_float32
from hedge.training import read_state_dict, state_dict_to_onnx
from tests.conftest import random_mlp

State = dict[str, Tensor]
POINTS = np.random.default_rng(2).uniform(-1, 1, (300, 2)).astype(np.float32)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "tanh": torch.tanh,
    "sin": torch.sin,
    "silu": nn.functional.silu,
    "gelu": nn.functional.gelu,
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "softplus": nn.functional.softplus,
    "elu": nn.functional.elu,
    "selu": nn.functional.selu,
    "mish": nn.functional.mish,
}


def chain(*widths: int, bias: bool = True) -> State:
    """Layers 0, 2, 4, … as a Sequential with activations between them numbers them."""
    torch.manual_seed(0)
    state = {}
    for index, (n_in, n_out) in enumerate(zip(widths, widths[1:], strict=False)):  # noqa: RUF007
        layer = nn.Linear(n_in, n_out, bias=bias)
        state |= {f"{2 * index}.{key}": value.data for key, value in layer.named_parameters()}
    return state


def output(state: State, function: Callable[[Tensor], Tensor]) -> np.ndarray:
    """The chain in double, layer by layer."""
    a = torch.tensor(POINTS, dtype=torch.float64)
    weights = [value.double() for value in state.values() if value.ndim == 2]
    biases = [value.double() for value in state.values() if value.ndim == 1] or [0.0] * len(weights)
    for index, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
        a = (a if index == 0 else function(a)) @ weight.T + bias
    return a.numpy()


def relative_difference(model: onnx.ModelProto, expected: np.ndarray) -> float:
    return float(np.abs(run_float32(model, POINTS) - expected).max() / np.abs(expected).max())


@pytest.mark.parametrize("activation", FUNCTIONS)
def test_every_activation(activation: str) -> None:
    state = chain(2, 24, 24, 3)
    model = state_dict_to_onnx(state, activation)
    assert relative_difference(model, output(state, FUNCTIONS[activation])) < 2e-6


FILES: dict[str, Callable[[State, Path], None]] = {
    "weights.pt": torch.save,
    "weights.pth": lambda state, path: torch.save({"state_dict": state, "epoch": 3}, path),
    "model-5.pt": lambda state, path: torch.save(
        {"model_state_dict": state, "optimizer_state_dict": {}}, path
    ),
    "last.ckpt": lambda state, path: torch.save(
        {"state_dict": {f"_pina_models.0.{k}": v for k, v in state.items()}}, path
    ),
    # Solvers with a second model, and with weights of their own for the loss.
    "adaptive.ckpt": lambda state, path: torch.save(
        {
            "state_dict": {
                **{f"_pina_models.0.{k}": v for k, v in state.items()},
                "_pina_models.1.func.weight": torch.ones(5),
                "weight_inside": torch.ones(7, 1),
            }
        },
        path,
    ),
    "weights.safetensors": save_file,
    "whatever": torch.save,
}


@pytest.mark.parametrize("name", FILES)
def test_every_kind_of_file(name: str, tmp_path: Path) -> None:
    state = chain(2, *[8] * 11, 1)  # more than ten layers: 10 sorts before 2 as text
    FILES[name](state, tmp_path / name)
    hedge.import_model(tmp_path / name, tmp_path / "m.onnx", activation="silu")
    model = load_model(tmp_path / "m.onnx")
    assert relative_difference(model, output(state, nn.functional.silu)) < 5e-6


@pytest.mark.parametrize("dtype", [torch.float64, torch.float16, torch.bfloat16])
def test_other_precisions(dtype: torch.dtype) -> None:
    state = {key: value.to(dtype) for key, value in chain(2, 8, 1).items()}
    assert relative_difference(state_dict_to_onnx(state), output(state, torch.tanh)) < 2e-6


@pytest.mark.parametrize("widths", [(2, 1), (2, 1, 1, 1), (2, 9, 20)])
@pytest.mark.parametrize("bias", [True, False])
def test_odd_chains(widths: tuple[int, ...], bias: bool) -> None:
    state = chain(*widths, bias=bias)
    assert relative_difference(state_dict_to_onnx(state), output(state, torch.tanh)) < 2e-6


def test_transposed_weights_of_a_shared_storage(tmp_path: Path) -> None:
    state = chain(2, 8, 1)
    state["0.weight"] = state["0.weight"].T.contiguous().T
    torch.save(state, tmp_path / "w.pt")
    read = read_state_dict(tmp_path / "w.pt")
    assert relative_difference(state_dict_to_onnx(read), output(state, torch.tanh)) < 2e-6


# --- Refused -------------------------------------------------------------------------------------


def changed(key: str, value: Tensor) -> State:
    return {**chain(2, 8, 8, 1), key: value}


def with_value(number: float) -> State:
    state = chain(2, 8, 8, 1)
    state["2.weight"][3, 4] = number
    return state


NO_CHAIN: dict[str, tuple[State, str]] = {
    "convolution": (changed("2.weight", torch.ones(8, 8, 3)), r"'2\.weight' \(8, 8, 3\)"),
    "attention": (changed("attn.in_proj_weight", torch.ones(24, 8)), r"'attn\.in_proj_weight'"),
    "normalisation": (changed("norm.weight", torch.ones(8)), r"'norm\.weight'"),
    "frequencies": (changed("B", torch.ones(2, 8)), "'B'"),
    "adaptive slope": (changed("1._alpha", torch.tensor(1.0)), r"'1\._alpha' \(\)"),
    "too narrow": (changed("2.weight", torch.ones(8, 7)), r"'2\.weight' takes 7 .* gives 8"),
    "transposed": (changed("0.weight", torch.ones(2, 8)), r"'0\.weight' has 2 rows but 8 biases"),
    "bias alone": (changed("9.bias", torch.ones(3)), r"'9\.bias' has no weight"),
    "nan": (with_value(torch.nan), r"'2\.weight' contains NaN"),
    "infinite": (with_value(-torch.inf), r"'2\.weight' contains NaN or Inf"),
    "too large for float32": (
        {key: value.double() * 1e200 for key, value in chain(2, 4, 1).items()},
        r"'0\.weight' contains NaN or Inf",
    ),
    "no weights": ({}, "no dense layers"),
}


@pytest.mark.parametrize("kind", NO_CHAIN)
def test_no_chain_is_refused_by_key(kind: str) -> None:
    state, message = NO_CHAIN[kind]
    with pytest.raises(ModelError, match=message):
        state_dict_to_onnx(state)


def test_unknown_activations_are_answered_with_those_known() -> None:
    with pytest.raises(InputError, match=r"'tahn' is not known; give one of tanh, sin, silu, gelu"):
        state_dict_to_onnx(chain(2, 8, 1), "tahn")


class Bomb:
    """Makes a file when unpickled by what runs code."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.path,)


def bombs(folder: Path) -> dict[str, Callable[[Path], object]]:
    bomb = Bomb(folder / "exploded")
    state: dict[str, Any] = {**chain(2, 8, 1), "0.extra": bomb}
    return {
        "in an archive": lambda path: torch.save(state, path),
        "instead of the state": lambda path: torch.save({"state_dict": bomb}, path),
        "in the old format": lambda path: torch.save(
            state, path, _use_new_zipfile_serialization=False
        ),
        "a bare pickle": lambda path: path.write_bytes(pickle.dumps(bomb)),
        "an old pickle": lambda path: path.write_bytes(pickle.dumps({"w": bomb}, protocol=0)),
    }


@pytest.mark.parametrize("kind", bombs(Path()))
@pytest.mark.parametrize("name", ["m.pt", "m.ckpt", "m.pkl", "m.safetensors"])
def test_code_in_a_file_is_not_run(kind: str, name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    bombs(tmp_path)[kind](path)
    with pytest.raises(ModelError, match=rf"m\.{path.suffix[1:]}: (holds Python objects|is not a)"):
        hedge.import_model(path, tmp_path / "m.onnx")
    assert {p.name for p in tmp_path.iterdir()} == {name}


def test_the_bombs_are_live(tmp_path: Path) -> None:
    for kind, write in bombs(tmp_path).items():
        write(tmp_path / "m.pt")
        if "pickle" in kind:
            pickle.loads((tmp_path / "m.pt").read_bytes())
        else:
            torch.load(tmp_path / "m.pt", weights_only=False)
        (tmp_path / "exploded").unlink()


def test_a_pickled_module_is_refused_with_what_to_do(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 1), tmp_path / "m.pt")
    with pytest.raises(
        ModelError, match=r"Python objects \(torch\.nn\.modules\.linear\.Linear\).*state_dict\(\)"
    ):
        read_state_dict(tmp_path / "m.pt")


def repacked(path: Path, member: str, change: Callable[[bytes], bytes]) -> None:
    """The archive at ``path`` with one member changed, its checksum right."""
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, change(data) if name.endswith(member) else data)


CONTENTS: dict[str, tuple[object, str]] = {
    "a list": ([torch.ones(2)], "holds no state dict"),
    "a tensor": (torch.ones(2), "holds no state dict"),
    "nothing": (None, "holds no state dict"),
    "an empty state": ({}, "holds no state dict"),
    "keys that are no names": ({1: torch.ones(2, 2)}, "1 is of type Tensor"),
    "a training state": ({"epoch": 3, "net": {}}, r"'epoch' is of type int, not a weight"),
    "integers": ({"0.weight": torch.ones(2, 2, dtype=torch.int64)}, r"'0\.weight' \(torch\.int64"),
    "sparse": ({"0.weight": torch.eye(2).to_sparse()}, r"'0\.weight'"),
    "without storage": ({"0.weight": torch.ones(2, 2, device="meta")}, r"'0\.weight'"),
    "without numbers": ({"0.weight": torch.ones(0, 2)}, r"'0\.weight' \(0, 2\) is empty"),
    "a terabyte by strides": (
        {"0.weight": torch.ones(1).expand(500_000, 500_000)},
        r"'0\.weight' \(500000, 500000\) is empty, or larger than its data",
    ),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_what_is_no_state_dict_is_refused(kind: str, tmp_path: Path) -> None:
    content, message = CONTENTS[kind]
    torch.save(content, tmp_path / "m.pt")
    with pytest.raises(ModelError, match=rf"m\.pt: .*{message}"):
        read_state_dict(tmp_path / "m.pt")


@pytest.mark.parametrize("name", ["weights.pt", "weights.safetensors"])
def test_files_cut_short_or_spoilt(name: str, tmp_path: Path) -> None:
    """Wherever it is cut: a clean refusal. Wherever a byte is flipped: that, or a network."""
    path = tmp_path / name
    FILES[name](chain(2, 8, 1), path)
    data = path.read_bytes()
    rng = np.random.default_rng(0)
    for length in (0, 1, 8, 64, *rng.integers(0, len(data) - 1, 40)):
        path.write_bytes(data[:length])
        with pytest.raises(ModelError, match=name.replace(".", r"\.")):
            hedge.import_model(path)
    for position in rng.integers(0, len(data), 100):
        spoilt = bytearray(data)
        spoilt[position] ^= 1 << int(rng.integers(8))
        path.write_bytes(spoilt)
        with suppress(HedgeError):
            hedge.import_model(path)


def test_a_storage_shorter_than_its_tensor(tmp_path: Path) -> None:
    torch.save(chain(2, 8, 1), tmp_path / "m.pt")
    repacked(tmp_path / "m.pt", "data/0", lambda data: data[:-4])
    with pytest.raises(ModelError, match=r"m\.pt: is not a torch file, or is cut short"):
        read_state_dict(tmp_path / "m.pt")


def test_a_torchscript_archive(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "m.pt", "w") as archive:
        archive.writestr("m/constants.pkl", b"")
        archive.writestr("m/data.pkl", b"")
        archive.writestr("m/version", b"3\n")
    with pytest.raises(ModelError, match=r"m\.pt: is a TorchScript file"):
        read_state_dict(tmp_path / "m.pt")


def test_a_safetensors_whose_order_is_lost(tmp_path: Path) -> None:
    state = {"input.weight": torch.ones(2, 2), "first.weight": torch.ones(2, 2)}
    save_file(state, tmp_path / "m.safetensors")
    with pytest.raises(
        ModelError, match=r"the order of first\.weight, input\.weight .*torch\.save"
    ):
        read_state_dict(tmp_path / "m.safetensors")
    torch.save(state, tmp_path / "m.pt")
    assert list(read_state_dict(tmp_path / "m.pt")) == list(state)


def test_an_onnx_needs_no_import(tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(random_mlp([2, 8, 1]).SerializeToString())
    with pytest.raises(InputError, match=r"m\.onnx: is an \.onnx already; give it to compress"):
        hedge.import_model(tmp_path / "m.onnx")
