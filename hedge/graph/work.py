"""The work a graph does: nodes, flops, bytes and transcendental functions of one call."""

from __future__ import annotations

from collections import Counter

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.devices import BYTES_PER_FLOAT, Work, gemm_work
from hedge.graph.evaluation import Evaluator
from hedge.graph.ports import input_dimension, input_names

TRANSCENDENTAL = frozenset(
    {
        "Acos", "Acosh", "Asin", "Asinh", "Atan", "Atanh", "Celu", "Cos", "Cosh", "Elu", "Erf",
        "Exp", "Gelu", "Log", "Mish", "Pow", "Selu", "Sigmoid", "Sin", "Sinh", "Softplus", "Swish",
        "Tan", "Tanh",
    }
)  # fmt: skip
# onnxruntime runs these together with the Gemm in front of them, as one node.
FUSED_WITH_GEMM = frozenset({"LeakyRelu", "Relu", "Sigmoid", "Softplus", "Tanh"})
FREE = frozenset({"Identity"})


def graph_work(model: ModelProto, batch: int) -> Work:
    """The work of one call of a runnable model: nodes after fusion, flops, bytes, activations.

    Tensor sizes are taken from a run on two rows; what does not grow with the batch is a weight.
    """
    graph = model.graph
    weights = {t.name: numpy_helper.to_array(t) for t in graph.initializer}
    names = [*input_names(model), *(name for node in graph.node for name in node.output if name)]
    rows = 2
    values = Evaluator(model, names).intermediates(np.zeros((rows, input_dimension(model))))
    per_row = {name: value.size / rows for name, value in values.items()}
    readers = Counter(name for node in graph.node for name in node.input)
    gemm_outputs = {
        node.output[0]
        for node in graph.node
        if node.op_type == "Gemm" and readers[node.output[0]] == 1
    }
    total = Work()
    for node in graph.node:
        if node.op_type in FREE:
            continue
        sizes = [per_row.get(name, 0.0) for name in node.output]
        constants = [weights[name] for name in node.input if name in weights]
        if node.op_type in ("Gemm", "MatMul") and constants and constants[0].ndim == 2 and sizes[0]:
            outputs = round(sizes[0])
            work = gemm_work(batch, outputs, constants[0].size // outputs)
        else:
            fused = node.op_type in FUSED_WITH_GEMM and node.input[0] in gemm_outputs
            moved = sum(sizes) + sum(per_row.get(name, 0.0) for name in node.input)
            work = Work(
                nodes=0 if fused else 1,
                bytes=0 if fused else BYTES_PER_FLOAT * batch * moved,
                activations=batch * sum(sizes) if node.op_type in TRANSCENDENTAL else 0,
            )
        total += work
    return total
