"""Weighted truncation: optimal in its norm, and its stated error is the error."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hedge.hmatrix import plain_spectrum, sampled_spectrum, weighted_spectrum


def metric(rng: np.random.Generator, n: int, condition: float) -> np.ndarray:
    q, _ = np.linalg.qr(rng.standard_normal((n, n)))
    return (q * np.geomspace(1.0, 1.0 / condition, n)) @ q.T


def root(matrix: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(matrix)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


sizes = st.integers(1, 9)


@settings(max_examples=50)
@given(
    rows=sizes,
    columns=sizes,
    seed=st.integers(0, 10**6),
    condition=st.sampled_from([1.0, 1e3, 1e8]),
)
def test_stated_error_is_the_weighted_error_and_below_every_rival(
    rows: int, columns: int, seed: int, condition: float
) -> None:
    rng = np.random.default_rng(seed)
    w = rng.standard_normal((rows, columns))
    b, c = metric(rng, rows, condition), metric(rng, columns, condition)
    spectrum = weighted_spectrum(w, b, c)

    def error(h: np.ndarray) -> float:
        return float(np.sum((root(b) @ (w - h) @ root(c)) ** 2))

    tail = spectrum.tail_squared()
    for rank in range(min(rows, columns) + 1):
        u, v = spectrum.truncate(rank)
        assert error(u @ v) == pytest.approx(tail[rank], rel=1e-5, abs=1e-7 * tail[0])
        plain_u, plain_v = plain_spectrum(w).truncate(rank)
        assert tail[rank] <= error(plain_u @ plain_v) * (1 + 1e-5) + 1e-7 * tail[0]


def test_full_rank_reproduces_the_matrix_even_with_singular_metrics() -> None:
    rng = np.random.default_rng(0)
    w = rng.standard_normal((5, 4))
    singular = np.outer(rng.standard_normal(4), rng.standard_normal(4))
    u, v = weighted_spectrum(w, np.eye(5), singular @ singular.T).truncate(5)
    np.testing.assert_allclose(u @ v, w, atol=1e-9)
    zero = weighted_spectrum(w, np.zeros((5, 5)), np.zeros((4, 4)))
    np.testing.assert_allclose(zero.left @ zero.right, w, atol=1e-9)


def test_plain_truncation_is_that_of_eckart_and_young() -> None:
    w = np.random.default_rng(1).standard_normal((6, 8))
    u, v = plain_spectrum(w).truncate(3)
    values = np.linalg.svd(w, compute_uv=False)
    assert np.linalg.norm(w - u @ v) == pytest.approx(np.sqrt(np.sum(values[3:] ** 2)))
    assert plain_spectrum(w).tail_squared()[3] == pytest.approx(np.sum(values[3:] ** 2))


@pytest.mark.parametrize("even", [True, False])
def test_few_values_of_a_large_matrix_are_those_of_all(even: bool) -> None:
    """Samples are enough, without their covariance; and what is left is told."""
    rng = np.random.default_rng(0)
    x, y = np.linspace(0, 1, 600), np.linspace(0, 1, 700)
    w = np.exp(-10 * abs(x[:, None] - y))
    mixed = rng.standard_normal((600, 600))
    b = np.diag(rng.uniform(0.5, 2.0, 600)) if even else mixed @ mixed.T / 600 + np.eye(600)
    a = rng.standard_normal((900, 700))
    c = a.T @ a / len(a)
    felt = b.diagonal() if even else b
    whole, few = weighted_spectrum(w, b, c), sampled_spectrum(w, felt, a @ w.T, 20)
    np.testing.assert_allclose(few.values[:10], whole.values[:10], rtol=1e-2)
    assert few.tail_squared()[10] == pytest.approx(whole.tail_squared()[10], rel=0.1)
    left, right = few.truncate(10)
    off = w - left @ right
    missed = np.sum((b @ off) * (off @ c))
    assert missed == pytest.approx(whole.tail_squared()[10], rel=0.02)
