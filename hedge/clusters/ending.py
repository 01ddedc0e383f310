"""A scheduler that was started for one client ends with it, and its workers with the scheduler.

Dask loads this module into the scheduler (``preload``). Without it a client that is killed would leave
processes on other machines.
"""

from __future__ import annotations

from distributed import Scheduler
from distributed.diagnostics.plugin import SchedulerPlugin

LONGEST_FIRST_S = 120.0  # until a client comes
LONGEST_AWAY_S = 15.0  # until one that has lost its connection comes back
ITSELF = "fire-and-forget"  # whom schedulers list among their clients


class EndsWithItsClient(SchedulerPlugin):
    """Closes the scheduler once it has had no client for some seconds."""

    def __init__(self, scheduler: Scheduler) -> None:
        self.scheduler = scheduler
        self.look_in(LONGEST_FIRST_S)

    def remove_client(self, scheduler: Scheduler, client: str) -> None:
        """A client has gone, or lost its connection."""
        self.look_in(LONGEST_AWAY_S)

    def look_in(self, seconds: float) -> None:
        """Look in so many seconds whether there is a client."""
        self.scheduler.loop.call_later(seconds, self.close_if_alone)

    async def close_if_alone(self) -> None:
        """End the scheduler, which ends its workers."""
        if not set(self.scheduler.clients) - {ITSELF}:
            await self.scheduler.close(reason="its client has gone")


def dask_setup(scheduler: Scheduler) -> None:
    """What Dask calls in a scheduler that preloads this module."""
    scheduler.add_plugin(EndsWithItsClient(scheduler))
