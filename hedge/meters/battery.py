"""A laptop's battery while it discharges, under ``class/power_supply``.

https://docs.kernel.org/power/power_supply_class.html; files hold microwatts, microamperes, microvolts.
``energy_now`` is not used: its usual step of 10 mWh is 36 J, more than many a window takes.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

from hedge.errors import MeterError
from hedge.meters.files import number_of, text_of
from hedge.meters.meter import PowerMeter

INTERVAL_S = 1.0


def find_battery(sys: Path) -> PowerMeter | None:
    """The first battery that discharges and tells its power, or its current and voltage."""
    for folder in sorted((sys / "class/power_supply").glob("*")):
        if text_of(folder / "type") != "Battery" or not _discharges(folder):
            continue
        watts = _watts(folder)
        if watts is not None:
            meter = f"battery {folder.name}, the whole machine"
            return PowerMeter(meter, INTERVAL_S, partial(_while_discharging, folder, watts))
    return None


def _discharges(folder: Path) -> bool:
    return text_of(folder / "status") == "Discharging"


def _while_discharging(folder: Path, watts: Callable[[], float]) -> float:
    """Power out of the battery, which some drivers count below zero."""
    if not _discharges(folder):
        raise MeterError(f"energy: battery {folder.name} no longer discharges; unplug the charger")
    return abs(watts())


def _watts(folder: Path) -> Callable[[], float] | None:
    power, current, voltage = (
        folder / name for name in ("power_now", "current_now", "voltage_now")
    )
    if power.exists():
        return lambda: 1e-6 * number_of(power)
    if current.exists() and voltage.exists():
        return lambda: 1e-12 * number_of(current) * number_of(voltage)
    return None
