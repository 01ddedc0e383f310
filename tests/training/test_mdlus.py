"""PhysicsNeMo's .mdlus: networks that it saves, written here as it does, and files that are none."""

from __future__ import annotations

import io
import json
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hedge
from hedge.errors import InputError, ModelError
from tests.cli.conftest import Run


class Layer(nn.Module):
    def __init__(self, inputs: int, outputs: int, way: str, slope: nn.Parameter | None) -> None:
        super().__init__()
        self.linear = nn.Module()
        weight, g = nn.Parameter(torch.randn(outputs, inputs)), torch.rand(outputs, 1) + 0.5
        if way == "fact":
            self.linear.g, self.linear.v = nn.Parameter(g), weight
        else:
            self.linear.weight = weight
        if way == "norm":
            self.linear.weight_g = nn.Parameter(g)
        self.linear.bias = nn.Parameter(torch.randn(outputs))
        self.activation_par = slope

    def forward(self, x: Tensor) -> Tensor:
        held = dict(self.linear.named_parameters())
        if "g" in held:
            weight = held["g"] * held["v"]
        elif "weight_g" in held:
            weight = held["weight_g"] * held["weight"] / held["weight"].norm(dim=1, keepdim=True)
        else:
            weight = held["weight"]
        z = x @ weight.T + held["bias"]
        return z if self.activation_par is None else self.activation_par * z


class FullyConnected(nn.Module):
    """As physicsnemo.models.mlp has it, from its arguments."""

    def __init__(self, **given: Any) -> None:
        super().__init__()
        self.given = given
        depth, width = given["num_layers"], given["layer_size"]
        way = "norm" if given.get("weight_norm") else "fact" if given.get("weight_fact") else ""
        slope = nn.Parameter(torch.tensor([1.3])) if given.get("adaptive_activations") else None
        widths = [given["in_features"], *[width] * depth]
        self.layers = nn.ModuleList(Layer(widths[i], width, way, slope) for i in range(depth))
        self.final_layer = Layer(widths[-1], given["out_features"], "", None)

    def forward(self, x: Tensor) -> Tensor:
        named = self.given.get("activation_fn", "silu")
        names = named if isinstance(named, list) else [named]
        skip = None
        for i, layer in enumerate(self.layers):
            name = names[min(i, len(names) - 1)]
            x = {"silu": nn.functional.silu, "tanh": torch.tanh, "sin": torch.sin}[name](layer(x))
            if self.given.get("skip_connections") and i % 2 == 0:
                x, skip = (x, x) if skip is None else (x + skip, x)
        return self.final_layer(x)  # type: ignore[no-any-return]


PLACE = "__physicsnemo.Module__."
SMALL = {"in_features": 2, "layer_size": 6, "out_features": 3, "num_layers": 4}


def described(name: str, arguments: dict[str, Any], **parts: dict[str, Any]) -> dict[str, Any]:
    nested = {
        PLACE + key: {"__name__": "FullyConnected", "__module__": "m", "__args__": part}
        for key, part in parts.items()
    }
    named = {key: PLACE + key for key in parts}
    return {"__name__": name, "__module__": "m", "__args__": {**arguments, **named}, **nested}


def weights_of(state: object) -> bytes:
    file = io.BytesIO()
    torch.save(state, file)
    return file.getvalue()


def write(path: Path, args: object, state: object, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        archive.writestr("model.pt", weights_of(state))
        archive.writestr("args.json", json.dumps(args))
        archive.writestr("metadata.json", '{"mdlus_file_version": "0.1.0"}')
    return path


def outputs(net: nn.Module, *inputs: Tensor) -> np.ndarray:
    with torch.no_grad():
        return np.asarray(net(*inputs).numpy())


X = torch.rand(20, 2, generator=torch.Generator().manual_seed(0)) * 2 - 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"activation_fn": "tanh", "skip_connections": True},
        {"activation_fn": ["sin", "tanh"], "adaptive_activations": True},
        {"activation_fn": "tanh", "weight_norm": True},
        {"activation_fn": "sin", "weight_fact": True, "adaptive_activations": True},
        {"num_layers": 0, "layer_size": 2},
    ],
)
def test_networks_are_taken_over_with_all_their_options(
    options: dict[str, Any], tmp_path: Path
) -> None:
    torch.manual_seed(1)
    net = FullyConnected(**{**SMALL, **options})
    path = write(tmp_path / "n.mdlus", described("FullyConnected", net.given), net.state_dict())
    hedge.import_model(path, tmp_path / "n.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "n.onnx")
    (found,) = session.run(None, {"x": X.numpy()})
    np.testing.assert_allclose(found, outputs(net, X), rtol=0, atol=2e-5)


def test_old_files_are_tars(tmp_path: Path) -> None:
    net = FullyConnected(**SMALL)
    args = json.dumps(described("FullyConnected", net.given)).encode()
    with tarfile.open(tmp_path / "n.mdlus", "w") as tar:
        for name, held in (("args.json", args), ("model.pt", weights_of(net.state_dict()))):
            info = tarfile.TarInfo(name)
            info.size = len(held)
            tar.addfile(info, io.BytesIO(held))
    model = hedge.import_model(tmp_path / "n.mdlus")
    assert [node.op_type for node in model.graph.node].count("Gemm") == 5


class Product(nn.Module):
    """A DeepONet of two, with a decoder of one layer."""

    def __init__(self) -> None:
        super().__init__()
        self.branch1 = FullyConnected(**{**SMALL, "in_features": 5, "out_features": 8})
        self.trunk = FullyConnected(**{**SMALL, "out_features": 8, "activation_fn": "tanh"})
        self.decoder = nn.Linear(8, 1)

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return self.decoder(self.branch1(f)[:, None] * self.trunk(y)[None])[..., 0]  # type: ignore[no-any-return]


def test_a_deeponet_of_two_gives_all_functions_at_all_points(tmp_path: Path) -> None:
    torch.manual_seed(2)
    net = Product()
    args = described("DeepONet", {"width": 8}, branch1=net.branch1.given, trunk=net.trunk.given)
    path = write(tmp_path / "d.mdlus", args, net.state_dict())
    hedge.import_model(path, tmp_path / "d.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "d.onnx")
    f = torch.rand(4, 5, generator=torch.Generator().manual_seed(3))
    (found,) = session.run(None, {"f": f.numpy(), "y": X.numpy()})
    assert found.shape == (4, 20)
    np.testing.assert_allclose(found, outputs(net, f, X), rtol=0, atol=2e-5)


def test_the_command_says_where_activations_come_from_and_checks(run: Run, tmp_path: Path) -> None:
    torch.manual_seed(4)
    net = FullyConnected(**SMALL)
    path = write(tmp_path / "n.mdlus", described("FullyConnected", net.given), net.state_dict())
    np.save(tmp_path / "x.npy", X.numpy())
    np.save(tmp_path / "u.npy", outputs(net, X))
    np.save(tmp_path / "v.npy", 2 * outputs(net, X))
    told = run("import", "n.mdlus", "--check", "x.npy", "u.npy", "--out", "n.onnx").out
    assert "2 - 6 - 6 - 6 - 6 - 3, its own activations between the layers" in told
    wrong = run("import", "n.mdlus", "--check", "x.npy", "v.npy", "--out", "v.onnx")
    assert "differs from v.npy by" in wrong.err
    for option in ("activation", "key", "prefix", "ignore"):
        with pytest.raises(InputError, match=f"{option}: a .mdlus says itself"):
            hedge.import_model(path, **{option: ["x"] if option == "ignore" else "x"})  # type: ignore[arg-type]


def changed(**arguments: Any) -> dict[str, Any]:
    return described("FullyConnected", {**SMALL, **arguments})


BAD: dict[str, tuple[Callable[[], object], str]] = {
    "another module": (lambda: described("FNO", {}), "holds 'FNO'; of PhysicsNeMo's modules"),
    "no name": (lambda: {}, "holds 'None'"),
    "a list": (lambda: [1], "describes no module"),
    "arguments that are none": (lambda: {"__name__": "FullyConnected", "__args__": 3}, "no module"),
    "a width of text": (
        lambda: changed(layer_size="6"),
        "'layer_size' of its FullyConnected is '6'",
    ),
    "another width": (lambda: changed(layer_size=7), "the file is damaged"),
    "more layers": (lambda: changed(num_layers=5), "has no weight 'layers.4.linear.weight'"),
    "fewer layers": (lambda: changed(num_layers=3), "belongs to no layer"),
    "too many layers": (lambda: changed(num_layers=10**9), "has 1000000000 layers"),
    "another activation": (lambda: changed(activation_fn="stan"), "has the activation 'stan'"),
    "activations of numbers": (lambda: changed(activation_fn=[1]), "'activation_fn'"),
    "a product of nothing": (lambda: described("DeepONet", {}), "holds a DeepONet without branch1"),
    "a product of others": (
        lambda: {**described("DeepONet", {}, branch1=SMALL, trunk=SMALL)},
        "holds a DeepONet with",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_what_is_not_read_is_told_in_one_line(kind: str, tmp_path: Path) -> None:
    make, told = BAD[kind]
    path = write(tmp_path / "n.mdlus", make(), FullyConnected(**SMALL).state_dict())
    with pytest.raises(ModelError, match=r"n\.mdlus: ") as refused:
        hedge.import_model(path)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("key", "shape"),
    [("linear.weight_g", (1, 1)), ("linear.bias", (1,)), ("activation_par", (2,))],
)
def test_parts_of_another_shape_are_named_and_not_spread(
    tmp_path: Path, key: str, shape: tuple[int, ...]
) -> None:
    state = {**FullyConnected(**SMALL).state_dict(), f"layers.1.{key}": torch.ones(shape)}
    path = write(tmp_path / "n.mdlus", described("FullyConnected", SMALL), state)
    with pytest.raises(ModelError, match=rf"n\.mdlus: 'layers.1.{key}' is \(.*file is damaged"):
        hedge.import_model(path)


def test_damaged_files_are_told(tmp_path: Path) -> None:
    path, state = tmp_path / "n.mdlus", FullyConnected(**SMALL).state_dict()
    whole = write(path, described("FullyConnected", SMALL), state).read_bytes()
    for damaged in (b"", b"PK\x03\x04", whole[:-40], whole.replace(b"args.json", b"srga.json")):
        path.write_bytes(damaged)
        with pytest.raises(ModelError, match=r"n\.mdlus: is no \.mdlus of PhysicsNeMo"):
            hedge.import_model(path)
    write(path, described("FullyConnected", SMALL), state, zipfile.ZIP_DEFLATED)
    with pytest.raises(ModelError, match=r"its model\.pt is compressed"):
        hedge.import_model(path)
    write(path, {"x": "y" * 2**21}, torch.zeros(2**20))
    with pytest.raises(ModelError, match=r"its args\.json claims"):
        hedge.import_model(path)
    with pytest.raises(InputError, match=r"m\.mdlus"):
        hedge.import_model(tmp_path / "m.mdlus")


class Hostile:
    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return Path.touch, (Path("touched"),)  # type: ignore[return-value]


@pytest.mark.parametrize("state", [Hostile(), {"x": Hostile()}, [torch.ones(2)], {"x": "y"}])
def test_nothing_but_weights_is_loaded(
    state: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "n.mdlus", described("FullyConnected", SMALL), state)
    with pytest.raises(ModelError, match=r"n\.mdlus: "):
        hedge.import_model(tmp_path / "n.mdlus")
    assert not (tmp_path / "touched").exists()
