"""Compression: sensitivities, neuron reduction, two-sided truncation, allocation by one price."""

from __future__ import annotations

from hedge.compression.by_column import by_column, errors_at, places_of
from hedge.compression.case import Case
from hedge.compression.compressor import (
    CompressedModel,
    as_method,
    certified,
    compress,
    confirmed,
    dense_as_it_is,
    first_certified,
    search,
    with_recovery,
)
from hedge.compression.counted import CountedCost
from hedge.compression.families import cuts, tries
from hedge.compression.hierarchies import check_grid
from hedge.compression.measure import MOST_APART, ErrorEstimate, fields_of, measure, output_error
from hedge.compression.network import Network, cut, network_of
from hedge.compression.plan import (
    ColumnError,
    Plan,
    Proved,
    ProvedDistance,
    Rung,
    SlopeError,
    Spread,
    Trial,
    read_plan,
)
from hedge.compression.points import (
    FRESH_POINTS,
    PointSets,
    box_of_origin,
    certifying_points,
    points_of_domain,
    points_of_file,
    points_of_sources,
)
from hedge.compression.points_of_arrays import check_functions_differ, points_of_arrays
from hedge.compression.preparing import prepare
from hedge.compression.site_plan import SitePlan, blocks_of, byte_count, parameter_count
from hedge.compression.storage import as_bytes, load_compressed, save_compressed
from hedge.request import Allowance, Request, Source

__all__ = [
    "FRESH_POINTS", "MOST_APART", "Allowance", "Case", "ColumnError", "CompressedModel", "CountedCost",
    "ErrorEstimate", "Network", "Plan", "PointSets", "Proved", "ProvedDistance", "Request", "Rung",
    "SitePlan", "SlopeError", "Source", "Spread", "Trial", "as_bytes", "as_method", "blocks_of",
    "box_of_origin", "by_column", "byte_count", "certified", "certifying_points",
    "check_functions_differ", "check_grid", "compress", "confirmed", "cut", "cuts", "dense_as_it_is",
    "errors_at", "fields_of", "first_certified", "load_compressed", "measure", "network_of",
    "output_error", "parameter_count", "places_of", "points_of_arrays", "points_of_domain",
    "points_of_file", "points_of_sources", "prepare", "read_plan", "save_compressed", "search", "tries",
    "with_recovery",
]  # fmt: skip
