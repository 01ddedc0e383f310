"""The network that is fitted: its parameters as a vector, and the gradient of its loss."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from hedge.compression import measure
from hedge.graph import Evaluator, SiteMatrix, SplitModel, assemble, run_float32, split
from hedge.recovery.parametric_model import Batch, ParametricModel, parameters_of, with_parameters
from tests.architectures import ARCHITECTURES

RNG = np.random.default_rng(3)
POINTS = RNG.uniform(-1, 1, (60, 2))
KINDS = ("tanh", "SiLU as Sigmoid and Mul", "residual", "modified MLP", "mixed tail", "two outputs")


def factorized(matrices: Mapping[str, SiteMatrix]) -> dict[str, SiteMatrix]:
    """Every matrix as two random factors, of its full rank less one where that is left."""
    found = {}
    for name, matrix in matrices.items():
        rows, columns = matrix.shape
        rank = max(1, min(rows, columns) - 1)
        left, right = RNG.standard_normal((rows, rank)), RNG.standard_normal((rank, columns))
        found[name] = SiteMatrix((left / np.sqrt(rank), right / np.sqrt(columns)), matrix.bias)
    return found


def batch_of(parts: SplitModel, *, pairs: bool) -> Batch:
    """Random outputs to be fitted to, as if at pairs of points 0.02 apart if wanted."""
    scale = 1.0 / np.sqrt(measure(parts, POINTS, seed=0).powers)
    outputs = RNG.standard_normal((len(POINTS), len(scale))) / scale
    return Batch(POINTS, outputs, scale, np.full(len(POINTS) // 2, 0.02) if pairs else None)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dense", [True, False], ids=["dense", "factorized"])
@pytest.mark.parametrize("pairs", [False, True], ids=["outputs", "gradients"])
def test_gradient_is_that_of_central_differences(kind: str, dense: bool, pairs: bool) -> None:
    parts = split(ARCHITECTURES[kind]())
    matrices = parts.matrices if dense else factorized(parts.matrices)
    objective = ParametricModel(parts, matrices).loss_on(batch_of(parts, pairs=pairs))
    at = parameters_of(matrices)
    gradient = objective(at)[1]
    assert gradient.shape == at.shape
    for _ in range(4):
        direction = RNG.standard_normal(at.shape)
        step = 1e-6 * direction
        above, below = (objective(at + s * step)[0] for s in (1, -1))
        slope = (above - below) / 2e-6
        assert gradient @ direction == pytest.approx(slope, rel=1e-5, abs=1e-6 * abs(above))


def test_a_column_a_thousand_times_smaller_counts_as_much() -> None:
    parts = split(ARCHITECTURES["two outputs"]())
    batch = batch_of(parts, pairs=False)
    at = parameters_of(parts.matrices)
    model = ParametricModel(parts, parts.matrices)
    right = model.outputs(at, POINTS)
    losses = []
    for column in range(3):
        wrong = right.copy()
        wrong[:, column] *= 1.1
        losses.append(model.loss_on(replace(batch, outputs=wrong))(at)[0])
    assert losses == pytest.approx([0.01] * 3)


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_are_the_model_s_at_more_points_than_are_run_at_once(kind: str) -> None:
    model = ARCHITECTURES[kind]()
    parts = split(model)
    points = RNG.uniform(-1, 1, (5000, 2))
    matrices = factorized(parts.matrices)
    found = ParametricModel(parts, matrices).outputs(parameters_of(matrices), points)
    changed = assemble(parts.skeleton, matrices)
    np.testing.assert_allclose(found, Evaluator(changed)(points), atol=1e-6)
    assert np.abs(found - run_float32(model, points)).max() > 0.1


values = st.floats(-9, 9, width=16)
sizes = st.integers(1, 4)


@st.composite
def site_matrices(draw: st.DrawFn) -> SiteMatrix:
    rows, columns, rank = draw(sizes), draw(sizes), draw(st.none() | sizes)
    shapes = [(rows, columns)] if rank is None else [(rows, rank), (rank, columns)]
    factors = tuple(draw(arrays(np.float64, shape, elements=values)) for shape in shapes)
    return SiteMatrix(factors, draw(arrays(np.float64, rows, elements=values)))


@given(st.dictionaries(st.sampled_from("abcd"), site_matrices(), min_size=1))
def test_parameters_make_the_matrices_they_came_from(matrices: dict[str, SiteMatrix]) -> None:
    vector = parameters_of(matrices)
    assert vector.shape == (sum(matrix.parameters for matrix in matrices.values()),)
    again = with_parameters(matrices, vector)
    assert list(again) == list(matrices)
    for name, matrix in matrices.items():
        for given_array, array in zip(
            (*matrix.factors, matrix.bias), (*again[name].factors, again[name].bias), strict=True
        ):
            np.testing.assert_array_equal(array, given_array)
    numbers = np.arange(float(len(vector)))
    np.testing.assert_array_equal(parameters_of(with_parameters(matrices, numbers)), numbers)
