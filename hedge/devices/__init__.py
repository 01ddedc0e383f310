"""Devices: profiles, and what work costs on them."""

from __future__ import annotations

from hedge.devices.cost import (
    BYTES_PER_FLOAT,
    FUSED,
    LEAST_GAIN,
    Pass,
    Product,
    Work,
    energy_joules,
    gemm_work,
    marginal_seconds,
    pass_work,
    predicted_seconds,
    product_work,
    roofline_seconds,
    seconds_by_table,
)
from hedge.devices.figures import Table
from hedge.devices.profile import (
    AUTO,
    Device,
    find_profile,
    named_after,
    read_profile,
    shipped_profiles,
    write_profile,
)

__all__ = [
    "AUTO", "BYTES_PER_FLOAT", "FUSED", "LEAST_GAIN", "Device", "Pass", "Product", "Table",
    "Work", "energy_joules", "find_profile", "gemm_work", "marginal_seconds", "named_after",
    "pass_work", "predicted_seconds", "product_work", "read_profile", "roofline_seconds",
    "seconds_by_table", "shipped_profiles", "write_profile",
]  # fmt: skip
