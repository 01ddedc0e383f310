"""--method paper: Algorithms 3 and 4 to the letter, run as a graph, certified like any other."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save

import hedge
from hedge.compression import (
    CompressedModel,
    blocks_of,
    load_compressed,
    save_compressed,
)
from hedge.compression.site_plan import byte_count, describe_sites, parameter_count
from hedge.devices import find_profile
from hedge.errors import ModelError
from hedge.exporting import to_onnx
from hedge.graph import LeafMatrix, assemble, load_model, run_float32, split
from hedge.hmatrix import Leaf
from hedge.methods.paper import ALGORITHMS, paper_costs, partition_sites
from hedge.paper import PaperEnergy, paper_bound_seconds, paper_energy_joules
from tests.conftest import random_mlp

DEVICE = find_profile("paper-example")
DOMAIN = "-1:1,-1:1"


@pytest.mark.parametrize("algorithm", ALGORITHMS.values(), ids=ALGORITHMS)
@pytest.mark.parametrize("widths", [(2, 40, 33, 1), (16, 64, 64, 5)], ids=str)
def test_sites_are_the_matrices_of_the_algorithms_and_run_as_such(
    algorithm: object, widths: tuple[int, ...]
) -> None:
    parts = split(random_mlp(widths, seed=1))
    matrices = partition_sites(parts, DEVICE, algorithm, relative=0.3)  # type: ignore[arg-type]
    energy = PaperEnergy(DEVICE.paper.alpha.value, DEVICE.paper.beta.value)
    for site in parts.sites:
        weight, found = site.matrix.dense(), matrices[site.name]
        assert isinstance(found, LeafMatrix)
        side = min(weight.shape)
        target = 0.3 * np.linalg.norm(weight)
        blocks = min(8, 2 ** int(np.ceil(np.log2(side))))
        h = algorithm(weight, target=target, energy=energy, blocks=blocks)  # type: ignore[operator]
        np.testing.assert_allclose(found.dense(), h.to_dense(), atol=1e-12)
        assert np.linalg.norm(found.dense() - weight) <= target * (1 + 1e-9)
    x = np.random.default_rng(0).standard_normal((9, widths[0]))
    dense = {
        name: type(parts.sites[0].matrix)((m.dense(),), m.bias) for name, m in matrices.items()
    }
    expected = run_float32(assemble(parts.skeleton, dense), x)
    result = run_float32(assemble(parts.skeleton, matrices), x)
    np.testing.assert_allclose(result, expected, atol=1e-5)


@cache
def small() -> CompressedModel:
    path = hedge.reference_models()["heat"]
    return hedge.compress(path, device=DEVICE, tolerance=1e-2, method="paper", recover=None)


def test_the_error_holds_and_the_plan_says_energy_and_bound_to_the_letter() -> None:
    model, compressed = load_model(hedge.reference_models()["heat"]), small()
    plan = compressed.plan
    assert plan.gains
    assert plan.gained == ("the paper's energy",)
    assert plan.relative_error < 1e-2
    x = np.random.default_rng(7).random((20_000, 2))
    dense = run_float32(model, x)
    ours = run_float32(to_onnx(compressed), x)
    assert np.linalg.norm(ours - dense) < 1e-2 * np.linalg.norm(dense)
    blocks = blocks_of(compressed.matrices)
    assert blocks == tuple(block for site in plan.sites for block in site.structure.blocks)
    assert paper_costs(plan) == (
        paper_energy_joules(DEVICE, blocks),
        paper_bound_seconds(DEVICE, blocks),
    )
    whole = paper_energy_joules(DEVICE, blocks_of(split(model).matrices))
    assert paper_costs(plan)[0] < whole


def many_leaves() -> CompressedModel:
    """Algorithm 3's matrices of many blocks, whatever they cost."""
    parts = split(load_model(hedge.reference_models()["heat"]))
    matrices = partition_sites(parts, DEVICE, ALGORITHMS["Algorithm 3"], relative=0.1)
    sites = describe_sites(parts.sites, matrices, "", {})
    update = {
        "sites": sites,
        "parameters": parameter_count(matrices),
        "bytes": byte_count(matrices),
    }
    return CompressedModel(parts.skeleton, matrices, small().plan.model_copy(update=update))


def test_files_read_back_as_the_same_model(tmp_path: Path) -> None:
    path, model = tmp_path / "m.hedge.safetensors", many_leaves()
    save_compressed(model, path)
    again = load_compressed(path)
    assert again.plan == model.plan
    first, second = (to_onnx(m).SerializeToString(deterministic=True) for m in (model, again))
    assert first == second


@pytest.mark.parametrize("change", ["moved", "twice", "missing", "rank"])
def test_leaves_that_do_not_tile_are_refused(change: str, tmp_path: Path) -> None:
    path = tmp_path / "m.hedge.safetensors"
    save_compressed(many_leaves(), path)
    with safe_open(path, framework="numpy") as file:
        header = dict(file.metadata())
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    plan = json.loads(header["hedge.plan"])
    site = next(s for s in plan["sites"] if s["tree"] and len(s["tree"]) > 1)
    tree = site["tree"]
    if change == "moved":
        height = tree[0][1] - tree[0][0]
        tree[0][:2] = [site["outputs"], site["outputs"] + height]
    elif change == "twice":
        same = next(i for i, t in enumerate(tree) if i and t[1] - t[0] == tree[0][1] - tree[0][0])
        tree[same][:2] = tree[0][:2]
        tree[same][2:4] = tree[0][2:4]
        tree[same][4] = tree[0][4]
        for j in (0, 1):
            key = f"{site['name']}.leaf"
            tensors[f"{key}{same}.factor{j}"] = tensors[f"{key}0.factor{j}"]
    elif change == "missing":
        tree.pop()
    else:
        tree[0][4] = 0
    path.write_bytes(save(tensors, {**header, "hedge.plan": json.dumps(plan)}))
    with pytest.raises(ModelError, match=path.name):
        load_compressed(path)


def test_one_leaf_is_lowered_as_two_products() -> None:
    """The paper's method is not to seem slower for nodes that move nothing."""
    rng = np.random.default_rng(0)
    model = random_mlp([6, 5])
    parts = split(model)
    (site,) = parts.sites
    factors = (rng.standard_normal((5, 2)), rng.standard_normal((2, 6)))
    matrix = LeafMatrix((Leaf(0, 5, 0, 6, factors),), np.ones(5), 6)
    lowered = assemble(parts.skeleton, {site.name: matrix})
    assert [node.op_type for node in lowered.graph.node] == ["Gemm", "Gemm"]
    x = rng.uniform(size=(7, 6))
    expected = x @ (factors[0] @ factors[1]).T + 1.0
    np.testing.assert_allclose(run_float32(lowered, x), expected, rtol=1e-5, atol=1e-5)
