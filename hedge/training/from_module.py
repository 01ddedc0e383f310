"""A torch module as a dense ``.onnx``: traced by ``torch.export``, each ATen op put as standard ops.

torch's own ONNX exporters are not used: one needs further packages (onnxscript), the other is
deprecated. ``torch.export`` comes with torch and lowers whatever a module is made of to a small,
documented set of ops; those that PINNs use are translated here, others are refused by name.
"""

from __future__ import annotations

import io
import logging
import operator
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from hedge.errors import InputError, ModelError, first_line, once
from hedge.graph import GraphBuilder, run_float32
from hedge.graph.activations import gelu, mish, silu, softplus
from hedge.ops import OPS

TRACED_ROWS, CHECKED_ROWS = 3, 64
# Far above float32's rounding, also of steep networks; far below what another function would differ.
AGREEMENT = 1e-4
MOST_INPUTS = 10_000


class _Rows:
    """Stands for the number of rows, where a module asks for it."""


ROWS = _Rows()


def module_to_onnx(module: nn.Module, inputs: int) -> ModelProto:
    """Any module of ``inputs`` numbers per row as a float32 model: ``x`` [n, inputs], ``u`` [n, m].

    n is dynamic. Linear layers, the usual activations, arithmetic, columns picked and joined are
    known, so skip connections, Fourier features and transforms of inputs and outputs come along;
    what depends on parameters alone (weight normalisation) is computed here. The module is traced in
    evaluation mode and left as it was. The model is run in onnxruntime beside the module.

    Raises InputError if ``inputs`` is not positive; ModelError, naming the submodule, if torch can't
    trace it or it uses other ops, if weights hold NaN or Inf, or if the model does not agree.

    >>> from torch import nn
    >>> model = module_to_onnx(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), inputs=2)
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    if not 1 <= inputs <= MOST_INPUTS:
        raise InputError(f"inputs: {inputs} is out of range; give 1 to {MOST_INPUTS}")
    with _evaluating(module), _quiet():
        program = _traced(module, inputs)
        model = _translated(program, inputs)
        _check_agreement(module, model, inputs)
    return model


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode (no dropout), and back to the mode each submodule was in."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, mode in modes:
            part.training = mode


@contextmanager
def _quiet() -> Iterator[None]:
    """No warnings of the tracer's own deprecated parts, no dumps of what it could not trace."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _points(module: nn.Module, rows: int, inputs: int) -> Tensor:
    """Points in [−1, 1]^inputs, (rows, inputs), of the module's own dtype and device."""
    weights = [p for p in module.parameters() if p.is_floating_point()]
    dtype, device = (weights[0].dtype, weights[0].device) if weights else (torch.float32, "cpu")
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (rows, inputs)).astype(np.float32)
    return torch.as_tensor(points, dtype=dtype, device=device)


def _traced(module: nn.Module, inputs: int) -> Any:
    from torch.export import Dim, default_decompositions, export

    example = _points(module, TRACED_ROWS, inputs)
    try:
        module(example)
    except Exception as error:  # whatever the module raises
        raise ModelError(f"the module fails on x [n, {inputs}] ({first_line(error)})") from error
    try:
        program = export(module, (example,), dynamic_shapes=({0: Dim("n")},), strict=False)
        lowered = default_decompositions()
        for overload in list(lowered):
            if _packet(overload) in TRANSLATIONS:
                del lowered[overload]
        return program.run_decompositions(lowered)
    except Exception as error:  # the tracer raises many kinds
        raise ModelError(
            f"torch can't trace the module ({first_line(error)}); it must be a fixed function of "
            "each row, for any number of rows"
        ) from error


def _packet(op: Any) -> str:
    """The name of an op without its overload: ``add`` of ``aten.add.Tensor``."""
    text = str(op)
    return text.split(".")[1] if text.startswith("aten.") else text


def _translated(program: Any, inputs: int) -> ModelProto:
    graph = GraphBuilder()
    stored = {
        spec.arg.name: {**program.state_dict, **program.constants}[spec.target]
        for spec in program.graph_signature.input_specs
        if spec.target is not None
    }
    values: dict[Any, Any] = {}
    varying: set[Any] = set()  # nodes that depend on x; the rest is computed here
    for node in program.graph.nodes:
        if node.op == "output":
            return _finished(graph, node, values, inputs)
        if node.op == "placeholder":
            values[node] = stored.get(node.name, "x")
        elif node.users:  # others only assert something
            args = torch.fx.map_arg(node.args, values.__getitem__)
            kwargs = torch.fx.map_arg(node.kwargs, values.__getitem__)
            if varying.isdisjoint(node.all_input_nodes):
                with torch.no_grad():
                    values[node] = node.target(*args, **kwargs)
                continue
            values[node] = _value(graph, node, args, kwargs)
        if node.name not in stored:
            varying.add(node)
    raise ModelError("the module has no output")


def _value(graph: GraphBuilder, node: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Any:
    """What a node that depends on x gives: a name of the graph, several of them, or ROWS."""
    if isinstance(node.meta.get("val"), torch.SymInt | torch.SymBool):
        return ROWS
    if node.target is operator.getitem:
        return args[0][args[1]]
    name = _packet(node.target)
    try:
        return TRANSLATIONS[name](graph, *args, **kwargs)
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(
            f"{_where(node)} uses {name}, which can't be imported in this form; "
            "hedge knows dense layers, activations, arithmetic and columns"
        ) from error


def _flat(values: Sequence[Any]) -> Iterator[Any]:
    for value in values:
        if isinstance(value, list | tuple):
            yield from _flat(value)
        else:
            yield value


def _where(node: Any) -> str:
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    if not stack:
        return "the module"
    path, kind = stack[-1]
    kind = kind if isinstance(kind, str) else kind.__name__
    return f"submodule {path!r} ({kind.rpartition('.')[2]})" if path else "the module"


def _finished(graph: GraphBuilder, node: Any, values: dict[Any, Any], inputs: int) -> ModelProto:
    results = list(_flat(node.args))
    shapes = [tuple(result.meta["val"].shape) if result in values else () for result in results]
    if len(results) != 1 or len(shapes[0]) != 2 or not isinstance(shapes[0][1], int):
        found = ", ".join(str(list(map(str, shape))).replace("'", "") for shape in shapes)
        raise ModelError(
            f"the module gives {found.replace('[]', 'nothing')}; hedge needs one output [n, m]"
        )
    value = values[results[0]]
    if not isinstance(value, str):
        raise ModelError("the module's output does not depend on its input")
    graph.rename(graph.add("Identity", value) if value == "x" else value, "u")
    return graph.model({"x": inputs}, {"u": shapes[0][1]}, "imported")


def _check_agreement(module: nn.Module, model: ModelProto, inputs: int) -> None:
    points = _points(module, CHECKED_ROWS, inputs)
    with torch.no_grad():
        expected = module(points).detach().cpu().double().numpy()
    halves = np.array_split(points.cpu().numpy(), 2)  # so that a row that feels others is noticed
    found = np.vstack([run_float32(model, half) for half in halves])
    allowed = AGREEMENT * np.nanmax(np.abs(expected), initial=1e-30)
    if not np.allclose(found, expected, rtol=0.0, atol=allowed, equal_nan=True):
        raise ModelError(
            f"the imported model differs from the module by {np.nanmax(np.abs(found - expected)):.1e}; "
            "the module must be a fixed function of each row, without randomness or state"
        )


# --- What each ATen op becomes -------------------------------------------------------------------

Translation = Callable[..., Any]


def _unary(op: str) -> Translation:
    return lambda graph, z: graph.add(op, z)


def _binary(op: str) -> Translation:
    def translate(graph: GraphBuilder, a: Any, b: Any, *, alpha: float = 1.0) -> str:
        return graph.add(op, a, b if alpha == 1.0 else graph.add("Mul", b, float(alpha)))

    return translate


def _same(graph: GraphBuilder, z: str, *settings: Any, **more: Any) -> str:
    dtype = next((s for s in (*settings, more.get("dtype")) if isinstance(s, torch.dtype)), None)
    if dtype is not None and not dtype.is_floating_point:
        raise ValueError(f"a cast to {dtype}")
    return z


def _linear(graph: GraphBuilder, a: str, weight: Any, bias: Any = None) -> str:
    return graph.linear(a, weight, bias)


def _addmm(
    graph: GraphBuilder, bias: Any, a: Any, b: Any, *, beta: float = 1, alpha: float = 1
) -> str:
    return graph.add("Gemm", a, b, bias, alpha=float(alpha), beta=float(beta))


def _elu(graph: GraphBuilder, z: str, alpha: float = 1, scale: float = 1, inner: float = 1) -> str:
    z = z if inner == 1 else graph.add("Mul", z, float(inner))
    bent = graph.add("Elu", z, alpha=float(alpha))
    return bent if scale == 1 else graph.add("Mul", bent, float(scale))


def _celu(graph: GraphBuilder, z: str, alpha: float = 1.0) -> str:
    return graph.add("Celu", z, alpha=float(alpha))


def _leaky_relu(graph: GraphBuilder, z: str, slope: float = 0.01) -> str:
    return graph.add("LeakyRelu", z, alpha=float(slope))


def _clip(
    graph: GraphBuilder, z: str, least: float | None = None, most: float | None = None
) -> str:
    return graph.add("Clip", z, *("" if bound is None else float(bound) for bound in (least, most)))


def _rsqrt(graph: GraphBuilder, z: str) -> str:
    return graph.add("Reciprocal", graph.add("Sqrt", z))


def _cat(graph: GraphBuilder, parts: Sequence[Any], axis: int = 0) -> str:
    return graph.add("Concat", *parts, axis=axis)


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


def _select(graph: GraphBuilder, z: str, axis: int, index: int) -> str:
    return graph.add("Gather", z, _integers(index), axis=axis)


def _index(graph: GraphBuilder, z: str, indices: Sequence[Tensor | None]) -> str:
    ((axis, index),) = [(axis, i) for axis, i in enumerate(indices) if i is not None]
    return graph.add("Gather", z, _integers(index.tolist()), axis=axis)


def _unsqueeze(graph: GraphBuilder, z: str, axis: int) -> str:
    return graph.add("Unsqueeze", z, _integers([axis]))


def _squeeze(graph: GraphBuilder, z: str, axes: int | Sequence[int]) -> str:
    return graph.add("Squeeze", z, _integers(np.atleast_1d(axes).tolist()))


def _view(graph: GraphBuilder, z: str, shape: Sequence[int | _Rows]) -> str:
    sizes = [-1 if isinstance(size, _Rows) else size for size in shape]
    return graph.add("Reshape", z, _integers(sizes))


def _split(graph: GraphBuilder, z: str, sizes: Sequence[int], axis: int = 0) -> list[str]:
    return graph.split(z, _integers(list(sizes)), axis)


def _sum(graph: GraphBuilder, z: str, axes: Sequence[int], keep: bool = False) -> str:
    return graph.add("ReduceSum", z, _integers(list(axes)), keepdims=int(keep))


def _integers(values: int | Sequence[int]) -> Any:
    array = np.array(values)
    if array.dtype.kind != "i":
        raise ValueError("sizes that depend on the number of rows")
    return array.astype(np.int64)


_OTHERS: dict[str, Translation] = {
    "add": _binary("Add"), "sub": _binary("Sub"), "mul": _binary("Mul"), "div": _binary("Div"),
    "pow": _binary("Pow"), "mm": _binary("MatMul"), "matmul": _binary("MatMul"),
    **dict.fromkeys(
        ("clone", "alias", "detach", "dropout", "contiguous", "_to_copy", "to", "lift_fresh_copy"),
        _same,
    ),
    "linear": _linear, "addmm": _addmm, "silu": silu, "gelu": gelu, "softplus": softplus,
    "mish": mish, "elu": _elu, "celu": _celu, "leaky_relu": _leaky_relu, "clamp": _clip, "hardtanh": _clip,
    "rsqrt": _rsqrt, "cat": _cat, "slice": _slice, "select": _select, "index": _index,
    "unsqueeze": _unsqueeze, "squeeze": _squeeze, "view": _view, "reshape": _view,
    "split_with_sizes": _split, "sum": _sum,
}  # fmt: skip
TRANSLATIONS = once(
    _OTHERS.items(), ((op.torch, _unary(name)) for name, op in OPS.items() if op.torch)
)
