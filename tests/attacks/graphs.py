"""Graphs that a stranger might send: each by name, with a word of the line that must refuse it."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, SparseTensorProto, TensorProto, helper, numpy_helper

from tests.conftest import make_model, random_mlp

node = helper.make_node


def gemm(source: str = "x", target: str = "u", weight: str = "w") -> NodeProto:
    return node("Gemm", [source, weight], [target], transB=1)


def after_layer(*nodes: NodeProto, width: int = 1, **weights: np.ndarray) -> ModelProto:
    """y = x wᵀ of ``width`` columns, and these nodes, which write u."""
    w = np.random.default_rng(0).standard_normal((width, 2))
    return make_model([gemm(target="y"), *nodes], {"w": w, **weights}, inputs=2, outputs=None)


def named_file(name: str, location: str, shape: tuple[int, ...] = (1, 6)) -> TensorProto:
    """Weights that lie in a file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=shape)
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in {
        "location": location,
        "offset": "0",
        "length": str(4 * np.prod(shape)),
    }.items():
        entry = tensor.external_data.add()
        entry.key, entry.value = key, value
    return tensor  # fmt: skip


def with_initializer(tensor: TensorProto) -> ModelProto:
    model = after_layer(node("Add", ["y", tensor.name], ["u"]))
    model.graph.initializer.append(tensor)
    return model


def file_in_constant(location: str) -> ModelProto:
    constant = node("Constant", [], ["c"], value=named_file("", location))
    return after_layer(constant, node("Add", ["y", "c"], ["u"]))


def function(name: str, nodes: list[NodeProto]) -> onnx.FunctionProto:
    """A function of x that returns y."""
    imports = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
    return helper.make_function("local", name, ["x"], ["y"], nodes, imports)


def calling(*functions: onnx.FunctionProto) -> ModelProto:
    """A model that calls the first of these functions."""
    model = after_layer(node(functions[0].name, ["y"], ["u"], domain="local"))
    model.opset_import.append(helper.make_opsetid("local", 1))
    model.functions.extend(functions)
    return model


def file_in_function(location: str) -> ModelProto:
    constant = node("Constant", [], ["c"], value=named_file("", location))
    return calling(function("f", [constant, node("Add", ["x", "c"], ["y"])]))


def doubling(depth: int) -> ModelProto:
    """Functions that each call the next one twice."""
    last = function(f"f{depth}", [node("Tanh", ["x"], ["y"])])
    pairs = [
        function(
            f"f{i}",
            [
                node(f"f{i + 1}", ["x"], ["t"], domain="local"),
                node(f"f{i + 1}", ["t"], ["y"], domain="local"),
            ],
        )
        for i in range(depth)
    ]
    return calling(*pairs, last)


def circle() -> ModelProto:
    first = function("f", [node("g", ["x"], ["y"], domain="local")])
    return calling(first, function("g", [node("f", ["x"], ["y"], domain="local")]))


def branching(body: onnx.GraphProto) -> ModelProto:
    branch = node("If", ["yes"], ["u"], then_branch=body, else_branch=body)
    return after_layer(branch, yes=np.array(True))


def body(*nodes: NodeProto, weights: tuple[TensorProto, ...] = ()) -> onnx.GraphProto:
    result = helper.make_tensor_value_info("t", TensorProto.FLOAT, None)
    return helper.make_graph(list(nodes), "body", [], [result], list(weights))


def hidden_loop() -> ModelProto:
    """Control flow inside a function."""
    inner = node("If", ["x"], ["y"], then_branch=body(), else_branch=body())
    return calling(function("f", [inner]))


def loop_with_a_plan() -> ModelProto:
    """A loop of 2⁶² turns in a file that says of itself that hedge exported it."""
    turn = helper.make_graph(
        [node("Identity", ["c"], ["d"]), node("Add", ["a", "a"], ["b"])],
        "turn",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
            helper.make_tensor_value_info("a", TensorProto.FLOAT, None),
        ],
        [
            helper.make_tensor_value_info("d", TensorProto.BOOL, []),
            helper.make_tensor_value_info("b", TensorProto.FLOAT, None),
        ],
    )
    model = after_layer(
        node("Loop", ["turns", "yes", "y"], ["u"], body=turn),
        turns=np.array(2**62),
        yes=np.array(True),
    )
    helper.set_model_props(model, {"hedge.plan": "{}"})
    return model


def sparse() -> SparseTensorProto:
    values = numpy_helper.from_array(np.ones(1, np.float32), "sparse")
    return SparseTensorProto(
        values=values, indices=numpy_helper.from_array(np.zeros(1, np.int64)), dims=[1, 1]
    )


def sparse_constant() -> ModelProto:
    constant = node("Constant", [], ["c"], sparse_value=sparse())
    return after_layer(constant, node("Add", ["y", "c"], ["u"]))


def sparse_initializer() -> ModelProto:
    model = after_layer(node("Add", ["y", "sparse"], ["u"]))
    model.graph.sparse_initializer.append(sparse())
    return model


def scaled(*nodes: NodeProto, **weights: np.ndarray) -> ModelProto:
    """u = y times the largest of what these nodes write, called big."""
    largest = node("ReduceMax", ["big"], ["most"], keepdims=0)
    return after_layer(*nodes, largest, node("Mul", ["y", "most"], ["u"]), **weights)


def huge(op: str, *names: str, **weights: np.ndarray) -> ModelProto:
    return scaled(node(op, list(names), ["big"]), **weights)


def computed_size() -> ModelProto:
    """A size made of the input's shape: a thousand million for two rows."""
    return scaled(
        node("Shape", ["x"], ["shape"]),
        node("Mul", ["shape", "much"], ["size"]),
        node("Expand", ["value", "size"], ["big"]),
        much=np.array([10**6, 10**3]),
        value=np.ones((1, 1)),
    )


def size_from_values() -> ModelProto:
    """A size that the numbers in x say."""
    return scaled(
        node("ReduceMax", ["x"], ["top"], keepdims=1),
        node("Cast", ["top"], ["whole"], to=TensorProto.INT64),
        node("Reshape", ["whole", "flat"], ["size"]),
        node("ConstantOfShape", ["size"], ["big"]),
        flat=np.array([1]),
    )


def many_per_row() -> ModelProto:
    return after_layer(node("Tile", ["y", "times"], ["u"]), times=np.array([1, 2**27]))


def outer_products() -> ModelProto:
    """Each node squares the numbers: of 2, then 4, 16, 256, 65,536, 2³²."""
    squares = [
        made
        for i in range(5)
        for made in (
            node("Reshape", [f"s{i}", "column"], [f"c{i}"]),
            node("Reshape", [f"s{i}", "row"], [f"r{i}"]),
            node("MatMul", [f"c{i}", f"r{i}"], ["big" if i == 4 else f"s{i + 1}"]),
        )
    ]
    return scaled(*squares, s0=np.ones(4), column=np.array([-1, 1]), row=np.array([1, -1]))


def reference_outside_a_function() -> ModelProto:
    model = random_mlp([2, 4, 1])
    model.graph.node[0].attribute[0].ref_attr_name = "other"
    return model


def old_opset(model: ModelProto) -> ModelProto:
    model.opset_import[0].version = 13
    return model


def with_nan_in_function() -> ModelProto:
    constant = node("Constant", [], ["c"], value=numpy_helper.from_array(np.float32([np.nan])))
    return calling(function("f", [constant, node("Add", ["x", "c"], ["y"])]))


def with_dims(*dims: int) -> ModelProto:
    model = random_mlp([2, 4, 1])
    del model.graph.initializer[0].dims[:]
    model.graph.initializer[0].dims.extend(dims)
    return model


def without_output() -> ModelProto:
    model = random_mlp([2, 4, 1])
    model.graph.node.add(op_type="Tanh", input=["x"])
    return model


def large_attribute() -> ModelProto:
    """A function that writes down its argument of 2 MB in 2,000 places."""
    places = []
    for i in range(2_000):
        place = NodeProto(op_type="Constant", output=[f"c{i}"])
        place.attribute.add(name="value", ref_attr_name="t", type=onnx.AttributeProto.TENSOR)
        places.append(place)
    imports = [helper.make_opsetid("", 17)]
    body = [*places, node("Tanh", ["x"], ["y"])]
    written = helper.make_function("local", "f", ["x"], ["y"], body, imports, attributes=["t"])
    model = calling(written)
    value = numpy_helper.from_array(np.zeros(500_000, np.float32))
    model.graph.node[1].attribute.append(helper.make_attribute("t", value))
    return model


def huge_in_function(opset: int) -> ModelProto:
    size = numpy_helper.from_array(np.array([40_000, 40_000]))
    body = [
        node("Constant", [], ["size"], value=size),
        node("ConstantOfShape", ["size"], ["big"]),
        node("ReduceMax", ["big"], ["most"], keepdims=0),
        node("Mul", ["x", "most"], ["y"]),
    ]
    imports = [helper.make_opsetid("", opset)]
    return calling(helper.make_function("local", "f", ["x"], ["y"], body, imports))


def long_domain() -> ModelProto:
    model = huge("ConstantOfShape", "s", s=np.array([40_000, 40_000]))
    model.graph.node[1].domain = model.opset_import[0].domain = "ai.onnx"
    return model


def placeholder() -> ModelProto:
    model = after_layer(node("Site", ["y"], ["u"], domain="hedge", name="site0"))
    model.opset_import.append(helper.make_opsetid("hedge", 1))
    return model


def behind_unknown() -> ModelProto:
    """What onnxruntime alone knows says how much there is."""
    model = scaled(
        node("FastGelu", ["much"], ["more"], domain="com.microsoft"),
        node("Cast", ["more"], ["size"], to=TensorProto.INT64),
        node("ConstantOfShape", ["size"], ["big"]),
        much=np.array([1e5, 1e5]),
    )
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))
    return model


def unknown_domain() -> ModelProto:
    model = after_layer(node("Wave", ["y"], ["u"], domain="nobody"))
    model.opset_import.append(helper.make_opsetid("nobody", 1))
    return model


def split_in_more_parts() -> ModelProto:
    """onnx would write beyond the node's outputs."""
    parts = node("Split", ["y"], ["a", "b", "u"], axis=1, num_outputs=2)
    model = after_layer(parts, width=6)
    model.opset_import[0].version = 18
    return model


def shadowing(operator: str, domain: str = "") -> ModelProto:
    """onnxruntime keeps to its own operator, onnx writes out this function."""
    imports = [helper.make_opsetid("", 17)]
    model = after_layer(node(operator, ["y"], ["u"], domain=domain))
    if domain:
        model.opset_import.append(helper.make_opsetid(domain, 1))
    sine = node("Sin", ["x"], ["y"])
    model.functions.append(helper.make_function(domain, operator, ["x"], ["y"], [sine], imports))
    return model


def another_overload() -> ModelProto:
    """The call is of a placeholder's name, which hedge would take for its own."""
    model = placeholder()
    sine = node("Sin", ["x"], ["y"])
    imports = [helper.make_opsetid("", 17)]
    function = helper.make_function("hedge", "Site", ["x"], ["y"], [sine], imports)
    function.overload = "other"
    model.functions.append(function)
    return model


def many_imports() -> ModelProto:
    model = random_mlp([2, 4, 1])
    model.opset_import.extend(helper.make_opsetid(f"d{i}", 1) for i in range(1000))
    return model


def one_file_often() -> ModelProto:
    model = with_initializer(named_file("leak", "short.bin"))
    model.graph.initializer.extend(named_file(f"again{i}", "short.bin") for i in range(9))
    return model


def negative_input() -> ModelProto:
    """onnx ends the process where it cuts such an axis."""
    model = wide_input()
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = -2
    return model


def wide_input() -> ModelProto:
    bounds = {"s": np.array([0]), "e": np.array([2]), "axis": np.array([1])}
    nodes = [node("Slice", ["x", "s", "e", "axis"], ["y"]), gemm("y")]
    return make_model(nodes, {"w": np.ones((1, 2)), **bounds}, inputs=10**9)


SECRET = "private/key"  # six float32 numbers below the current folder and below the model's

HOSTILE: dict[str, tuple[Callable[[], ModelProto], str]] = {
    "file in an initializer": (lambda: with_initializer(named_file("leak", SECRET)), "outside"),
    "file in a constant": (lambda: file_in_constant(SECRET), "outside"),
    "file in a function": (lambda: file_in_function(SECRET), "outside"),
    "file in a branch": (
        lambda: branching(body(weights=(named_file("t", SECRET),))),
        "control flow (If)",
    ),
    "hidden file": (lambda: file_in_constant(".netrc"), "hidden"),
    "file by its full name": (lambda: file_in_function("/etc/passwd"), "outside"),
    "file with a Windows path": (lambda: file_in_constant("private\\key"), "outside"),
    "file behind a link": (lambda: file_in_constant("link.bin"), "link"),
    "folder as a file": (lambda: file_in_constant("private"), "is no file"),
    "device": (lambda: file_in_constant("pipe"), "is no file"),
    "file too long": (
        lambda: with_initializer(named_file("leak", "short.bin", (2**40,))),
        "shorter",
    ),
    "offset of 5,000 digits": (lambda: with_initializer(odd_address("9" * 5000)), "address"),
    "negative offset": (lambda: with_initializer(odd_address("-8")), "address"),
    "functions that double": (lambda: doubling(28), "805,306,368 nodes"),
    "functions in a circle": (circle, "circle"),
    "function in an operator's place": (lambda: shadowing("Tanh"), "standard operators"),
    "function in the place of onnxruntime's": (
        lambda: shadowing("QuickGelu", "com.microsoft"),
        "onnxruntime's own",
    ),
    "function that is another overload": (another_overload, "'Site' of the domain 'hedge'"),
    "many sets of operators": (many_imports, "sets of operators"),
    "too many nodes": (
        lambda: after_layer(
            *[node("Tanh", ["y"], [f"t{i}"]) for i in range(10_001)], node("Tanh", ["y"], ["u"])
        ),
        "nodes",
    ),
    "functions given a large attribute": (large_attribute, "bytes, functions written out"),
    "function of an old opset": (lambda: huge_in_function(16), "numbers"),
    "standard operators under their long name": (long_domain, "numbers"),
    "placeholder of a compressed model": (placeholder, "'Site'"),
    "negative sizes": (lambda: huge("Pad", "x", "p", p=np.array([0, 0, 0, -9])), "big"),
    "random numbers": (lambda: scaled(node("RandomNormal", [], ["big"], shape=[9])), "RandomNormal"),
    "unknown domain": (unknown_domain, "'nobody'"),
    "split into other parts": (split_in_more_parts, "'num_outputs'"),
    "reshape by another rule": (
        lambda: after_layer(node("Reshape", ["y", "s"], ["u"], allowzero=3), s=np.array([0, 1])),
        "'allowzero'",
    ),
    "index of negative batches": (
        lambda: after_layer(
            node("GatherND", ["y", "i"], ["u"], batch_dims=-3), i=np.array([[0, 0]])
        ),
        "'batch_dims'",
    ),
    "endless product": (
        lambda: scaled(
            node("Einsum", ["v"] * 6, ["big"], equation="a,b,c,d,e,f->"), v=np.ones(500)
        ),
        "times",
    ),
    "endless window": (
        lambda: scaled(
            node("ConstantOfShape", ["s"], ["image"]),
            node("MaxPool", ["image"], ["big"], kernel_shape=[2000, 2000]),
            s=np.array([1, 1, 4000, 4000]),
        ),
        "times",
    ),
    "sizes that overflow": (
        lambda: huge("Tile", "s", "t", s=np.array([4]), t=np.array([2**62 + 1])),
        "beyond",
    ),
    "attribute that overflows": (
        lambda: after_layer(node("Concat", ["y", "y"], ["u"], axis=2**62)),
        "out of range",
    ),
    "shapes that never fit": (
        lambda: after_layer(node("Add", ["y", "c"], ["u"]), c=np.zeros((13, 1))),
        "does not fit",
    ),
    "huge behind an unknown operator": (behind_unknown, "hangs on the values"),
    "one file many times": (one_file_often, "take more of 'short.bin'"),
    "input of many columns": (wide_input, "numbers"),
    "input of a negative size": (negative_input, "the size -2"),
    "functions in a long row": (lambda: long_row(300), "deep"),
    "control flow": (lambda: branching(body(node("Identity", ["y"], ["t"]))), "(If)"),
    "control flow in a function": (hidden_loop, "(If)"),
    "endless loop with a plan": (loop_with_a_plan, "(Loop)"),
    "sparse constant": (sparse_constant, "sparse"),
    "sparse initializer": (sparse_initializer, "sparse"),
    "sparse initializer of an old opset": (lambda: old_opset(sparse_initializer()), "sparse"),
    "huge constant": (lambda: huge("ConstantOfShape", "s", s=np.array([40_000, 40_000])), "numbers"),
    "huge expansion": (
        lambda: huge("Expand", "one", "s", one=np.ones((1, 1)), s=np.array([10**9, 10**9])),
        "numbers",
    ),
    "huge range": (
        lambda: huge("Range", "a", "b", "c", a=np.array(0), b=np.array(2**60), c=np.array(1)),
        "numbers",
    ),
    "huge padding": (
        lambda: huge("Pad", "x", "p", p=np.array([0, 0, 0, 2**33])),
        "numbers",
    ),
    "huge one-hot": (
        lambda: huge(
            "OneHot", "i", "d", "v", i=np.array([1]), d=np.array(2**34), v=np.array([0.0, 1.0])
        ),
        "numbers",
    ),
    "huge by the shape of the input": (computed_size, "numbers"),
    "huge by the values of the input": (size_from_values, "values"),
    "huge by outer products": (outer_products, "times"),
    "many numbers a row": (many_per_row, "numbers"),
    "size that values tell": (
        lambda: scaled(node("NonZero", ["x"], ["i"]), node("Cast", ["i"], ["big"], to=1)),
        "values",
    ),
    "sequence": (
        lambda: after_layer(
            node("SequenceConstruct", ["y", "y"], ["s"]),
            node("ConcatFromSequence", ["s"], ["u"], axis=1),
        ),
        "'SequenceConstruct'",
    ),
    "text": (lambda: after_layer(node("Cast", ["y"], ["u"], to=TensorProto.STRING)), "numbers"),
    "weights of text": (
        lambda: with_initializer(helper.make_tensor("t", TensorProto.STRING, [1], [b"a"])),
        "text",
    ),
    "reference outside a function": (reference_outside_a_function, "'other'"),
    "NaN in a function": (with_nan_in_function, "NaN"),
    "negative size": (lambda: with_dims(-1), "shape (-1,)"),
    "sizes beyond 64 bits": (lambda: with_dims(2**40, 2**40), "'w0'"),
    "node without an output": (without_output, "Tanh"),
}  # fmt: skip


def odd_address(offset: str) -> TensorProto:
    tensor = named_file("leak", "short.bin")
    tensor.external_data[1].value = offset
    return tensor


def long_row(length: int) -> ModelProto:
    """Functions that each call the next one once."""
    last = function(f"f{length}", [node("Tanh", ["x"], ["y"])])
    row = [
        function(f"f{i}", [node(f"f{i + 1}", ["x"], ["y"], domain="local")]) for i in range(length)
    ]
    return calling(*row, last)
