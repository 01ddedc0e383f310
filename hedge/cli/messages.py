"""Messages for people, safe to print."""

from __future__ import annotations


def error_line(text: str) -> str:
    """The one line that tells an error: names in damaged files can hold breaks and control characters.

    >>> error_line("a" + chr(10) + "b: is gone" + chr(7))
    'hedge: a b: is gone?'
    """
    joined = " ".join(text.split())
    return f"hedge: {''.join(c if c.isprintable() else '?' for c in joined)}"
