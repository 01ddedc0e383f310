"""What each ATen op becomes in ONNX."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from hedge.errors import once
from hedge.graph import GraphBuilder
from hedge.graph.activations import gelu, mish, silu, softplus
from hedge.ops import OPS


class _Rows:
    """Stands for the number of rows, where a module asks for it."""


ROWS = _Rows()
Translation = Callable[..., Any]


def _unary(op: str) -> Translation:
    return lambda graph, z: graph.add(op, z)


def _binary(op: str) -> Translation:
    def translate(graph: GraphBuilder, a: Any, b: Any, *, alpha: float = 1.0) -> str:
        return graph.add(op, a, b if alpha == 1.0 else graph.add("Mul", b, float(alpha)))

    return translate


def _where(graph: GraphBuilder, where: Any, a: Any, b: Any) -> str:
    return graph.add("Where", where, a, b)


def _same(graph: GraphBuilder, z: str, *settings: Any, **more: Any) -> str:
    dtype = next((s for s in (*settings, more.get("dtype")) if isinstance(s, torch.dtype)), None)
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"a cast to {dtype}")
    return z


def _addmm(
    graph: GraphBuilder, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1
) -> str:
    return graph.add("Gemm", a, b, bias, alpha=float(alpha), beta=float(beta))


def _elu(graph: GraphBuilder, z: str, alpha: float = 1, scale: float = 1, inner: float = 1) -> str:
    z = z if inner == 1 else graph.add("Mul", z, float(inner))
    bent = graph.add("Elu", z, alpha=float(alpha))
    return bent if scale == 1 else graph.add("Mul", bent, float(scale))


def _clip(
    graph: GraphBuilder, z: str, least: float | None = None, most: float | None = None
) -> str:
    return graph.add("Clip", z, *("" if bound is None else float(bound) for bound in (least, most)))


def _batch_norm(
    graph: GraphBuilder, z: str, weight: Any, bias: Any, mean: Any, variance: Any, *more: Any
) -> list[str]:
    """By what it has seen in training; the statistics of the rows are none then."""
    scale = np.ones(len(mean)) if weight is None else weight
    shift = np.zeros(len(mean)) if bias is None else bias
    return [
        graph.add("BatchNormalization", z, scale, shift, mean, variance, epsilon=float(more[-1]))
    ]


def _slice(
    graph: GraphBuilder,
    z: str,
    axis: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
) -> str:
    first, last = start or 0, np.iinfo(np.int64).max if end is None else end
    if first == 0 and last == np.iinfo(np.int64).max and step == 1:
        return z
    return graph.add("Slice", z, *(_integers([value]) for value in (first, last, axis, step)))


def _index(graph: GraphBuilder, z: str, indices: Sequence[Tensor | None]) -> str:
    ((axis, index),) = [(axis, i) for axis, i in enumerate(indices) if i is not None]
    return graph.add("Gather", z, _integers(index.tolist()), axis=axis)


def _view(graph: GraphBuilder, z: str, shape: Sequence[int | _Rows]) -> str:
    sizes = [-1 if isinstance(size, _Rows) else size for size in shape]
    return graph.add("Reshape", z, _integers(sizes))


def _einsum(graph: GraphBuilder, equation: str, operands: Sequence[Any], **_: Any) -> str:
    """The scalar products of rows, as an operator network ends in them.

    bi,bi->b is that of row b and row b; bi,ni->bn are those of all rows of the one and all of the other.
    """
    form = re.fullmatch(r"(\w)(\w),(\w)\2->(\w+)", equation.replace(" ", ""))
    first, second, result = form.group(1, 3, 4) if form else ("", "", "")
    if form and first != second and result in (first + second, second + first):
        return graph.add("Einsum", *operands, equation=equation.replace(" ", ""))
    if not form or first != second or result != first:
        raise ValueError(f"the product {equation}")
    return graph.add("ReduceSum", graph.add("Mul", *operands), _integers([1]), keepdims=0)


def _layer_norm(
    graph: GraphBuilder,
    z: str,
    shape: Sequence[int],
    weight: Any = None,
    bias: Any = None,
    eps: float = 1e-5,
    *_: Any,
) -> str:
    scale = np.ones(tuple(shape)) if weight is None else weight
    parts = [scale] if bias is None else [scale, bias]
    return graph.add("LayerNormalization", z, *parts, axis=-len(shape), epsilon=eps)


def _integers(values: int | Sequence[int]) -> Any:
    array = np.array(values)
    if array.dtype.kind != "i":
        raise ValueError("sizes that depend on the number of rows")
    return array.astype(np.int64)


_OTHERS: dict[str, Translation] = {
    "add": _binary("Add"), "sub": _binary("Sub"), "mul": _binary("Mul"), "div": _binary("Div"),
    "pow": _binary("Pow"), "mm": _binary("MatMul"), "matmul": _binary("MatMul"), "bmm": _binary("MatMul"),
    "maximum": _binary("Max"), "minimum": _binary("Min"), "prelu": _binary("PRelu"),
    "gt": _binary("Greater"), "ge": _binary("GreaterOrEqual"), "lt": _binary("Less"),
    "le": _binary("LessOrEqual"), "where": _where, "_native_batch_norm_legit_no_training": _batch_norm,
    **dict.fromkeys(
        ("clone", "alias", "detach", "dropout", "contiguous", "_to_copy", "to", "lift_fresh_copy"),
        _same,
    ),
    "silu": silu, "gelu": gelu, "softplus": softplus, "mish": mish, "elu": _elu, "clamp": _clip,
    "hardtanh": _clip, "slice": _slice, "index": _index, "view": _view, "reshape": _view,
    "einsum": _einsum, "layer_norm": _layer_norm, "addmm": _addmm,
    "cat": lambda graph, parts, axis=0: graph.add("Concat", *parts, axis=axis),
    "celu": lambda graph, z, alpha=1.0: graph.add("Celu", z, alpha=float(alpha)),
    "leaky_relu": lambda graph, z, slope=0.01: graph.add("LeakyRelu", z, alpha=float(slope)),
    "linear": lambda graph, a, weight, bias=None: graph.linear(a, weight, bias),
    "permute": lambda graph, z, axes: graph.add("Transpose", z, perm=[i % len(axes) for i in axes]),
    "rsqrt": lambda graph, z: graph.add("Reciprocal", graph.add("Sqrt", z)),
    "select": lambda graph, z, axis, index: graph.add("Gather", z, _integers(index), axis=axis),
    "split_with_sizes": lambda graph, z, sizes, axis=0: graph.split(z, _integers(list(sizes)), axis),
    "squeeze": lambda graph, z, axes: graph.add("Squeeze", z, _integers(np.atleast_1d(axes).tolist())),
    "sum": lambda graph, z, axes, keep=False: graph.add(
        "ReduceSum", z, _integers(list(axes)), keepdims=int(keep)
    ),
    "unsqueeze": lambda graph, z, axis: graph.add("Unsqueeze", z, _integers([axis])),
}  # fmt: skip
TRANSLATIONS = once(
    _OTHERS.items(), ((op.torch, _unary(name)) for name, op in OPS.items() if op.torch)
)
