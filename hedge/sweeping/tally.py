"""How far a sweep is, in figures and in words."""

from __future__ import annotations

from dataclasses import dataclass, field
from time import monotonic


@dataclass
class Tally:
    """Cells in all, done and failed, those of them that were so before; tasks to do, done, and at work."""

    cells: int
    before: int = 0
    done: int = 0
    failed: int = 0
    running: int = 0
    tasks: int = 0
    tasks_done: int = 0
    started: float = field(default_factory=monotonic)

    @property
    def left(self) -> int:
        """Cells to do."""
        return self.cells - self.done - self.failed

    @property
    def left_s(self) -> float | None:
        """Seconds left if tasks go on as they did; None before the first one."""
        if not self.tasks_done:
            return None
        each = (monotonic() - self.started) / self.tasks_done
        return each * (self.tasks - self.tasks_done)

    def __str__(self) -> str:
        text = (
            f"{self.done} of {self.cells} cells done, {self.running} running, {self.failed} failed"
        )
        return (
            text
            if self.left_s is None or not self.left
            else f"{text}, {duration(self.left_s)} left"
        )


def duration(seconds: float) -> str:
    """As a person says it.

    >>> duration(65.2), duration(8000)
    ('1 min 5 s', '2 h 13 min')
    """
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
