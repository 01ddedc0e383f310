from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hedge.graph import Evaluator, SiteMatrix, assemble, load_model, run_float32
from hedge.hmatrix import Spectrum, plain_spectrum
from hedge.methods import Candidate, Solve, activation_svd, plain_svd
from hedge.methods.svd import activation_spectra, truncated
from hedge.problems import find_problem
from tests.conftest import random_mlp
from tests.methods.cases import Case, case_of, unseen_error


@pytest.mark.parametrize("tolerance", [3e-2, 1e-3])
def test_activation_svd_keeps_the_tolerance_with_fewer_weights(
    heat_path: Path, tolerance: float
) -> None:
    case = case_of(load_model(heat_path), tolerance, problem=find_problem("heat"))
    found = activation_svd(case)
    assert isinstance(found, Candidate)
    assert unseen_error(case, found) <= tolerance
    weights = sum(np.prod(t.dims) for t in found.model.graph.initializer if "site" in t.name)
    dense = sum(m.parameters for m in case.split.matrices.values())
    assert found.parameters == weights < 0.7 * dense
    assert found.bytes == 4 * found.parameters


@pytest.mark.parametrize("method", [plain_svd, activation_svd])
def test_a_model_that_no_rank_suits_stays_dense(method: Solve) -> None:
    case = case_of(random_mlp([2, 8, 8, 1]), 1e-6)
    found = method(case)
    assert isinstance(found, Candidate)
    assert unseen_error(case, found) == 0.0
    assert "stays dense" in found.note


def test_at_full_energy_the_factors_are_the_matrix() -> None:
    rng = np.random.default_rng(0)
    case = case_of(random_mlp([2, 24, 24, 1]), 1e-2)
    dense = case.split.matrices
    middle = list(dense)[1]
    low = SiteMatrix((rng.standard_normal((24, 3)) @ rng.standard_normal((3, 24)),), np.ones(24))
    dense = {**dense, middle: low}
    matrices = truncated(dense, {n: plain_spectrum(m.dense()) for n, m in dense.items()}, 1e-20)
    assert matrices[middle].rank == 3
    assert matrices[middle].dense() == pytest.approx(low.dense(), abs=1e-12)
    x = rng.uniform(-1, 1, (500, 2))
    before, after = (run_float32(assemble(case.split.skeleton, m), x) for m in (dense, matrices))
    assert np.linalg.norm(after - before) < 1e-6 * np.linalg.norm(before)


def test_energy_decides_the_rank_of_each_layer() -> None:
    w = np.diag([4.0, 2.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0])  # Σσ² = 21
    dense = {"a": SiteMatrix((w,), np.zeros(8))}
    spectra = {"a": plain_spectrum(w)}
    for dropped, rank in [(0.9 / 21, 3), (1.1 / 21, 2), (5.1 / 21, 1), (1.0, 1)]:
        assert truncated(dense, spectra, dropped)["a"].rank == rank


def test_whitening_pays_where_activations_are_uneven(heat_path: Path) -> None:
    case = case_of(load_model(heat_path), 1e-2, problem=find_problem("heat"))
    plain = {name: plain_spectrum(m.dense()) for name, m in case.split.matrices.items()}
    for rank in (4, 8, 16):
        white = error_at(case, activation_spectra(case), rank)
        assert white < 0.2 * error_at(case, plain, rank)


def error_at(case: Case, spectra: dict[str, Spectrum], rank: int) -> float:
    matrices = {
        name: SiteMatrix(spectra[name].truncate(rank), m.bias) if min(m.shape) > rank else m
        for name, m in case.split.matrices.items()
    }
    return case.error(matrices, case.validation).relative


def test_whitened_truncation_is_the_best_of_its_rank_for_the_layers_output() -> None:
    """Against U Σ and Vᵀ L⁻¹ of SVD-LLM, written out."""
    case = case_of(random_mlp([3, 10, 12, 1], seed=3), 1e-2)
    site = case.split.sites[1]
    spectrum = activation_spectra(case)[site.name]
    x = Evaluator(case.dense, [site.input]).intermediates(case.points.fit)[site.input]
    root = np.linalg.cholesky(x.T @ x / len(x))
    w = site.matrix.dense()
    u, s, vt = np.linalg.svd(w @ root)
    for rank in (1, 4, 9):
        expected = (u[:, :rank] * s[:rank]) @ vt[:rank] @ np.linalg.inv(root)
        left, right = spectrum.truncate(rank)
        assert left @ right == pytest.approx(expected, abs=1e-4)
