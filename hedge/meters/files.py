"""The kernel's files, one value in each."""

from __future__ import annotations

from pathlib import Path

from hedge.errors import MeterError

LARGEST = 2.0**64  # what a counter of the kernel holds


def text_of(path: Path) -> str | None:
    """What the file holds, stripped; None if there is no such file or it can't be read."""
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return None


def number_of(path: Path) -> float:
    """The number in a meter's file.

    Raises MeterError, naming the file, if it can't be read or holds no number that a counter can have.
    """
    try:
        number = float(path.read_text(encoding="utf-8"))
    except PermissionError as error:
        raise MeterError(
            f"energy: no permission to read {path}; run as root, or let root make it readable "
            f"(chmod a+r)"
        ) from error
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "holds no number"
        raise MeterError(f"energy: {path} can't be read ({reason})") from error
    if not abs(number) <= LARGEST:
        raise MeterError(f"energy: {path} can't be read (holds no number of a counter)")
    return number
