"""The ways a network is cut, and in which order they are tried."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Narrow:
    """No layer wider than this, and few of them: where a large network begins."""

    width: int


@dataclass(frozen=True)
class Deep:
    """The cheapest whose output moves by about so much."""

    depth: float


@dataclass(frozen=True)
class FewerColumns:
    """With as many columns of wide inputs unread as moves the output by about so much."""

    depth: float


@dataclass(frozen=True)
class LessALayer:
    """Without one hidden layer; an early one goes only where layers cost much."""

    early: bool


@dataclass(frozen=True)
class LessANeuron:
    """Without one neuron or, of wide layers, a few: so many that are missed the least, each in turn.

    Those that recover best go on.
    """

    starts: int = 1
    seed: int = 0


Way = Narrow | Deep | FewerColumns | LessALayer | LessANeuron

# From the narrowest on, as it costs the least: the first that recovers is where the others begin.
WIDTHS = (4, 6, 9, 13, 19, 28, 42)
# Errors of the output a cut aims at, deepest first; a rung that fails is tried again less deep.
DEPTHS = (1e-1, 3e-2, 1e-2)
# First the neuron goes that is missed the least, then so many compete, with so many seeds.
STARTS, SEEDS = 24, 2


@dataclass(frozen=True)
class Ways:
    """All that may be tried, and what is untried since the last success."""

    known: tuple[Way, ...]
    untried: tuple[Way, ...]

    @staticmethod
    def usual(tolerance: float) -> Ways:
        """All of them, no depth below the tolerance: from there on cuts would be the same again."""
        depths = dict.fromkeys(max(depth, tolerance) for depth in DEPTHS)
        ways: tuple[Way, ...] = (
            *map(Narrow, WIDTHS), LessALayer(early=True), *map(FewerColumns, depths), *map(Deep, depths),
            LessANeuron(), *(LessANeuron(STARTS, seed) for seed in range(SEEDS)), LessALayer(early=False),
        )  # fmt: skip
        return Ways(ways, ways)

    def skipped(self) -> Ways:
        """After there was no cut this way."""
        return replace(self, untried=self.untried[1:])

    def failed(self) -> Ways:
        """After the cut did not recover. Layers and columns will hardly go from a smaller network."""
        way = self.untried[0]
        once = isinstance(way, Narrow | LessALayer | FewerColumns)
        known = tuple(w for w in self.known if w != way) if once else self.known
        return Ways(known, self.untried[1:])

    def succeeded(self) -> Ways:
        """After it did: all count again, from a little deeper on: much deeper cuts failed before."""
        way = self.untried[0]
        known = tuple(w for w in self.known if not isinstance(w, Narrow))
        place = 0 if isinstance(way, Narrow) else max(0, known.index(way) - 1)
        return Ways(known, known[place:] + known[:place])
