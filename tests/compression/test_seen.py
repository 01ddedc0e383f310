"""Second moments from samples, and large weights that stay float32."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from hedge.compression.blocks import MOST_LEAVES, layouts
from hedge.compression.metric import mean_square, part_of_metric, whole_metric
from hedge.compression.seen import PROBES, Seen
from hedge.compression.site_plan import describe_sites
from hedge.graph import SiteMatrix, load_model, split, trace
from tests.conftest import ROOT

RNG = np.random.default_rng(0)


@pytest.mark.parametrize("reach", [None, 0.5])
def test_what_is_written_is_the_same_given_or_computed(reach: float | None) -> None:
    weight, values = RNG.standard_normal((5, 4)), RNG.standard_normal((3 * PROBES, 4)) + 2.0
    computed = Seen(weight, values, reach=reach)
    given = Seen(weight, values, values @ weight.T + 7.0, reach)
    np.testing.assert_allclose(given.written(), computed.written(), atol=1e-12)
    np.testing.assert_allclose(given.probes_written, computed.probes_written, atol=1e-12)
    np.testing.assert_allclose(computed.probes, computed.read()[:PROBES])
    np.testing.assert_allclose(computed.variances, computed.covariance.diagonal())


def test_a_diagonal_metric_is_that_matrix() -> None:
    rows, diagonal = RNG.standard_normal((9, 6)), RNG.uniform(0.5, 2.0, 6)
    whole = whole_metric(diagonal)
    assert mean_square(rows, diagonal) == pytest.approx(mean_square(rows, whole))
    at = np.array([4, 1])
    np.testing.assert_array_equal(
        whole_metric(part_of_metric(diagonal, at)), part_of_metric(whole, at)
    )


def test_a_trace_of_weights_that_stay_float32_is_the_usual_one() -> None:
    parts = split(load_model(ROOT / "models" / "heat-64x3.onnx"))
    points = RNG.uniform(0.0, 1.0, (50, 2))
    narrow = parts.replaced({
        site.name: SiteMatrix((site.matrix.dense().astype(np.float32),), site.matrix.bias)
        for site in parts.sites
    })  # fmt: skip
    usual, found = trace(parts, points), trace(narrow, points)
    assert found.values.keys() == usual.values.keys()
    for name, values in usual.values.items():
        np.testing.assert_allclose(found.values[name], values, atol=1e-6)


def test_no_layout_has_more_leaves_than_can_be_fitted() -> None:
    assert max(layout.leaves for layout in layouts(16_384, 16_384)) == MOST_LEAVES


def test_large_matrices_are_not_compared_entry_by_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hedge.compression.site_plan.MOST_COMPARED", 100)
    sites = split(load_model(ROOT / "models" / "heat-64x3.onnx")).sites
    other = {s.name: replace(s.matrix, factors=(2.0 * s.matrix.dense(),)) for s in sites}
    for site, plan in zip(sites, describe_sites(sites, other, "", {}), strict=True):
        none = site.matrix.dense().size > 100
        assert (plan.frobenius_error is None) == (plan.frobenius_bound is None) == none
