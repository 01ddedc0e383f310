"""The reference of the problem lid-cavity-1000: the spectral solver, by Reynolds numbers that double.

    python benchmarks/lid_cavity.py            writes hedge/problems/lid_cavity.npz
    python benchmarks/lid_cavity.py --check    by how much fewer modes change it, and its extrema

Botella and Peyret (1998) print, on the lines x = 1/2 and y = 1/2, u ≥ -0.3885698 at y = 0.1717, v ≤
0.3769447 at x = 0.1578, v ≥ -0.5270771 at x = 0.9092.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from hedge.problems.cavity_flow import CavityFlow, cavity_flow
from hedge.problems.lid_cavity import FILE

REYNOLDS, MODES, FEWER = 1000.0, 80, 64


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--check", action="store_true", help="compare with fewer modes; write nothing"
    )
    is_check = parser.parse_args().check
    start = time.process_time()
    flow = cavity_flow(REYNOLDS, MODES)
    print(f"{MODES} modes each way: {time.process_time() - start:.0f} s of the processor")
    print(extrema(flow))
    if is_check:
        x = np.random.default_rng(0).random((4_000, 2))
        fine, coarse = flow.at(x), cavity_flow(REYNOLDS, FEWER).at(x)
        off = np.linalg.norm(coarse - fine, axis=0) / np.linalg.norm(fine, axis=0)
        print(f"{FEWER} modes are off by", ", ".join(f"{each:.1e}" for each in off), "in u, v, p")
    else:
        np.savez_compressed(FILE, coefficients=flow.coefficients, pressure=flow.pressure)
        print(f"{FILE.name}: {FILE.stat().st_size / 1e3:.0f} kB")


def extrema(flow: CavityFlow) -> str:
    """Of the velocities on the lines through the centre."""
    t = np.linspace(0.0, 1.0, 20_001)
    middle = np.full_like(t, 0.5)
    u = flow.at(np.column_stack([middle, t]))[:, 0]
    v = flow.at(np.column_stack([t, middle]))[:, 1]
    places = (("u", u, u.argmin()), ("v", v, v.argmax()), ("v", v, v.argmin()))
    return ", ".join(f"{name} = {values[k]:.7f} at {t[k]:.4f}" for name, values, k in places)


if __name__ == "__main__":
    main()
