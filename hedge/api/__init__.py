"""The stages as functions of files: what ``import hedge`` offers and the command line calls."""

from __future__ import annotations

from hedge.api.arduino import export_arduino
from hedge.api.benching import bench, bench_fleet
from hedge.api.casadi import export_casadi
from hedge.api.certifying import certify, check_certificate
from hedge.api.compressing import compress, load
from hedge.api.exporting import export, export_c
from hedge.api.fmu import export_fmu
from hedge.api.inputs import check_not_read, find_device, runtime_of
from hedge.api.library import export_library
from hedge.api.measuring import compare_methods, evaluate, tangent_kernels
from hedge.api.reporting import check_report_installed, report
from hedge.api.sweeping import PARQUET, planned, sweep, sweep_rows
from hedge.api.training import import_model, reference_models, train, train_operator

__all__ = [
    "PARQUET", "bench", "bench_fleet", "certify", "check_certificate", "check_not_read",
    "check_report_installed", "compare_methods", "compress", "evaluate", "export", "export_arduino",
    "export_c", "export_casadi", "export_fmu", "export_library", "find_device", "import_model", "load",
    "planned", "reference_models", "report", "runtime_of", "sweep", "sweep_rows", "tangent_kernels",
    "train", "train_operator",
]  # fmt: skip
