"""Whatever compress and export write, hedge reads: random graphs, tied weights among them."""

from __future__ import annotations

from pathlib import Path
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from onnx import ModelProto

import hedge
from hedge.compression import as_bytes, load_compressed
from hedge.errors import OutputError
from hedge.graph import load_model
from tests.architectures import Net, plain
from tests.compression.test_architectures import compress_file

WIDTH = 12
LAYERS = st.lists(
    st.tuples(
        st.sampled_from(["own", "tied"]),
        st.sampled_from(["none", "Tanh", "Relu"]),
        st.booleans(),
    ),
    min_size=1,
    max_size=3,
)


def random_graph(layers: list[tuple[str, str, bool]], seed: int, *, bias: bool) -> ModelProto:
    """Square layers of one width: their own weight or one they share, bent or not, with a skip or not."""
    net = Net(seed)
    first = net.dense("x", "z", 2, WIDTH)
    h = net.op("Tanh", [first], "h")
    net.weights["tied"] = net.rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH)
    for number, (weight, bend, skip) in enumerate(layers):
        name = "tied" if weight == "tied" else f"own{number}"
        net.weights.setdefault(name, net.rng.standard_normal((WIDTH, WIDTH)) / np.sqrt(WIDTH))
        z = net.op("MatMul", [h, name], f"product{number}")
        if bias:
            net.weights[f"b{number}"] = net.rng.standard_normal(WIDTH)
            z = net.op("Add", [z, f"b{number}"], f"sum{number}")
        a = z if bend == "none" else net.op(bend, [z], f"a{number}")
        h = net.op("Add", [h, a], f"skip{number}") if skip else a
    net.weights["last"] = net.rng.standard_normal((WIDTH, 1))
    net.op("MatMul", [h, "last"], "u")
    return net.model()


@settings(max_examples=15, derandomize=True)
@given(layers=LAYERS, seed=st.integers(0, 100), bias=st.booleans())
@example(layers=[("tied", "Tanh", False), ("tied", "none", False)], seed=0, bias=True)
@example(layers=[("own", "none", False)], seed=0, bias=False)
def test_what_is_written_is_read(
    layers: list[tuple[str, str, bool]],
    seed: int,
    bias: bool,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    folder = tmp_path_factory.mktemp("written")
    (folder / "m.onnx").write_bytes(random_graph(layers, seed, bias=bias).SerializeToString())
    for objective in ("latency", "size"):
        file = folder / f"{objective}.hedge.safetensors"
        small = compress_file(folder / "m.onnx", objective=objective, batch=1024, out=file)
        assert load_compressed(file).plan == small.plan
        hedge.export(small, folder / f"{objective}.onnx")
        load_model(folder / f"{objective}.onnx")
        shares = [site.error_share for site in small.plan.sites]
        assert all(0.0 <= share <= 1.0 for share in shares if share is not None)


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> hedge.compression.CompressedModel:
    path = tmp_path_factory.mktemp("dense") / "m.onnx"
    path.write_bytes(plain("Tanh").SerializeToString())
    return compress_file(path)


def test_what_could_not_be_read_is_not_written(
    small: hedge.compression.CompressedModel, tmp_path: Path
) -> None:
    first, *others = small.plan.sites
    sites = (first.model_copy(update={"error_share": -1e-15}), *others)
    damaged = small.plan.model_copy(update={"sites": sites})
    with pytest.raises(OutputError, match=r"could not read it again .*error_share"):
        as_bytes(type(small)(small.skeleton, small.matrices, damaged))
    with (
        patch("hedge.api.exporting.to_onnx", return_value=ModelProto()),
        pytest.raises(OutputError, match="could not read it again"),
    ):
        hedge.export(small, tmp_path / "m.onnx")
    assert list(tmp_path.iterdir()) == []
