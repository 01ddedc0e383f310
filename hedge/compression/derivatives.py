"""Derivatives of outputs by inputs, and their part in the second moments that fits work with.

All are central differences in float64 over PART of the box to either side, so that they need no rules for
the ops of a graph.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.compression.measure import ErrorEstimate, Reference, mean_powers, output_error
from hedge.graph import Evaluator, jumping_ops
from hedge.problems import Domain
from hedge.request import Against

PART = 1e-5
# A derivative across the box below this part of the largest output is the rounding of its difference.
ROUNDING = 1e-8
# As many passes are needed as there are inputs; a grid of outputs has as many derivatives by each.
MOST_SLOPES = 64


@dataclass(frozen=True)
class Slopes:
    """The derivatives of a dense model, from which those of a small one are a distance away.

    outputs have fields of these widths, see :func:`hedge.compression.measure.fields_of`.
    """

    dense: ModelProto
    box: Domain
    fields: tuple[int, ...]

    def at(self, points: Array) -> Array:
        """(n, d m) as of :func:`slopes`."""
        return slopes(self._outputs, points, self.box)

    def error(self, model: ModelProto, points: Array, wanted: Array) -> ErrorEstimate:
        """That of a runnable model's, for each input and field; wanted are those :meth:`at` the points."""
        found = slopes(Evaluator(model), points, self.box)
        return output_error(found, wanted, self.fields * self.box.dimension)

    def weights(self, points: Array) -> Array:
        """σ (d,) by which derivatives weigh as outputs do: σ_k² is the mean of E|u_j|² / E|∂u_j/∂x_k|².

        Those of a constant weigh alike.
        """
        sizes = mean_powers(self._outputs(points), self.fields)
        by_input = mean_powers(self.at(points), self.fields * self.box.dimension)
        if not by_input.any():
            return np.ones(self.box.dimension)
        return np.asarray(np.sqrt((sizes / by_input.reshape(-1, len(sizes))).mean(axis=1)))

    @cached_property
    def _outputs(self) -> Evaluator:
        return Evaluator(self.dense)


def why_no_slopes(model: ModelProto, outputs: int, box: Domain | None, against: Against) -> str:
    """Why the derivatives of models can't be compared with those of this one; empty where they can."""
    jumping = " and ".join(jumping_ops(model))
    if jumping:
        return f"there are none, where {jumping} jumps; leave them out"
    if against == "reference":
        return "the reference has none; take --against dense"
    if box is None:
        return "no box is known to take differences in; give --domain (and no --samples)"
    count = box.dimension * outputs
    return (
        f"there are {count:,}, more than {MOST_SLOPES}; leave them out"
        if count > MOST_SLOPES
        else ""
    )


def slopes(outputs_at: Reference, points: Array, box: Domain) -> Array:
    """(upper_k − lower_k) ∂u/∂x_k at ``points`` (n, d), input after input: (n, d m) for m outputs.

    Those of an input that does nothing are zero, not what rounding makes of it.
    """
    steps = PART * np.diag(box.upper - box.lower)
    inside = _inside(points, box)
    ends = [(outputs_at(inside + step), outputs_at(inside - step)) for step in steps]
    with np.errstate(all="ignore"):  # of outputs that overflowed none is finite
        found = np.hstack([(above - below) / (2.0 * PART) for above, below in ends])
    size = np.tile(np.abs(ends[0][0]).max(axis=0), len(steps))
    return np.where(np.abs(found).max(axis=0) <= ROUNDING * size, 0.0, found)


def pairs_around(
    points: Array, box: Domain, weights: Array, seed: int
) -> tuple[Array, Array, float]:
    """x + v and x − v around ``points`` (n, d), moved into the box, and their ``reach``.

    v_k = ± reach · weights_k · (upper_k − lower_k) with random signs, so the mean square of
    (f(x + v) − f(x − v)) / (2 reach) is Σ_k weights_k² E|∂f/∂x_k|², as of :func:`slopes`.
    """
    reach = PART / float(weights.max())
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], size=points.shape)
    steps = reach * weights * (box.upper - box.lower) * signs
    inside = _inside(points, box)
    return inside + steps, inside - steps, reach


def _inside(points: Array, box: Domain) -> Array:
    """The points, moved so far into the box that their neighbours are in it, too."""
    step = PART * (box.upper - box.lower)
    return np.clip(points, box.lower + step, box.upper - step)
