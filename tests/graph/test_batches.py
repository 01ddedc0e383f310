"""Inputs and batches as exporters write them: freed where the graph lets go, else the node is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from hedge.errors import ModelError
from hedge.graph import check_room, load_model, run_float32, split
from tests.conftest import make_model

POINTS = np.random.default_rng(1).uniform(-1, 1, (40, 2)).astype(np.float32)
WEIGHTS = {
    "A": np.random.default_rng(0).standard_normal((2, 8)),
    "B": np.random.default_rng(1).standard_normal((8, 1)),
    "C": np.random.default_rng(2).standard_normal((3, 8)),
}


def node(op: str, inputs: Sequence[str], output: str, **attributes: object) -> NodeProto:
    return helper.make_node(op, inputs, [output], name=output, **attributes)


def dense(source: str = "x", output: str = "u", first: str = "A") -> list[NodeProto]:
    return [
        node("MatMul", [source, first], "z"),
        node("Tanh", ["z"], "h"),
        node("MatMul", ["h", "B"], output),
    ]


def model(
    nodes: Sequence[NodeProto], shape: Sequence[int | str], out: Sequence[int | str], **more: object
) -> ModelProto:
    constants = {**WEIGHTS, **more}
    graph = helper.make_graph(
        list(nodes),
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("u", TensorProto.FLOAT, out)],
        [
            numpy_helper.from_array(v.astype(np.float32) if v.dtype.kind == "f" else v, name)
            for name, v in ((name, np.asarray(v)) for name, v in constants.items())
        ],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@pytest.fixture
def loaded(tmp_path: Path) -> Callable[[ModelProto], ModelProto]:
    def load(built: ModelProto) -> ModelProto:
        onnx.save(built, tmp_path / "m.onnx")
        return load_model(tmp_path / "m.onnx")

    return load


Loaded = Callable[[ModelProto], ModelProto]


def exact(points: np.ndarray, first: str = "A") -> np.ndarray:
    return np.asarray(np.tanh(points @ WEIGHTS[first]) @ WEIGHTS["B"])


def joined_with_ones(count: int) -> list[NodeProto]:
    return [node("Concat", ["x", "ones"], "y", axis=1), *dense("y", first="C")]


WITH_ONES = np.hstack([POINTS, np.ones((40, 1))])
FREED: dict[str, tuple[ModelProto, np.ndarray]] = {
    "a batch of 1": (model(dense(), [1, 2], [1, 1]), exact(POINTS)),
    "a batch of 8": (model(dense(), [8, 2], [8, 1]), exact(POINTS)),
    "one point": (model(dense(), [2], [1]), exact(POINTS)),
    "four axes": (
        model([node("Flatten", ["x"], "y"), *dense("y")], [1, 1, 1, 2], [1, 1]),
        exact(POINTS),
    ),
    "four axes, free batch": (
        model([node("Flatten", ["x"], "y"), *dense("y")], ["n", 1, 1, 2], ["n", 1]),
        exact(POINTS),
    ),
    "four axes that nodes need": (
        model(
            [node("Reshape", ["x", "two"], "y"), *dense("y")], [1, 1, 1, 2], [1, 1], two=np.array([1, 2])
        ),
        exact(POINTS),
    ),
    "a reshape to 8 rows": (
        model(
            [node("Reshape", ["x", "flat"], "y"), *dense("y")], [8, 2], [8, 1], flat=np.array([8, 2])
        ),
        exact(POINTS),
    ),
    "ones joined, batch 1": (
        model(joined_with_ones(1), [1, 2], [1, 1], ones=np.ones((1, 1))),
        exact(WITH_ONES, "C"),
    ),
    "ones joined, batch 8": (
        model(joined_with_ones(8), [8, 2], [8, 1], ones=np.ones((8, 1))),
        exact(WITH_ONES, "C"),
    ),
    "zeros added, batch 8": (
        model([node("Add", ["x", "zeros"], "y"), *dense("y")], [8, 2], [8, 1], zeros=np.zeros((8, 2))),
        exact(POINTS),
    ),
    "a column expanded to 8 rows": (
        model(
            [
                node("Gather", ["x", "first"], "c", axis=1),
                node("Expand", ["c", "wide"], "y"),
                *dense("y"),
            ],
            [8, 2],
            [8, 1],
            first=np.array([0]),
            wide=np.array([8, 2]),
        ),
        exact(POINTS[:, [0, 0]]),
    ),
    "all axes squeezed": (
        model([*dense(output="v"), node("Squeeze", ["v"], "u")], ["n", 2], ["m"]),
        exact(POINTS),
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", FREED)
def test_the_batch_is_freed(kind: str, loaded: Loaded) -> None:
    built, expected = FREED[kind]
    freed = loaded(built)
    for rows in (1, 2, 17, 40):
        assert np.abs(run_float32(freed, POINTS[:rows]) - expected[:rows]).max() < 1e-5
    (value,) = freed.graph.input
    dims = value.type.tensor_type.shape.dim
    assert (dims[0].dim_param, dims[1].dim_value) == ("n", 2)
    assert len(split(freed).sites) == 2
    onnx.checker.check_model(freed, full_check=True)


def test_a_squeezed_output_keeps_its_batch_of_one(loaded: Loaded) -> None:
    freed = loaded(FREED["all axes squeezed"][0])
    session = onnxruntime.InferenceSession(freed.SerializeToString())
    assert session.run(None, {"x": POINTS[:1]})[0].shape == (1,)


HELD: dict[str, tuple[ModelProto, str]] = {
    "another row for each": (
        model(
            [node("Add", ["x", "rows"], "y"), *dense("y")], [8, 2], [8, 1],
            rows=np.arange(16.0).reshape(8, 2),
        ),
        r"a batch of 8 baked in: Add 'y' reads 'rows', which has another row for each",
    ),
    "rows mixed": (
        model(
            [node("ReduceMean", ["x"], "m", axes=[0], keepdims=1), node("Sub", ["x", "m"], "y"), *dense("y")],
            [8, 2], [8, 1],
        ),
        r"a batch of 8 baked in: output 'u' is another one for 1 row",
    ),
    "points turned into features": (
        model(
            [node("Reshape", ["x", "all"], "y"), *dense("y")], [1, 2], [1, 1], all=np.array([2]),
        ),
        "a batch baked in",
    ),
    "features first": (
        model([node("MatMul", ["W", "x"], "u")], [2, 100], [1, 100], W=np.ones((1, 2))),
        r"a batch of 2 baked in .* MatMul 'u' multiplies them from the left, features first: transpose",
    ),
    "features first, free": (
        model([node("MatMul", ["W", "x"], "u")], [2, "n"], [1, "n"], W=np.ones((1, 2))),
        r"input 'x' is \[2, n\], features first; hedge needs points in rows, \[n, 2\]",
    ),
    "an image": (
        model([node("Flatten", ["x"], "y"), *dense("y")], [1, 2, 1], [1, 1]),
        r"input 'x' is not float32 \[n, d\]",
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", HELD)
def test_a_batch_that_is_held_is_named(kind: str, loaded: Loaded) -> None:
    built, message = HELD[kind]
    with pytest.raises(ModelError, match=message) as refused:
        loaded(built)
    assert "\n" not in str(refused.value)


def test_a_product_grid_is_named() -> None:
    """u [b, n] = branch(f) trunk(x)ᵀ, of all sources at all points."""
    nodes = [
        node("MatMul", ["f", "A"], "branch"),
        node("MatMul", ["x", "A"], "trunk"),
        node("Transpose", ["trunk"], "columns", perm=[1, 0]),
        node("MatMul", ["branch", "columns"], "u"),
    ]
    built = make_model(nodes, {"A": WEIGHTS["A"]}, inputs={"f": 2, "x": 2}, outputs={"u": 2})
    with pytest.raises(ModelError, match=r"MatMul 'u' multiplies all rows .*product grid.*sum\(1"):
        check_room(built, 20_000)
