"""Evaluating a graph in float64, with every intermediate tensor if wanted."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from copy import deepcopy
from math import prod
from types import MappingProxyType
from typing import Any

import numpy as np
import onnx
import onnxruntime
from numpy.typing import NDArray
from onnx import AttributeProto, ModelProto, TensorProto
from onnx.numpy_helper import from_array, to_array
from onnx.reference import ReferenceEvaluator

from hedge.arrays import MOST_WIDENED, Array
from hedge.errors import ModelError, first_line
from hedge.graph.ports import feeds, input_names, joined, true_inputs
from hedge.graph.reference_ops import REFERENCE_OPS
from hedge.graph.runtime import ORT_ERRORS, cannot_run, quiet_options
from hedge.graph.shapes import shapes_at

# Numbers of the widest layer in one call.
MOST_AT_ONCE = 2**24


class Evaluator:
    """Runs a model in float64 through onnxruntime, or op by op where it lacks a float64 kernel.

    >>> from pathlib import Path
    >>> from hedge.graph import load_model
    >>> evaluate = Evaluator(load_model(Path("models/heat-64x3.onnx")))
    >>> evaluate(np.array([[0.5, 0.0]])).round(2)
    array([[0.5]])
    """

    def __init__(
        self, model: ModelProto, tensors: Sequence[str] = (), variable: Sequence[str] = ()
    ) -> None:
        """``tensors`` names intermediate tensors that :meth:`intermediates` will return.

        ``variable`` names weights, or tensors that no node writes, that it is given anew at every call.
        """
        double = in_double(model)
        inputs = input_names(model)
        _as_inputs(double, variable)
        self._model = model
        self._outputs = [value.name for value in model.graph.output]
        known = {*self._outputs, *inputs}
        for name in tensors:
            if name not in known:
                known.add(name)
                # Without a type, so that onnxruntime infers it: indices are whole numbers.
                double.graph.output.append(onnx.ValueInfoProto(name=name))
        self._given = tuple(name for name in tensors if name in inputs)
        self._computed = tuple(dict.fromkeys(name for name in tensors if name not in inputs))
        options = quiet_options()
        # Fusions replace standard ops by kernels that often exist in float32 only.
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        self._session: onnxruntime.InferenceSession | ReferenceEvaluator
        try:
            self._session = onnxruntime.InferenceSession(
                double.SerializeToString(), options, providers=["CPUExecutionProvider"]
            )
        except ORT_ERRORS:
            self._session = _reference_evaluator(double)

    def __call__(self, points: Array) -> Array:
        """All outputs side by side at ``points`` (n, d), as (n, m).

        Raises ModelError if the model can't be run on them.
        """
        return joined(self._run(self._outputs, points), len(points))

    def intermediates(
        self, points: Array, weights: Mapping[str, Array] = MappingProxyType({})
    ) -> dict[str, Array]:
        """The tensors named at construction, by name; ``weights`` are the variable ones."""
        given = feeds(self._model, points)
        computed = self._run(list(self._computed), points, weights)
        values = dict(zip(self._computed, computed, strict=True))
        return {**values, **{name: given[name] for name in self._given}}

    def _run(
        self, names: list[str], points: Array, weights: Mapping[str, Array] = MappingProxyType({})
    ) -> list[Array]:
        if not names:
            return []
        feed = {**feeds(self._model, np.asarray(points, dtype=np.float64)), **weights}
        try:
            with np.errstate(all="ignore"):  # what is not finite is the caller's to tell
                values: Any = self._session.run(names, feed)
        except Exception as error:  # the reference evaluator raises whatever its ops raise
            raise ModelError(
                f"can't be evaluated on {len(points)} points ({first_line(error)}); "
                "export it with a dynamic batch"
            ) from error
        return list(values)


def _reference_evaluator(model: ModelProto) -> ReferenceEvaluator:
    try:
        return ReferenceEvaluator(model, new_ops=REFERENCE_OPS)
    except Exception as error:  # it raises many kinds for ops it doesn't know
        raise ModelError(f"can't be evaluated ({first_line(error)})") from error


def run_float32(model: ModelProto, points: NDArray[np.floating]) -> Array:
    """All outputs as deployed, float32 in onnxruntime: (n, d) -> (n, m), returned as float64.

    Of wide layers part of the rows at a time, so that their activations fit.

    Raises ModelError if onnxruntime can't run the model.
    """
    weights = _large_weights(model)
    runnable = _with_inputs_for(model, weights) if weights else model
    try:
        session = onnxruntime.InferenceSession(
            runnable.SerializeToString(), quiet_options(), providers=["CPUExecutionProvider"]
        )
        parts = []
        for part in np.array_split(points, _calls(model, len(points))):
            given = feeds(model, part.astype(np.float32))
            parts.append(joined(session.run(None, {**given, **weights}), len(part)))
    except ORT_ERRORS as error:
        raise cannot_run(model, error) from error
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def _large_weights(model: ModelProto) -> dict[str, NDArray[Any]]:
    """Those that are handed over at every call: in a session there would be three copies of them."""
    return {
        tensor.name: to_array(tensor)
        for tensor in model.graph.initializer
        if prod(tensor.dims) > MOST_WIDENED and tensor.data_type == TensorProto.FLOAT
    }


def _with_inputs_for(model: ModelProto, weights: Mapping[str, NDArray[Any]]) -> ModelProto:
    """The model with inputs in place of these weights."""
    graph = model.graph
    light = onnx.GraphProto(name=graph.name, node=graph.node, output=graph.output)
    light.initializer.extend(t for t in graph.initializer if t.name not in weights)
    light.input.extend(true_inputs(model))
    light.input.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, values.shape)
        for name, values in weights.items()
    )
    return onnx.helper.make_model(
        light, opset_imports=model.opset_import, ir_version=model.ir_version
    )


def _calls(model: ModelProto, rows: int) -> int:
    """In how many calls so many rows are run."""
    widest = max((size for t in model.graph.initializer for size in t.dims), default=1)
    return max(1, -(-rows * widest // MOST_AT_ONCE))


def output_widths(model: ModelProto, points: Array) -> tuple[int, ...]:
    """How many numbers each output has for a row; ``points`` (n, d) are a few to run it on."""
    names, rows = [value.name for value in model.graph.output], len(points)
    shapes = shapes_at(model, rows)
    if not shapes.keys() >= set(names):
        found = Evaluator(model, names).intermediates(points)
        shapes = {name: values.shape for name, values in found.items()}
    return tuple(prod(shapes[name]) // rows for name in names)


def check_finite(outputs: Array) -> None:
    """Raise ModelError if outputs, as deployed, hold NaN or Inf."""
    if np.isfinite(outputs).all():
        return
    found, why = "infinite", "whose numbers end at 3.4e38; check the domain and the weights"
    if np.isnan(outputs).any():
        found = "NaN"
        why = (
            "where a tanh may round beyond 1; check roots, logarithms and quotients, and the domain"
        )
    rows = int((~np.isfinite(outputs)).reshape(len(outputs), -1).any(axis=1).sum())
    where = f": the file itself gives {found} at {rows} of {len(outputs)} points" * (
        outputs.ndim > 1
    )
    raise ModelError(f"its output is not finite on the domain in float32, {why}{where}")


def in_double(model: ModelProto) -> ModelProto:
    """The model with doubles in place of float32."""
    double = deepcopy(model)
    graph = double.graph
    for tensor in graph.initializer:
        _widen(tensor)
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.type == AttributeProto.TENSOR:
                _widen(attribute.t)
            elif node.op_type == "Cast" and attribute.name == "to":
                attribute.i = (
                    TensorProto.DOUBLE if attribute.i == TensorProto.FLOAT else attribute.i
                )
    for value in (*graph.input, *graph.output):
        if value.type.tensor_type.elem_type == TensorProto.FLOAT:
            value.type.tensor_type.elem_type = TensorProto.DOUBLE
    return double


def _as_inputs(model: ModelProto, names: Sequence[str]) -> None:
    graph = model.graph
    shapes = {t.name: list(t.dims) for t in graph.initializer}
    weights = [tensor for tensor in graph.initializer if tensor.name not in names]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    graph.input.extend(
        onnx.helper.make_tensor_value_info(name, TensorProto.DOUBLE, shapes.get(name))
        for name in names
    )


def _widen(tensor: TensorProto) -> None:
    if tensor.data_type == TensorProto.FLOAT:
        name = tensor.name
        tensor.CopyFrom(from_array(to_array(tensor).astype(np.float64)))
        tensor.name = name
