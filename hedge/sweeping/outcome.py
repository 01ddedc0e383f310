"""What a task gave."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

Scalar = str | int | float | bool | None


@dataclass(frozen=True)
class Outcome:
    """What a task gave: figures by name, and its files' bytes by role and name; or, in a line, why it failed.

    Roles are "dense", "small", "certificate" and "exported". Times in seconds are ``took_s`` and those of
    ``timed``, which differ from run to run; figures don't. host is the machine that it ran on.
    """

    figures: Mapping[str, Scalar] = field(default_factory=dict)
    timed: Mapping[str, Scalar] = field(default_factory=dict)
    files: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    failed: str | None = None
    took_s: float = 0.0
    host: str = ""

    def as_document(self) -> dict[str, Any]:
        """All but the bytes of its files, whose names stand there by role."""
        return {
            "figures": dict(self.figures),
            "timed": dict(self.timed),
            "files": {role: list(files) for role, files in self.files.items()},
            "failed": self.failed,
            "took_s": self.took_s,
            "host": self.host,
        }
