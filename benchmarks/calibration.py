"""Calibration without any clock: 200 made-up devices, from a Pi Zero to a server, quiet and busy.

Each is calibrated on both grids, its profile kept as `calibrate --out` does and as `auto` does, read again,
and asked for the times of 50 networks that no calibration has seen. What a device takes follows from
figures of its own (tests/benching/simulated_device.py). Takes half an hour of one core.

python benchmarks/calibration.py [--devices 200] [--grid quick|full|both] [--verbose]
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.prediction import Graph, graphs
from hedge.benching import FULL, QUICK, calibrate, keep_as_auto, this_machine
from hedge.benching.calibration import Scope
from hedge.cli.console import print_table
from hedge.devices import Device, Work, find_profile, predicted_seconds, write_profile
from hedge.graph import graph_work
from tests.benching.simulated_device import SimulatedDevice, random_devices

Network = tuple[Graph, Work]

SCOPES = {"quick": QUICK, "full": FULL}
# Deviation allowed in the median, and for 95 % of the predictions.
ALLOWED = {"quiet": (0.10, 0.25), "busy": (0.15, 0.40)}


@dataclass(frozen=True)
class Outcome:
    """How far predictions for one device were off: longer over shorter time, less 1."""

    device: str
    busy: bool
    marked: bool
    median: float
    most: float
    worst: float

    @property
    def kind(self) -> str:
        return "busy" if self.busy else "quiet"

    @property
    def within(self) -> bool:
        median, most = ALLOWED[self.kind]
        return self.median <= median and self.most <= most


def outcomes(
    device: SimulatedDevice, scope: Scope, networks: Sequence[Network], folder: Path
) -> list[Outcome]:
    """Of the profile as calibrate writes it, and as auto keeps it."""
    profile = calibrate(scope=scope, timer=device.timer(scope))
    path = folder / "simulated.toml"
    path.write_bytes(write_profile(profile))
    os.environ["XDG_CACHE_HOME"] = str(folder)
    for kept in (folder / "hedge").glob("*.toml"):
        kept.unlink()
    keep_as_auto(profile, lambda message: None)
    return [judged(device, read, networks) for read in (find_profile(str(path)), this_machine())]


def judged(device: SimulatedDevice, profile: Device, networks: Sequence[Network]) -> Outcome:
    truth = np.array([device.seconds(one.model, one.batch) for one, _ in networks])
    predicted = [float(predicted_seconds(profile, work)) for _, work in networks]
    ratios = np.array(predicted) / truth
    off = np.maximum(ratios, 1.0 / ratios) - 1.0
    return Outcome(
        device.name,
        device.disturbance.busy,
        profile.unstable is not None,
        float(np.median(off)),
        float(np.quantile(off, 0.95)),
        float(off.max()),
    )


def summary(grid: str, way: str, kind: str, found: Sequence[Outcome]) -> list[str]:
    unmarked = [one for one in found if not one.marked]
    return [
        f"{grid}, {way}, {kind}",
        str(len(found)),
        str(len(found) - len(unmarked)),
        f"{np.median([one.median for one in unmarked]):.1%}",
        f"{max(one.median for one in unmarked):.1%}",
        f"{max(one.most for one in unmarked):.1%}",
        str(sum(not one.within for one in unmarked)),
        str(sum(one.worst > 1.0 for one in unmarked)),
    ]


def main() -> None:
    options = argparse.ArgumentParser()
    options.add_argument("--devices", type=int, default=200)
    options.add_argument("--grid", choices=[*SCOPES, "both"], default="both")
    options.add_argument("--verbose", action="store_true")
    asked = options.parse_args()
    networks = [(one, graph_work(one.model, one.batch)) for one in graphs()[::2]]
    rows = []
    for grid in SCOPES if asked.grid == "both" else [asked.grid]:
        by_way: dict[str, list[Outcome]] = {"calibrate": [], "auto": []}
        with tempfile.TemporaryDirectory() as folder:
            for device in random_devices(asked.devices):
                found = outcomes(device, SCOPES[grid], networks, Path(folder))
                for way, outcome in zip(by_way, found, strict=True):
                    by_way[way].append(outcome)
                if asked.verbose:
                    print(grid, found[0], flush=True)
        for way, of_way in by_way.items():
            for kind in ALLOWED:
                rows.append(summary(grid, way, kind, [o for o in of_way if o.kind == kind]))
    print_table(
        f"{asked.devices} simulated devices, {len(networks)} networks each",
        [
            "grid, way, devices", "number", "marked", "off in the median", "at most",
            "95 % within, at most", "beyond what is allowed", "wrong by 2",
        ],
        rows,
    )  # fmt: skip


if __name__ == "__main__":
    main()
