"""What Dask does with workers that come later; needs Dask to be imported."""

from __future__ import annotations

from distributed import Worker, WorkerPlugin

from hedge.clusters.versions import difference, versions_here


class TurnedAway(BaseException):
    """Ends a worker's start: of an Exception in a plugin Dask writes a line, and takes the worker."""


class SameVersions(WorkerPlugin):
    """Turns away workers that compute with other versions than the process that made it."""

    def __init__(self) -> None:
        self.wanted = versions_here()

    def setup(self, worker: Worker) -> None:
        """At the start of every worker."""
        if fault := difference(self.wanted):
            raise TurnedAway(fault)
