"""Profiles of C for the boards that have one of onnxruntime: this machine's figures, scaled to their cores.

    python boards/c_profiles.py     writes device_profiles/*-c.toml anew; a quiet machine of x86 with AVX-512

An estimate, as their figures of onnxruntime are: this machine is calibrated with vectors as wide as theirs,
and each figure is longer by as much as a call of onnxruntime is there. hedge calibrate --runtime c on the
board measures it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hedge.benching.calibration.c_machine import calibrate_c
from hedge.benching.machine import processor_name
from hedge.cli.console import progress
from hedge.devices import TILE, CRuntime, Device, OnnxRuntime, find_profile, write_profile
from hedge.devices.c_cost import EIGHTS, MOST_LANES
from hedge.exporting.compiling import compiler_here

PROFILES = Path(__file__).parent.parent / "device_profiles"
# The cores that are as fast as those here, one number at a time.
MEASURED_ON = "laptop-x86"
STANDARD = ("-std=c99", "-O3")
# Flags for vectors of 4, 8 and 16 floats, and the boards that have such.
BOARDS = {
    ("-msse2",): [
        "raspberry-pi-zero-2w", "raspberry-pi-3b-plus", "raspberry-pi-4b", "raspberry-pi-5",
        "jetson-orin-nano",
    ],
    ("-mavx2", "-mfma"): ["n100-mini-pc"],
    ("-march=native",): ["laptop-x86"],
}  # fmt: skip
COMPILER = "gcc -std=c99 -O3 -march=native"
PEAK = "the core's peak (limits.compute), which figures scaled to it would exceed"


def main() -> None:
    """Calibrate for each width of vectors, and write."""
    for flags, boards in BOARDS.items():
        with progress() as on_progress:
            here = calibrate_c(compiler_here(flags=(*STANDARD, *flags)), on_progress)
        for name in boards:
            device = scaled(here, find_profile(name))
            (PROFILES / f"{device.name}.toml").write_bytes(write_profile(device))


def scaled(here: Device, board: Device) -> Device:
    """The board's profile with C as its runtime."""
    base = find_profile(MEASURED_ON).runtime
    assert isinstance(base, OnnxRuntime)
    assert isinstance(board.runtime, OnnxRuntime)
    factor = board.runtime.call.value / base.call.value
    runtime = here.runtime
    assert isinstance(runtime, CRuntime)
    document: dict[str, Any] = runtime.model_dump(exclude_none=True)
    outputs = {"row": EIGHTS * min(runtime.lanes, MOST_LANES), "tile": EIGHTS * TILE}
    for section in ("row", "tile"):
        figures = document[section]
        functions = figures.pop("functions")
        document[section] = {k: _scaled(v, factor) for k, v in figures.items()}
        document[section]["functions"] = {k: _scaled(v, factor) for k, v in functions.items()}
        least = 2.0 * outputs[section] / board.limits.compute.value
        if document[section]["eights"]["value"] < least:
            document[section]["eights"] |= {"value": float(f"{least:.4g}"), "source": PEAK}
    found = CRuntime.model_validate({**document, "compiler": COMPILER})
    return board.model_copy(
        update={
            "name": f"{board.name}-c",
            "description": f"{board.description}; exported C",
            "runtime": found,
        }
    )


def _scaled(figure: dict[str, Any], factor: float) -> dict[str, Any]:
    told = (
        f"estimate: {figure['value']:.4g} s on an {processor_name()} with vectors as wide, times "
        f"{factor:.3g} for this core; hedge calibrate --runtime c measures it"
    )
    value = float(f"{figure['value'] * factor:.4g}")
    return {"value": value, "unit": "s", "source": told, "kind": "estimated"}


if __name__ == "__main__":
    main()
