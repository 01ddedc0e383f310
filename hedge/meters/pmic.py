"""The Raspberry Pi 5's power chip: current and voltage of its 12 rails, read by the firmware."""

from __future__ import annotations

import re

from hedge.errors import MeterError
from hedge.meters.power import PowerMeter
from hedge.meters.vcgencmd import Ask

INTERVAL_S = 0.5  # each reading starts a process
# The rails leave out what the 5 V input feeds directly; a published line through readings of a meter
# at the plug makes up for it, to some percent on other boards.
SLOPE, OFFSET_W = 1.1451, 0.5879
CHANNEL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=(\d{1,9}(?:\.\d+)?)[AV]")


def find_pmic(ask: Ask) -> PowerMeter | None:
    """The power chip of a Pi 5; None where ``ask``, a vcgencmd, knows no rails."""
    if _rails(ask) is None:
        return None

    def watts() -> float:
        rails = _rails(ask)
        if rails is None:
            raise MeterError("energy: vcgencmd pmic_read_adc no longer answers")
        return SLOPE * rails + OFFSET_W

    return PowerMeter("Raspberry Pi 5 PMIC, rails fitted to the plug", INTERVAL_S, watts)


def _rails(ask: Ask) -> float | None:
    """The sum of current times voltage over the rails that tell both, in watts."""
    amperes: dict[str, float] = {}
    volts: dict[str, float] = {}
    for rail, unit, value in CHANNEL.findall(ask("pmic_read_adc") or ""):
        (amperes if unit == "A" else volts)[rail] = float(value)
    both = amperes.keys() & volts.keys()
    return sum(amperes[rail] * volts[rail] for rail in both) if both else None
