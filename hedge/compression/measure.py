"""What is measured on the dense model once: activations, outputs, and how the output feels each site."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from hedge.errors import ModelError
from hedge.graph import SplitModel, site_gradients, trace

Array = NDArray[np.float64]
Reference = Callable[[Array], Array]

# Up to so many outputs the sensitivities are exact; beyond, as many random signs estimate them.
EXACT_OUTPUTS = 16


@dataclass(frozen=True)
class Measurements:
    """The dense model at N fit points.

    inputs[site] is a_{l−1} (N, n_in), outputs[site] is z_l (N, n_out), sensitivities[site] is
    B = E[JᵀJ] / E[|u|²] (n_out, n_out), J = ∂u/∂z_l, so ‖B^½ (W − H) C^½‖_F is a relative error.
    """

    points: Array
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    sensitivities: dict[str, Array]


def measure(split: SplitModel, points: Array, seed: int) -> Measurements:
    """Run the dense model forwards and backwards at ``points`` (N, d).

    Raises ModelError if a site is not fed by a matrix, or the output is zero or not finite.
    """
    traced = trace(split, points)
    for site in split.sites:
        if traced.values[site.input].ndim != 2:
            shape = ("n", *traced.values[site.input].shape[1:])
            raise ModelError(
                f"a linear layer reads {site.input!r} of shape {shape}; hedge needs [n, d]: "
                "flatten it before the layer"
            )
    output = traced.output
    power = float(np.mean(np.sum(output.reshape(len(points), -1) ** 2, axis=1)))
    if power == 0.0:
        raise ModelError("its output is zero on the whole domain, so there is no relative error")
    last = split.skeleton.graph.output[0].name
    # A site that writes the output itself is felt as it is: J = 1.
    totals = {
        site.name: (len(points) if site.output == last else 0.0) * np.eye(site.matrix.shape[0])
        for site in split.sites
    }
    estimated = {site.name for site in split.sites if site.output != last}
    for direction in _directions(output, seed) if estimated else ():
        for name, gradient in site_gradients(traced, direction).items():
            if name not in estimated:
                continue
            # Where a derivative is infinite (a root at 0) the point gets no weight, the others do.
            finite = np.where(np.isfinite(gradient), gradient, 0.0)
            totals[name] += finite.T @ finite
    return Measurements(
        points=points,
        inputs={site.name: traced.values[site.input] for site in split.sites},
        outputs={site.name: traced.values[site.output] for site in split.sites},
        sensitivities={name: total / (len(points) * power) for name, total in totals.items()},
    )


def _directions(output: Array, seed: int) -> list[Array]:
    """Unit vectors of the output space, or random signs s with E[s sᵀ] = 1 (Hutchinson, 1990)."""
    flat = output.reshape(len(output), -1)
    count = flat.shape[1]
    if count <= EXACT_OUTPUTS:
        units = np.eye(count)
        return [np.broadcast_to(u, flat.shape).reshape(output.shape) for u in units]
    rng = np.random.default_rng(seed)
    return [
        rng.choice([-1.0, 1.0], size=output.shape) / np.sqrt(EXACT_OUTPUTS)
        for _ in range(EXACT_OUTPUTS)
    ]


@dataclass(frozen=True)
class ErrorEstimate:
    """Relative L2 error of outputs, and the largest excess Σ|δu|² − τ²|u|² that chance explains."""

    relative: float
    _differences: Array
    _targets: Array

    def surely_within(self, tolerance: float) -> bool:
        """Whether the error over the domain is below ``tolerance``, at about 98 % confidence.

        With d = |δu|² − τ²|u|² per point, the mean of d must be two standard errors below zero.
        """
        if not np.isfinite(self.relative):
            return False
        if not self._differences.any():
            return True
        d = self._differences - tolerance**2 * self._targets
        return bool(d.mean() + 2.0 * d.std(ddof=1) / np.sqrt(len(d)) <= 0.0)


def output_error(outputs: Array, targets: Array) -> ErrorEstimate:
    """Compare outputs (n, m) with targets (n, m) in the relative L2 norm."""
    with np.errstate(all="ignore"):  # outputs that overflowed are infinitely wrong
        differences = np.nan_to_num(np.sum((outputs - targets) ** 2, axis=1), nan=np.inf)
        powers = np.sum(targets**2, axis=1)
        relative = float(np.sqrt(differences.sum() / powers.sum()))
    return ErrorEstimate(relative, differences, powers)
