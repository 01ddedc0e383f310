"""Pairs of small networks that differ a little, and their certificates."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, numpy_helper

from hedge.certifying.certificate import CertifiedFile, Difference
from hedge.certifying.proving import as_difference, prove
from hedge.graph import GraphBuilder
from hedge.problems import Domain

FILES = [CertifiedFile(name=name, sha256="0" * 64) for name in ("small.onnx", "dense.onnx")]


def perturbed(model: ModelProto, seed: int = 1, share: float = 0.05) -> ModelProto:
    """The same with other weights; numbers of which there is one only stay."""
    copy, rng = ModelProto(), np.random.default_rng(seed)
    copy.CopyFrom(model)
    for tensor in copy.graph.initializer:
        values = numpy_helper.to_array(tensor)
        if values.dtype == np.float32 and values.size > 1:
            noise = 1.0 + share * rng.standard_normal(values.shape)
            tensor.CopyFrom(
                numpy_helper.from_array((values * noise).astype(np.float32), tensor.name)
            )
    return copy


def line(neurons: int = 5, seed: int = 1) -> ModelProto:
    """u(x) of one variable: two layers of tanh, the first one steep."""
    rng, graph = np.random.default_rng(seed), GraphBuilder()
    weight, bias = _weights(rng, neurons, 1)
    a = graph.add("Tanh", graph.linear("x", 3.0 * weight, bias))
    b = graph.add("Tanh", graph.linear(a, *_weights(rng, neurons, neurons)))
    return graph.model({"x": 1}, {graph.linear(b, *_weights(rng, 1, neurons), "u"): 1})


def _weights(rng: np.random.Generator, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
    return rng.standard_normal((rows, columns)), rng.standard_normal(rows)


def tour() -> ModelProto:
    """Operators that no other architecture here has, two outputs."""
    rng, g = np.random.default_rng(3), GraphBuilder()
    x, y = g.split("x", [1, 1], 1)
    parts = [
        g.add("Cos", x),
        g.add("Log", g.add("Add", x, 3.0)),
        g.add("Sqrt", g.add("Sub", 4.0, y)),
        g.add("Reciprocal", g.add("Sub", y, 3.0)),
        g.add("Div", x, g.add("Exp", y)),
        g.add("Pow", y, np.array(2.0)),
        g.add("Pow", g.add("Add", y, 2.0), np.array(1.5)),
        g.add("Abs", g.add("Sub", x, y)),
        g.add("LeakyRelu", y, alpha=0.1),
        g.add("Clip", x, np.float32(-0.5), np.float32(0.25)),
        g.add("Max", x, y),
        g.add("Min", x, g.add("Neg", y)),
        g.add("Sum", x, y, g.add("Erf", x)),
        g.add("ReduceMean", "x", axes=[1]),
        g.add("ReduceSum", "x", [1], keepdims=1),
    ]
    z = g.add("Concat", *parts, axis=1)
    z = g.add("Reshape", g.add("Transpose", g.add("Unsqueeze", z, [1]), perm=[0, 2, 1]), [-1, 15])
    z = g.add("Gather", z, np.arange(15)[::-1].copy(), axis=1)
    z = g.add("MatMul", g.add("Slice", z, [1], [15], [1]), rng.standard_normal((14, 6)))
    z = g.add("Sigmoid", g.add("Add", z, rng.standard_normal(6)))
    return g.model({"x": 2}, {g.linear(g.add("Identity", z), *_weights(rng, 2, 6), "u"): 2})


def certified(
    small: ModelProto, dense: ModelProto, *ends: tuple[float, float], gap: float = 0.05
) -> Difference:
    """Proved to so much, or from a hundred boxes."""
    with np.errstate(invalid="ignore"):  # bounds that are infinite yet
        pair, proof = prove(small, dense, Domain(ends), gap=gap, most=100)
    columns = [f"u{j}" for j in range(proof.bounds.largest.shape[1])]
    return as_difference(pair, proof, FILES, columns)
