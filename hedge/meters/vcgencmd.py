"""``vcgencmd``, the Raspberry Pi's program to ask its firmware."""

from __future__ import annotations

import subprocess
from collections.abc import Callable

Ask = Callable[[str], str | None]  # vcgencmd, or what stands in for it

LONGEST_ANSWER_S = 5.0


def vcgencmd(question: str) -> str | None:
    """The firmware's answer; None on other machines, or where the user may not ask."""
    try:
        asked = subprocess.run(
            ["vcgencmd", question],
            capture_output=True,
            text=True,
            errors="replace",
            check=True,
            timeout=LONGEST_ANSWER_S,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return asked.stdout
