"""Devices: profiles, and what work costs on them."""

from __future__ import annotations

from hedge.devices.cost import (
    BYTES_PER_FLOAT,
    Block,
    Work,
    batched_work,
    copy_work,
    energy_joules,
    gemm_work,
    marginal_seconds,
    paper_bound_seconds,
    paper_energy_joules,
    predicted_seconds,
    roofline_seconds,
    transpose_work,
)
from hedge.devices.profile import (
    Device,
    find_profile,
    read_profile,
    shipped_profiles,
    write_profile,
)

__all__ = [
    "BYTES_PER_FLOAT",
    "Block",
    "Device",
    "Work",
    "batched_work",
    "copy_work",
    "energy_joules",
    "find_profile",
    "gemm_work",
    "marginal_seconds",
    "paper_bound_seconds",
    "paper_energy_joules",
    "predicted_seconds",
    "read_profile",
    "roofline_seconds",
    "shipped_profiles",
    "transpose_work",
    "write_profile",
]
