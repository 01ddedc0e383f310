"""What Dask does with workers that come later; needs Dask to be imported."""

from __future__ import annotations

from distributed import Worker, WorkerPlugin

from hedge.clusters.versions import difference, versions_here


class SameVersions(WorkerPlugin):
    """Turns away workers that compute with other versions than the process that made it."""

    def __init__(self) -> None:
        self.wanted = versions_here()

    def setup(self, worker: Worker) -> None:
        """At the start of every worker; one that raises does not start."""
        if fault := difference(self.wanted):
            raise RuntimeError(fault)
