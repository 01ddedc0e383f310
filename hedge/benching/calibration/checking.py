"""Predictions beside what networks are measured to take, and which tables are to blame."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from hedge.arrays import Array
from hedge.benching.calibration.graphs import TimedNetwork
from hedge.benching.calibration.timing import Timer
from hedge.devices import Device, predicted_seconds, seconds_by_table
from hedge.devices.profile import why_unstable
from hedge.graph import graph_work

# Tables with at least this part of the most blame are measured again.
AS_MUCH = 0.5


class Timed:
    """Networks, their work, and of each the shortest time in so many sweeps over all."""

    def __init__(self, networks: Sequence[TimedNetwork], timer: Timer, sweeps: int) -> None:
        self.networks = networks
        self.works = [graph_work(one.model, one.batch) for one in networks]
        self.seconds: Array = np.full(len(networks), np.inf)
        self._timer, self._sweeps = timer, sweeps
        self.again()

    def again(self) -> None:
        """Measure them, again."""
        for _ in range(self._sweeps):
            times = [self._timer([one.model], one.batch)[0] for one in self.networks]
            self.seconds = np.minimum(self.seconds, times)

    def deviations(self, device: Device) -> Array:
        """The longer of predicted and measured time over the shorter, less 1, of each."""
        ratios = self._ratios(device)
        return np.maximum(ratios, 1.0 / ratios) - 1.0

    def too_far_off(self, device: Device) -> bool:
        """Whether its predictions are further off than a profile's may be."""
        off = self.deviations(device)
        return why_unstable(float(np.median(off)), float(off.max()), len(off)) is not None

    def blame(self, device: Device) -> dict[str, float]:
        """By table its part in the predictions, times how far these are off, over all networks."""
        found: dict[str, float] = defaultdict(float)
        for work, ratio in zip(self.works, self._ratios(device), strict=True):
            parts = seconds_by_table(device, work)
            whole = sum(parts.values())
            for name, seconds in parts.items():
                found[name] += abs(np.log(ratio)) * seconds / max(whole, 1e-30)
        return found

    def _ratios(self, device: Device) -> Array:
        predicted = [float(predicted_seconds(device, work)) for work in self.works]
        return np.maximum(predicted, 1e-12) / self.seconds


def to_blame(device: Device, held_out: Timed) -> list[str]:
    """The tables that contribute most to predictions that are off."""
    blame = held_out.blame(device)
    most = max(blame.values())
    return [name for name, much in blame.items() if much >= AS_MUCH * most]
