"""The builder that lowering, training, imports, tables and probes share."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import TensorProto, numpy_helper

from hedge.errors import ModelError
from hedge.graph import GraphBuilder, run_float32


def test_equal_constants_are_stored_once_unless_named() -> None:
    graph = GraphBuilder()
    for _ in range(2):
        graph.add("Mul", "x", np.array([[2.0]]))
        graph.add("Mul", "x", np.array([2.0]))  # of another shape
        graph.add("Reshape", "x", [-1, 1])
    assert [list(t.dims) for t in graph.constants.values()] == [[1, 1], [1], [2]]
    assert {graph.constant(np.ones(3), "a"), graph.constant(np.ones(3), "b")} == {"a", "b"}


@pytest.mark.parametrize(
    ("operand", "stored"),
    [
        (2, np.array(2.0, np.float32)),
        (0.1, np.array(0.1, np.float32)),
        ([2, 3], np.array([2, 3])),
        (np.array(2), np.array(2)),
        (np.arange(2, dtype=np.int32), np.arange(2, dtype=np.int32)),
        (np.ones((3, 2)).T, np.ones((2, 3), np.float32)),
    ],
    ids=["a whole number", "a number", "a list", "an index", "int32", "a transposed array"],
)
def test_numbers_become_float32_and_whole_arrays_stay(operand: object, stored: np.ndarray) -> None:
    graph = GraphBuilder()
    graph.add("Add", "x", operand)
    (tensor,) = graph.constants.values()
    found = numpy_helper.to_array(tensor)
    assert (found.dtype, found.shape) == (stored.dtype, stored.shape)
    np.testing.assert_array_equal(found, stored)


@pytest.mark.parametrize("value", [np.nan, np.inf, 1e39])
def test_numbers_that_float32_does_not_hold_are_refused_unless_kept_as_they_are(
    value: float,
) -> None:
    with pytest.raises(ModelError, match="NaN or Inf"):
        GraphBuilder().add("Add", "x", value)
    kept = GraphBuilder().tensor("w", np.array([value]))
    assert kept == "w"


@pytest.mark.parametrize("operand", [None, ["a", "b"], [object()]])
def test_what_holds_no_numbers_is_no_operand(operand: object) -> None:
    with pytest.raises(TypeError, match="no numbers"):
        GraphBuilder().add("Add", "x", operand)


def test_a_part_calls_all_that_it_adds_after_its_prefix() -> None:
    graph = GraphBuilder("site0.")
    a, b = graph.split(graph.linear("x", np.ones((4, 2)), output="z"), [1, 3], axis=1)
    graph.rename(graph.add("Concat", b, a, graph.tensor("w", np.ones((1, 1))), axis=1), "u")
    written = [name for node in graph.nodes for name in node.output]
    assert written.pop() == "u"
    for name in (*written, *graph.constants, *(node.name for node in graph.nodes)):
        assert name.startswith("site0.")
    assert graph.nodes[0].input[0] == "x"


def test_a_model_is_checked_and_runs() -> None:
    graph = GraphBuilder()
    one, two = graph.split("x", [1, 2], axis=1)
    graph.linear(graph.add("Concat", two, one, axis=1), np.diag([1.0, 2.0, 3.0]), output="u")
    model = graph.model({"x": 3}, {"u": 3}, properties={"key": "value"})
    np.testing.assert_array_equal(run_float32(model, np.array([[1.0, 2.0, 3.0]])), [[2, 6, 3]])
    assert model.graph.input[0].type.tensor_type.elem_type == TensorProto.FLOAT
    assert [(p.key, p.value) for p in model.metadata_props] == [("key", "value")]


def test_a_graph_that_does_not_fit_together_is_refused() -> None:
    graph = GraphBuilder()
    graph.linear("x", np.ones((2, 3)), output="u")
    with pytest.raises(ModelError, match="can't be written as ONNX"):
        graph.model({"x": 4}, {"u": 2})
