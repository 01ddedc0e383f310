"""The files a report is made of: models, bench results, comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from onnx import ModelProto
from pydantic import TypeAdapter, ValidationError

from hedge.benching import BenchResult, Measurement
from hedge.benching.result import parse_result
from hedge.certifying import Certificate, read_certificate
from hedge.comparing import ComparisonTable
from hedge.comparing.comparison import SCHEMA
from hedge.compression import Plan
from hedge.documents import fault, read_json
from hedge.errors import InputError, quoted
from hedge.exporting import COMPRESSED, ONNX, open_model
from hedge.files import require_file, sha256_of
from hedge.names import as_text
from hedge.sweeping import Row, Store, rows_of
from hedge.sweeping.store import SWEEP

RESULT = ".json"
KINDS = (
    "a .hedge.safetensors, an .onnx, a .json of hedge bench --out, hedge compare --json or "
    "hedge certify --out, or a folder of hedge sweep"
)


@dataclass(frozen=True)
class Origin:
    """A file as it was found: its name without folders, its SHA-256 in hexadecimal, its bytes."""

    name: str
    sha256: str
    bytes: int

    @property
    def label(self) -> str:
        """The name that a table shows."""
        return label_of(self.name)


@dataclass(frozen=True)
class ModelFile:
    """A model that can be run, and the plan it was made by; a dense model has none.

    problem is the name it gives of what it solves, known or not.
    """

    origin: Origin
    model: ModelProto
    plan: Plan | None
    problem: str | None

    @property
    def exported(self) -> bool:
        """Whether this is an ``.onnx``, which is what is timed."""
        return self.origin.name.endswith(ONNX)


@dataclass(frozen=True)
class BenchFile:
    """A result of ``hedge bench``."""

    origin: Origin
    result: BenchResult

    def by_batch(self) -> list[tuple[int, list[Measurement]]]:
        """The measurements of every batch, in the file's order."""
        batches = dict.fromkeys(m.batch for m in self.result.models)
        return [(batch, [m for m in self.result.models if m.batch == batch]) for batch in batches]


@dataclass(frozen=True)
class ComparisonFile:
    """A result of ``hedge compare``; model is the dense model's name."""

    origin: Origin
    model: str
    table: ComparisonTable


@dataclass(frozen=True)
class CertificateFile:
    """A certificate of ``hedge certify --out``, not checked."""

    origin: Origin
    certificate: Certificate


@dataclass(frozen=True)
class SweepFile:
    """The folder of ``hedge sweep --out``: rows of the cells that are done or failed, of so many in all."""

    origin: Origin
    rows: tuple[Row, ...]
    cells: int


ReportFile = ModelFile | BenchFile | ComparisonFile | CertificateFile | SweepFile


def label_of(name: str) -> str:
    """A model file's name without the ending that says its format.

    >>> label_of("burgers.pi.onnx"), label_of("burgers.hedge.safetensors")
    ('burgers.pi', 'burgers.hedge')
    """
    return name.removesuffix(ONNX).removesuffix(COMPRESSED)


def read_report_files(paths: Sequence[Path]) -> tuple[ReportFile, ...]:
    """Read the files, in their order.

    Raises InputError for no file, one that is missing, of another kind or another version; ModelError for a
    damaged model.
    """
    if not paths:
        raise InputError(f"report: no run given; name at least one file, {KINDS}")
    return tuple(_read(path) for path in paths)


def _read(path: Path) -> ReportFile:
    if path.is_dir():
        return _read_sweep(path)
    require_file(path)
    if path.suffix in (COMPRESSED, ONNX):
        file = open_model(path)
        return ModelFile(_origin(path), file.graph, file.plan, file.problem)
    if path.suffix == RESULT:
        return _read_result(path)
    raise InputError(f"{path}: is no run; give {KINDS}")


def _read_sweep(folder: Path) -> SweepFile:
    rows, cells = rows_of(Store(folder))
    if not rows:
        raise InputError(f"{folder}: none of its cells is done yet; run hedge sweep")
    plan = _origin(folder / SWEEP)
    return SweepFile(replace(plan, name=as_text(folder.resolve().name)), tuple(rows), cells)


def _origin(path: Path) -> Origin:
    return Origin(as_text(path.name), sha256_of(path), path.stat().st_size)


def _read_result(path: Path) -> BenchFile | ComparisonFile | CertificateFile:
    document = read_json(path, KINDS)
    if isinstance(document, dict) and "hedge_bench" in document:
        result = parse_result(document, str(path))
        if not result.models:
            raise InputError(f"{path}: key 'models': holds no measurement; bench again")
        return BenchFile(_origin(path), result)
    if isinstance(document, dict) and "hedge_compare" in document:
        return _comparison(document, path)
    if isinstance(document, dict) and "hedge_certificate" in document:
        return CertificateFile(_origin(path), read_certificate(path))
    raise InputError(f"{path}: is no result of hedge bench or hedge compare; give {KINDS}")


def _comparison(document: dict[str, Any], path: Path) -> ComparisonFile:
    schema = document["hedge_compare"]
    if schema != SCHEMA:
        raise InputError(
            f"{path}: has schema {quoted(schema)}, this hedge reads {SCHEMA}; compare again"
        )
    try:
        table = TypeAdapter(ComparisonTable).validate_python(document)
        model = document.get("model")
    except ValidationError as error:
        raise InputError(f"{path}: {fault(error)}; compare again") from error
    if not isinstance(model, str):
        raise InputError(f"{path}: key 'model': should be a name; compare again")
    batches = {tuple(latency.batch for latency in row.latencies) for row in table.rows}
    if len(batches) != 1:
        raise InputError(
            f"{path}: key 'rows': there are none, or not all of the same batches; compare again"
        )
    return ComparisonFile(_origin(path), Path(model).name, table)
