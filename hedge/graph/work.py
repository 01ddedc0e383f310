"""The work a graph does: nodes, flops, bytes and transcendental functions of one call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.devices import Work, batched_work, copy_work, gemm_work, transpose_work
from hedge.graph.evaluation import Evaluator
from hedge.graph.matrices import Matrix
from hedge.graph.ports import input_dimension, input_names
from hedge.graph.sites import SplitModel, assemble

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


def graph_work(model: ModelProto, batch: int) -> Work:
    """The work of one call of a runnable model: nodes after fusion, flops, bytes, activations.

    Tensor sizes are taken from a run on two rows; what does not grow with the batch is a weight.
    """
    return sum((work for _, work in _node_works(model, batch)), Work())


def site_works(split: SplitModel, matrices: Mapping[str, Matrix], batch: int) -> dict[str, Work]:
    """What each site's own nodes do in one call; activations and all other nodes are not theirs."""
    works = _node_works(assemble(split.skeleton, matrices), batch)
    return {
        site.name: sum(
            (
                work
                for output, work in works
                if output == site.output or output.startswith(f"{site.name}.")
            ),
            Work(),
        )
        for site in split.sites
    }


def _node_works(model: ModelProto, batch: int) -> list[tuple[str, Work]]:
    """(first output, work) of every node that runs by itself or adds to another one's work."""
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
    works: list[tuple[str, Work]] = []
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
        works.append((node.output[0], work))
    return works


def _batched(batch: int, shape: tuple[int, ...]) -> Work:
    """A MatMul with a constant (…, m, k), whichever side it is on."""
    return batched_work(batch, int(np.prod(shape[:-2])), shape[-2], shape[-1])
