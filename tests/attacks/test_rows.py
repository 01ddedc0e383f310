"""Graphs whose rows depend on each other, on their places, or on how many they are: no error holds."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import NodeProto, numpy_helper

from hedge.errors import ModelError
from hedge.graph import load_model, split
from hedge.graph.reverse import Trace, trace
from tests.attacks.graphs import after_layer, node

POINTS = np.random.default_rng(0).random((64, 2))
COUNTED = [node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "0"], ["n"])]
OTHER = node("Sin", ["y"], ["s"])  # what else u may be
CHOSEN = node("Where", ["c", "s", "y"], ["u"])
PLACED = [
    node("Greater", ["x", "minus"], ["is"]),
    node("Cast", ["is"], ["ones"], to=1),
    node("CumSum", ["ones", "0"], ["places"]),
    node("ReduceMax", ["places"], ["place"], axes=[1]),
]
WEIGHTS = {
    "0": np.array(0), "1": np.array(1), "[0]": np.array([0]), "[1]": np.array([1]),
    "1000": np.array(1000), "1.5": np.float32(1.5), "minus": np.float32(-9),
    "half": np.float32(0.5), "yes": np.array(True),
}  # fmt: skip

HOW_MANY: dict[str, list[NodeProto]] = {
    "one row": [*COUNTED, node("Equal", ["n", "1"], ["c"]), OTHER, CHOSEN],
    "a thousand rows": [*COUNTED, node("Equal", ["n", "1000"], ["c"]), OTHER, CHOSEN],
    "few rows": [
        *COUNTED, node("Cast", ["n"], ["f"], to=1), node("Less", ["f", "1.5"], ["c"]), OTHER, CHOSEN,
    ],
    "all numbers": [node("Size", ["x"], ["n"]), node("Less", ["n", "1000"], ["c"]), OTHER, CHOSEN],
    "a column chosen": [
        *COUNTED, node("Equal", ["n", "1"], ["c"]), node("Cast", ["c"], ["i"], to=7),
        OTHER, node("Concat", ["y", "s"], ["both"], axis=1), node("Unsqueeze", ["i", "[0]"], ["j"]),
        node("Gather", ["both", "j"], ["u"], axis=1),
    ],
    "a column cut out": [
        *COUNTED, node("Equal", ["n", "1"], ["c"]), node("Cast", ["c"], ["i"], to=7),
        OTHER, node("Concat", ["y", "s"], ["both"], axis=1), node("Unsqueeze", ["i", "[0]"], ["j"]),
        node("Add", ["j", "[1]"], ["k"]), node("Slice", ["both", "j", "k", "[1]"], ["u"]),
    ],
    "divided by them": [
        *COUNTED, node("Cast", ["n"], ["f"], to=1), node("Div", ["y", "f"], ["u"]),
    ],
}  # fmt: skip
PLACES: dict[str, list[NodeProto]] = {
    "sums of those before": [node("CumSum", ["y", "0"], ["u"])],
    "the first one taken off": [
        node("Slice", ["y", "[0]", "[1]", "[0]"], ["f"]), node("Sub", ["y", "f"], ["u"]),
    ],
    "the first one is another": [*PLACED, node("Less", ["place", "1.5"], ["c"]), OTHER, CHOSEN],
    "numbers drawn for each": [node("Dropout", ["y", "half", "yes"], ["u"], seed=0)],
    "one alone": [
        node("ReduceSum", ["y", "[0]"], ["t"]), node("Equal", ["t", "y"], ["c"]), OTHER, CHOSEN,
    ],
}  # fmt: skip
SIZES: dict[str, list[NodeProto]] = {
    "ones as many as rows": [
        *COUNTED, node("Unsqueeze", ["n", "[0]"], ["rows"]),
        node("Concat", ["rows", "[1]"], ["size"], axis=0),
        node("ConstantOfShape", ["size"], ["o"], value=numpy_helper.from_array(np.float32([2]))),
        node("Mul", ["y", "o"], ["u"]),
    ],
    "a row spread, as torch writes it": [
        *COUNTED, node("Unsqueeze", ["n", "[0]"], ["rows"]),
        node("Concat", ["rows", "[1]"], ["size"], axis=0),
        node("Equal", ["size", "[0]"], ["none"]), node("Where", ["none", "[1]", "size"], ["given"]),
        node("Expand", ["half", "given"], ["e"]), node("Mul", ["y", "e"], ["u"]),
    ],
    "the number of columns": [
        node("Shape", ["x"], ["shape"]), node("Gather", ["shape", "1"], ["d"]),
        node("Cast", ["d"], ["f"], to=1), node("Div", ["y", "f"], ["u"]),
    ],
}  # fmt: skip


def traced(nodes: list[NodeProto], folder: Path) -> Trace:
    read = {name for each in nodes for name in each.input}
    weights = {name: values for name, values in WEIGHTS.items() if name in read}
    path = folder / "m.onnx"
    path.write_bytes(after_layer(*nodes, **weights).SerializeToString())
    return trace(split(load_model(path)), POINTS)


@pytest.mark.parametrize("kind", HOW_MANY)
def test_what_counts_its_rows_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="computes with how many rows there are"):
        traced(HOW_MANY[kind], tmp_path)


@pytest.mark.parametrize("kind", PLACES)
def test_what_tells_its_rows_by_their_places_is_refused(kind: str, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="it mixes the rows of a batch"):
        traced(PLACES[kind], tmp_path)


@pytest.mark.parametrize("kind", SIZES)
def test_sizes_may_be_made_of_the_number_of_rows(kind: str, tmp_path: Path) -> None:
    assert traced(SIZES[kind], tmp_path).output.shape == (64, 1)
