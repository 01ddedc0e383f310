"""Fitting every site in turn to the dense model's, with the compressed net's own activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.compression.measure import Measurements
from hedge.compression.target import PROBES, SiteTarget
from hedge.graph import (
    Matrix,
    SiteMatrix,
    SplitModel,
    neuron_groups,
    with_bias,
)

Choice = Callable[[str, SiteTarget], Matrix]
"""(a site's name, its target) -> what replaces it, with bias 0."""

# Below this a covariance and its ridge are no longer positive definite in float64.
LEAST_NOISE = 1e-6
LARGEST_WEIGHT = float(np.finfo(np.float32).max)


def dense_targets(split: SplitModel, measured: Measurements, noise: float) -> dict[str, SiteTarget]:
    """The targets of all sites while nothing upstream has changed; noise as for :func:`fit_sites`."""
    targets = {}
    for site in split.sites:
        x = measured.inputs[site.name]
        metric = measured.sensitivities[site.name]
        targets[site.name] = SiteTarget(
            site.matrix.dense(), metric, _covariance(x), x[:PROBES], enough=noise**2
        )
    return targets


def fit_sites(
    split: SplitModel,
    measured: Measurements,
    kept: Mapping[str, NDArray[np.int64]],
    choose: Choice,
    noise: float,
    targets: Mapping[str, SiteTarget],
) -> dict[str, Matrix]:
    """Matrices for all sites, given the neurons kept of some groups and what chooses them.

    kept names them by site, for every producer of a group alike.

    Site after site: the map from the compressed net's own inputs ã to the dense net's outputs z is
    refitted by least squares, replaced in the output-weighted norm, and given the bias
    b' = E[z] − H E[ã], the best one. Errors upstream are so corrected as far as ã still tells.

    noise is the relative error of ã that the fit must bear. Compressed activations span few
    directions, and an unguarded fit finds weights of thousands that amplify float32's rounding to
    1e-3 of the output. With noise = tolerance / 10 the guarded fit's amplification times 2⁻²⁴ stays
    below 1e-6.

    targets are the :func:`dense_targets`.
    """
    columns = {
        consumer: kept[group.producers[0]]
        for group in neuron_groups(split).groups
        if group.producers[0] in kept
        for consumer in group.consumers
    }
    rows = {site.name: kept.get(site.name, np.arange(site.matrix.shape[0])) for site in split.sites}
    matrices: dict[str, Matrix] = {
        site.name: _restricted(site.matrix, rows[site.name], columns.get(site.name))
        for site in split.sites
    }
    written: dict[str, Array] = {}
    upstream_changed = False
    for site in split.sites:
        name = site.name
        x = measured.inputs[name]
        if upstream_changed:
            x = split.tensor(site.input, measured.points, written)
        z = measured.outputs[name]
        z = z[:, kept[name]] if name in kept else z
        target, mean = targets[name], x.mean(axis=0)
        if upstream_changed or name in kept:
            centred = x - mean
            covariance = np.asarray(centred.T @ centred / len(x))
            weight = matrices[name].dense()
            if upstream_changed:
                prior = None if name in columns else weight
                weight = _refitted(prior, mean, centred, z - z.mean(axis=0), covariance, noise)
            metric = measured.sensitivities[name][np.ix_(rows[name], rows[name])]
            target = SiteTarget(weight, metric, covariance, x[:PROBES], enough=noise**2)
        matrix = choose(name, target)
        bias = z.mean(axis=0) - matrix.times(mean[None])[0]
        if not site.matrix.bias.any() and bias @ target.metric @ bias <= target.enough:
            bias = np.zeros_like(bias)  # the site had none, and nobody would see this one
        matrices[name] = with_bias(matrix, bias)
        upstream_changed = upstream_changed or name in kept or not target.is_kept_by(matrix)
        written[site.output] = matrix.times(x) + bias if upstream_changed else z
    return matrices


def _restricted(
    matrix: Matrix, rows: NDArray[np.int64], columns: NDArray[np.int64] | None
) -> SiteMatrix:
    dense = matrix.dense()[rows]
    return SiteMatrix((dense if columns is None else dense[:, columns],), matrix.bias[rows])


def _refitted(
    prior: Array | None, mean: Array, centred: Array, z: Array, covariance: Array, noise: float
) -> Array:
    """Least squares from x = mean + centred (N, n_in) to z (N, n_out), centred: W (n_out, n_in).

    A ridge, the mean square of the noise on x, pulls towards ``prior``, or zero, where x does not tell;
    where float32 could not hold the result it is that.
    """
    start = np.zeros((z.shape[1], len(mean))) if prior is None else prior
    power = float(np.trace(covariance) + mean @ mean) / len(mean)
    if power == 0.0:
        return start
    rest = z if prior is None else z - centred @ prior.T
    # Scaled by a power of two, which rounds nothing, for a system of numbers near 1.
    size = math.ldexp(1.0, math.frexp(math.sqrt(power))[1])
    correlation = centred.T @ rest / (len(z) * size)
    ridge = max(noise, LEAST_NOISE) ** 2 * power / size**2
    damped = covariance / size**2 + ridge * np.eye(len(covariance))
    change = linalg.solve(damped, correlation, assume_a="pos") / size
    fitted = np.asarray(start + change.T)
    return fitted if np.abs(fitted).max() <= LARGEST_WEIGHT else start


def _covariance(x: Array) -> Array:
    centred = x - x.mean(axis=0)
    return np.asarray(centred.T @ centred / len(x))
