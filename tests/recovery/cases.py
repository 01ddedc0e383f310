"""Tasks for recovery on the square [-1, 1]², and the shallow cuts that make recovery one of several steps."""

from __future__ import annotations

from itertools import pairwise

import pytest
from onnx import ModelProto

from hedge.compression import Case, CompressedModel, Request, Source, points_of_domain, prepare
from hedge.devices import find_profile
from hedge.graph import input_dimension
from hedge.problems import Domain
from hedge.recovery.ways import Deep, LessALayer, LessANeuron, Way, Ways


def case_of(model: ModelProto, tolerance: float, *, keep_widths: bool = False) -> Case:
    """To be made small in bytes, on the cube [-1, 1]^d."""
    dimension = input_dimension(model)
    points = points_of_domain(Domain(((-1.0, 1.0),) * dimension), dimension, 16, seed=0)
    request = Request(tolerance, "size", keep_widths=keep_widths)
    source = Source("m.onnx", "0" * 64)
    return prepare(model, find_profile("laptop-x86"), points, request, source)


def cut_only(monkeypatch: pytest.MonkeyPatch, *ways: Way) -> None:
    """Only in these ways."""
    monkeypatch.setattr(Ways, "usual", staticmethod(lambda tolerance: Ways(ways, ways)))


def cut_gently(monkeypatch: pytest.MonkeyPatch, depth: float = 1e-2) -> None:
    """Only cuts that move the output by no more than ``depth``, single neurons, and layers."""
    cut_only(monkeypatch, Deep(depth), LessANeuron(), LessANeuron(24), LessALayer(early=False))


def check_rungs(model: CompressedModel, tolerance: float) -> None:
    """Every rung is smaller than the last and was fitted to within the tolerance."""
    rungs = model.plan.rungs
    assert all(after.parameters < before.parameters for before, after in pairwise(rungs))
    assert all(rung.error <= tolerance for rung in rungs)
    assert all(rung.error <= rung.cut_error for rung in rungs)
    assert rungs[-1].parameters == model.plan.parameters
