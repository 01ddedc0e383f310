"""State dicts of DeepXDE's DeepONets, as its keys tell them."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import hedge
from hedge.errors import ModelError
from hedge.training import state_dict_to_onnx


class Fnn(nn.Module):
    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.linears = nn.ModuleList(nn.Linear(*sides) for sides in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.linears[:-1]:
            x = torch.tanh(layer(x))
        return self.linears[-1](x)  # type: ignore[no-any-return]


class DeepONet(nn.Module):
    """As deepxde.nn.DeepONetCartesianProd has it."""

    def __init__(self, latent: int = 8) -> None:
        super().__init__()
        self.branch, self.trunk = Fnn(16, 12, 8), Fnn(2, 9, 11, latent)
        self.b = nn.ParameterList([nn.Parameter(torch.tensor(0.3))])

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return self.branch(f) @ torch.tanh(self.trunk(y)).T + self.b[0]


F, Y = (torch.rand(size, generator=torch.Generator().manual_seed(1)) for size in ((5, 16), (7, 2)))


def test_both_nets_and_the_shift_are_taken_over(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = DeepONet()
    torch.save({"model_state_dict": net.state_dict()}, tmp_path / "m.pt")
    with torch.no_grad():
        wanted = net(F, Y).numpy()
        at_pairs = np.diagonal(wanted[:5, :5])
    np.save(tmp_path / "x.npy", torch.hstack([F, Y[:5]]).numpy())
    np.save(tmp_path / "u.npy", at_pairs)
    hedge.import_model(
        tmp_path / "m.pt", tmp_path / "m.onnx", check=(tmp_path / "x.npy", tmp_path / "u.npy")
    )
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    (found,) = session.run(None, {"f": F.numpy(), "y": Y.numpy()})
    np.testing.assert_allclose(found, wanted, rtol=0, atol=1e-6)
    with pytest.raises(ModelError, match=r"with --activation tanh it does not"):
        hedge.import_model(
            tmp_path / "m.pt", activation="sin", check=(tmp_path / "x.npy", tmp_path / "u.npy")
        )


def test_nets_that_do_not_meet_are_refused() -> None:
    with pytest.raises(ModelError, match=r"'trunk\.linears\.2\.weight' 9: no product of a branch"):
        state_dict_to_onnx(DeepONet(latent=9).state_dict())


def test_other_keys_are_two_networks() -> None:
    state = {
        f"x.{key}" if key.startswith("t") else key: v for key, v in DeepONet().state_dict().items()
    }
    del state["b.0"]
    with pytest.raises(ModelError, match=r"several networks"):
        state_dict_to_onnx(state)
