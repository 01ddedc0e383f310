"""Whether the rational function may stand for tanh: what it changes, against what is promised."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import helper

import hedge
from hedge.compression import CompressedModel, Proved
from hedge.exporting import bears_fast_tanh
from hedge.exporting.c99.fast_tanh import FAST_TANH_ERROR
from hedge.exporting.c99.tanh_choice import off_by_fast_tanh
from hedge.graph import assemble
from tests.conftest import make_model, random_mlp


@pytest.fixture(scope="module")
def small() -> CompressedModel:
    heat = hedge.reference_models()["heat"]
    return hedge.compress(heat, device="laptop-x86", tolerance=1e-2, recover=None)


def test_what_it_changes_in_tanh_is_its_own_error() -> None:
    model = make_model([helper.make_node("Tanh", ["x"], ["u"])], {}, inputs=1)
    changed = off_by_fast_tanh(model, np.linspace(-8.0, 8.0, 4001)[:, None])
    assert 0.2 * FAST_TANH_ERROR < changed < FAST_TANH_ERROR


@pytest.mark.parametrize(
    ("kept", "bears"),
    [
        ({}, True),
        ({"relative_error": 9.9999999e-3}, False),
        ({"derivatives": 0.1}, False),
        ({"proved": Proved(relative_l2=5e-3, largest=5e-3, boxes=1)}, False),
    ],
    ids=["room", "no room", "derivatives", "proved"],
)
def test_it_is_taken_where_it_breaks_no_promise(
    small: CompressedModel, kept: dict[str, object], bears: bool
) -> None:
    plan = small.plan.model_copy(update=kept)
    assert bears_fast_tanh(assemble(small.skeleton, small.matrices), plan) is bears


def test_without_a_promise_it_is_where_it_changes_no_more_than_rounding() -> None:
    """1 − tanh(5 + x) is so small that the function's error is a hundredth of it."""
    nodes = [
        helper.make_node("Add", ["x", "shift"], ["z"]),
        helper.make_node("Tanh", ["z"], ["y"]),
        helper.make_node("Sub", ["one", "y"], ["u"]),
    ]
    far = make_model(nodes, {"shift": np.array([5.0]), "one": np.array([1.0])}, inputs=1)
    assert bears_fast_tanh(random_mlp([2, 8, 1]), None)
    assert not bears_fast_tanh(far, None)
