"""The Raspberry Pi: its firmware, asked by ``vcgencmd``, and the Pi 5's power chip behind it."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable

from hedge.errors import MeterError
from hedge.meters.meter import PowerMeter

Ask = Callable[[str], str | None]  # vcgencmd, or what stands in for it

LONGEST_ANSWER_S = 5.0
INTERVAL_S = 0.5  # each reading starts a process
# The rails leave out what the 5 V input feeds directly; a published line through readings of a meter
# at the plug makes up for it, to some percent on other boards.
SLOPE, OFFSET_W = 1.1451, 0.5879
CHANNEL = re.compile(r"(\w+)_([AV]) (?:current|volt)\(\d+\)=(\d{1,9}(?:\.\d+)?)[AV]")


class FirmwareError(MeterError):
    """The firmware does not answer: the user may not ask it, or it does not know the question."""


def vcgencmd(question: str) -> str | None:
    """The firmware's answer; None where there is no such program, as on other machines.

    Raises FirmwareError, with the program's own words, if it fails.
    """
    try:
        asked = subprocess.run(
            ["vcgencmd", question],
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=LONGEST_ANSWER_S,
        )
    except FileNotFoundError:
        return None
    except (OSError, subprocess.SubprocessError) as error:
        raise FirmwareError(f"vcgencmd {question}: {error}") from error
    if asked.returncode != 0:
        words = (asked.stderr.strip() or asked.stdout.strip()).splitlines()
        raise FirmwareError(
            f"vcgencmd {question}: {words[-1] if words else f'exit code {asked.returncode}'}"
        )
    return asked.stdout


def find_pmic(ask: Ask) -> PowerMeter | None:
    """The power chip of a Pi 5; None where ``ask``, a vcgencmd, knows no rails. Raises what that raises."""
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
