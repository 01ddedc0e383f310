"""Dense ``.onnx``, by field, by byte, by operator: an accepted one computes what onnxruntime does."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy
from functools import cache
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper

from hedge.errors import ModelError
from hedge.exporting import open_model
from hedge.graph import run_float32
from hedge.ops import OPS
from tests.architectures import ARCHITECTURES
from tests.attacks.graphs import HOSTILE
from tests.conftest import random_mlp
from tests.fuzz.agreement import (
    ROWS,
    check_c,
    check_compressed,
    check_same,
    points_for,
    raw_outputs,
    rounding_of,
)
from tests.fuzz.altering import REAL, WHOLE, alter_message, altered_bytes
from tests.fuzz.kind import Kind, Said

TOLERANCE = 0.1
LARGEST_HOSTILE = 100_000  # bytes; the others say one thing again and again
UNREADABLE = (
    ValueError,
    TypeError,
    RuntimeError,
    KeyError,
    onnx.checker.ValidationError,
)  # weights
Change = Callable[[Random, ModelProto], None]


@cache
def graphs() -> tuple[dict[str, ModelProto], dict[str, ModelProto]]:
    """Networks of many architectures, and what strangers might send."""
    made = {name: make() for name, make in ARCHITECTURES.items()}
    made |= {f"MLP with {name}": random_mlp([2, 6, 5, 1], 1, name) for name in ("Tanh", "GELU")}
    made["MLP of three outputs"] = random_mlp([3, 5, 3], 2, "Relu")
    made["calls a function"] = with_function()
    hostile = {name: make() for name, (make, _) in HOSTILE.items()}
    return made, {n: model for n, model in hostile.items() if model.ByteSize() < LARGEST_HOSTILE}


def with_function() -> ModelProto:
    """A layer whose function is handed transB."""
    model = random_mlp([2, 4, 1])
    call = model.graph.node[0]
    call.op_type, call.domain = "Layer", "local"
    gemm = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    reference = gemm.attribute.add(name="transB", type=onnx.AttributeProto.INT)
    reference.ref_attr_name = "transB"
    imports = [helper.make_opsetid("", 17)]
    model.functions.append(
        helper.make_function(
            "local", "Layer", ["x", "w", "b"], ["y"], [gemm], imports, attributes=["transB"]
        )
    )
    model.opset_import.append(helper.make_opsetid("local", 1))
    return model


# --- Changes ----------------------------------------------------------------------------------------


PLAIN = (
    "Relu",
    "Sigmoid",
    "Sin",
    "Cos",
    "Exp",
    "Softplus",
    "Abs",
    "Neg",
    "Identity",
    "Sqrt",
    "Erf",
    "Floor",
    "Log",
)


def other_operator(rng: Random, model: ModelProto) -> None:
    node = rng.choice(model.graph.node)
    node.op_type = rng.choice(PLAIN if len(node.input) == 1 else BINARY + tuple(OPS))


def one_more_node(rng: Random, model: ModelProto) -> None:
    """Some operator between a node and what it reads."""
    node = rng.choice(model.graph.node)
    if not node.input:
        return
    place = rng.randrange(len(node.input))
    if rng.random() < 0.5:
        ops, count = PLAIN, 0
    else:
        ops, count = tuple(OPS), rng.choice((0, 0, 1, 1, 2))
    names = [t.name for t in model.graph.initializer] + [v.name for v in model.graph.input] + [""]
    others = [rng.choice(names) for _ in range(count)]
    made = helper.make_node(rng.choice(ops), [node.input[place], *others], ["made"])
    node.input[place] = "made"
    if rng.random() < 0.5:
        an_attribute(rng, made)
    model.graph.node.insert(list(model.graph.node).index(node), made)


BINARY = ("Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "MatMul", "Gemm", "Concat", "PRelu")
ATTRIBUTES = (
    "alpha", "axes", "axis", "allowzero", "beta", "epsilon", "equation", "exclusive", "keepdims", "mode",
    "perm", "reverse", "to", "transA", "transB", "value", "value_floats", "value_ints", "value_string",
)  # fmt: skip


def an_attribute(rng: Random, node: onnx.NodeProto) -> None:
    value: Any = rng.choice((
        rng.choice((0, 1, -1, 2, 7, 10, 11)), rng.choice(WHOLE), rng.choice(REAL), "ij,jk->ik", "reflect",
        [0, 1], [1, 0], [rng.choice(WHOLE) for _ in range(3)], [0.5, 2.0],
        numpy_helper.from_array(np.ones((2, 2), np.float32)),
    ))  # fmt: skip
    known = list(onnx.defs.get_schema(node.op_type).attributes) if node.op_type in OPS else []
    names = known if known and rng.random() < 0.8 else ATTRIBUTES
    node.attribute.append(helper.make_attribute(rng.choice(names), value))


def other_attribute(rng: Random, model: ModelProto) -> None:
    an_attribute(rng, rng.choice(model.graph.node))


def a_reference(rng: Random, model: ModelProto) -> None:
    """An attribute of a node that stands for one of a function."""
    parts = [*model.graph.node, *(node for f in model.functions for node in f.node)]
    node = rng.choice(parts)
    name = rng.choice(("transB", "alpha", "axis", "perm", "to"))
    kind = onnx.AttributeProto.FLOAT if name == "alpha" else onnx.AttributeProto.INT
    node.attribute.add(name=name, type=kind, ref_attr_name=rng.choice(("transB", "other")))


def other_values(rng: Random, model: ModelProto) -> None:
    """Weights at the ends of their type, or of another type."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    try:
        values = np.array(numpy_helper.to_array(tensor))
    except UNREADABLE:
        return
    change = rng.randrange(3)
    with np.errstate(all="ignore"):
        if change == 0:
            values = np.array(values * rng.choice(REAL)).astype(values.dtype)
        elif change == 1:
            values = values.astype(rng.choice(("f2", "f4", "f8", "i4", "i8", "u1", "?", "c8")))
        elif values.size:
            new: Any = rng.choice(WHOLE if values.dtype.kind in "iu" else REAL)
            values.flat[rng.randrange(values.size)] = np.array(new).astype(values.dtype)
    tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))


def other_shape(rng: Random, model: ModelProto) -> None:
    """Weights of another shape with as many numbers, fewer, or none."""
    if not model.graph.initializer:
        return
    tensor = rng.choice(model.graph.initializer)
    try:
        values = numpy_helper.to_array(tensor)
    except UNREADABLE:
        return
    shapes = [
        values.T, values.reshape(-1), values[None], values[..., None], np.tile(values, 2),
        *([values[:0], values[:1], np.repeat(values, 2, 0)] if values.ndim else []),
    ]  # fmt: skip
    with suppress(NotImplementedError):  # of texts
        made = numpy_helper.from_array(np.ascontiguousarray(rng.choice(shapes)), tensor.name)
        tensor.CopyFrom(made)


def other_version(rng: Random, model: ModelProto) -> None:
    if model.opset_import and rng.random() < 0.7:
        rng.choice(model.opset_import).version = rng.choice((*range(7, 26), *WHOLE))
    else:
        model.ir_version = rng.choice((*range(3, 14), *WHOLE))


def other_port(rng: Random, model: ModelProto) -> None:
    """Inputs and outputs of a fixed batch, other ranks, other types."""
    port = rng.choice([*model.graph.input, *model.graph.output])
    kind = rng.choice((1, 1, 1, 11, 10, 7, 0))
    sizes: list[Any] = [
        ["n"],
        ["n", 1, 2],
        [1, 2],
        [3, 2],
        [2],
        [],
        ["n", "d"],
        ["n", 2**31],
        ["n", 0],
    ]
    port.CopyFrom(helper.make_tensor_value_info(port.name, kind, rng.choice(sizes)))


def a_large_size(rng: Random, model: ModelProto) -> None:
    """A size that sizes are made of, an input's or a weight's, is large."""
    size = rng.choice((2**10, 2**20, 2**24, 2**26, 2**27, 2**31 - 1, 2**31, 2**33, 2**40))
    whole = [t for t in model.graph.initializer if t.data_type == TensorProto.INT64 and t.raw_data]
    ports = [v for v in model.graph.input if len(v.type.tensor_type.shape.dim) > 1]
    if whole and rng.random() < 0.6:
        tensor = rng.choice(whole)
        values = np.array(numpy_helper.to_array(tensor))
        if values.size:
            values.flat[rng.randrange(values.size)] = size
        tensor.CopyFrom(numpy_helper.from_array(values, tensor.name))
    elif ports:
        rng.choice(rng.choice(ports).type.tensor_type.shape.dim).dim_value = size


def some_field(rng: Random, model: ModelProto) -> None:
    alter_message(rng, model)


CHANGES: tuple[Change, ...] = (
    some_field, some_field, some_field, other_operator, one_more_node, other_attribute, a_reference,
    other_values, other_shape, other_version, other_port, a_large_size,
)  # fmt: skip


def alter(rng: Random, folder: Path) -> str:
    honest, hostile = graphs()
    name = rng.choice([*honest] if rng.random() < 0.85 else [*hostile])
    model = deepcopy(honest.get(name) or hostile[name])
    how = [name]
    for _ in range(rng.choice((0, 1, 1, 1, 1, 2, 2, 3))):
        whole = model.graph.node and model.graph.input and model.graph.output
        change = rng.choice(CHANGES) if whole else some_field
        how.append(change.__name__)
        change(rng, model)
    data = model.SerializeToString()
    if rng.random() < 0.1 or len(how) == 1:
        how.append("bytes")
        data = altered_bytes(rng, data)
    (folder / "m.onnx").write_bytes(data)
    return ", ".join(how)


def honest(folder: Path) -> None:
    """What some of them name."""
    (folder / "short.bin").write_bytes(np.ones(6, np.float32).tobytes())


def check(folder: Path, command: str, said: Said) -> None:
    path = folder / "m.onnx"
    model = open_model(path).onnx
    points = points_for(path, model, ROWS)
    expected = None if points is None else raw_outputs(path, model, points)
    if points is None or expected is None:
        return
    rounding = rounding_of(path, model, points, expected)
    with suppress(ModelError):  # of no outputs, for one
        check_same(run_float32(model, points), expected, "what was read", rounding)
    if command.startswith("compress"):
        check_compressed(folder / "o.safetensors", path)
    if command.startswith("export"):
        check_c(folder / "m.c", points, expected, rounding)


DEVICE = "--device laptop-x86"
QUICK = "--seconds 0.001 --batch 1"
KIND = Kind(
    honest,
    alter,
    (
        "inspect m.onnx",
        "inspect m.onnx --json",
        *3
        * (
            f"compress m.onnx --no-recover --tolerance {TOLERANCE} {DEVICE} --domain 0:1 "
            "--out o.safetensors",
        ),
        "export m.onnx --format c --out m.c",
        f"bench m.onnx {DEVICE} {QUICK} --json",
        "ntk m.onnx --domain 0:1 --points 8",
        "report m.onnx --out r.html",
    ),
    check,
)
