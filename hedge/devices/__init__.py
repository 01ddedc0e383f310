"""Devices: profiles, and what work costs on them."""

from __future__ import annotations

from hedge.devices.c_cost import TILE
from hedge.devices.cost import (
    LEAST_GAIN,
    energy_joules,
    marginal_seconds,
    predicted_seconds,
    roofline_seconds,
)
from hedge.devices.figures import Table
from hedge.devices.onnxruntime_cost import seconds_by_table
from hedge.devices.profile import (
    AUTO,
    UNIONS,
    CRuntime,
    Device,
    OnnxRuntime,
    find_profile,
    named_after,
    read_profile,
    shipped_profiles,
    write_profile,
)
from hedge.devices.work import (
    BYTES_PER_FLOAT,
    FUSED,
    Pass,
    Product,
    Work,
    gemm_work,
    pass_work,
    product_work,
)

__all__ = [
    "AUTO", "BYTES_PER_FLOAT", "FUSED", "LEAST_GAIN", "TILE", "UNIONS", "CRuntime", "Device", "OnnxRuntime",
    "Pass", "Product", "Table", "Work", "energy_joules", "find_profile", "gemm_work", "marginal_seconds",
    "named_after", "pass_work", "predicted_seconds", "product_work", "read_profile",
    "roofline_seconds", "seconds_by_table", "shipped_profiles", "write_profile",
]  # fmt: skip
