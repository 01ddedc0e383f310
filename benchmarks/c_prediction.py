"""How close a profile of C, calibrated here, comes to measured times of networks it has not seen.

40 networks drawn with a seed, as calibration draws its own: widths 2 to 128 and some of a block of 8 vectors,
1 to 5 hidden layers, a third of two factors, a quarter with narrow weights. Each is timed for a
row and for 1,024 rows. -O3 -march=native and -O2, one thread.

python benchmarks/c_prediction.py [--quick]
"""

from __future__ import annotations

import argparse

import numpy as np

from hedge.arrays import Array
from hedge.benching.calibration import FULL_C, QUICK_C, CScope, WindowedTimer, calibrate_c
from hedge.benching.calibration.c_networks import c_networks
from hedge.benching.calibration.c_timing import ROWS, clocked_c
from hedge.cli.console import print_table
from hedge.devices import predicted_seconds
from hedge.exporting.compiling import FLAGS, Compiler, compiler_here

SEED, NETWORKS = 2025, 40
FLAG_SETS = (FLAGS, ("-std=c99", "-O2"))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="half the networks to calibrate on")
    scope = QUICK_C if parser.parse_args().quick else FULL_C
    rows = [row for flags in FLAG_SETS for row in checked(compiler_here(flags=flags), scope)]
    header = ["flags", "a call of", "median", "90th percentile", "worst", "within 15 %", "marked"]
    print_table(f"|predicted / measured - 1| of {NETWORKS} networks", header, rows)


def checked(compiler: Compiler, scope: CScope) -> list[list[str]]:
    device = calibrate_c(compiler, scope=scope)
    networks = c_networks(NETWORKS, SEED, compiler.lanes)
    timer = WindowedTimer(clocked_c(compiler, scope.window_s), scope.windows)
    found: dict[str, Array] = {}
    for batch, name in ((1, "a row"), (ROWS, f"{ROWS:,} rows")):
        predicted = [float(predicted_seconds(device, one.work(batch))) for one in networks]
        found[name] = np.abs(np.array(predicted) / timer(networks, batch) - 1.0)
    found["both"] = np.concatenate(list(found.values()))
    flags = " ".join(compiler.flags)
    return [
        [flags, name, *(f"{x:.1%}" for x in summary(off)), "yes" if device.unstable else "no"]
        for name, off in found.items()
    ]


def summary(off: Array) -> list[float]:
    return [float(x) for x in (*np.quantile(off, [0.5, 0.9, 1.0]), np.mean(off <= 0.15))]


if __name__ == "__main__":
    main()
