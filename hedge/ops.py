"""All that hedge knows of an ONNX operator, in one place: a new activation is one entry here.

Read by the reader of models (what is not here is refused), by reverse differentiation, by the groups of
neurons, by what onnxruntime fuses, by the costs of the device model and their calibration, by export to
C, by the import from torch, and by certification, whose checker has a table of its own
(certifying/checking/functions.py). tests/test_ops.py walks over the table.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import repeat
from typing import Literal

import numpy as np
from scipy.special import erf

from hedge import analytic, gradients
from hedge.analytic import Analytic
from hedge.arrays import Array
from hedge.errors import once
from hedge.gradients import Attributes

Kind = Literal["unary", "joining", "moving", "product", "reducing", "of shapes", "other"]
"""unary and joining are elementwise, of one operand and of several; moving leaves numbers as they are;
results of shapes depend on the number of rows, never on the rows."""

TINY = np.finfo(np.float64).tiny


@dataclass(frozen=True)
class Op:
    """One operator. An empty field says that there is none, or that nothing is known.

    value is the function itself in numpy, of those without attributes that networks are made of.
    derivative of unary ones: f'(x) from the input x and the output y; without it they are probed.
    gradients of those of two operands: from the output's gradient g and both operands those of both.
    gradient of those that work along axes of their first operand: from g, all operands and the attributes
    that of the first one.
    c is an expression of the operands {0}, {1}, …; {f} is the suffix of libm's functions for the
    precision, and attributes (name, default) become further operands. function is C that the expression
    calls, of the type {real}.
    cost names the pass that is measured and takes about as long (empty: its own), fused the same as part
    of the Gemm in front of it, where onnxruntime runs it so.
    """

    kind: Kind
    value: Callable[..., Array] | None = None
    derivative: Callable[[Array, Array], Array] | None = None
    gradients: Callable[[Array, Array, Array], tuple[Array, Array]] | None = None
    gradient: Callable[[Array, Sequence[Array], Attributes], Array] | None = None
    c: str = ""
    function: str = ""
    attributes: Mapping[str, float] = field(default_factory=dict)
    cost: str = ""
    fused: str = ""
    transcendental: bool = False
    swaps_with_transpose: bool = False  # onnxruntime moves transposes through it
    alias: bool = False  # hands on the same memory under another shape
    jumps: bool = False  # has no derivative, though its operand may move its result
    since: int = 0  # the opset before which the same node may mean something else
    cuts_axis: bool = False  # writes runs of numbers as long as what lies behind its axis
    torch: str = ""  # ATen's name, where it is the same function of the same operand
    enclosure: Analytic | None = None  # of those of one operand, as certification encloses them
    # |fl(f(x)) − f(x)| ≤ error32[0] + error32[1] |f(x)| in float32, whatever x
    error32: tuple[float, float] = (0.0, 0.0)

    @property
    def elementwise(self) -> bool:
        """Whether number i of the result depends on number i of the operands alone."""
        return self.kind in ("unary", "joining")

    @property
    def exact(self) -> bool:
        """Whether reverse mode needs no finite differences."""
        return bool(self.derivative or self.gradients or self.gradient) or self.kind == "moving"


def _ones(x: Array, y: Array) -> Array:
    return np.ones_like(x)


_UNARY: dict[str, Op] = {
    "Abs": Op("unary", c="fabs{f}({0})", cost="Neg", swaps_with_transpose=True, torch="abs"),
    "Acos": Op("unary", c="acos{f}({0})", cost="Sin", transcendental=True),
    "Acosh": Op("unary", c="acosh{f}({0})", cost="Softplus", transcendental=True),
    "Asin": Op("unary", c="asin{f}({0})", cost="Sin", transcendental=True),
    "Asinh": Op("unary", c="asinh{f}({0})", cost="Softplus", transcendental=True),
    "Atan": Op("unary", c="atan{f}({0})", cost="Sin", transcendental=True, torch="atan"),
    "Atanh": Op("unary", c="atanh{f}({0})", cost="Softplus", transcendental=True),
    "Ceil": Op("unary", c="ceil{f}({0})", cost="Neg", jumps=True),
    "Celu": Op(
        "unary", c="celu({0}, {1})",
        function="{real} celu({real} x, {real} a) {{ return x > 0 ? x : a * expm1{f}(x / a); }}",
        attributes={"alpha": 1.0}, cost="Softplus", transcendental=True,
    ),
    "Cos": Op(
        "unary", enclosure=analytic.COS, error32=(1.1e-7, 0.0), value=np.cos,
        derivative=lambda x, y: -np.sin(x), c="cos{f}({0})", cost="Sin", transcendental=True,
        swaps_with_transpose=True, torch="cos",
    ),
    "Cosh": Op("unary", c="cosh{f}({0})", cost="Sin", transcendental=True, torch="cosh"),
    "Elu": Op(
        "unary", c="elu({0}, {1})",
        function="{real} elu({real} x, {real} a) {{ return x > 0 ? x : a * expm1{f}(x); }}",
        attributes={"alpha": 1.0}, fused="Sigmoid", transcendental=True,
    ),
    "Erf": Op(
        "unary", enclosure=analytic.ERF, error32=(7e-8, 0.0), value=erf,
        derivative=lambda x, y: 2.0 / np.sqrt(np.pi) * np.exp(-x * x), c="erf{f}({0})",
        transcendental=True, swaps_with_transpose=True, torch="erf",
    ),
    "Exp": Op(
        "unary", enclosure=analytic.EXP, error32=(1e-37, 1e-7), value=np.exp,
        derivative=lambda x, y: y, c="exp{f}({0})", transcendental=True, swaps_with_transpose=True,
        torch="exp",
    ),
    "Floor": Op("unary", c="floor{f}({0})", cost="Neg", jumps=True),
    "Gelu": Op(  # with the attribute approximate="tanh": c99/operations.py
        "unary",
        c="gelu({0})",
        function=(
            "{real} gelu({real} x) {{ return 0.5{f} * x * erfc{f}(-0.70710678118654752{f} * x); }}"
        ),
        transcendental=True,
    ),
    "HardSigmoid": Op(
        "unary", c="hard_sigmoid({0}, {1}, {2})",
        function="{real} hard_sigmoid({real} x, {real} a, {real} b) "
            "{{ const {real} y = a * x + b; return y < 0 ? 0 : y > 1 ? 1 : y; }}",
        attributes={"alpha": 0.2, "beta": 0.5}, fused="Relu",
    ),
    "HardSwish": Op(
        "unary", c="{0} * hard_sigmoid({0}, {1}, {2})", attributes={"alpha": 1.0 / 6.0, "beta": 0.5}
    ),
    "LeakyRelu": Op(
        "unary", c="leaky_relu({0}, {1})",
        function="{real} leaky_relu({real} x, {real} a) {{ return x < 0 ? a * x : x; }}",
        attributes={"alpha": 0.01}, cost="Neg", fused="Relu",
    ),
    "Log": Op(
        "unary", enclosure=analytic.LOG, error32=(1e-37, 3e-7), c="log{f}({0})", cost="Sin",
        transcendental=True, torch="log",
    ),
    "Mish": Op(
        "unary", c="mish({0})",
        function="{real} mish({real} x) "
            "{{ return x * tanh{f}(fmax{f}(x, 0) + log1p{f}(exp{f}(-fabs{f}(x)))); }}",
        cost="Softplus", transcendental=True,
    ),
    "Neg": Op(
        "unary", value=np.negative, derivative=lambda x, y: -np.ones_like(x), c="-{0}",
        swaps_with_transpose=True, torch="neg",
    ),
    "Reciprocal": Op("unary", c="1 / {0}", cost="Neg", torch="reciprocal"),
    "Relu": Op(
        "unary", value=lambda x: np.maximum(x, 0.0),
        derivative=lambda x, y: (x > 0).astype(np.float64), c="relu({0})",
        function="{real} relu({real} x) {{ return x < 0 ? 0 : x; }}", cost="Neg", fused="Relu",
        torch="relu",
    ),
    "Round": Op("unary", c="rint{f}({0})", cost="Neg", jumps=True),
    "Selu": Op(
        "unary", c="selu({0}, {1}, {2})",
        function="{real} selu({real} x, {real} a, {real} g) "
            "{{ return g * (x > 0 ? x : a * expm1{f}(x)); }}",
        attributes={"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
        cost="Softplus", transcendental=True,
    ),
    "Sigmoid": Op(
        "unary", enclosure=analytic.SIGMOID, error32=(2e-7, 0.0),
        value=lambda x: 0.5 * np.tanh(0.5 * x) + 0.5, derivative=lambda x, y: y * (1.0 - y),
        c="sigmoid({0})", function="{real} sigmoid({real} x) {{ return 1 / (1 + exp{f}(-x)); }}",
        fused="Sigmoid", transcendental=True, swaps_with_transpose=True, torch="sigmoid",
    ),
    "Sign": Op(
        "unary", c="sign({0})",
        function="{real} sign({real} x) {{ return x > 0 ? 1 : x < 0 ? -1 : x; }}", cost="Neg",
        jumps=True,
    ),
    "Sin": Op(
        "unary", enclosure=analytic.SIN, error32=(1.1e-7, 0.0), value=np.sin,
        derivative=lambda x, y: np.cos(x), c="sin{f}({0})", transcendental=True,
        swaps_with_transpose=True, torch="sin",
    ),
    "Sinh": Op("unary", c="sinh{f}({0})", cost="Sin", transcendental=True, torch="sinh"),
    "Softplus": Op(
        "unary", enclosure=analytic.SOFTPLUS, error32=(1e-30, 3.6e-7),
        value=lambda x: np.maximum(x, 0.0) + np.log1p(np.exp(-np.abs(x))),
        derivative=lambda x, y: 1.0 / (1.0 + np.exp(-x)), c="softplus({0})",
        function="{real} softplus({real} x) {{ return fmax{f}(x, 0) + log1p{f}(exp{f}(-fabs{f}(x))); }}",
        fused="Sigmoid", transcendental=True,
    ),
    "Softsign": Op(
        "unary", c="softsign({0})",
        function="{real} softsign({real} x) {{ return x / (1 + fabs{f}(x)); }}", fused="Relu",
    ),
    "Sqrt": Op(
        "unary", enclosure=analytic.SQRT, error32=(0.0, 6e-8), c="sqrt{f}({0})", cost="Neg",
        torch="sqrt",
    ),
    "Swish": Op(
        "unary", c="{0} * sigmoid({1} * {0})", attributes={"alpha": 1.0}, cost="QuickGelu",
        transcendental=True,
    ),
    "Tan": Op("unary", c="tan{f}({0})", cost="Sin", transcendental=True, torch="tan"),
    "Tanh": Op(
        "unary", enclosure=analytic.TANH, error32=(1e-37, 3.4e-7), value=np.tanh,
        derivative=lambda x, y: 1.0 - y * y, c="{tanh}({0})", fused="Sigmoid", transcendental=True,
        swaps_with_transpose=True, torch="tanh",
    ),
    "ThresholdedRelu": Op(
        "unary", c="thresholded_relu({0}, {1})",
        function="{real} thresholded_relu({real} x, {real} a) {{ return x > a ? x : 0; }}",
        attributes={"alpha": 1.0}, jumps=True,
    ),
    "Cast": Op("unary", derivative=_ones, cost="Neg"),
    "Clip": Op("unary", c="{0}", cost="Neg"),  # with its bounds: c99/operations.py
    "Identity": Op("unary", value=lambda x: x, derivative=_ones),
}  # fmt: skip
_JOINING: dict[str, Op] = {
    "Add": Op(
        "joining", value=np.add, gradients=lambda g, a, b: (g, g),
        c="{0} + {1}", swaps_with_transpose=True,
    ),
    "Div": Op(
        "joining", value=np.divide, gradients=lambda g, a, b: (g / b, -g * a / (b * b)),
        c="{0} / {1}", swaps_with_transpose=True,
    ),
    "Equal": Op("joining", c="({0} == {1})", cost="Add", jumps=True),
    "Greater": Op("joining", c="({0} > {1})", cost="Add", jumps=True),
    "GreaterOrEqual": Op("joining", c="({0} >= {1})", cost="Add", jumps=True),
    "Less": Op("joining", c="({0} < {1})", cost="Add", jumps=True),
    "LessOrEqual": Op("joining", c="({0} <= {1})", cost="Add", jumps=True),
    "Max": Op(
        "joining", c="larger({0}, {1})",
        function="{real} larger({real} a, {real} b) {{ return a > b || a != a ? a : b; }}",
        cost="Add",
    ),
    "Min": Op(
        "joining", c="smaller({0}, {1})",
        function="{real} smaller({real} a, {real} b) {{ return a < b || a != a ? a : b; }}",
        cost="Add",
    ),
    "Mul": Op(
        "joining", value=np.multiply, gradients=lambda g, a, b: (g * b, g * a),
        c="{0} * {1}", cost="Add", swaps_with_transpose=True,
    ),
    "Pow": Op(
        "joining", value=np.power,
        gradients=lambda g, a, b: (g * b * a ** (b - 1.0), g * a**b * np.log(np.maximum(a, TINY))),
        c="pow{f}({0}, {1})", transcendental=True,
    ),
    "PRelu": Op(
        "joining", value=lambda x, a: np.where(x < 0.0, a * x, x),
        gradients=lambda g, x, a: (g * np.where(x < 0.0, a, 1.0), g * np.minimum(x, 0.0)),
        c="prelu({0}, {1})",
        function="{real} prelu({real} x, {real} a) {{ return x < 0 ? a * x : x; }}", cost="Add",
    ),
    "Sub": Op(
        "joining", value=np.subtract, gradients=lambda g, a, b: (g, -g),
        c="{0} - {1}", cost="Add", swaps_with_transpose=True,
    ),
    "Sum": Op("joining", c="{0} + {1}", cost="Add"),
    "Where": Op("joining", c="({0} ? {1} : {2})", cost="Add"),
}  # fmt: skip
# What is left out draws numbers at random, asks for sizes by values (windows, samplers, crops), works on
# sequences, texts and images, or is one that onnx's shape inference crashes on or misjudges, or its
# conversion from old opsets gets wrong (Hardmax, Resize).
# Entries that several ops share:
_ALIKE = (
    (Op("moving"), "DepthToSpace Gather SpaceToDepth Transpose"),
    (Op("moving", cuts_axis=True), "Concat Slice Split"),
    (Op("moving", cost="Slice", cuts_axis=True), "Tile"),
    (Op("moving", cost="Slice", cuts_axis=True, since=19), "Pad"),  # a mode was added
    (Op("moving", alias=True), "Reshape"),
    (Op("moving", cost="Reshape", alias=True), "Flatten Squeeze Unsqueeze"),
    (Op("moving", cost="Neg"), "Expand"),
    (Op("product", gradients=gradients.matmul), "MatMul"),
    (Op("reducing", gradient=gradients.reduced_mean), "ReduceMean"),
    (Op("reducing", gradient=gradients.reduced_sum), "ReduceSum"),
    (Op("other", gradient=gradients.layer_norm), "LayerNormalization"),
    (Op("of shapes", cost="Reshape"), "Shape"),
    (Op("of shapes"), "Size"),
    (Op("other", cost="Add", jumps=True), "And"),
    (Op("other", cost="Gather"), "GatherElements GatherND"),
    (Op("other", cost="Gather", since=18), "ScatterElements"),  # ways to reduce were added
    (
        Op("other", jumps=True),
        "ArgMax ArgMin BitShift BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CastLike "
        "DynamicQuantizeLinear IsInf IsNaN MatMulInteger NonZero "
        "Not OneHot Or QLinearMatMul QuantizeLinear Range Shrink TopK Xor",
    ),
    (Op("other", jumps=True, since=28), "Mod"),  # of reals
    (Op("other", since=18), "ScatterND"),
    (Op("other", since=21), "GroupNormalization"),  # a scale per channel in place of one per group
    (Op("other", since=22), "AveragePool MaxPool"),  # the last window
    (
        Op("other"),
        "BatchNormalization Constant ConstantOfShape Conv CumSum DequantizeLinear "
        "Dropout Einsum EyeLike Gemm GlobalAveragePool GlobalMaxPool "
        "InstanceNormalization LogSoftmax LpNormalization Mean "
        "MeanVarianceNormalization RMSNormalization ReduceL1 ReduceL2 ReduceLogSum "
        "ReduceLogSumExp ReduceMax ReduceMin ReduceProd ReduceSumSquare Softmax Trilu",
    ),
)
OPS: Mapping[str, Op] = once(
    _UNARY.items(), _JOINING.items(), *(zip(names.split(), repeat(op)) for op, names in _ALIKE)
)
# What onnxruntime writes into the files that it has optimised.
OF_ONNXRUNTIME = frozenset(
    {"BiasGelu", "FastGelu", "FusedGemm", "FusedMatMul", "Gelu", "QuickGelu"}
)
# How nodes run that are no operator of a file.
_RUNS: Mapping[str, Op] = {
    "QuickGelu": Op("unary", transcendental=True),
    "Transpose of rows": Op("moving", cost="Slice"),
}


def op_of(name: str) -> Op:
    """Of a standard operator, or of what nodes run as; one of which nothing is known for other names.

    >>> op_of("Tanh").fused, op_of("Tanh").elementwise
    ('Sigmoid', True)
    """
    return OPS.get(name) or _RUNS.get(name) or Op("other")
