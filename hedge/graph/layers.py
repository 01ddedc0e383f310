"""Hidden layers whose neurons may be removed, and the work a graph does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.devices import BYTES_PER_FLOAT, Work, gemm_work
from hedge.graph.evaluation import Evaluator
from hedge.graph.ports import input_dimension, input_names
from hedge.graph.reverse import BINARY_OPS, UNARY_OPS
from hedge.graph.sites import PLACEHOLDER_DOMAIN, SplitModel

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


@dataclass(frozen=True)
class HiddenLayer:
    """The neurons between two sites: ``producer`` writes them, ``consumer`` alone reads them.

    transcendental counts such functions per neuron, unfused the nodes that run by themselves.
    """

    producer: str
    consumer: str
    transcendental: int
    unfused: int


def hidden_layers(split: SplitModel) -> tuple[HiddenLayer, ...]:
    """Layers from whose neurons some can be dropped by shrinking the two sites around them.

    Between the two sites lie only elementwise ops of one neuron each (Tanh; Sigmoid and Mul; …)
    with scalar constants, and nothing else reads any tensor on the way.
    """
    graph = split.skeleton.graph
    scalars = {t.name for t in graph.initializer if int(np.prod(t.dims)) == 1}
    outputs = {value.name for value in graph.output}
    found = []
    for site in split.sites:
        layer, clean = {site.output}, site.output not in outputs
        consumers: list[str] = []
        ops: list[str] = []
        for node in graph.node:  # in topological order, so a node's inputs are classified before it
            if not layer & set(node.input):
                continue
            if node.domain == PLACEHOLDER_DOMAIN:
                consumers.append(node.name)
                continue
            elementwise = not node.domain and node.op_type in UNARY_OPS | BINARY_OPS
            alone = all(name in layer | scalars for name in node.input if name)
            clean = clean and elementwise and alone and node.output[0] not in outputs
            layer.add(node.output[0])
            ops.append(node.op_type)
        if clean and len(consumers) == 1:
            transcendental = sum(op in TRANSCENDENTAL for op in ops)
            unfused = 0 if len(ops) == 1 and ops[0] in FUSED_WITH_GEMM else len(ops)
            found.append(HiddenLayer(site.name, consumers[0], transcendental, unfused))
    return tuple(found)


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
