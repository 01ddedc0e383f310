from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from onnx import numpy_helper
from scipy import sparse

from hedge.compression import Allowance
from hedge.graph import SiteMatrix
from hedge.methods import Candidate, magnitude_pruning
from hedge.methods.pruning import csr_bytes, largest_kept, prune_and_fit, with_zeros_held
from tests.conftest import random_mlp
from tests.methods.cases import case_of, unseen_error

small = arrays(np.float64, st.tuples(st.integers(1, 5), st.integers(1, 5)),
               elements=st.floats(-2, 2, width=16))  # fmt: skip


@given(first=small, second=small, data=st.data())
def test_the_largest_weights_of_all_layers_are_kept(
    first: np.ndarray, second: np.ndarray, data: st.DataObject
) -> None:
    dense = {
        "a": SiteMatrix((first,), np.ones(len(first))),
        "b": SiteMatrix((second,), np.zeros(len(second))),
    }
    count = data.draw(st.integers(0, first.size + second.size))
    kept = largest_kept(dense, count)
    before = np.concatenate([first.ravel(), second.ravel()])
    after = np.concatenate([kept["a"].dense().ravel(), kept["b"].dense().ravel()])
    changed = after != before
    assert not after[changed].any()
    assert np.sort(np.abs(after))[::-1][:count] == pytest.approx(
        np.sort(np.abs(before))[::-1][:count]
    )
    assert np.count_nonzero(after) <= count
    assert kept["a"].bias is dense["a"].bias


@given(weight=small)
def test_csr_is_counted_as_scipy_stores_it(weight: np.ndarray) -> None:
    csr = sparse.csr_matrix(weight.astype(np.float32))
    stored = csr.data.nbytes + csr.indices.astype(np.uint16).nbytes + csr.indptr.nbytes
    assert csr_bytes(weight) == stored


@pytest.mark.parametrize("tolerance", [0.1, 1e-3])
def test_the_tolerance_holds_and_what_is_counted_is_in_the_file(tolerance: float) -> None:
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), tolerance)
    found = magnitude_pruning(case)
    assert isinstance(found, Candidate)
    assert unseen_error(case, found) <= tolerance
    arrays_of_file = [numpy_helper.to_array(t) for t in found.model.graph.initializer]
    biases = sum(a.size for a in arrays_of_file if a.ndim == 1)
    nonzeros = sum(np.count_nonzero(a) for a in arrays_of_file if a.ndim == 2)
    assert found.parameters == nonzeros + biases
    assert nonzeros < 2 * 24 + 24 * 24 + 24


def test_fitted_again_far_fewer_weights_keep_the_tolerance() -> None:
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 1e-2, allowance=Allowance(600))
    alone, fitted = magnitude_pruning(case), prune_and_fit(case)
    assert isinstance(alone, Candidate)
    assert isinstance(fitted, Candidate)
    assert unseen_error(case, fitted) <= 1e-2
    weights = [numpy_helper.to_array(t) for t in fitted.model.graph.initializer]
    biases = 24 + 24 + 1
    assert fitted.parameters == sum(np.count_nonzero(w) for w in weights if w.ndim == 2) + biases
    assert fitted.parameters - biases <= 0.7 * (alone.parameters - biases)
    assert fitted.bytes < alone.bytes
    assert f"{fitted.parameters - biases} of 648 weights kept" in fitted.note


def test_steps_and_a_seed_give_the_same_network_however_slow_the_machine_is(
    hurry: Callable[[], None],
) -> None:
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 1e-2, allowance=Allowance(150))
    first = prune_and_fit(case)
    hurry()
    again = prune_and_fit(case)
    assert isinstance(first, Candidate)
    assert isinstance(again, Candidate)
    assert again.model.SerializeToString() == first.model.SerializeToString()


def test_without_time_to_fit_it_is_what_pruning_alone_gives() -> None:
    allowance = Allowance(600, budget_s=1e-9)
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 1e-2, allowance=allowance)
    alone, fitted = magnitude_pruning(case), prune_and_fit(case)
    assert isinstance(alone, Candidate)
    assert isinstance(fitted, Candidate)
    assert (fitted.parameters, fitted.bytes) == (alone.parameters, alone.bytes)


@given(weight=small, data=st.data())
def test_the_loss_on_the_numbers_that_stay_is_that_on_all(
    weight: np.ndarray, data: st.DataObject
) -> None:
    """Zeros stay, and the gradient is that of the numbers that may change."""
    whole = {"a": SiteMatrix((weight,), np.zeros(len(weight)))}
    held = with_zeros_held(whole)
    assert held.free.sum() == np.count_nonzero(weight) + len(weight)
    goal = data.draw(arrays(np.float64, held.free.shape, elements=st.floats(-2, 2, width=16)))
    loss_of_values = held.restricted(
        lambda at, cycle: lambda x: (float((x - goal) @ x), 2 * x - goal)
    )
    values = held.values + 1.0
    loss, gradient = loss_of_values(values, 0)(values)
    assert loss == pytest.approx((values - goal[held.free]) @ values)
    np.testing.assert_allclose(gradient, 2 * values - goal[held.free])
    changed = held.with_values(values)["a"]
    np.testing.assert_array_equal(changed.dense()[weight == 0], 0.0)
    np.testing.assert_array_equal(changed.dense()[weight != 0], weight[weight != 0] + 1.0)


def test_bytes_are_those_of_the_smaller_form() -> None:
    """At a tolerance of nearly 1 most weights go, and rows of nothing cost their starts alone."""
    case = case_of(random_mlp([2, 24, 24, 1], seed=1), 0.9)
    found = magnitude_pruning(case)
    assert isinstance(found, Candidate)
    weights = [numpy_helper.to_array(t) for t in found.model.graph.initializer]
    expected = sum(min(w.nbytes, csr_bytes(w)) if w.ndim == 2 else w.nbytes for w in weights)
    assert found.bytes == expected < 4 * (found.parameters + 24 * 24)
