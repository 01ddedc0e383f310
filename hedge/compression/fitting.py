"""Fitting every site in turn to the dense model's, with the compressed net's own activations."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.compression.measure import Measurements
from hedge.graph import Evaluator, SiteMatrix, SplitModel, assemble, hidden_layers
from hedge.hmatrix import plain_spectrum, weighted_spectrum

Array = NDArray[np.float64]
RankRule = Callable[[int, int, Array], int | None]
"""(n_out, n_in, squared error of every rank) -> a rank, or None for dense."""

# Deployed activations are float32. Least squares that knows of this noise keeps coefficients from
# growing until they amplify it: a ridge of (2⁻²³ rms)².
ROUNDING = 2.0**-23


def fit_sites(
    split: SplitModel,
    measured: Measurements,
    kept: Mapping[str, NDArray[np.int64]],
    rank_of: RankRule,
) -> dict[str, SiteMatrix]:
    """Matrices for all sites, given the neurons each producer keeps and a rule for ranks.

    Site after site: the map from the compressed net's own inputs ã to the dense net's outputs z is
    refitted by least squares, truncated in the output-weighted norm, and given the bias
    b' = E[z] − H E[ã], the best one. Errors upstream are so corrected as far as ã still tells.
    """
    columns = {
        layer.consumer: kept[layer.producer]
        for layer in hidden_layers(split)
        if layer.producer in kept
    }
    rows = {site.name: kept.get(site.name, np.arange(site.matrix.shape[0])) for site in split.sites}
    matrices = {
        site.name: _restricted(site.matrix, rows[site.name], columns.get(site.name))
        for site in split.sites
    }
    upstream_changed = False
    for site in split.sites:
        name = site.name
        x = measured.inputs[name]
        if upstream_changed:
            x = _input_of(split, matrices, site.input, measured.points)
        z = measured.outputs[name][:, rows[name]]
        weight = matrices[name].dense()
        if upstream_changed:
            prior = np.zeros_like(weight) if name in columns else weight
            weight = _refitted(prior, x, z)
        metric = measured.sensitivities[name][np.ix_(rows[name], rows[name])]
        spectrum = weighted_spectrum(weight, metric, _covariance(x))
        rank = rank_of(weight.shape[0], weight.shape[1], spectrum.tail_squared())
        factors = (weight,) if rank is None else spectrum.truncate(rank)
        bias = z.mean(axis=0) - _product(factors) @ x.mean(axis=0)
        matrices[name] = SiteMatrix(factors, bias)
        upstream_changed = upstream_changed or rank is not None or name in kept
    return matrices


def truncate_plainly(split: SplitModel, rank_of: RankRule) -> dict[str, SiteMatrix]:
    """The baseline: truncated SVD of each site's matrix in the plain Frobenius norm, bias as it was."""
    matrices = {}
    for site in split.sites:
        spectrum = plain_spectrum(site.matrix.dense())
        rank = rank_of(site.matrix.shape[0], site.matrix.shape[1], spectrum.tail_squared())
        if rank is None:
            matrices[site.name] = site.matrix
        else:
            matrices[site.name] = SiteMatrix(spectrum.truncate(rank), site.matrix.bias)
    return matrices


def _restricted(
    matrix: SiteMatrix, rows: NDArray[np.int64], columns: NDArray[np.int64] | None
) -> SiteMatrix:
    dense = matrix.dense()[rows]
    return SiteMatrix((dense if columns is None else dense[:, columns],), matrix.bias[rows])


def _input_of(
    split: SplitModel, matrices: Mapping[str, SiteMatrix], tensor: str, points: Array
) -> Array:
    evaluate = Evaluator(assemble(split.skeleton, matrices, until=tensor), [tensor])
    return evaluate.intermediates(points)[tensor]


def _refitted(prior: Array, x: Array, z: Array) -> Array:
    """Least squares from x (N, n_in) to z (N, n_out), both centred: W (n_out, n_in).

    A ridge pulls towards ``prior`` where the inputs do not tell.
    """
    centred = x - x.mean(axis=0)
    eigenvalues, vectors = linalg.eigh(_covariance(x))
    ridge = ROUNDING**2 * float(np.mean(x**2)) + np.finfo(float).tiny
    rest = (z - z.mean(axis=0)) - centred @ prior.T
    projected = vectors.T @ (centred.T @ rest / len(x))
    change = vectors @ (projected / (np.maximum(eigenvalues, 0.0) + ridge)[:, None])
    return np.asarray(prior + change.T)


def _covariance(x: Array) -> Array:
    centred = x - x.mean(axis=0)
    return np.asarray(centred.T @ centred / len(x))


def _product(factors: tuple[Array, ...]) -> Array:
    return factors[0] if len(factors) == 1 else factors[0] @ factors[1]
