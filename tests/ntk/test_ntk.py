"""Tangent kernels against autograd's Jacobian, spectra, and what compression does to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto, helper
from typer.testing import CliRunner

import hedge
from hedge import api
from hedge.cli.commands import app
from hedge.errors import InputError, ModelError
from hedge.graph import load_model, split
from hedge.hmatrix import sampled_error
from hedge.ntk import (
    compare_kernels,
    dense_spectrum,
    hierarchical_spectrum,
    output_kernel,
    residual_kernel,
    uniform_blocks,
)
from hedge.problems import GALLERY
from hedge.training.loss import jacobian, linearise
from hedge.training.network import new_network
from hedge.training.points import place
from hedge.training.terms import Term
from hedge.training.to_onnx import network_to_onnx
from tests.conftest import make_model, random_mlp

Save = Callable[[ModelProto], Path]


def jacobian_by_autograd(model: ModelProto, points: np.ndarray) -> np.ndarray:
    """∂u/∂(weights, biases) of a tanh network, (outputs · n, parameters)."""
    matrices = [site.matrix for site in split(model).sites]
    parameters = [torch.from_numpy(a.copy()) for m in matrices for a in (m.factors[0], m.bias)]

    def network(*values: torch.Tensor) -> torch.Tensor:
        a = torch.from_numpy(points)
        for i in range(0, len(values), 2):
            a = a @ values[i].T + values[i + 1]
            if i + 2 < len(values):
                a = torch.tanh(a)
        return a.T.reshape(-1)

    columns = torch.autograd.functional.jacobian(network, tuple(parameters))
    return np.hstack([c.reshape(c.shape[0], -1).numpy() for c in columns])


@settings(max_examples=10)
@given(
    widths=st.lists(st.integers(1, 7), min_size=2, max_size=5),
    points=st.integers(1, 9),
    seed=st.integers(0, 1000),
)
def test_output_kernel_is_the_jacobian_times_its_transpose(
    widths: list[int], points: int, seed: int
) -> None:
    model = random_mlp(widths, seed)
    x = np.random.default_rng(seed).standard_normal((points, widths[0]))
    j = jacobian_by_autograd(model, x)
    kernel = output_kernel(model, x)
    np.testing.assert_allclose(kernel.dense(), j @ j.T, rtol=1e-9, atol=1e-11)
    np.testing.assert_allclose(kernel.diagonal(), np.diag(j @ j.T), rtol=1e-9, atol=1e-11)
    some = np.array([0, len(j) - 1])
    np.testing.assert_allclose(kernel.at(some).dense(), (j @ j.T)[np.ix_(some, some)], rtol=1e-9)


@pytest.mark.parametrize("problem", ["poisson", "burgers", "heat"])
def test_residual_kernel_is_that_of_training(problem: str) -> None:
    known = GALLERY[problem]
    network = new_network(2, (9, 9), seed=3)
    model = network_to_onnx(known, network)
    x = known.domain.sample(12, 0)
    j = jacobian(linearise(known, network, [Term(place(known, torch.from_numpy(x)))])).numpy()
    kernel = residual_kernel(model, known, x).dense()
    # the file has the normalisation x ↦ (x − c)/h folded into its first layer, whose share of Θ differs
    inner = network.weights[0].numel() + network.biases[0].numel()
    first = residual_kernel(model, known, x)
    without = type(first)(first.points, first.layers[1:]).dense()
    np.testing.assert_allclose(without, j[:, inner:] @ j[:, inner:].T, rtol=2e-5)
    assert np.linalg.eigvalsh(kernel - without)[0] > -1e-9 * np.linalg.norm(kernel)


def test_several_outputs_are_stacked_and_factors_count_as_one_matrix() -> None:
    rng = np.random.default_rng(0)
    left, right = rng.standard_normal((6, 2)), rng.standard_normal((2, 3))
    last = rng.standard_normal((2, 6))
    factored = make_model(
        [
            helper.make_node("Gemm", ["x", "r"], ["t"], transB=1),
            helper.make_node("Gemm", ["t", "l"], ["z"], transB=1),
            helper.make_node("Tanh", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "w"], ["u"], transB=1),
        ],
        {"l": left, "r": right, "w": last},
        inputs=3,
        outputs=2,
    )
    product = left.astype(np.float32).astype(float) @ right.astype(np.float32).astype(float)
    dense = make_model(
        [
            helper.make_node("Gemm", ["x", "p"], ["z"], transB=1),
            helper.make_node("Tanh", ["z"], ["a"]),
            helper.make_node("Gemm", ["a", "w"], ["u"], transB=1),
        ],
        {"p": product, "w": last},
        inputs=3,
        outputs=2,
    )
    x = rng.standard_normal((5, 3))
    ours = output_kernel(factored, x)
    assert len(ours) == 10
    np.testing.assert_allclose(ours.dense(), output_kernel(dense, x).dense(), rtol=1e-5)


def test_hierarchical_kernel_and_lanczos_agree_with_the_dense_kernel(burgers_path: Path) -> None:
    model = load_model(burgers_path)
    kernel = output_kernel(model, GALLERY["burgers"].domain.sample(2200, 0))
    theta = kernel.dense()
    h = kernel.hierarchical(1e-6)
    assert np.linalg.norm(h.to_dense() - theta) <= 1e-6 * np.linalg.norm(theta)
    assert sampled_error(kernel.entries(), h) <= 1e-6
    assert h.compression > 5
    exact, ours = dense_spectrum(theta), hierarchical_spectrum(h, 1e-6)
    assert ours.largest == pytest.approx(exact.largest, rel=1e-6)
    shifts = np.abs(ours.values - exact.values[: len(ours.values)])
    assert shifts.max() <= ours.resolution  # Weyl
    assert ours.effective_rank == pytest.approx(exact.effective_rank, rel=1e-4)
    assert not ours.resolved
    assert ours.numbers < theta.size / 5


def test_spectrum_of_a_known_matrix() -> None:
    spectrum = dense_spectrum(np.diag([1.0, 4.0, 1.0, 2.0]))
    assert spectrum.values.tolist() == [4.0, 2.0, 1.0, 1.0]
    assert spectrum.resolved
    assert spectrum.condition == 4.0
    assert spectrum.effective_rank == pytest.approx(64 / 22)


def test_a_model_compared_with_itself_differs_by_nothing(burgers_path: Path) -> None:
    model = load_model(burgers_path)
    x = GALLERY["burgers"].domain.sample(80, 0)
    found = compare_kernels(model, model, lambda m: output_kernel(m, x), 1e-6)
    assert found.difference == 0.0
    assert found.rank_correlation == pytest.approx(1.0)
    assert all(b.holds for b in found.bounds if b.applies and not b.reason)
    assert {b.item.split(".")[0].split("-")[0] for b in found.bounds} == {"thm5", "thm6", "thm9"}


@pytest.mark.parametrize("keep_widths", [True, False])
def test_command_shows_before_and_after(saved: Save, tmp_path: Path, keep_widths: bool) -> None:
    network = new_network(2, (24, 24, 24), seed=0)
    dense = saved(network_to_onnx(GALLERY["burgers"], network), "dense.onnx")
    small = tmp_path / "small.hedge.safetensors"
    hedge.compress(
        dense,
        device="laptop-x86",
        tolerance=5e-2,
        batch=64,
        keep_widths=keep_widths,
        out=small,
        recover=None,
    )
    onnx = tmp_path / "small.onnx"
    hedge.export(small, onnx)
    documents = []
    for file in (small, onnx):
        run = CliRunner().invoke(
            app,
            [
                "ntk",
                str(dense),
                str(file),
                "--points",
                "96",
                "--problem",
                "burgers",
                "--residual",
                "--json",
            ],
        )
        assert run.exit_code == 0, run.output
        documents.append(json.loads(run.stdout))
    assert documents[0] == documents[1]  # a compressed model and its export are one network
    found = documents[0]
    assert found["before"]["rows"] == found["after"]["rows"] == 96
    assert found["relative_difference"] > 0
    assert -1 <= found["rank_correlation"] <= 1
    items = {bound["item"] for bound in found["bounds"]}
    assert {"thm5", "thm6.1", "thm9"} <= items
    assert ("thm4.2" in items) == keep_widths  # else parameters differ and Theorem 4 says nothing
    sound = [b for b in found["bounds"] if b["applies"] and not b["reason"]]
    assert all(b["holds"] for b in sound)
    table = CliRunner().invoke(
        app, ["ntk", str(dense), str(small), "--points", "40", "--problem", "burgers"]
    )
    assert "largest eigenvalue" in table.stdout
    assert "thm6.1" in table.stdout


def test_uniform_blocks_are_the_best_of_their_rank() -> None:
    a = np.random.default_rng(0).standard_normal((6, 6))
    h = uniform_blocks(a, 3, rank=1)
    assert len(h.leaves) == 9
    assert all(leaf.rank == 1 and leaf.shape == (2, 2) for leaf in h.leaves)
    np.testing.assert_allclose(uniform_blocks(a, 3, rank=2).to_dense(), a, atol=1e-12)


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"points": 1}, "points: 1 is out of range"),
        ({"points": 10**9}, "give 2 to 65536"),
        ({"tolerance": 0.0}, "tolerance: 0 is not between"),
        ({"tolerance": float("nan")}, "tolerance: nan"),
        ({"tolerance": 10.0}, "tolerance: 10"),
        ({"domain": "0:1,0:1,0:1"}, "give \\(n, 2\\)"),
        ({"problem": "no-such"}, "no-such"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_arguments_are_named(
    burgers_path: Path, arguments: dict[str, float | str], says: str
) -> None:
    with pytest.raises(InputError, match=says):
        api.tangent_kernels(burgers_path, **arguments)  # type: ignore[arg-type]


def test_models_whose_residual_cannot_be_differentiated_are_refused(saved: Save) -> None:
    points = GALLERY["burgers"].domain.sample(5, 0)
    with pytest.raises(ModelError, match="plain chain of tanh"):
        residual_kernel(random_mlp([2, 5, 1], activation="Relu"), GALLERY["burgers"], points)
    with pytest.raises(ModelError, match=r"not offset \+ distance"):
        residual_kernel(random_mlp([2, 5, 1]), GALLERY["burgers"], points)
    with pytest.raises(ModelError, match="has 3 input"):
        residual_kernel(random_mlp([3, 5, 1]), GALLERY["burgers"], points)
    path = saved(random_mlp([2, 5, 1]))
    with pytest.raises(InputError, match="problem is not known"):
        api.tangent_kernels(path, residual=True)
    with pytest.raises(InputError, match="domain: not known"):
        api.tangent_kernels(path)
    with pytest.raises(InputError, match=r"absent\.onnx"):
        api.tangent_kernels(path, "absent.onnx", domain="0:1,0:1")


def test_models_of_other_outputs_are_named(saved: Save) -> None:
    one, three = (
        saved(random_mlp([2, 5, 1]), "one.onnx"),
        saved(random_mlp([2, 5, 3]), "three.onnx"),
    )
    with pytest.raises(InputError, match="same number of outputs"):
        api.tangent_kernels(three, one, domain="0:1,0:1", points=20)
