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
from hedge.clusters.slurm import job_script
from hedge.clusters.spreading import Spread, alone, on_cluster, spread_over

__all__ = [
    "ClusterSettings",
    "Local",
    "Scheduler",
    "Slurm",
    "Spread",
    "Ssh",
    "alone",
    "cluster_settings",
    "job_script",
    "on_cluster",
    "open_cluster",
    "spread_over",
]
