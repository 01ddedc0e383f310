"""Power sensors of TI's INA family under ``class/hwmon``: on a board's supply, or on a Jetson.

https://docs.kernel.org/hwmon/ina2xx.html, https://docs.kernel.org/hwmon/ina3221.html; files hold
microwatts, milliamperes and millivolts.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from hedge.meters.files import number_of, text_of
from hedge.meters.meter import PowerMeter

INTERVAL_S = 0.1
# The rails of NVIDIA's boards that feed all others; summing rails would count the nested ones twice.
WHOLE_JETSON = ("VDD_IN", "POM_5V_IN")


def find_supply_sensor(sys: Path) -> PowerMeter | None:
    """The first INA2xx: what its owner put it on, as a rule the board's supply."""
    for folder in _sensors(sys):
        name = text_of(folder / "name") or ""
        if name.startswith("ina2"):
            return PowerMeter(f"hwmon, {name} ({folder.name})", INTERVAL_S, _watts(folder, 1))
    return None


def find_jetson(sys: Path) -> PowerMeter | None:
    """The channel of a Jetson's INA3221 that measures the whole board."""
    for folder in _sensors(sys):
        if text_of(folder / "name") != "ina3221":
            continue
        for channel in (1, 2, 3):
            label = text_of(folder / f"in{channel}_label")
            if label in WHOLE_JETSON:
                source = f"Jetson INA3221, rail {label}"
                return PowerMeter(source, INTERVAL_S, _watts(folder, channel))
    return None


def _sensors(sys: Path) -> list[Path]:
    return sorted((sys / "class/hwmon").glob("hwmon*"))


def _watts(folder: Path, channel: int) -> Callable[[], float]:
    power = folder / f"power{channel}_input"
    if power.exists():
        return lambda: 1e-6 * number_of(power)
    current, voltage = folder / f"curr{channel}_input", folder / f"in{channel}_input"
    return lambda: 1e-6 * number_of(current) * number_of(voltage)
