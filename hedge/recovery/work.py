"""The work of fits: steps are counted, so that it ends at the same place on every machine."""

from __future__ import annotations

import math
import time
from copy import copy

from hedge.compression import Allowance

# A step counts once, and once more for every so many parameters, as it takes about that longer.
PER_STEP = 400
# A fit gets at least so many steps, if there are as many left.
LEAST_STEPS = 500


class SpentError(Exception):
    """No work is left."""


def cost_of_step(parameters: int) -> int:
    """What a step of a network of so many parameters counts.

    >>> cost_of_step(60), cost_of_step(1000)
    (1, 3)
    """
    return 1 + parameters // PER_STEP


class Work:
    """Steps that are left of an allowance, whose seconds count from now."""

    def __init__(self, allowance: Allowance) -> None:
        self._left = allowance.steps
        self.cost_of_step = 1
        self._ends_at = math.inf
        if allowance.budget_s is not None:
            self._ends_at = time.perf_counter() + allowance.budget_s
        self._whole: Work | None = None

    @property
    def left(self) -> int:
        """Steps, of a part no more than of the whole, which other parts may have spent."""
        return self._left if self._whole is None else min(self._left, self._whole.left)

    @property
    def seconds_left(self) -> float:
        """Until its end, at least 0; infinity where seconds are not limited."""
        return max(0.0, self._ends_at - time.perf_counter())

    def part(self, steps: int) -> Work:
        """At most so many of the steps; they count here as well."""
        part = copy(self)
        part._left, part._whole = steps, self
        return part

    def for_fit(self, parameters: int) -> Work:
        """The part that fitting a network of so many parameters next may take: half of what is left."""
        part = self.part(max(LEAST_STEPS, self.left // 2))
        part.cost_of_step = cost_of_step(parameters)
        return part

    def dearer(self, times: int) -> Work:
        """The same, of steps that count so many times as much; they count here as well."""
        part = self.part(self.left)
        part.cost_of_step = times * self.cost_of_step
        return part

    def step(self) -> None:
        """Count one."""
        self._spend(self.cost_of_step)

    def is_over(self) -> bool:
        """Whether no step is left, or no second."""
        return self.left == 0 or self.seconds_left == 0.0

    def check(self) -> None:
        """Raise SpentError if it is over."""
        if self.is_over():
            raise SpentError

    def _spend(self, steps: int) -> None:
        self._left = max(0, self._left - steps)
        if self._whole is not None:
            self._whole._spend(steps)
