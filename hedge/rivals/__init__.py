"""Rivals: other ways to a small, fast model, each at its best within the same tolerance."""

from __future__ import annotations

from hedge.rivals.candidate import Absent, Candidate, Method
from hedge.rivals.pruning import magnitude_pruning, recovered_pruning
from hedge.rivals.quantization import dynamic_int8, static_int8
from hedge.rivals.small_net import small_network
from hedge.rivals.svd import activation_svd, plain_svd
from hedge.rivals.table import cubic_table

__all__ = [
    "RIVALS",
    "Absent",
    "Candidate",
    "Case",
    "Method",
    "activation_svd",
    "cubic_table",
    "dynamic_int8",
    "magnitude_pruning",
    "plain_svd",
    "recovered_pruning",
    "small_network",
    "static_int8",
]

RIVALS: dict[str, Method] = {
    "svd": plain_svd,
    "activation-svd": activation_svd,
    "prune": magnitude_pruning,
    "prune, recovered": recovered_pruning,
    "quantize-dynamic": dynamic_int8,
    "quantize-static": static_int8,
    "table": cubic_table,
    "small-net": small_network,
}
