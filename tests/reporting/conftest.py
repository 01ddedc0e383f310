"""One compression of heat, its export, a bench result and a comparison, as files of a report."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

import hedge
from hedge.comparing import ComparisonTable, Latency, Row
from hedge.compression import Plan, load_compressed
from tests.cli.conftest import refuses, run
from tests.reporting.documents import bench_document, machine

__all__ = ["Files", "comparison", "files", "refuses", "run", "write"]

TOLERANCE = 1e-2
Write = Callable[[Sequence[Path]], str]
"""Writes the report of some files and returns it."""


@dataclass(frozen=True)
class Files:
    """What a user has after compress, export, bench and compare."""

    dense: Path
    compressed: Path
    exported: Path
    bench: Path
    comparison: Path

    @property
    def plan(self) -> Plan:
        return load_compressed(self.compressed).plan

    @property
    def all(self) -> list[Path]:
        return [self.dense, self.compressed, self.exported, self.bench, self.comparison]


@pytest.fixture(scope="session")
def files(tmp_path_factory: pytest.TempPathFactory, heat_path: Path) -> Files:
    folder = tmp_path_factory.mktemp("runs")
    dense = folder / "heat.onnx"
    shutil.copyfile(heat_path, dense)
    made = Files(
        dense,
        folder / "heat.hedge.safetensors",
        folder / "heat.pi.onnx",
        folder / "bench.json",
        folder / "compare.json",
    )
    small = hedge.compress(
        dense,
        device="raspberry-pi-4b",
        tolerance=TOLERANCE,
        batch=256,
        out=made.compressed,
        recover=None,
    )
    hedge.export(small, made.exported)
    made.bench.write_text(json.dumps(bench_document([dense.name, made.exported.name])))
    made.comparison.write_text(json.dumps({"model": "heat.onnx", **comparison().to_json()}))
    return made


def comparison() -> ComparisonTable:
    """Two methods, of which the rival is faster, and one without a result."""
    rows = tuple(
        Row(
            method=method,
            parameters=parameters,
            bytes=4 * parameters,
            error=error,
            reference_error=None,
            within=error <= TOLERANCE,
            latencies=(Latency(256, seconds, seconds, 1e-3 * seconds),),
            seconds=0.5,
            note="",
        )
        for method, parameters, error, seconds in (
            ("dense", 8577, 0.0, 8e-5),
            ("hedge", 974, 6.5e-3, 2.8e-5),
            ("table", 42, 6.7e-3, 1.8e-5),
            ("prune", 4269, 4.6e-2, 7e-5),
        )
    )
    absent = {"small-net": "needs torch"}
    return ComparisonTable("raspberry-pi-4b", TOLERANCE, 1, machine(), rows, absent)


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def report(runs: Sequence[Path]) -> str:
        out = tmp_path / "report.html"
        hedge.report(runs, out, force=True)
        return out.read_text(encoding="utf-8")

    return report
