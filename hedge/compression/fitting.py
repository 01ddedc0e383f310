"""Fitting every site in turn to the dense model's, with the compressed net's own activations."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

from hedge.arrays import Array
from hedge.compression.measure import Measurements
from hedge.compression.metric import mean_square, part_of_metric
from hedge.compression.seen import Seen, covariance_of
from hedge.compression.target import SiteTarget
from hedge.graph import (
    Matrix,
    NeuronGroup,
    ReadColumns,
    Site,
    SiteMatrix,
    SplitModel,
    neuron_groups,
    with_bias,
    with_columns,
    with_kept_neurons,
    without_layer,
)

Choice = Callable[[str, SiteTarget], Matrix]
"""(a site's name, its target) -> what replaces it, with bias 0."""

T = TypeVar("T", "_Turn", "_Fitted")

# Below this a covariance and its ridge are no longer positive definite in float64.
LEAST_NOISE = 1e-6
# Bytes of activations that are remembered, of compressed networks of a search.
MOST_HELD = 2**27
LARGEST_WEIGHT = float(np.finfo(np.float32).max)


def dense_targets(split: SplitModel, measured: Measurements, noise: float) -> dict[str, SiteTarget]:
    """The targets of all sites while nothing upstream has changed; noise as for :func:`fit_sites`."""
    targets = {}
    for site in split.sites:
        metric = measured.sensitivities[site.name]
        targets[site.name] = SiteTarget(measured.seen(site), metric, enough=noise**2)
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
    return SiteFits(split, measured, noise, targets).fitted(kept, choose)


@dataclass(frozen=True, eq=False)
class _Fitted:
    """A site after its turn; changed says whether what it writes is new."""

    matrix: Matrix
    turn: _Turn
    changed: bool

    @property
    def held(self) -> int:
        """Bytes of activations that it may hold."""
        return self.turn.x.itemsize * len(self.turn.x) * self.matrix.shape[0] if self.changed else 0

    @cached_property
    def written(self) -> Array:
        """What it writes, (N, n_out)."""
        if not self.changed:
            return self.turn.z
        return np.asarray(self.matrix.times(self.turn.x) + self.matrix.bias)


@dataclass(frozen=True, eq=False)
class SiteFits:
    """:func:`fit_sites` for many choices: what a site becomes follows from the choices up to it.

    So a search that comes to the same choices again, as a bisection does, fits nothing twice.
    """

    split: SplitModel
    measured: Measurements
    noise: float
    targets: Mapping[str, SiteTarget]
    _turns: dict[Hashable, _Turn] = field(default_factory=dict)
    _known: dict[Hashable, _Fitted] = field(default_factory=dict)

    def fitted(self, kept: Mapping[str, NDArray[np.int64]], choose: Choice) -> dict[str, Matrix]:
        """The matrices, as :func:`fit_sites` says."""
        neurons = _Neurons.of(self.split, self._groups, kept)
        done: dict[str, _Fitted] = {}
        path: tuple[Hashable, ...] = tuple((name, at.tobytes()) for name, at in kept.items())
        for site in self.split.sites:
            turn = _remembered(self._turns, path, partial(self._turn, site, neurons, done))
            matrix = choose(site.name, turn.target)
            path += (matrix.structure, matrix.precision)
            done[site.name] = _remembered(self._known, path, partial(turn.fitted, matrix))
        return {name: one.matrix for name, one in done.items()}

    @cached_property
    def _groups(self) -> tuple[NeuronGroup, ...]:
        return neuron_groups(self.split).groups

    def _turn(self, site: Site, neurons: _Neurons, done: Mapping[str, _Fitted]) -> _Turn:
        """What the site may become after those before it."""
        name, measured = site.name, self.measured
        x, z = measured.inputs[name], measured.outputs[name]
        narrower = name in neurons.kept
        z = z[:, neurons.kept[name]] if narrower else z
        changed = any(one.changed for one in done.values())
        if changed:
            written = {s.output: done[s.name].written for s in self.split.sites if s.name in done}
            x = neurons.split.tensor(site.input, measured.points, written)
        mean, target = x.mean(axis=0), self.targets[name]
        if changed or narrower:
            rows = neurons.rows(site)
            weight = site.matrix.dense()[rows]
            columns = neurons.read.get(name)
            weight = weight if columns is None else weight[:, columns]
            if changed:
                prior = None if columns is not None else weight
                inputs, wanted = measured.rows(x - mean), measured.deviations(z)
                covariance = covariance_of(inputs)
                weight = _refitted(prior, mean, inputs, wanted, covariance, self.noise)
            metric = part_of_metric(measured.sensitivities[name], rows)
            seen = Seen(weight, x, None if changed else z, measured.reach, measured.grid)
            target = SiteTarget(seen, metric, enough=self.noise**2)
        return _Turn(site, target, x, mean, z, changed or narrower)


@dataclass(frozen=True, eq=False)
class _Turn:
    """A site when its turn comes: its target, its inputs x (N, n_in) and their mean, its outputs wanted z."""

    site: Site
    target: SiteTarget
    x: Array
    mean: Array
    z: Array
    changed: bool

    @property
    def held(self) -> int:
        """Bytes of activations that are no other's."""
        return self.x.nbytes + self.z.nbytes if self.changed else 0

    def fitted(self, matrix: Matrix) -> _Fitted:
        """The site with ``matrix`` and the best bias."""
        bias = self.z.mean(axis=0) - matrix.times(self.mean[None])[0]
        if (
            not self.site.matrix.bias.any()
            and mean_square(bias[None], self.target.metric) <= self.target.enough
        ):
            bias = np.zeros_like(bias)  # the site had none, and nobody would see this one
        changed = self.changed or not self.target.is_kept_by(matrix)
        return _Fitted(with_bias(matrix, bias), self, changed)


@dataclass(frozen=True)
class _Neurons:
    """The neurons kept by each site that loses some, those that its readers read, and what lies between."""

    split: SplitModel
    kept: Mapping[str, NDArray[np.int64]]
    read: Mapping[str, NDArray[np.int64]]

    @staticmethod
    def of(
        split: SplitModel, groups: Sequence[NeuronGroup], kept: Mapping[str, NDArray[np.int64]]
    ) -> _Neurons:
        read = {
            consumer: kept[group.producers[0]]
            for group in groups
            if group.producers[0] in kept
            for consumer in group.consumers
        }
        return _Neurons(with_kept_neurons(split, groups, kept), kept, read)

    def rows(self, site: Site) -> NDArray[np.int64]:
        """Those of a site, all if it loses none."""
        return self.kept.get(site.name, np.arange(site.matrix.shape[0]))


def _remembered(known: dict[Hashable, T], path: Hashable, make: Callable[[], T]) -> T:
    """What was made of a path; the oldest go where all together hold too much."""
    if path in known:
        return known[path]
    made = known[path] = make()
    while sum(one.held for one in known.values()) > MOST_HELD and len(known) > 1:
        del known[next(iter(known))]
    return made


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


def folded(
    split: SplitModel, measured: Measurements, layer: NeuronGroup, noise: float
) -> SplitModel:
    """The model without a layer: what read it is fitted to what it wrote, from what the layer read.

    noise as for :func:`fit_sites`.
    """
    x = measured.inputs[layer.producers[0]]
    return without_layer(split, layer, _fitted_to(measured, layer.consumers, x, noise))


def with_fewer_columns(
    split: SplitModel,
    measured: Measurements,
    read: ReadColumns,
    kept: NDArray[np.int64],
    noise: float,
) -> SplitModel:
    """The model that reads these of an input's columns alone; what read all is fitted to what it wrote.

    noise as for :func:`fit_sites`.
    """
    x = measured.inputs[read.sites[0]][:, kept]
    return with_columns(split, read, kept, _fitted_to(measured, read.sites, x, noise))


def _fitted_to(
    measured: Measurements, names: Sequence[str], x: Array, noise: float
) -> dict[str, SiteMatrix]:
    """The sites' least squares from x (N, k) to what they write."""
    inputs = measured.deviations(x)
    covariance, mean = covariance_of(inputs), x.mean(axis=0)

    def fitted(name: str) -> SiteMatrix:
        z = measured.outputs[name]
        weight = _refitted(None, mean, inputs, measured.deviations(z), covariance, noise)
        return SiteMatrix((weight,), z.mean(axis=0) - weight @ mean)

    return {name: fitted(name) for name in names}
