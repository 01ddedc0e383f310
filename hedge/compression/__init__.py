"""Compression: sensitivities, neuron reduction, two-sided truncation, allocation by one price."""

from __future__ import annotations

from hedge.compression.compressor import CompressedModel, compress
from hedge.compression.plan import Plan, Request, SitePlan, Source, blocks_of, parameter_count
from hedge.compression.points import (
    PointSets,
    points_of_domain,
    points_of_file,
    points_of_sources,
)
from hedge.compression.storage import load_compressed, save_compressed

__all__ = [
    "CompressedModel",
    "Plan",
    "PointSets",
    "Request",
    "SitePlan",
    "Source",
    "blocks_of",
    "compress",
    "load_compressed",
    "parameter_count",
    "points_of_domain",
    "points_of_file",
    "points_of_sources",
    "save_compressed",
]
