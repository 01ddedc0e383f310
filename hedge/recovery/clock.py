"""A budget of seconds, counted from the start of the work it is for."""

from __future__ import annotations

import time

# A step of a staircase gets at least so many seconds, if there are as many left.
LEAST_SECONDS = 5.0


class OutOfTimeError(Exception):
    """The budget is spent."""


class Clock:
    """Seconds since its making, of a budget."""

    def __init__(self, budget_s: float) -> None:
        self._started, self._budget_s = time.perf_counter(), budget_s

    @property
    def spent_s(self) -> float:
        """Seconds since its making."""
        return time.perf_counter() - self._started

    @property
    def left_s(self) -> float:
        """Seconds of the budget that are left, at least 0."""
        return max(0.0, self._budget_s - self.spent_s)

    def for_next(self) -> Clock:
        """That of the next step, which may take half of the time left."""
        return Clock(min(self.left_s, max(LEAST_SECONDS, self.left_s / 2.0)))

    def is_over(self) -> bool:
        """Whether no second is left."""
        return self.left_s == 0.0

    def check(self) -> None:
        """Raise OutOfTimeError if no second is left."""
        if self.is_over():
            raise OutOfTimeError
