"""Growth: more neurons where the H-matrices of the layers are poor (paper, section F).

The paper widens a layer of n neurons to n' = n + α⌈‖A − H‖_F/τ_refine⌉ where its H-matrix is too far
from its weights. It fixes neither H nor which matrix belongs to a layer. Here:

* A is the matrix that a layer's neurons are the rows of, its incoming weights. Those of the first
  layer have a column for each coordinate only and no block structure to speak of, so the first
  layer is judged by its outgoing weights, unless they lead to the output.
* H is the best H-matrix of at most half of A's storage, on halvings of both index sets, and the
  error is relative to ‖A‖_F: weights that half the numbers describe as well have room left, weights
  that fill their matrix need a larger one. Any network can be measured so, whatever its scale.
* α = 2 and τ_refine = 0.1 are those of the paper's Example 1; no layer is more than doubled at once.

New neurons have no outgoing weights at first, so the network's function stays what it was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from hedge.errors import InputError
from hedge.hmatrix import most_accurate
from hedge.paper import refined_width
from hedge.training.network import Network, new_network

# α and τ_refine of Example 1.
SCALE, THRESHOLD = 2, 0.1
STORAGE = 0.5
LEAF_SIZE = 4

# The held-out loss must halve within so many cycles, or the network is too small for it.
PATIENCE_CYCLES = 5
MOST_GROWTHS = 6


@dataclass(frozen=True)
class Growth:
    """A refinement: after how many steps, the hidden widths before and after, and what asked for it.

    errors are the :func:`localized_errors` of the network before.
    """

    step: int
    widths_before: tuple[int, ...]
    widths_after: tuple[int, ...]
    errors: tuple[float, ...]

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return dict(vars(self))


@dataclass(frozen=True)
class GrowthState:
    """What a run that may grow remembers: the loss to halve, since which cycle, and its growths."""

    mark_loss: float = math.inf
    mark_cycle: int = 0
    growths: tuple[Growth, ...] = ()

    def after(self, cycle: int, loss: float) -> GrowthState:
        """With the held-out loss of a cycle taken note of."""
        if not loss < self.mark_loss / 2:
            return self
        return replace(self, mark_loss=loss, mark_cycle=cycle)

    def is_slow(self, cycle: int) -> bool:
        """Whether it is time to grow, and the run may still do so."""
        waited = cycle - self.mark_cycle >= PATIENCE_CYCLES
        return waited and len(self.growths) < MOST_GROWTHS


def localized_errors(network: Network) -> tuple[float, ...]:
    """secF: ‖A − H‖_F / ‖A‖_F in [0, 1] for each hidden layer, with A and H as the module says.

    The same for a network scaled by any factor; 0 for a layer without weights other than zero.

    >>> error, _ = localized_errors(new_network(2, (8, 8), seed=0))
    >>> 0.1 < error < 1.0
    True
    """
    return tuple(_localized_error(a) for a in _matrices(network))


def _matrices(network: Network) -> tuple[Tensor, ...]:
    incoming = network.weights[:-1]
    return incoming if len(incoming) == 1 else (incoming[1], *incoming[1:])


def _localized_error(weight: Tensor) -> float:
    size = float(weight.norm())
    if size == 0.0:
        return 0.0
    dense = weight.detach().double().cpu().numpy()
    best = most_accurate(dense, budget=STORAGE * dense.size, leaf_size=LEAF_SIZE)
    return min(best.error / size, 1.0)


def refined_widths(widths: Sequence[int], errors: Sequence[float]) -> tuple[int, ...]:
    """secF: the widths that the rule gives for these :func:`localized_errors`, at most twice each.

    >>> refined_widths((30, 4), (0.25, 0.5))
    (36, 8)
    """
    return tuple(
        min(refined_width(n, error, THRESHOLD, SCALE), 2 * n)
        for n, error in zip(widths, errors, strict=True)
    )


def grown(network: Network, widths: Sequence[int], seed: int) -> Network:
    """The same function by a network of hidden layers as wide as ``widths``, no less than now.

    New neurons come after the old ones, with Glorot-normal weights from all neurons below and none to
    the old ones above, so that value and derivatives change by rounding at most. Those to the output
    are zero and the first to move in training. Raises InputError if a layer would shrink or the number
    of layers differs.
    """
    if len(widths) != len(network.widths) or any(
        new < old for new, old in zip(widths, network.widths, strict=True)
    ):
        raise InputError(
            f"widths: {tuple(widths)} does not hold {network.widths}; give at least as many neurons"
        )
    outputs, inputs = len(network.biases[-1]), network.weights[0].shape[1]
    fresh = new_network(inputs, widths, seed, outputs)
    pairs = zip(network.weights, fresh.weights, strict=True)
    weights = tuple(_enlarged(old, new.to(old)) for old, new in pairs)
    biases = tuple(
        torch.cat([old, new[len(old) :].to(old)])
        for old, new in zip(network.biases, fresh.biases, strict=True)
    )
    return Network(weights, biases, network.constants)


def _enlarged(old: Tensor, new: Tensor) -> Tensor:
    """``new`` (n', m') with the rows of ``old`` (n, m), and zeros behind them, in place of its first."""
    enlarged = new.clone()
    enlarged[: len(old)] = 0.0
    enlarged[: len(old), : old.shape[1]] = old
    return enlarged
