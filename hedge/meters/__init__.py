"""Energy meters: what this machine can measure of its own consumption, found at run time."""

from __future__ import annotations

from hedge.meters.files import text_of
from hedge.meters.finding import find_meter
from hedge.meters.meter import Meter, PowerMeter, Reading
from hedge.meters.rapl import RaplMeter
from hedge.meters.raspberry_pi import Ask, FirmwareError, vcgencmd
from hedge.meters.recording import Energy, energy_of, record

__all__ = [
    "Ask", "Energy", "FirmwareError", "Meter", "PowerMeter", "RaplMeter", "Reading",
    "energy_of", "find_meter", "record", "text_of", "vcgencmd",
]  # fmt: skip
