"""Why a process ended, from its exit code and what it said last."""

from __future__ import annotations

import re
import signal

MOST_TOLD = 300  # characters
# Runtimes, and Python, warn of much that is not why they end, and may do so last.
WARNING = re.compile(r"\[[VIW]:|warn", re.IGNORECASE)
OWN = "hedge: "
HINTS = {
    signal.SIGILL: ": a library uses what its processor can't do; on a Pi 4 take onnxruntime 1.22 or newer",
    signal.SIGKILL: ", as where memory runs out",
}


def last_words(said: bytes) -> str:
    """The last line that may be the reason: hedge's own error, or else what is no warning.

    >>> last_words(b"hedge: m.onnx: is cut short" + bytes([10]) + b"2026-01-01 [W:onnxruntime:] no GPU")
    'm.onnx: is cut short'
    """
    stripped = (line.strip(" │") for line in said.decode(errors="replace").splitlines())
    lines = [line for line in stripped if any(map(str.isalnum, line))]  # no frames
    told = [line for line in lines if not WARNING.search(line)]
    own = [line for line in lines if line.startswith(OWN) and line[len(OWN) :][:8] != "warning:"]
    best = (own or told or lines or ["it said nothing"])[-1]
    return best.removeprefix(OWN)[:MOST_TOLD]


def how_it_ended(code: int, said: bytes) -> str:
    """In words: a signal by its number and name, or else the exit code and the last words.

    ``code`` is that of a process or, above 128, of a shell whose command was ended by a signal.

    >>> how_it_ended(139, b""), how_it_ended(3, b"")
    ('ended by signal 11, Segmentation fault', 'exit code 3, it said nothing')
    """
    number = -code if code < 0 else code - 128
    try:
        name = signal.strsignal(signal.Signals(number))
    except ValueError:
        return f"exit code {code}, {last_words(said)}"
    return f"ended by signal {number}, {name}{HINTS.get(signal.Signals(number), '')}"
