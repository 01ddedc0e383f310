"""A torch module as a dense ``.onnx``: traced by ``torch.export``, each ATen op put as standard ops.

torch's own ONNX exporters are not used: one needs further packages (onnxscript), the other is
deprecated. ``torch.export`` comes with torch and lowers whatever a module is made of to a small,
documented set of ops; those that PINNs use are translated here, others are refused by name.
"""

from __future__ import annotations

import io
import logging
import operator
import sys
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr
from types import FrameType
from typing import Any

import numpy as np
import torch
from onnx import ModelProto
from torch import Tensor, nn

from hedge.errors import ModelError, first_line
from hedge.graph import GraphBuilder, as_grid, as_pairs, grid_of, run_float32
from hedge.training.aten import ROWS, TRANSLATIONS
from hedge.training.module_inputs import Columns, Inputs, columns_of

TRACED_ROWS, CHECKED_ROWS = 3, 64
# Far above float32's rounding, also of steep networks; far below what another function would differ.
AGREEMENT = 1e-4
# The rows of another input than the first axis has.
ROWS_BEHIND = "points"
# Where torch takes derivatives.
DIFFERENTIATING = (
    "autograd/__init__.py",
    "autograd/functional.py",
    "_functorch/eager_transforms.py",
)


def module_to_onnx(module: nn.Module, inputs: Inputs) -> ModelProto:
    """Any module of some numbers per row as a float32 model: ``x`` [n, inputs], ``u`` [n, m].

    Of a module of several arguments, or of a tuple or a dict of tensors [n, d], ``inputs`` are names, of
    one column each, or widths by name or in order; the model has an input for each. A tuple or dict that
    it returns becomes outputs u0, u1, … or of its keys; one of [n] becomes [n, 1]. What is given of all rows
    of one input at all rows of another, [n, n], has two free axes, [b, n].

    n is dynamic. Linear layers, the usual activations, arithmetic, columns picked and joined are
    known, so skip connections, Fourier features and transforms of inputs and outputs come along;
    what depends on parameters alone (weight normalisation) is computed here. The module is traced in
    evaluation mode and left as it was. The model is run in onnxruntime beside the module.

    Raises InputError if ``inputs`` are not positive; ModelError, naming the submodule, if torch can't
    trace it or it uses other ops, if weights hold NaN or Inf, or if the model does not agree.

    >>> from torch import nn
    >>> model = module_to_onnx(nn.Sequential(nn.Linear(2, 8), nn.Tanh(), nn.Linear(8, 1)), inputs=2)
    >>> [node.op_type for node in model.graph.node]
    ['Gemm', 'Tanh', 'Gemm']
    """
    columns = columns_of(module, inputs)
    with _evaluating(module), _quiet():
        columns = columns.taken_by(module, _points(module, TRACED_ROWS, columns))
        with _derivatives_named(module, columns):
            model = _translated(_traced(module, columns), columns)
            pairs = as_pairs(model)
            _check_agreement(module, pairs, columns)
    return as_grid(pairs)


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


def _points(module: nn.Module, rows: int, columns: Columns) -> list[Tensor]:
    """Points in [−1, 1], (rows, d) of each input, of the module's own dtype and device."""
    weights = [p for p in module.parameters() if p.is_floating_point()]
    dtype, device = (weights[0].dtype, weights[0].device) if weights else (torch.float32, "cpu")
    total = sum(columns.widths.values())
    points = np.random.default_rng(0).uniform(-1.0, 1.0, (rows, total)).astype(np.float32)
    ends = np.cumsum(list(columns.widths.values()))[:-1]
    parts = np.split(points, ends, axis=1)
    return [torch.as_tensor(part, dtype=dtype, device=device) for part in parts]


def _traced(module: nn.Module, columns: Columns) -> Any:
    from torch.export import Dim, default_decompositions, export

    example = columns.arguments(_points(module, TRACED_ROWS, columns))
    free = columns.arguments([{0: Dim("n")}] * len(columns.widths))
    try:
        program = export(module, example, dynamic_shapes=free, strict=False)
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


@contextmanager
def _derivatives_named(module: nn.Module, columns: Columns) -> Iterator[None]:
    """A refusal of a module that differentiates says that, whatever the tracer made of it."""
    try:
        yield
    except ModelError as error:
        if not _differentiates(module, columns.arguments(_points(module, TRACED_ROWS, columns))):
            raise
        raise ModelError(
            "the module takes derivatives inside forward (by autograd or torch.func), which can't be "
            "imported; import the network that it differentiates alone, hedge.import_model(module.net, …), "
            "and take the derivatives of what that gives"
        ) from error


def _differentiates(module: nn.Module, example: tuple[Any, ...]) -> bool:
    """Whether a call of the module enters the parts of torch that take derivatives."""
    entered = False

    def look(frame: FrameType, event: str, _: object) -> None:
        nonlocal entered
        entered = entered or (
            event == "call" and frame.f_code.co_filename.endswith(DIFFERENTIATING)
        )

    before = sys.getprofile()
    sys.setprofile(look)
    try:
        module(*example)
    finally:
        sys.setprofile(before)
    return entered


def _packet(op: Any) -> str:
    """The name of an op without its overload: ``add`` of ``aten.add.Tensor``."""
    text = str(op)
    return text.split(".")[1] if text.startswith("aten.") else text


def _translated(program: Any, columns: Columns) -> ModelProto:
    graph = GraphBuilder()
    stored = {
        spec.arg.name: {**program.state_dict, **program.constants}[spec.target]
        for spec in program.graph_signature.input_specs
        if spec.target is not None
    }
    given = iter(columns.widths)
    values: dict[Any, Any] = {}
    varying: set[Any] = set()  # nodes that depend on x; the rest is computed here
    for node in program.graph.nodes:
        if node.op == "output":
            return _finished(graph, _results(program, node), values, columns)
        if node.op == "placeholder":
            values[node] = stored[node.name] if node.name in stored else next(given)
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
    if name.startswith("_fft"):
        raise ModelError(
            f"{_where(node)} takes a Fourier transform ({name}), as Fourier neural operators do: what is "
            "multiplied mode by mode behind it is no dense layer, and hedge does not compress it"
        )
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


def _results(program: Any, node: Any) -> dict[str, Any]:
    """What the module returns, by name: u alone, u0, u1, … of several, or the keys of a dict."""
    results = list(_flat(node.args))
    keys = program.call_spec.out_spec.context
    if program.call_spec.out_spec.type is not dict or len(keys) != len(results):
        keys = [f"u{i}" for i in range(len(results))] if len(results) > 1 else ["u"]
    return dict(zip(map(str, keys), results, strict=True))


def _finished(
    graph: GraphBuilder, results: dict[str, Any], values: dict[Any, Any], columns: Columns
) -> ModelProto:
    shapes = {
        name: tuple(result.meta["val"].shape) if result in values else ()
        for name, result in results.items()
    }
    if not shapes or not all(map(_is_by_row, shapes.values())):
        found = ", ".join(str(list(map(str, shape))).replace("'", "") for shape in shapes.values())
        raise ModelError(
            f"the module gives {found.replace('[]', 'nothing')}; hedge needs outputs [n, m]"
        )
    widths: dict[str, int | tuple[int | str, ...]] = {}
    for name, result in results.items():
        shape, value = shapes[name], values[result]
        if not isinstance(value, str):
            raise ModelError("the module's output does not depend on its input")
        if len(shape) == 1:
            value = graph.add("Unsqueeze", value, np.array([1]))
        elif value in (*columns.widths, *widths):
            value = graph.add("Identity", value)
        free = f"{name}_out" if name in columns.widths else name
        graph.rename(value, free)
        behind = tuple(size if isinstance(size, int) else ROWS_BEHIND for size in shape[1:])
        widths[free] = behind or 1
    return graph.model(columns.widths, widths, "imported")


def _is_by_row(shape: tuple[Any, ...]) -> bool:
    """[n], [n, m], or all rows of one input by all of another, [n, n] or [n, n, m]."""
    if len(shape) < 2 or isinstance(shape[1], int):
        return len(shape) in (1, 2)
    return (
        shape[0] == shape[1] and all(isinstance(size, int) for size in shape[2:]) and len(shape) < 4
    )


def _check_agreement(module: nn.Module, model: ModelProto, columns: Columns) -> None:
    dims = [value.type.tensor_type.shape.dim for value in model.graph.output]
    if any(dim.dim_param == ROWS_BEHIND for sizes in dims for dim in sizes[1:]):
        raise ModelError(
            "the module gives [n, n]; of all rows of one input at all rows of another hedge knows what "
            "ends in the product of a branch and a trunk, einsum('bi,ni->bn', branch, trunk), and what is "
            "done to its numbers behind it"
        )
    points = _points(module, CHECKED_ROWS, columns)
    rows = torch.hstack(points).cpu().numpy()
    halves = np.array_split(rows, 2)  # so that a row that feels others is noticed
    found = np.vstack([run_float32(model, half) for half in halves])
    with torch.no_grad():
        outputs = _flat([_in_order(module(*columns.arguments(points)))])
    is_grid = grid_of(model) is not None
    expected = np.hstack([_by_row(output, is_grid=is_grid) for output in outputs])
    allowed = AGREEMENT * np.nanmax(np.abs(expected), initial=1e-30)
    if not np.allclose(found, expected, rtol=0.0, atol=allowed, equal_nan=True):
        raise ModelError(
            f"the imported model differs from the module by {np.nanmax(np.abs(found - expected)):.1e}; "
            "the module must be a fixed function of each row, without randomness or state"
        )


def _in_order(output: Any) -> Any:
    return list(output.values()) if isinstance(output, dict) else output


def _by_row(output: Tensor, *, is_grid: bool) -> Any:
    """An output as columns, (n, m); of a product of all rows by all what each gives with its own."""
    values = output.detach().cpu().double().numpy()
    own = np.arange(CHECKED_ROWS)
    return (values[own, own] if is_grid else values).reshape(CHECKED_ROWS, -1)
