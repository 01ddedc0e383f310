"""Profiles of microcontrollers: instructions of exported C, counted under QEMU and fitted, times cycles.

python boards/profiles.py            how far predicted instructions are off, on networks not in the fit
python boards/profiles.py --write    that, and device_profiles/*.toml of boards.toml anew
"""

from __future__ import annotations

import argparse
import tempfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from counting import CORES, FLAGS, Core, counted, run
from numpy.typing import NDArray

from hedge.benching.calibration.c_machine import solved
from hedge.benching.calibration.c_networks import CNetwork, c_networks
from hedge.cli.console import print_table
from hedge.devices import Device, write_profile
from hedge.devices.c_cost import TILE, Counts
from hedge.devices.c_cost import counted as counts_of
from hedge.devices.profile import C_FIGURES, CLoops, CRow, CTile
from hedge.exporting import COptions, to_c

HERE = Path(__file__).parent
PROFILES = HERE.parent / "device_profiles"
FITTED, HELD_OUT, POINTS = 96, 40, 8
# A tile as a function of its own, so that it is counted like a row.
TILE_HEADER = """#include "net.h"
#define TILE_INPUTS ({rows} * NET_INPUTS)
#define TILE_OUTPUTS ({rows} * NET_OUTPUTS)
void tile_eval(const float *x, float *u);
"""
TILE_SOURCE = """#include "tile.h"
void tile_eval(const float *x, float *u) {{ net_eval_batch({rows}, x, u); }}
"""
Floats64 = NDArray[np.float64]
DIVIDING = ("Tanh", "Sigmoid", "Softsign")  # functions with a division of their own


@dataclass(frozen=True)
class Fit:
    """Instructions of each figure on a core, of a row and of a tile, and how far others are off."""

    row: Mapping[str, float]
    tile: Mapping[str, float]
    off: Floats64


def main() -> None:
    """Fit, check, and write if that is asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the profiles, too")
    write = parser.parse_args().write
    fits = {name: fitted(core) for name, core in CORES.items()}
    print_table(
        f"|predicted / counted instructions - 1| of {HELD_OUT} networks not in the fit, rows and tiles",
        ["core", "median", "90th percentile", "worst", "within 15 %"],
        [
            [name, *(f"{x:.1%}" for x in (*np.quantile(fit.off, [0.5, 0.9, 1.0]), np.mean(fit.off <= 0.15)))]
            for name, fit in fits.items()
        ],
    )  # fmt: skip
    if write:
        boards = tomllib.loads((HERE / "boards.toml").read_text())
        for name, board in boards.items():
            device = profile(name, board, fits[board["core"]])
            (PROFILES / f"{name}.toml").write_bytes(write_profile(device))


def fitted(core: Core) -> Fit:
    """Figures by which counted instructions of random networks are met best, and errors on others."""
    (row, off_row), (tile, off_tile) = (_fitted(core, rows) for rows in (1, TILE))
    return Fit(row, tile, np.concatenate([off_row, off_tile]))


def _fitted(core: Core, rows: int) -> tuple[Mapping[str, float], Floats64]:
    figures = solved(*_counted(c_networks(FITTED, 0, 1), core, rows))
    counts, found = _counted(c_networks(HELD_OUT, 1, 1), core, rows)
    predicted = [sum(figures.get(k, 0.0) * float(n) for k, n in c.items()) for c in counts]
    return figures, np.abs(np.array(predicted) / found - 1.0)


def _counted(networks: Sequence[CNetwork], core: Core, rows: int) -> tuple[list[Counts], Floats64]:
    """What is counted of each network in a call of ``rows`` rows, and its instructions."""
    works = [counts_of(network.work(rows), 1) for network in networks]
    counts = [one.row if rows == 1 else one.tile for one in works]
    return counts, np.array([instructions(network, core, rows) for network in networks])


def instructions(network: CNetwork, core: Core, rows: int) -> float:
    """Of one call of a row, or of a tile."""
    with tempfile.TemporaryDirectory(prefix="hedge-boards-") as folder:
        files = to_c(network.skeleton, network.matrices, COptions("net"), "net")
        texts = {"net.c": files.source, "net.h": files.header}
        texts |= {"tile.c": TILE_SOURCE.format(rows=rows), "tile.h": TILE_HEADER.format(rows=rows)}
        for name, text in texts.items():
            (Path(folder) / name).write_text(text)
        columns = int(network.work(1).products[0].depth)
        points = np.random.default_rng(0).uniform(-1.0, 1.0, (POINTS, rows * columns))
        names = ["net"] if rows == 1 else ["tile", "net"]
        sources = [Path(folder) / f"{name}.c" for name in names]
        return counted(sources, names[0], core, points.astype(np.float32)).instructions


def profile(name: str, board: Mapping[str, Any], fit: Fit) -> Device:
    """The profile of a board: instructions times cycles over clock."""
    core, clock = CORES[board["core"]], board["clock"]["value"]
    loops = {"row": _loops(board, CRow, fit.row), "tile": _loops(board, CTile, fit.tile)}
    rate = 2 * 8 / loops["row"]["eights"]["value"]  # eight multiply-adds
    told = "8 multiply-adds in runtime.row.eights"
    power = (board["run"]["value"] - board["idle"]["value"]) / rate
    moving = board["idle"]["value"] * loops["row"]["product"]["value"] + 1e-9
    peak, bus = board["peak"], board["bus"]
    limits = {
        "compute": _figure(peak["value"] * clock, "flop/s", peak["source"], "datasheet"),
        "bandwidth": _figure(bus * clock, "byte/s", f"a bus of {8 * bus} bits", "datasheet"),
    }
    document = {
        "hedge_profile": 1,
        "name": name,
        "description": board["description"],
        "paper": {
            "compute": _figure(rate, "flop/s", told),
            "bandwidth": limits["bandwidth"] | {"kind": "estimated"},
            "alpha": _figure(power, "J", "one operation at power.flop_energy"),
            "beta": _figure(
                moving,
                "J",
                "idle power over runtime.row.product, plus 1 nJ for moving a small block (estimate)",
            ),
        },
        "runtime": {"name": "c", "compiler": _compiler(core), "lanes": 1, **loops},
        "memory": {key: {"unit": "byte", **board[key]} for key in ("flash", "ram")},
        "limits": limits,
        "power": {
            "idle": {"unit": "W", **board["idle"]},
            "flop_energy": _figure(power, "J", f"({board['run']['source']} less idle) over {told}"),
        },
    }
    return Device.model_validate(document)


def _loops(
    board: Mapping[str, Any], section: type[CLoops], found: Mapping[str, float]
) -> dict[str, Any]:
    """A section of the runtime; of functions that were not counted, the slowest one counts."""
    names = section.model_fields.keys() - {"functions", "vector"}  # there are no vectors
    named = {name: _seconds(board, name, found.get(name, 0.0)) for name in names}
    functions = {
        name: _seconds(board, name, count)
        for name, count in sorted(found.items())
        if name not in C_FIGURES
    }
    slowest = max(functions.values(), key=lambda one: float(one["value"]))
    named["function"] = slowest | {"source": f"the slowest: {slowest['source']}"}
    return {**named, "functions": functions}


def _seconds(board: Mapping[str, Any], name: str, count: float) -> dict[str, Any]:
    cycles, clock = board["cycles"], board["clock"]
    each = count * cycles["value"]
    source = f"{count:.4g} instructions (QEMU) of {cycles['value']} cycles at {clock['value'] / 1e6:g} MHz"
    if name == "call":
        source += f": {cycles['source']}, {clock['source']}"
    if "division" in board and name in DIVIDING:
        each += board["division"]["value"]
        source += f", {board['division']['source']}"
    return _figure(each / clock["value"], "s", source)


def _figure(value: float, unit: str, source: str, kind: str = "estimated") -> dict[str, Any]:
    return {"value": float(f"{value:.4g}"), "unit": unit, "source": source, "kind": kind}


def _compiler(core: Core) -> str:
    """What it calls itself, and the flags."""
    version = run([f"{core.tools.prefix}gcc", "-dumpversion"]).strip()
    flags = [flag for flag in FLAGS if flag.startswith(("-std", "-O"))]
    return " ".join([f"{core.tools.prefix}gcc", version, *flags, *core.flags])


if __name__ == "__main__":
    main()
