"""Workers of Dask, however they are had: processes here, a scheduler that runs, ssh, SLURM."""

from __future__ import annotations

from hedge.clusters.opening import open_cluster
from hedge.clusters.settings import (
    ClusterSettings,
    Local,
    Scheduler,
    Slurm,
    Ssh,
    cluster_settings,
)

__all__ = [
    "ClusterSettings",
    "Local",
    "Scheduler",
    "Slurm",
    "Ssh",
    "cluster_settings",
    "open_cluster",
]
