"""A made-up profile of C, every figure of which is another one."""

from __future__ import annotations

from typing import Any

from hedge.devices import Device, find_profile
from hedge.devices.profile import CRuntime

ROW = {
    "call": 1e-7, "product": 3e-9, "eights": 5e-9, "vector": 2e-9, "four": 1.5e-9, "single": 1e-9,
    "float16": 7e-10, "bfloat16": 8e-10, "int8": 9e-10, "step": 4e-9, "number": 6e-10,
    "function": 1.1e-8,
}  # fmt: skip
NARROW, WIDE, LATENCY = 2.5e-9, 1.3e-10, 8e-9
FUNCTIONS = {"Tanh": 9e-9, "Sin": 1.3e-8}
SLOWER = 6.0  # a tile than a row


def c_device(lanes: int = 8) -> Device:
    """Of a laptop, its runtime in place of onnxruntime."""
    row = {key: value for key, value in ROW.items() if lanes > 1 or key != "vector"}
    row |= {"narrow": NARROW, "latency": LATENCY}
    tile = {key: SLOWER * value for key, value in ROW.items() if key != "vector"}
    tile |= {"wide": WIDE}
    runtime = CRuntime.model_validate(
        {
            "name": "c",
            "compiler": "gcc 12.2.0 -std=c99 -O2",
            "lanes": lanes,
            "row": _loops(row, FUNCTIONS),
            "tile": _loops(tile, {name: SLOWER * value for name, value in FUNCTIONS.items()}),
        }
    )
    return find_profile("laptop-x86").model_copy(update={"name": "made-up-c", "runtime": runtime})


def _loops(figures: dict[str, float], functions: dict[str, float]) -> dict[str, Any]:
    return _seconds(figures) | {"functions": _seconds(functions)}


def _seconds(figures: dict[str, float]) -> dict[str, Any]:
    return {
        key: {"value": value, "unit": "s", "source": "made up for a test"}
        for key, value in figures.items()
    }
