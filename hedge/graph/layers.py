"""Hidden layers whose neurons may be removed, and the work a graph does."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.devices import Work, batched_work, copy_work, gemm_work, transpose_work
from hedge.graph.evaluation import Evaluator
from hedge.graph.reading import input_dimension
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
# These hand on the same memory under another shape.
ALIASES = frozenset({"Flatten", "Reshape", "Squeeze", "Unsqueeze"})


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
    names = [name for node in graph.node for name in node.output if name]
    rows = 2
    values = Evaluator(model, names).intermediates(np.zeros((rows, input_dimension(model))))
    per_row = {name: value.size / rows for name, value in values.items()}
    per_row[graph.input[0].name] = float(input_dimension(model))
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
        if all(name in weights for name in node.input if name):
            weights |= {name: values[name] for name in node.output if name}  # folded at load
            continue
        sizes = sum(per_row.get(name, 0.0) for name in node.output)
        read = sum(per_row.get(name, 0.0) for name in node.input if name not in weights)
        constants = [weights[name] for name in node.input if name in weights]
        product = node.op_type in ("Gemm", "MatMul") and constants and sizes
        if product and constants[0].ndim == 2:
            work = gemm_work(batch, round(sizes), constants[0].size // round(sizes))
        elif product:
            work = _batched(batch, constants[0].shape)
        elif node.op_type in FUSED_WITH_GEMM and node.input[0] in gemm_outputs:
            work = Work()
        elif node.op_type == "Transpose":
            work = transpose_work(batch, sizes)
        elif node.op_type in ALIASES:
            work = Work(nodes=1)
        else:
            work = copy_work(batch, read, sizes)
        if node.op_type in TRANSCENDENTAL:
            work += Work(activations=batch * sizes)
        total += work
    return total


def _batched(batch: int, shape: tuple[int, ...]) -> Work:
    """A MatMul with a constant (…, m, k), whichever side it is on."""
    return batched_work(batch, int(np.prod(shape[:-2])), shape[-2], shape[-1])
