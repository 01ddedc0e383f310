"""Modules of torch become the same function in ONNX, or are refused by name."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto
from torch import Tensor, nn

import hedge
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, run_float32, split
from hedge.training import module_to_onnx

Function = Callable[[Tensor], Tensor]


def relative_differences(
    module: nn.Module, model: ModelProto, inputs: int, rows: int = 257
) -> np.ndarray:
    """Of each output, the largest difference over the largest value, the module in double.

    Of one that is zero everywhere, as of dead ReLUs, the largest difference.
    """
    points = np.random.default_rng(1).uniform(-1, 1, (rows, inputs)).astype(np.float32)
    exact = module.eval().double()(torch.tensor(points, dtype=torch.float64)).detach().numpy()
    size = np.abs(exact).max(axis=0)
    return np.abs(run_float32(model, points) - exact).max(axis=0) / np.where(size > 0.0, size, 1.0)


def relative_difference(
    module: nn.Module, model: ModelProto, inputs: int, rows: int = 257
) -> float:
    return float(relative_differences(module, model, inputs, rows).max())


def mlp(activation: Callable[[], nn.Module], inputs: int = 2, outputs: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(inputs, 24), activation(), nn.Linear(24, 24), activation(), nn.Linear(24, outputs)
    )


def bent(activation: Callable[[], nn.Module]) -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(2, 24), activation(), nn.Linear(24, 1))


class Bend(nn.Module):
    """An activation that is a function."""

    def __init__(self, function: Function) -> None:
        super().__init__()
        self.function = function

    def forward(self, z: Tensor) -> Tensor:
        return self.function(z)


MODULES: dict[str, Callable[[], nn.Module]] = {
    kind.__name__: kind
    for kind in (
        nn.Tanh, nn.SiLU, nn.GELU, nn.ReLU, nn.Sigmoid, nn.Softplus, nn.ELU, nn.SELU, nn.CELU,
        nn.Mish, nn.LeakyReLU, nn.Hardtanh, nn.ReLU6, nn.Hardswish, nn.Softsign, nn.Tanhshrink,
        nn.Identity,
    )
}  # fmt: skip
MODULES["Softplus of another beta"] = lambda: nn.Softplus(beta=3.0)
MODULES["GELU by tanh"] = lambda: nn.GELU(approximate="tanh")
MODULES["PReLU of a slope per neuron"] = lambda: nn.PReLU(24, init=0.3)
MODULES["Dropout"] = lambda: nn.Sequential(nn.Tanh(), nn.Dropout(0.5))

FUNCTIONS: dict[str, Function] = {
    "torch.sin": torch.sin,
    "method": lambda z: z.cos(),
    "functional": nn.functional.silu,
    "steep sine": lambda z: torch.sin(30.0 * z),
    "in place": lambda z: z.tanh_().mul_(2.0),
    "powers": lambda z: z**2 - z**3 / 6 + 1 / (2 + z.square()),
    "gaussian": lambda z: torch.exp(-(z**2)),
    "roots": lambda z: torch.sqrt(1 + z * z) + torch.rsqrt(2 + z * z),
    "product with itself": lambda z: z * torch.tanh(nn.functional.softplus(z)),
    "halves": lambda z: torch.cat([torch.sin(z[:, :12]), torch.cos(z[:, 12:])], dim=1),
    "halves by chunk": lambda z: torch.hstack(z.chunk(2, dim=-1)[::-1]),
    "last first": lambda z: torch.cat([z[:, -1:], z[:, 0:-1]], dim=-1),
    "rows counted": lambda z: z.view(z.shape[0], 4, 6).reshape(-1, 24),
    "cast": lambda z: z.to(z.dtype).contiguous().to(z.device),
    "between tensors": lambda z: torch.minimum(torch.maximum(z, -0.5 * z), 1.0 + z),
    "one of two": lambda z: torch.where(z > 0.1, z, torch.where(z <= -0.3, 0.2 * z, torch.sin(z))),
    "clamped": lambda z: z.clamp(min=-0.5) + torch.clamp(z, max=0.25),
}


class SideBySide(nn.Module):
    """One small network per column of the output."""

    def __init__(self, networks: Iterable[nn.Module]) -> None:
        super().__init__()
        self.networks = nn.ModuleList(networks)

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([network(x) for network in self.networks], dim=1)


@pytest.mark.parametrize("kinds", [MODULES, FUNCTIONS], ids=["modules", "functions"])
def test_activations(kinds: dict[str, Function | Callable[[], nn.Module]]) -> None:
    module = SideBySide(
        bent(kind if kinds is MODULES else partial(Bend, kind))  # type: ignore[arg-type]
        for kind in kinds.values()
    )
    differences = relative_differences(module, module_to_onnx(module, 2), 2)
    allowed = {name: 1e-4 if name == "steep sine" else 2e-6 for name in kinds}
    assert {n: d for n, d in zip(kinds, differences, strict=True) if d > allowed[n]} == {}


class Residual(nn.Module):
    """Skip connections, gates, Fourier features, and transforms of inputs and outputs."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.register_buffer("frequencies", torch.randn(2, 8))
        self.first = nn.Linear(16, 24)
        self.gates = nn.ModuleList([nn.Linear(16, 24), nn.Linear(16, 24)])
        self.blocks = nn.ModuleList(
            [nn.utils.parametrizations.weight_norm(nn.Linear(24, 24)) for _ in range(3)]
        )
        self.slope = nn.Parameter(torch.tensor(1.3))
        self.last = nn.Linear(24, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        f = 2 * torch.pi * x @ self.frequencies
        f = torch.cat([torch.sin(f), torch.cos(f)], dim=-1)
        u, v = (torch.tanh(gate(f)) for gate in self.gates)
        h = torch.tanh(self.first(f))
        for block in self.blocks:
            z = torch.tanh(self.slope * block(h))
            h = h + z * u + (1 - z) * v
        x_, t = x.split(1, dim=1)
        return torch.sin(torch.pi * x_) + t * (1 - x[:, 0] ** 2)[:, None] * self.last(h)


def test_residual_network_with_gates_features_and_hard_constraints() -> None:
    module = Residual()
    model = module_to_onnx(module, 2)
    # Weight normalisation is computed once: every layer is one Gemm with a stored matrix.
    assert [node.op_type for node in model.graph.node].count("Gemm") == 7
    assert relative_difference(module, model, 2) < 5e-6


@settings(max_examples=3)
@example([8, 2, 4, 8, 7], nn.Tanh, False, 7)
@example([1, 8, 7, 1, 4], nn.ReLU, False, 6)
@given(
    st.lists(st.integers(1, 9), min_size=2, max_size=5),
    st.sampled_from([nn.Tanh, nn.SiLU, nn.GELU, nn.ReLU]),
    st.booleans(),
    st.integers(1, 50),
)
def test_any_widths(
    widths: list[int], activation: Callable[[], nn.Module], bias: bool, rows: int
) -> None:
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        layers += [nn.Linear(before, after, bias=bias), activation()]
    module = nn.Sequential(*layers[:-1])
    model = module_to_onnx(module, widths[0])
    points = np.random.default_rng(1).uniform(-1, 1, (rows, widths[0])).astype(np.float32)
    exact = module.double()(torch.tensor(points, dtype=torch.float64)).detach().numpy()
    assert (np.abs(run_float32(model, points) - exact) <= 2e-6 * _sums(module, points)).all()
    assert len(split(model).sites) == len(widths) - 1


def _sums(module: nn.Sequential, points: np.ndarray) -> np.ndarray:
    """What rounding is relative to, however the terms cancel: |W| … |W| |x|, with |b|, as |σ(z)| ≤ |z|."""
    sums = torch.tensor(np.abs(points), dtype=torch.float64)
    for layer in module:
        if isinstance(layer, nn.Linear):
            bias = 0.0 if layer.bias is None else layer.bias.abs()
            sums = sums @ layer.weight.abs().T + bias
    return sums.detach().numpy()


def test_doubles_are_rounded_to_float32() -> None:
    module = mlp(nn.Tanh).double()
    assert relative_difference(module, module_to_onnx(module, 2), 2) < 2e-6


def test_the_module_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(2, 4), nn.Dropout(0.5), nn.Linear(4, 1))
    module[0].eval()
    before = {key: value.clone() for key, value in module.state_dict().items()}
    module_to_onnx(module, 2)
    assert [part.training for part in module] == [False, True, True]
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


def test_an_imported_module_compresses(tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    hedge.import_model(Residual(), path, inputs=2)
    small = hedge.compress(
        path,
        device="laptop-x86",
        tolerance=1e-2,
        objective="size",
        domain="-1:1,0:1",
        recover=None,
    )
    assert small.plan.relative_error < 1e-2
    assert small.plan.parameters < small.plan.dense_parameters
    assert len(split(load_model(path)).sites) >= 7


# --- Several inputs and outputs -------------------------------------------------------------------


class Apart(nn.Module):
    """Arguments of one column each."""

    def __init__(self, outputs: int = 1) -> None:
        super().__init__()
        self.net = mlp(nn.Tanh, outputs=outputs)

    def forward(self, x: Tensor, t: Tensor) -> Tensor:
        return self.net(torch.cat([x, t], 1))  # type: ignore[no-any-return]


class Dict(Apart):
    def forward(self, d: dict[str, Tensor]) -> Tensor:  # type: ignore[override]
        return self.net(torch.cat([d["x"], d["t"]], 1))  # type: ignore[no-any-return]


class Tuple(Apart):
    def forward(self, parts: tuple[Tensor, Tensor]) -> Tensor:  # type: ignore[override]
        return self.net(torch.cat(parts, 1))  # type: ignore[no-any-return]


@pytest.mark.parametrize("kind", [Apart, Dict, Tuple])
@pytest.mark.parametrize("inputs", [("x", "t"), {"x": 1, "t": 1}, (1, 1)])
def test_several_inputs(kind: Callable[[], Apart], inputs: object) -> None:
    module = kind()
    if kind is Dict and inputs == (1, 1):
        with pytest.raises(ModelError, match=r"fails on x0 \[n, 1\], x1 \[n, 1\]"):
            module_to_onnx(module, inputs)
        return
    model = module_to_onnx(module, inputs)  # type: ignore[arg-type]
    assert len(model.graph.input) == 2
    assert relative_difference(module.net, model, 2) < 2e-6


class Fields(nn.Module):
    """Three fields, handed out in one of a few ways."""

    def __init__(self, hand_out: Callable[[tuple[Tensor, ...]], object]) -> None:
        super().__init__()
        self.net, self.hand_out = mlp(nn.Tanh, outputs=3), hand_out

    def forward(self, x: Tensor) -> object:
        return self.hand_out(self.net(x).split(1, 1))


OUTPUTS: dict[str, tuple[Callable[[tuple[Tensor, ...]], object], list[str]]] = {
    "tuple": (lambda uvp: uvp, ["u0", "u1", "u2"]),
    "list of flat ones": (lambda uvp: [u[:, 0] for u in uvp], ["u0", "u1", "u2"]),
    "dict": (lambda uvp: dict(zip(["v", "u", "p"], uvp, strict=True)), ["v", "u", "p"]),
    "named as the input": (lambda uvp: dict(zip(["x", "y", "z"], uvp, strict=True)), ["x_out", "y", "z"]),
    "flat": (lambda uvp: torch.cat(uvp, 1).sum(1), ["u"]),
}  # fmt: skip


@pytest.mark.parametrize("kind", OUTPUTS)
def test_several_outputs(kind: str, tmp_path: Path) -> None:
    hand_out, names = OUTPUTS[kind]
    module = Fields(hand_out)
    hedge.import_model(module, tmp_path / "m.onnx", inputs=2)
    model = load_model(tmp_path / "m.onnx")
    assert [value.name for value in model.graph.output] == names
    points = np.random.default_rng(1).uniform(-1, 1, (30, 2)).astype(np.float32)
    exact = module.net(torch.tensor(points)).detach().numpy()
    expected = exact.sum(1, keepdims=True) if kind == "flat" else exact
    assert np.abs(run_float32(model, points) - expected).max() < 1e-5


class Operator(nn.Module):
    """Branch and trunk, joined row by row or all rows with all, as DeepXDE's DeepONets are."""

    def __init__(self, equation: str) -> None:
        super().__init__()
        self.branch, self.trunk = mlp(nn.Tanh, 16, 20), mlp(nn.Tanh, 1, 20)
        self.shift, self.equation = nn.Parameter(torch.tensor(0.3)), equation

    def forward(self, parts: tuple[Tensor, Tensor]) -> Tensor:
        return torch.einsum(self.equation, self.branch(parts[0]), self.trunk(parts[1])) + self.shift


def test_an_operator_at_aligned_rows() -> None:
    module = Operator("bi,bi->b")
    model = module_to_onnx(module, (16, 1))
    points = np.random.default_rng(1).uniform(-1, 1, (30, 17)).astype(np.float32)
    with torch.no_grad():
        expected = module(torch.tensor(points).split([16, 1], 1)).numpy()
    assert np.abs(run_float32(model, points)[:, 0] - expected).max() < 1e-5
    assert len(split(model).sites) == 7  # with the sum


class TwoOutputs(nn.Module):
    """Two operators side by side, stacked behind."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList([Operator("bi,ni->bn"), Operator("bi,ni->bn")])

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return torch.stack([part((f, y)) for part in self.parts], dim=2)


class Product(nn.Module):
    """The same as a matrix product."""

    def __init__(self) -> None:
        super().__init__()
        self.branch, self.trunk = mlp(nn.Tanh, 16, 20), mlp(nn.Tanh, 1, 20)

    def forward(self, f: Tensor, y: Tensor) -> Tensor:
        return self.branch(f) @ self.trunk(y).T


@pytest.mark.parametrize(
    "module", [Operator("bi,ni->bn"), Operator("bi,ni->nb"), TwoOutputs(), Product()]
)
def test_an_operator_on_a_product_grid_stays_one(module: nn.Module, tmp_path: Path) -> None:
    hedge.import_model(module, tmp_path / "m.onnx", inputs=(16, 1))
    rng = np.random.default_rng(1)
    f, y = (rng.uniform(-1, 1, size).astype(np.float32) for size in ((4, 16), (9, 1)))
    with torch.no_grad():
        given = (torch.tensor(f), torch.tensor(y))
        expected = (module(given) if isinstance(module, Operator) else module(*given)).numpy()
    session = onnxruntime.InferenceSession(tmp_path / "m.onnx")
    names = [value.name for value in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (f, y), strict=True)))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


class Summed(Operator):
    def forward(self, parts: tuple[Tensor, Tensor]) -> Tensor:
        return super().forward(parts).sum(1, keepdim=True) * self.trunk(parts[1]).T[:1]


def test_other_grids_are_refused() -> None:
    with pytest.raises(ModelError, match=r"the module gives \[n, n\]; .*branch and a trunk"):
        module_to_onnx(Summed("bi,ni->bn"), (16, 1))


def test_layer_norm() -> None:
    module = nn.Sequential(nn.Linear(2, 8), nn.LayerNorm(8), nn.Tanh(), nn.Linear(8, 1))
    assert relative_difference(module, module_to_onnx(module, 2), 2) < 1e-5


def test_batch_norm_is_that_of_what_it_has_seen() -> None:
    norm = nn.BatchNorm1d(8, eps=1e-2)
    module = nn.Sequential(nn.Linear(2, 8), nn.Tanh(), norm, nn.Linear(8, 1))
    module(torch.rand(100, 2))
    module.eval()
    assert relative_difference(module, module_to_onnx(module, 2), 2) < 1e-5
    plain = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8, affine=False), nn.Linear(8, 1)).eval()
    assert relative_difference(plain, module_to_onnx(plain, 2), 2) < 1e-5


class Branching(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x if x.sum() > 0 else -x


class ByMode(nn.Module):
    """What a Fourier neural operator does between its dense layers."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.irfft(2.0 * torch.fft.rfft(x), n=2)


class Attending(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm = nn.GroupNorm(1, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x)


def derivative(x: Tensor) -> Tensor:
    x = x.requires_grad_(True)
    return torch.autograd.grad(torch.sin(x).sum(), x, create_graph=True)[0]


def jacobian(x: Tensor) -> Tensor:
    return torch.func.vmap(torch.func.jacrev(torch.sin))(x)[:, 0]  # type: ignore[no-any-return]


def nan_weight() -> nn.Module:
    module = mlp(nn.Tanh)
    with torch.no_grad():
        next(module.parameters())[0, 0] = torch.nan
    return module


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "other width": (lambda: mlp(nn.Tanh, inputs=3), r"fails on x \[n, 2\]"),
    "Fourier neural operator": (
        lambda: nn.Sequential(nn.Linear(2, 2), ByMode()),
        r"submodule '1' \(ByMode\) takes a Fourier transform .*mode by mode",
    ),
    "branch on data": (Branching, "can't trace"),
    "normalisation": (
        lambda: nn.Sequential(nn.Linear(2, 2), Attending()),
        r"submodule '1.norm' \(GroupNorm\) uses native_group_norm",
    ),
    "three axes": (
        lambda: Bend(lambda x: x[:, :, None]),
        r"gives \[s\d+, 2, 1\]; .* outputs \[n, m\]",
    ),
    "derivatives": (
        lambda: Bend(derivative),
        r"takes derivatives .*hedge\.import_model\(module\.net",
    ),
    "derivatives by torch.func": (lambda: Bend(jacobian), "takes derivatives"),
    "no output": (lambda: Bend(lambda x: None), "gives nothing"),  # type: ignore[arg-type,return-value]
    "constant output": (lambda: Bend(lambda x: torch.ones(3, 1)), "does not depend"),
    "random": (lambda: Bend(lambda x: x + torch.rand(1)), "differs|can't"),
    "random per row": (lambda: Bend(lambda x: x + torch.rand_like(x)), "rand"),
    "rows mixed": (lambda: Bend(lambda x: x * x.shape[0]), "can't be imported in this form"),
    "rows summed": (lambda: Bend(lambda x: x - x.sum(0)), "a fixed function of each row"),
    "one row": (lambda: Bend(lambda x: x.sum(0, keepdim=True)), "shape"),
    "three rows only": (lambda: Bend(lambda x: x * torch.arange(3.0)[:, None]), "can't trace"),
    "integers": (lambda: Bend(lambda x: x.to(torch.int64).to(torch.float32)), "_to_copy"),
    "nan": (nan_weight, "NaN or Inf"),
    "complex": (lambda: Bend(lambda x: (x * torch.tensor(1j)).real), "view_as_real"),
    "convolution": (lambda: nn.Conv1d(2, 1, 1), "fails on"),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cant_be_imported_is_refused(kind: str) -> None:
    build, message = REFUSED[kind]
    with pytest.raises(ModelError, match=message) as refused:
        module_to_onnx(build(), 2)
    assert "\n" not in str(refused.value)


def test_inputs_are_asked_for_and_checked() -> None:
    with pytest.raises(InputError, match="inputs: not given"):
        hedge.import_model(mlp(nn.Tanh))
    for inputs in (0, (), ("x", 2), "x", (16, 0), {"x": 1.5}, (9000, 9000), [None]):
        with pytest.raises(InputError, match=r"inputs: .* is out of range; give how many numbers"):
            hedge.import_model(mlp(nn.Tanh), inputs=inputs)  # type: ignore[arg-type]
    message = r"fails on x \[n, 2\].*takes 2 arguments: give inputs=\('x', 't'\)"
    with pytest.raises(ModelError, match=message):
        module_to_onnx(Apart(), 2)
