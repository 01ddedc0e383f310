"""Which meter this machine has: the one that sees the most of the board first."""

from __future__ import annotations

from pathlib import Path

from hedge.errors import MeterError
from hedge.meters.battery import find_battery
from hedge.meters.hwmon import find_jetson, find_supply_sensor
from hedge.meters.meter import Meter
from hedge.meters.rapl import find_rapl
from hedge.meters.raspberry_pi import Ask, FirmwareError, find_pmic, vcgencmd


def find_meter(sys: Path = Path("/sys"), ask: Ask = vcgencmd) -> Meter:
    """The first of: a sensor on the supply, a Jetson's, a Pi 5's, a battery in use, RAPL.

    RAPL sees the processor only, so it comes last. The meter has been read once.

    Raises MeterError if there is none, or it may not be read.
    """
    meter: Meter | None = find_supply_sensor(sys) or find_jetson(sys)
    silent = ""
    try:
        meter = meter or find_pmic(ask)
    except FirmwareError as error:  # a Pi 4, or one that may not be asked
        silent = f", and {error}"
    meter = meter or find_battery(sys) or find_rapl(sys)
    if meter is None:
        raise MeterError(
            "energy: this machine has no meter hedge knows (INA2xx, Jetson, Pi 5, battery in use, "
            f"RAPL){silent}; leave out --energy and read the modelled figure"
        )
    meter.read()
    return meter
