"""A client of workers, whichever way they are had, once it is sure that they compute the same."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from hedge.clusters.installed import installed
from hedge.clusters.local import local_cluster
from hedge.clusters.settings import ClusterSettings, Local


@contextmanager
def open_cluster(settings: ClusterSettings, workers: int | None = None) -> Iterator[Any]:
    """A ``distributed.Client`` of as many workers, with one thread each; at the end both are gone.

    Raises InputError where Dask is not installed.
    """
    distributed = installed("distributed")
    assert isinstance(settings, Local)
    with local_cluster(settings, workers) as cluster, distributed.Client(cluster) as client:
        yield client
