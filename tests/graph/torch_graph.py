"""Graphs in torch in float64, to be differentiated by what shares nothing with hedge."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from onnx import ModelProto, helper, numpy_helper

from hedge.graph.ports import feeds

Tensors = list[Any]


def _gemm(t: Tensors, a: dict[str, Any]) -> Any:
    product = t[0] @ (t[1].T if a.get("transB") else t[1])
    return product + t[2] if len(t) > 2 else product


def _split(t: Tensors, a: dict[str, Any]) -> Any:
    sizes = t[1].long().tolist() if len(t) > 1 else a["split"]
    return torch.split(t[0], sizes, dim=a.get("axis", 0))


def _norm(t: Tensors, a: dict[str, Any]) -> Any:
    return torch.nn.functional.layer_norm(t[0], t[0].shape[-1:], t[1], t[2], a.get("epsilon", 1e-5))


def _gelu(t: Tensors, a: dict[str, Any]) -> Any:
    return torch.nn.functional.gelu(t[0], approximate=a.get("approximate", b"none").decode())


f = torch.nn.functional
OPS: dict[str, Callable[[Tensors, dict[str, Any]], Any]] = {
    "Abs": lambda t, a: t[0].abs(),
    "Add": lambda t, a: t[0] + t[1],
    "Atan": lambda t, a: torch.atan(t[0]),
    "Celu": lambda t, a: f.celu(t[0], a.get("alpha", 1.0)),
    "Concat": lambda t, a: torch.cat(t, a["axis"]),
    "Cos": lambda t, a: torch.cos(t[0]),
    "Cosh": lambda t, a: torch.cosh(t[0]),
    "Div": lambda t, a: t[0] / t[1],
    "Elu": lambda t, a: f.elu(t[0], a.get("alpha", 1.0)),
    "Erf": lambda t, a: torch.erf(t[0]),
    "Exp": lambda t, a: torch.exp(t[0]),
    "Gelu": _gelu,
    "Gemm": _gemm,
    "LayerNormalization": _norm,
    "LeakyRelu": lambda t, a: f.leaky_relu(t[0], a.get("alpha", 0.01)),
    "Log": lambda t, a: torch.log(t[0]),
    "MatMul": lambda t, a: t[0] @ t[1],
    "Mish": lambda t, a: f.mish(t[0]),
    "Mul": lambda t, a: t[0] * t[1],
    "Neg": lambda t, a: -t[0],
    "Pow": lambda t, a: t[0] ** t[1],
    "Relu": lambda t, a: torch.relu(t[0]),
    "Selu": lambda t, a: f.selu(t[0]),
    "Sigmoid": lambda t, a: torch.sigmoid(t[0]),
    "Sin": lambda t, a: torch.sin(t[0]),
    "Sinh": lambda t, a: torch.sinh(t[0]),
    "Softmax": lambda t, a: torch.softmax(t[0], a.get("axis", -1)),
    "Softplus": lambda t, a: f.softplus(t[0], threshold=700.0),
    "Split": _split,
    "Squeeze": lambda t, a: t[0].squeeze(int(t[1][0])),
    "Sub": lambda t, a: t[0] - t[1],
    "Swish": lambda t, a: t[0] * torch.sigmoid(a.get("alpha", 1.0) * t[0]),
    "Tanh": lambda t, a: torch.tanh(t[0]),
    "Unsqueeze": lambda t, a: t[0].unsqueeze(int(t[1][0])),
}


def derivatives(
    model: ModelProto, points: np.ndarray, wanted: Sequence[tuple[str, Sequence[int]]]
) -> list[np.ndarray]:
    """Of tensors, in columns of the points (n, d), by automatic differentiation: (n, width) each."""
    columns = [torch.tensor(c, dtype=torch.float64, requires_grad=True) for c in points.T]
    tensors = _run(model, columns)
    return [_derivative(tensors[name], [columns[i] for i in each]) for name, each in wanted]


def _run(model: ModelProto, columns: list[Any]) -> dict[str, Any]:
    places = feeds(model, np.arange(len(columns), dtype=np.float64)[None])
    tensors = {
        t.name: torch.tensor(numpy_helper.to_array(t).astype(np.float64))
        for t in model.graph.initializer
    }
    for name, numbers in places.items():
        found = torch.stack([columns[int(i)] for i in numbers.ravel()], dim=1)
        tensors[name] = found if numbers.ndim == 2 else found[:, 0]
    for node in model.graph.node:
        given = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        found = OPS[node.op_type]([tensors[name] for name in node.input], given)
        several = found if isinstance(found, tuple) else (found,)
        tensors |= dict(zip(node.output, several, strict=True))
    return tensors


def _derivative(tensor: Any, columns: list[Any]) -> np.ndarray:
    widths = tensor.reshape(len(tensor), -1).T
    found = []
    for each in widths:
        for column in columns:
            (slope,) = (
                torch.autograd.grad(each.sum(), column, create_graph=True, allow_unused=True)
                if each.requires_grad
                else (None,)
            )
            each = torch.zeros_like(column) if slope is None else slope
        found.append(each.detach().numpy())
    return np.stack(found, axis=1)
