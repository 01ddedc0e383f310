"""The operators that hedge reads in strangers' graphs: those whose results have sizes that can be told.

What is left out draws numbers at random, asks for sizes by values (windows, samplers, crops), works on
sequences, texts and images, or is one that onnx's shape inference crashes on or misjudges, or its
conversion from old opsets gets wrong (Hardmax, Resize).
"""

from __future__ import annotations

from onnx import NodeProto

from hedge.errors import ModelError

STANDARD = frozenset({
    "Abs", "Acos", "Acosh", "Add", "And", "ArgMax", "ArgMin", "Asin", "Asinh", "Atan", "Atanh",
    "AveragePool", "BatchNormalization", "BitShift", "BitwiseAnd", "BitwiseNot", "BitwiseOr",
    "BitwiseXor", "Cast", "CastLike", "Ceil", "Celu", "Clip", "Concat", "Constant",
    "ConstantOfShape", "Conv", "Cos", "Cosh", "CumSum", "DepthToSpace", "DequantizeLinear",
    "Div", "Dropout", "DynamicQuantizeLinear", "Einsum", "Elu", "Equal", "Erf", "Exp", "Expand",
    "EyeLike", "Flatten", "Floor", "Gather", "GatherElements", "GatherND", "Gelu", "Gemm",
    "GlobalAveragePool", "GlobalMaxPool", "Greater", "GreaterOrEqual", "GroupNormalization",
    "HardSigmoid", "HardSwish", "Identity", "InstanceNormalization", "IsInf", "IsNaN",
    "LayerNormalization", "LeakyRelu", "Less", "LessOrEqual", "Log", "LogSoftmax",
    "LpNormalization", "MatMul", "MatMulInteger", "Max", "MaxPool", "Mean",
    "MeanVarianceNormalization", "Min", "Mish", "Mod", "Mul", "Neg", "NonZero", "Not", "OneHot",
    "Or", "PRelu", "Pad", "Pow", "QLinearMatMul", "QuantizeLinear", "RMSNormalization", "Range",
    "Reciprocal", "ReduceL1", "ReduceL2", "ReduceLogSum", "ReduceLogSumExp", "ReduceMax",
    "ReduceMean", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare", "Relu", "Reshape",
    "Round", "ScatterElements", "ScatterND", "Selu", "Shape", "Shrink", "Sigmoid", "Sign",
    "Sin", "Sinh", "Size", "Slice", "Softmax", "Softplus", "Softsign", "SpaceToDepth", "Split",
    "Sqrt", "Squeeze", "Sub", "Sum", "Swish", "Tan", "Tanh", "ThresholdedRelu", "Tile", "TopK",
    "Transpose", "Trilu", "Unsqueeze", "Where", "Xor",
})  # fmt: skip
# What onnxruntime writes into the files that it has optimised.
OF_ONNXRUNTIME = frozenset(
    {"BiasGelu", "FastGelu", "FusedGemm", "FusedMatMul", "Gelu", "QuickGelu"}
)


def check_operator(node: NodeProto) -> None:
    """Raise ModelError if a node is of no operator that hedge reads, or has attributes that none has."""
    known = {"": STANDARD, "ai.onnx": STANDARD, "com.microsoft": OF_ONNXRUNTIME}
    if node.op_type not in known.get(node.domain, frozenset()):
        where = f" of the domain {node.domain!r}" if node.domain else ""
        raise ModelError(
            f"holds the operator {node.op_type!r}{where}, which hedge does not read; "
            "export it with dense layers, arithmetic and activations of standard ONNX"
        )
    # onnx and onnxruntime understand these values differently, or crash.
    for attribute in node.attribute:
        allowed = {
            "allowzero": (0, 1),
            "num_outputs": (len(node.output),),
            "batch_dims": (0, 1, 2, 3),
        }.get(attribute.name)
        if allowed is not None and attribute.i not in allowed:
            raise ModelError(
                f"attribute {attribute.name!r} of a {node.op_type} is out of range ({attribute.i})"
            )
