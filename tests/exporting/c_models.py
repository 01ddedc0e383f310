"""Models for the C tests: every kind of matrix, every op, every architecture, the shipped networks."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from onnx import ModelProto, helper

import hedge
from hedge.compression import CompressedModel
from hedge.graph import (
    PRECISIONS,
    BlockMatrix,
    HierarchyMatrix,
    LeafMatrix,
    Matrix,
    SiteMatrix,
    as_order,
    assemble,
    load_model,
    split_if_any,
    stored_as,
)
from hedge.hmatrix import Leaf
from hedge.ops import OPS
from tests.architectures import ARCHITECTURES, Net
from tests.conftest import make_model, random_mlp
from tests.exporting.c_compiler import Model

RNG = np.random.default_rng(11)
OUTPUTS, INPUTS = 37, 50


def parted(model: ModelProto, low: float = -1.0, high: float = 1.0) -> Model:
    parts = split_if_any(model)
    return Model(parts.skeleton, parts.matrices, low, high)


def normal(*shape: int) -> np.ndarray:
    return RNG.standard_normal(shape) / np.sqrt(shape[-1])


def blocks(outputs: int, inputs: int, count: int, rank: int) -> BlockMatrix:
    """Random blocks whose last leaves are filled up, with numbers that must not be read."""
    height, width = -(-outputs // count), -(-inputs // count)
    return BlockMatrix(
        rows=normal(count, height, width + rank),
        coupling=normal(count * rank, count * rank),
        right=normal(count, rank, width),
        bias=normal(outputs),
        inputs=inputs,
    )


def leaves() -> LeafMatrix:
    """A dense leaf beside one of low rank, above one of the whole width: strips that overlap."""
    return LeafMatrix(
        (
            Leaf(0, 20, 0, 15, (normal(20, 15),)),
            Leaf(0, 20, 15, INPUTS, (normal(20, 3), normal(3, INPUTS - 15))),
            Leaf(20, OUTPUTS, 0, INPUTS, (normal(OUTPUTS - 20, 2), normal(2, INPUTS))),
        ),
        normal(OUTPUTS),
        INPUTS,
    )


MATRICES: dict[str, Matrix] = {
    "dense": SiteMatrix((normal(OUTPUTS, INPUTS),), normal(OUTPUTS)),
    "rank 5": SiteMatrix((normal(OUTPUTS, 5), normal(5, INPUTS)), normal(OUTPUTS)),
    "4 leaves a side, uneven": blocks(OUTPUTS, INPUTS, 4, 3),
    "leaves": leaves(),
    "leaves in another order": HierarchyMatrix(
        leaves().leaves,
        normal(OUTPUTS),
        INPUTS,
        as_order(RNG.permutation(OUTPUTS)),
        as_order(RNG.permutation(INPUTS)),
    ),
}


def with_matrix(matrix: Matrix) -> Model:
    """An MLP whose second matrix is this one."""
    outputs, inputs = matrix.shape
    parts = split_if_any(random_mlp([2, inputs, outputs, 3]))
    return Model(parts.skeleton, {**parts.matrices, "site1": matrix})


def stored_kinds() -> dict[str, Model]:
    """Every kind of matrix in every precision, and blocks of which the last one is empty."""
    kinds = {
        f"{label}, {precision}": with_matrix(stored_as(matrix, precision))
        for label, matrix in MATRICES.items()
        for precision in PRECISIONS
    }
    subnormal = SiteMatrix((3e4 * normal(OUTPUTS, 5), 3e-5 * normal(5, INPUTS)), normal(OUTPUTS))
    nothing = Leaf(20, OUTPUTS, 0, 15, (np.zeros((OUTPUTS - 20, 0)), np.zeros((0, 15))))
    right = Leaf(20, OUTPUTS, 15, INPUTS, (normal(OUTPUTS - 20, INPUTS - 15),))
    rank_zero = LeafMatrix((*leaves().leaves[:2], nothing, right), normal(OUTPUTS), INPUTS)
    strips = (
        Leaf(0, OUTPUTS, 0, 15, (normal(OUTPUTS, 15),)),
        Leaf(0, OUTPUTS, 15, INPUTS, (normal(OUTPUTS, 3), normal(3, INPUTS - 15))),
    )
    whole_height = LeafMatrix(strips, normal(OUTPUTS), INPUTS)
    return {
        **kinds,
        "a leaf of rank 0": with_matrix(rank_zero),
        "a leaf of rank 0, int8": with_matrix(stored_as(rank_zero, "int8")),
        "leaves of all rows, int8": with_matrix(stored_as(whole_height, "int8")),
        "an empty last leaf": with_matrix(blocks(9, 10, 4, 2)),
        "subnormal float16": with_matrix(stored_as(subnormal, "float16")),
    }


def factorized_onnx() -> dict[str, Model]:
    """The same as ONNX of standard ops, read again."""
    found = {}
    for label, matrix in MATRICES.items():
        model = with_matrix(matrix)
        found[f"{label}, through ONNX"] = parted(assemble(model.skeleton, model.matrices))
    alone = split_if_any(random_mlp([50, 37]))
    only_blocks = assemble(
        alone.skeleton, {"site0": stored_as(MATRICES["4 leaves a side, uneven"], "float16")}
    )
    assert not split_if_any(only_blocks).sites
    found["blocks alone, through ONNX"] = parted(only_blocks)
    wide = with_matrix(blocks(64, 64, 4, 12))
    return {**found, "wide coupling, through ONNX": parted(assemble(wide.skeleton, wide.matrices))}


def every_unary_op() -> Model:
    """One output per op, behind a layer whose values are within (0, 1); opset 24 has them all."""
    net = Net()
    net.weights |= {"w": RNG.uniform(0.1, 0.4, (3, 2)), "b": np.full(3, 0.05)}
    net.weights["one"] = np.array(1.0)
    net.op("Gemm", ["x", "w", "b"], "z", transB=1)
    net.op("Neg", ["z"], "minus")
    net.op("Add", ["z", "one"], "above")
    nowhere_negative = {"Log", "Sqrt", "Acosh"}
    names = []
    for op in sorted(name for name, op in OPS.items() if op.kind == "unary" and op.c):
        sources = ["above"] if op == "Acosh" else ["z"]
        if op not in nowhere_negative:
            sources.append("minus")
        names += [net.op(op, [source], f"{op}.{source}") for source in sources]
    net.op("Gelu", ["minus"], "gelu", approximate="tanh")
    net.op("LeakyRelu", ["minus"], "leaky", alpha=0.3)
    net.op("Concat", [*names, "gelu", "leaky"], "u", axis=1)
    return parted(net.model(opset=24, outputs={"u": 3 * (len(names) + 2)}), 0.1, 0.9)


def every_binary_op() -> Model:
    """Operands of all shapes that broadcast: (n, 3) with (), (3,), (1, 3), (n, 1) and itself."""
    net = Net()
    net.weights |= {
        "w": RNG.uniform(0.1, 0.4, (3, 2)), "b": np.full(3, 0.05), "v": RNG.uniform(0.1, 0.4, (1, 2)),
        "scalar": np.array(2.5), "vector": np.array([0.5, 2.0, 3.0]), "row": np.array([[0.3, 0.6, 0.9]]),
        "minus.two": np.array(-2.0), "two": np.array(2.0), "three": np.array(3.0),
        "half": np.array(0.5),
    }  # fmt: skip
    net.op("Gemm", ["x", "w", "b"], "z", transB=1)
    net.op("Gemm", ["x", "v"], "column", transB=1)
    names = []
    net.op("Sub", ["z", "column"], "around")
    for op in ("Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Equal"):
        net.op(op, ["around", "row"], f"is.{op}")
        names.append(net.op("Where", [f"is.{op}", "vector", "z"], f"where.{op}"))
    names.append(net.op("PRelu", ["around", "row"], "bent"))
    for op in ("Add", "Sub", "Mul", "Div", "Pow", "Max", "Min"):
        for other in ("scalar", "vector", "row", "column", "z"):
            names.append(net.op(op, ["z", other], f"{op}.{other}"))
            names.append(net.op(op, [other, "z"], f"{other}.{op}"))
    names += [net.op("Pow", ["z", e], f"pow.{e}") for e in ("minus.two", "two", "three", "half")]
    names.append(net.op("Sum", ["z", "column", "row"], "sum"))
    names.append(net.op("Max", ["z", "column", "half"], "max"))
    names.append(net.op("Clip", ["z", "", "half"], "clip"))
    names.append(net.op("Clip", ["z", "half", "two"], "clip.both"))
    net.op("Concat", names, "u", axis=1)
    return parted(net.model(outputs={"u": 3 * len(names)}), 0.1, 0.9)


def movements() -> Model:
    """Numbers cut, turned, repeated and put together, in two axes and in three, the batch anywhere."""
    net = Net()
    net.weights |= {
        "w": normal(12, 2), "grid": np.array([-1, 3, 4]), "flat": np.array([-1, 12]),
        "picked": np.array([3, 0, 0, 2]), "start": np.array([10]), "stop": np.array([0]),
        "axis": np.array([1]), "step": np.array([-3]), "pads": np.array([0, 2, 0, 1]),
        "seven": np.array(7.0), "twice": np.array([1, 2]), "sizes": np.array([5, 7]),
        "stack": normal(3, 4, 2), "left": normal(5, 12), "shared": normal(4, 2), "last": np.array([2]),
        "tall": np.array([1, 1, 1]), "back": np.array([2, 1, 0]), "ones": np.array([[0.25, 4.0]]),
    }  # fmt: skip
    op = net.op
    op("Gemm", ["x", "w"], "z", transB=1)
    op("Reshape", ["z", "grid"], "cube")
    names = {
        op("Gather", ["z", "picked"], "gathered", axis=1): 4,
        op("Slice", ["z", "start", "stop", "axis", "step"], "sliced"): 4,
        op("Pad", ["z", "pads"], "padded"): 15,
        op("Pad", ["z", "pads", "seven"], "padded.seven"): 15,
        op("Tile", ["z", "twice"], "tiled"): 24,
    }
    turned = op("Transpose", ["cube"], "turned", perm=[0, 2, 1])
    names[op("Reshape", [turned, "flat"], "turned.flat")] = 12
    net.nodes.append(helper.make_node("Split", ["z", "sizes"], ["first", "second"], axis=1))
    names[op("Mul", ["second", "second"], "squared")] = 7
    names[op("ReduceSum", ["z", "axis"], "sum", keepdims=1)] = 1
    names[op("ReduceSum", ["cube", "last"], "sums", keepdims=0)] = 3
    names[op("ReduceMean", ["cube"], "means", axes=[1], keepdims=0)] = 4
    stacked = op("Transpose", ["cube"], "by.leaf", perm=[1, 0, 2])
    stacked = op("MatMul", [stacked, "stack"], "products")
    stacked = op("Transpose", [stacked], "by.row", perm=[1, 0, 2])
    net.weights["six"] = np.array([-1, 6])
    names[op("Reshape", [stacked, "six"], "stacked")] = 6
    names[op("Reshape", [op("MatMul", ["cube", "shared"], "both"), "six"], "shared.flat")] = 6
    around = op(
        "MatMul", [op("Gather", ["cube", "back"], "turned.around", axis=1), "shared"], "around"
    )
    names[op("Reshape", [around, "six"], "around.flat")] = 6
    columns = op("Transpose", ["z"], "columns", perm=[1, 0])
    columns = op("MatMul", ["left", columns], "left.product")
    names[op("Transpose", [columns], "left.back", perm=[1, 0])] = 5
    names[op("Concat", ["x", "z"], "skip", axis=1)] = 14
    shape = op("Shape", ["x"], "shape")
    names[op("Expand", ["ones", shape], "expanded")] = 2
    op("Concat", list(names), "u", axis=1)
    return parted(net.model(outputs={"u": sum(names.values())}))


def flat_input() -> Model:
    """An input [n] beside one [n, 2], and an output [n]."""
    net = Net()
    net.weights |= {"axis": np.array([1])}
    column = net.op("Unsqueeze", ["t", "axis"], "column")
    both = net.op("Concat", [column, "x"], "both", axis=1)
    net.op("Squeeze", [net.dense(net.layer(both, "0", 3), "z", 16, 1), "axis"], "u")
    model = net.model(inputs={"t": 1, "x": 2})
    for value in (model.graph.input[0], model.graph.output[0]):
        del value.type.tensor_type.shape.dim[1:]
    return parted(model)


def unread() -> dict[str, Model]:
    """Results that are put beside others and cut off again: whole layers, activations, all inputs."""
    net = Net()
    net.weights["sizes"] = np.array([4, 2, 4])
    first, second = (net.dense("x", f"z.{i}", 2, 4) for i in range(2))
    bent = net.op("Tanh", [second], "bent")
    both = net.op("Concat", [first, "x", bent], "both", axis=1)
    net.nodes.append(helper.make_node("Split", [both, "sizes"], ["kept", "x.again", "cut"], axis=1))
    net.op("Erf", ["kept"], "u")
    layer = parted(net.model(outputs={"u": 4}))

    constant = Net()
    constant.weights |= {
        "pads": np.array([0, 1, 0, 2]), "value": np.array(0.7), "sizes": np.array([4, 1]),
    }  # fmt: skip
    constant.op("Pad", [constant.op("Tanh", ["x"], "bent"), "pads", "value"], "wide")
    split = helper.make_node("Split", ["wide", "sizes"], ["rest", "u"], axis=1)
    constant.nodes.append(split)
    return {"a layer unread": layer, "inputs unread": parted(constant.model(outputs={"u": 1}))}


def shipped() -> dict[str, Model]:
    """The reference networks, less the operator, on points that their problems allow."""
    return {
        name: parted(load_model(path), 0.1, 1.0)
        for name, path in hedge.reference_models().items()
        if not name.endswith("operator")
    }


def compressed() -> dict[str, Model]:
    """Real results: reduced neurons, narrow storage, the paper's partition."""
    heat = hedge.reference_models()["heat"]
    models = {
        "reduced": hedge.compress(heat, device="laptop-x86", tolerance=1e-2, recover=None),
        "small": hedge.compress(
            heat, device="laptop-x86", tolerance=1e-1, objective="size", recover=None
        ),
        "paper": hedge.compress(
            heat, device="laptop-x86", tolerance=1e-1, method="paper", recover=None
        ),
        "slopes": _cut_with_slopes(),
    }
    return {name: Model(model.skeleton, model.matrices) for name, model in models.items()}


def _cut_with_slopes() -> CompressedModel:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "m.onnx"
        path.write_bytes(ARCHITECTURES["slopes per neuron"]().SerializeToString())
        return hedge.compress(
            path, device="laptop-x86", domain="-1:1,-1:1", tolerance=1e-2, recover=None
        )


def random_nets(count: int = 5) -> dict[str, Model]:
    """MLPs of random widths and activations."""
    rng = np.random.default_rng(5)
    found = {}
    for seed in range(count):
        widths = [int(w) for w in rng.integers(1, 24, rng.integers(3, 7))]
        kind = str(rng.choice(["Tanh", "Sin", "SiLU", "GELU", "Relu", "Softplus"]))
        found[f"{widths} {kind}"] = parted(random_mlp(widths, seed, kind))
    return found


def all_models() -> dict[str, Model]:
    return {
        **{name: parted(build()) for name, build in ARCHITECTURES.items()},
        **stored_kinds(),
        **factorized_onnx(),
        "unary ops": every_unary_op(),
        "binary ops": every_binary_op(),
        "movements": movements(),
        "input [n]": flat_input(),
        **unread(),
        **shipped(),
        **random_nets(),
    }


def mixing(op: str) -> ModelProto:
    """x less its mean over the batch, or over everything, before a layer."""
    axes = {"axes": [0]} if op == "rows" else {}
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], keepdims=1, **axes),
        helper.make_node("Sub", ["x", "mean"], ["centred"]),
        helper.make_node("Gemm", ["centred", "w"], ["u"], transB=1),
    ]
    return make_model(nodes, {"w": normal(1, 2)}, inputs=2)
