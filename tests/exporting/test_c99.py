"""C99 out: compiled with every warning an error and with sanitizers, equal to hedge's float64."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.exporting.c_compiler import Results, needs_gcc, run_all
from tests.exporting.c_models import all_models

pytestmark = needs_gcc
MODELS = all_models()


@pytest.fixture(scope="module", params=[False, True], ids=["float", "double"])
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[bool, dict[str, Results]]:
    return request.param, run_all(tmp_path_factory.mktemp("c"), MODELS, double=request.param)


@pytest.mark.parametrize("label", MODELS)
def test_c_gives_what_hedge_computes(run: tuple[bool, dict[str, Results]], label: str) -> None:
    double, results = run
    expected = MODELS[label].expected
    size = np.abs(expected).max()
    allowed = size * (1e-12 if double else 1e-5)
    assert np.abs(results[label].single - expected).max() < allowed
    assert np.abs(results[label].batched - expected).max() < allowed
