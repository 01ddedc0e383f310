"""What is measured on the dense model once: activations, outputs, and how the output feels each site."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from hedge.arrays import Array
from hedge.compression.confidence import TOTAL_RISK, rows_to_be_sure, surely_negative
from hedge.compression.seen import Seen, moment_rows
from hedge.errors import ModelError
from hedge.graph import Site, SplitModel, site_gradients, trace
from hedge.request import Norm

Reference = Callable[[Array], Array]

# A layer's sensitivities are a matrix of its outputs squared: 3 GiB at this width.
WIDEST = 20_000
# Up to so many outputs the sensitivities are exact; beyond, as many random signs estimate them.
EXACT_OUTPUTS = 16
# A column that varies by no more than float32 rounds it is constant.
ROUNDING = 1e-6
# An output of more columns than these is one field on a grid, if nothing else is said.
MOST_APART = 64


@dataclass(frozen=True)
class Sample:
    """Points (n, d), the outputs wanted there (n, m), and the slopes (n, d m) there if they count."""

    points: Array
    targets: Array
    slopes: Array | None = None


@dataclass(frozen=True)
class Measurements:
    """The dense model at N fit points.

    inputs[site] is a_{l−1} (N, n_in), outputs[site] is z_l (N, n_out), sensitivities[site] is
    B = Σ_j E[J_jᵀJ_j] / E[|u_j|²] (n_out, n_out) over the fields u_j of the outputs, J_j = ∂u_j/∂z_l, so
    ‖B^½ (W − H) C^½‖_F is a relative error; of a site that writes an output itself its
    diagonal (n_out,). powers (m,) are E[|u_j|²] for each column of the outputs.

    Where derivatives count, the points are N, then N ends x + v, then N ends x − v, with the reach of
    :func:`hedge.compression.derivatives.pairs_around`. grid is that of the request.
    """

    points: Array
    inputs: dict[str, Array]
    outputs: dict[str, Array]
    sensitivities: dict[str, Array]
    powers: Array
    reach: float | None = None
    grid: tuple[int, ...] | None = None

    def rows(self, values: Array) -> Array:
        """Of what second moments are, see :func:`hedge.compression.seen.moment_rows`."""
        return moment_rows(values, self.reach)

    def deviations(self, values: Array) -> Array:
        """The same of values about their mean."""
        return self.rows(values - values.mean(axis=0))

    def seen(self, site: Site) -> Seen:
        """What a site reads and writes; once, whoever asks for it."""
        if site.name not in self._seen:
            outputs = self.outputs[site.name]
            weight = site.matrix.dense()
            inputs = self.inputs[site.name]
            self._seen[site.name] = Seen(weight, inputs, outputs, self.reach, self.grid)
        return self._seen[site.name]

    @cached_property
    def _seen(self) -> dict[str, Seen]:
        return {}


def fields_of(widths: Sequence[int], *, joint: bool | None = None) -> tuple[int, ...]:
    """The widths of the fields of outputs so wide: what keeps the tolerance by itself.

    Every column is one, where they are not ``joint``; all columns of an output, where they are. If
    nothing is said, an output of more than MOST_APART columns is one field on a grid.

    >>> fields_of([3, 100]), fields_of([3, 100], joint=True)
    ((1, 1, 1, 100), (3, 100))
    """
    together = (width > MOST_APART if joint is None else joint for width in widths)
    return tuple(
        field
        for width, one in zip(widths, together, strict=True)
        for field in ((width,) if one else (1,) * width)
    )


def measure(
    split: SplitModel,
    points: Array,
    seed: int,
    fields: Sequence[int] | None = None,
    *,
    to_spread: bool = False,
    reach: float | None = None,
) -> Measurements:
    """Run the dense model forwards and backwards at ``points`` (N, d); ``fields`` as of :func:`fields_of`.

    With ``to_spread`` errors are relative to what the outputs vary by, as for :func:`output_error`; with
    ``reach`` the points are as :class:`Measurements` says, and derivatives count.

    Raises ModelError if a site is wider than WIDEST or not fed by a matrix, or all outputs are zero or one
    not finite.
    """
    for site in split.sites:
        if max(site.matrix.shape) > WIDEST:
            sides = "x".join(f"{side:,}" for side in site.matrix.shape)
            raise ModelError(f"a linear layer is {sides}; hedge compresses layers up to {WIDEST:,}")
    traced = trace(split, points)
    for site in split.sites:
        if traced.values[site.input].ndim != 2:
            shape = ("n", *traced.values[site.input].shape[1:])
            raise ModelError(
                f"a linear layer reads {site.input!r} of shape {shape}; hedge needs [n, d]: "
                "flatten it before the layer"
            )
    widths = [output.shape[1] for output in traced.outputs]
    fields = fields or fields_of(widths)
    check_not_zero(traced.output)
    values = centred(traced.output) if to_spread else traced.output
    powers = np.repeat(mean_powers(values, fields), fields)
    direct = _output_sites(split, np.split(powers, np.cumsum(widths)[:-1]))
    count = len(points) if reach is None else len(points) // 3
    rows = count if reach is None else 2 * count
    totals = {
        site.name: np.zeros((site.matrix.shape[0],) * 2)
        for site in split.sites
        if site.name not in direct
    }
    for direction in _directions(count, powers, seed) if totals else ():
        if reach is not None:
            direction = np.tile(direction, (3, 1))
        for name, gradient in site_gradients(traced, direction).items():
            if name in direct:
                continue
            # Where a derivative is infinite (a root at 0) the point gets no weight, the others do.
            finite = moment_rows(np.where(np.isfinite(gradient), gradient, 0.0), reach)
            totals[name] += finite.T @ finite
    return Measurements(
        points=points,
        inputs={site.name: traced.values[site.input] for site in split.sites},
        outputs={site.name: traced.values[site.output] for site in split.sites},
        sensitivities=direct | {name: total / rows for name, total in totals.items()},
        powers=powers,
        reach=reach,
    )


def check_not_zero(outputs: Array) -> None:
    """Raise ModelError if outputs are zero at all points."""
    if not outputs.any():
        raise ModelError("its output is zero on the whole domain, so there is no relative error")


def _output_sites(split: SplitModel, powers: Sequence[Array]) -> dict[str, Array]:
    """The sites that write an output themselves, and 1 / the powers of its columns: there J = 1."""
    graph = split.skeleton.graph
    read = {name for node in graph.node for name in node.input}
    scale = {v.name: 1.0 / p for v, p in zip(graph.output, powers, strict=True)}
    return {
        site.name: scale[site.output]
        for site in split.sites
        if site.output in scale and site.output not in read
    }


def _directions(count: int, power: Array, seed: int) -> Iterator[Array]:
    """Unit vectors of the output space, or random signs s with E[s sᵀ] = 1 (Hutchinson, 1990).

    Each is (count, m), divided by the root of the ``power`` (m,) that its column is measured by.
    """
    m = len(power)
    scale = 1.0 / np.sqrt(power)
    if m <= EXACT_OUTPUTS:
        for unit in np.diag(scale):
            yield np.broadcast_to(unit, (count, m))
        return
    rng = np.random.default_rng(seed)
    for _ in range(EXACT_OUTPUTS):
        yield rng.choice([-1.0, 1.0], size=(count, m)) * scale / np.sqrt(EXACT_OUTPUTS)


def mean_powers(outputs: Array, fields: Sequence[int]) -> Array:
    """E[|u_j|²] of every field, (fields,), by which its error is measured."""
    return np.asarray(_powers(outputs, fields).mean(axis=0))


def _powers(outputs: Array, fields: Sequence[int]) -> Array:
    """|u_j|² of every field at every point, (n, fields), by which its error is measured.

    One that is zero everywhere is measured by all together: it has no relative error.
    """
    own = _squares(outputs, fields)
    together = own.sum(axis=1, keepdims=True)
    return np.where(own.any(axis=0), own, together)


def centred(outputs: Array) -> Array:
    """u − mean u, (n, m), each column's mean over the points; one that only rounding moves is zero."""
    around = outputs - outputs.mean(axis=0)
    constant = np.abs(around).max(axis=0) <= ROUNDING * np.abs(outputs).max(axis=0)
    around[:, constant] = 0.0
    return np.asarray(around)


def _squares(values: Array, fields: Sequence[int]) -> Array:
    """Σ v² over the columns of each field, (n, m) -> (n, fields)."""
    starts = np.cumsum([0, *fields[:-1]])
    return np.asarray(np.add.reduceat(values**2, starts, axis=1))


@dataclass(frozen=True)
class ErrorEstimate:
    """Relative L2 errors of the fields u_j of outputs: each by itself, so that none hides behind another.

    relatives (fields,) are ‖δu_j‖ / ‖u_j‖, spreads (fields,) ‖u_j − mean u_j‖ / ‖u_j‖, largests (fields,)
    max |δu_j| / max |u_j| over points and columns; where errors are relative to the spread, that stands for
    ‖u_j‖ in relatives. _differences and _powers are |δu_j|² and |u_j|² at every point, (n, fields).
    """

    relatives: Array
    spreads: Array
    largests: Array
    _differences: Array
    _powers: Array
    norm: Norm = "l2"

    @property
    def points(self) -> int:
        """On how many."""
        return len(self._differences)

    @property
    def relative(self) -> float:
        """That of the worst field."""
        return float(self.relatives.max())

    @property
    def largest(self) -> float:
        """The largest error, again of the worst field."""
        return float(self.largests.max())

    @property
    def promised(self) -> float:
        """The one that a tolerance bounds, by the norm."""
        return self.largest if self.norm == "max" else self.relative

    def surely_within(self, tolerance: float, risk: float = TOTAL_RISK) -> bool:
        """Whether the errors over the domain are below ``tolerance``; a yes is wrong with at most ``risk``.

        With d = |δu|² − τ²|u|² per point, the mean of d must surely be negative, for each field. In the norm
        "max" no point may exceed the tolerance, see :func:`hedge.compression.confidence.unseen_part`.
        """
        if self.norm == "max":
            return self.largest <= tolerance
        if not np.isfinite(self.relative):
            return False
        surely = surely_negative(*self._excess(tolerance), risk)
        return bool((surely | ~self._differences.any(axis=0)).all())

    def rows_for(self, tolerance: float, risk: float) -> float:
        """On about how many points errors like these are surely within; infinity if on none."""
        if self.norm == "max":
            return np.inf
        return rows_to_be_sure(*self._excess(tolerance), risk)

    def _excess(self, tolerance: float) -> tuple[Array, Array]:
        allowed = tolerance**2 * self._powers
        return self._differences - allowed, allowed.mean(axis=0)


def output_error(
    outputs: Array,
    targets: Array,
    fields: Sequence[int] | None = None,
    *,
    to_spread: bool = False,
    norm: Norm = "l2",
) -> ErrorEstimate:
    """Compare outputs (n, m) with targets (n, m); ``norm`` is that which is promised.

    ``to_spread`` divides by ‖u − mean u‖, the mean of each column over the points, in place of ‖u‖.

    fields are the widths of what is compared by itself, so that a small one can't hide behind a large one;
    one that is zero everywhere is compared with all together. Without them all columns are one field.
    """
    fields = fields or (targets.shape[1],)
    around = centred(targets)
    powers = _powers(around if to_spread else targets, fields)
    sizes = np.sqrt(_squares(targets, fields).sum(axis=0))
    spreads = np.sqrt(_squares(around, fields).sum(axis=0)) / np.where(sizes > 0.0, sizes, 1.0)
    del around  # as large as the outputs
    with np.errstate(all="ignore"):  # outputs that overflowed are infinitely wrong
        missed = outputs - targets
        differences = np.nan_to_num(_squares(missed, fields), nan=np.inf)
        relatives = np.sqrt(differences.sum(axis=0) / powers.sum(axis=0))
        largests = _peaks(missed, fields) / peak_sizes(targets, fields)
    return ErrorEstimate(relatives, spreads, largests, differences, powers, norm)


def _peaks(values: Array, fields: Sequence[int]) -> Array:
    """max |v| over points and the columns of each field, (n, m) -> (fields,)."""
    starts = np.cumsum([0, *fields[:-1]])
    peaks = np.abs(np.nan_to_num(values, nan=np.inf)).max(axis=0)
    return np.asarray(np.maximum.reduceat(peaks, starts))


def peak_sizes(targets: Array, fields: Sequence[int]) -> Array:
    """What a field's largest error is measured by: as for :func:`_powers`."""
    own = _peaks(targets, fields)
    return np.where(own > 0.0, own, own.max())
