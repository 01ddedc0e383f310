"""Compression: sensitivities, neuron reduction, two-sided truncation, allocation by one price."""

from __future__ import annotations

from hedge.compression.compressor import CompressedModel, compress
from hedge.compression.measure import ErrorEstimate, Reference, output_error
from hedge.compression.plan import (
    Plan,
    Request,
    SitePlan,
    Source,
    blocks_of,
    byte_count,
    parameter_count,
)
from hedge.compression.points import (
    PointSets,
    points_of_domain,
    points_of_file,
    points_of_sources,
)
from hedge.compression.storage import load_compressed, save_compressed

__all__ = [
    "CompressedModel",
    "ErrorEstimate",
    "Plan",
    "PointSets",
    "Reference",
    "Request",
    "SitePlan",
    "Source",
    "blocks_of",
    "byte_count",
    "compress",
    "load_compressed",
    "output_error",
    "parameter_count",
    "points_of_domain",
    "points_of_file",
    "points_of_sources",
    "save_compressed",
]
