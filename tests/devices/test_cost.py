"""Costs: additive, monotone, and the paper's formulas to the letter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hedge.devices import (
    Work,
    energy_joules,
    find_profile,
    gemm_work,
    marginal_seconds,
    pass_work,
    predicted_seconds,
    product_work,
    roofline_seconds,
)
from hedge.hmatrix import Block
from hedge.paper import paper_bound_seconds, paper_energy_joules

PI = find_profile("raspberry-pi-4b")
PAPER = find_profile("paper-example")
sizes = st.integers(1, 10**4)
works = st.one_of(
    st.builds(gemm_work, sizes, sizes, sizes),
    st.builds(product_work, sizes, sizes, sizes, st.integers(1, 64)),
    st.builds(pass_work, st.sampled_from(["Sin", "Gemm+Tanh", "Add", "Reshape"]), sizes, sizes),
)


@given(works, works)
def test_work_is_additive(a: Work, b: Work) -> None:
    both = marginal_seconds(PI, a + b)
    assert both == pytest.approx(marginal_seconds(PI, a) + marginal_seconds(PI, b), rel=1e-12)
    assert predicted_seconds(PI, a) == pytest.approx(
        PI.runtime.call.value + marginal_seconds(PI, a), rel=1e-12
    )


@given(works, works)
def test_the_roofline_is_below_the_prediction_and_monotone(a: Work, b: Work) -> None:
    assert roofline_seconds(PI, a) <= predicted_seconds(PI, a)
    assert roofline_seconds(PI, a + b) >= roofline_seconds(PI, a)


def test_gemm_work_counts_multiply_and_add_and_every_tensor_once() -> None:
    work = gemm_work(batch=4, outputs=3, inputs=2)
    assert work.flops == 2 * 4 * 3 * 2
    assert work.bytes == 4 * (4 * 2 + 4 * 3 + 3 * 2 + 3)


def test_no_prediction_reads_the_papers_constants() -> None:
    paper = PI.paper.model_copy(update={"bandwidth": PAPER.paper.bandwidth})
    other = PI.model_copy(update={"paper": paper})
    for op in ("Transpose", "Transpose of rows", "Concat", "Gemm+Relu"):
        work = pass_work(op, 100, 100)
        assert marginal_seconds(other, work) == marginal_seconds(PI, work)
    rows, numbers = (
        marginal_seconds(PI, pass_work(op, 100, 100)) for op in ("Concat", "Transpose")
    )
    assert numbers > rows


def test_many_sizes_are_priced_at_once() -> None:
    widths = np.arange(1, 9)
    together = marginal_seconds(PI, gemm_work(64, widths, 5))
    alone = [marginal_seconds(PI, gemm_work(64, int(w), 5)) for w in widths]
    np.testing.assert_allclose(together, alone)


def test_theorems_10_and_11_to_the_letter() -> None:
    blocks = [Block(8, 8, 2), Block(8, 8, None)]
    moved = 4 * (2 * 16) + 4 * 64
    assert paper_bound_seconds(PAPER, blocks) == (4 + 64) / 1e3 + moved / 1e2
    assert paper_bound_seconds(PAPER, blocks, batch=10) == 10 * (4 + 64) / 1e3 + moved / 1e2
    assert paper_energy_joules(PAPER, blocks) == pytest.approx(0.01 * (4 + 64) + 2 * 0.5)


def test_energy_is_static_power_over_time_plus_flops() -> None:
    work = gemm_work(10, 5000, 10**4)
    expected = PI.power.idle.value * 2.0 + PI.power.flop_energy.value * 1e9
    assert energy_joules(PI, work, 2.0) == pytest.approx(expected)
