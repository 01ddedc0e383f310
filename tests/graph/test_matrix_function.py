"""The model as a function of its matrices: in numpy what the runtime gives, and the same way back."""

from __future__ import annotations

import numpy as np
import pytest

from hedge.graph import Evaluator, SiteMatrix, SplitModel, assemble, matrix_function, split
from hedge.graph.matrix_function import Matrices, _InNumpy, _InRuntime, _steps
from tests.architectures import ARCHITECTURES

POINTS = np.random.default_rng(5).uniform(-1, 1, (300, 2))
# Of ops that numpy has no value of.
IN_RUNTIME = {"Gelu of opset 20"}


def moved(parts: SplitModel, *, factors: bool) -> Matrices:
    """Other matrices than those of the model, as two factors if wanted."""
    rng = np.random.default_rng(6)

    def other(matrix: SiteMatrix) -> SiteMatrix:
        rows, columns = matrix.shape
        shapes = [(rows, 3), (3, columns)] if factors else [(rows, columns)]
        made = tuple(rng.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes)
        return SiteMatrix(made, matrix.bias + 0.1 * rng.standard_normal(rows))

    return {name: other(matrix) for name, matrix in parts.matrices.items()}


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_networks_of_sites_and_elementwise_ops_are_evaluated_in_numpy(kind: str) -> None:
    assert (_steps(split(ARCHITECTURES[kind]())) is None) == (kind in IN_RUNTIME)


@pytest.mark.parametrize("factors", [False, True], ids=["dense", "factors"])
@pytest.mark.parametrize("kind", [kind for kind in ARCHITECTURES if kind not in IN_RUNTIME])
def test_numpy_gives_what_the_runtime_gives(kind: str, factors: bool) -> None:
    parts = split(ARCHITECTURES[kind]())
    matrices, steps = moved(parts, factors=factors), _steps(parts)
    assert steps is not None
    engines = (_InNumpy(parts, steps), _InRuntime(parts, matrices))
    (ours, back), (expected, expected_back) = (one.at(POINTS)(matrices) for one in engines)
    np.testing.assert_allclose(ours, expected, rtol=1e-10, atol=1e-12)
    slope = np.random.default_rng(7).standard_normal(ours.shape)
    sites, expected_sites = back(slope), expected_back(slope)
    assert sites.keys() == expected_sites.keys()
    for name, at in sites.items():
        np.testing.assert_allclose(at.read, expected_sites[name].read, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(
            at.gradient, expected_sites[name].gradient, rtol=1e-9, atol=1e-11
        )


@pytest.mark.parametrize("kind", ARCHITECTURES)
def test_it_is_the_assembled_model(kind: str) -> None:
    parts = split(ARCHITECTURES[kind]())
    matrices = moved(parts, factors=False)
    outputs, _ = matrix_function(parts, matrices)(POINTS)(matrices)
    expected = Evaluator(assemble(parts.skeleton, matrices))(POINTS)
    np.testing.assert_allclose(outputs, expected, atol=2e-6)  # assembled in float32


def test_values_of_the_points_are_not_written_over() -> None:
    parts = split(ARCHITECTURES["modified MLP"]())
    matrices = moved(parts, factors=False)
    run = matrix_function(parts, matrices)(POINTS)
    first, back = run(matrices)
    kept, slope = first.copy(), np.ones_like(first)
    sites = back(slope)
    again, _ = run(matrices)
    np.testing.assert_array_equal(again, kept)
    for name, at in back(slope).items():
        np.testing.assert_array_equal(at.gradient, sites[name].gradient)
