"""Results of several machines: the document that holds them all, and their measurements as rows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from hedge.benching.result import BenchResult, Failure, Measurement, parse_result
from hedge.documents import fault, read_json
from hedge.errors import HedgeError, InputError, RemoteError
from hedge.names import Name

FLEET_SCHEMA: Literal[1] = 1
FLEET = "hedge_bench_fleet"


@dataclass(frozen=True)
class BenchRow:
    """What was measured of a model at a batch on a machine, in seconds, joules and bytes, or why it failed.

    host is the name that ssh has for the machine, its processor's where the bench ran on the spot; device is
    whose figures predict. model and batch are None where all of a host failed, batch where all of a model
    did.
    """

    host: str
    device: str | None
    model: str | None
    batch: int | None
    figures: Mapping[str, int | float | str | None]
    failed: str | None = None


class _Host(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    host: Name
    error: Name | None = None
    result: Any = None


class _Fleet(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    hedge_bench_fleet: Literal[1]
    hosts: tuple[_Host, ...]


def fleet_document(fleet: Mapping[str, BenchResult | RemoteError]) -> dict[str, Any]:
    """The result file of ``hedge bench --on``: of each host its result, or its error in one line."""
    hosts = [
        {"host": host, "error": str(result)}
        if isinstance(result, HedgeError)
        else {"host": host, "result": result.to_json()}
        for host, result in fleet.items()
    ]
    return {FLEET: FLEET_SCHEMA, "hosts": hosts}


def read_bench_rows(path: Path) -> list[BenchRow]:
    """The rows of a file that ``hedge bench --out`` wrote, of this machine or of all that ``--on`` named.

    Raises InputError, naming the file and the key, if it is no such file or is damaged.
    """
    document = read_json(path, "a result of hedge bench --out")
    if not isinstance(document, dict) or FLEET not in document:
        result = parse_result(document, str(path))
        return list(_rows(result.machine.processor, result))
    try:
        fleet = _Fleet.model_validate(document)
    except ValidationError as error:
        raise InputError(f"{path}: {fault(error)}; bench again") from error
    rows: list[BenchRow] = []
    for each in fleet.hosts:
        if each.error is not None:
            reason = each.error.removeprefix(f"{each.host}: ")
            rows.append(BenchRow(each.host, None, None, None, {}, reason))
        else:
            rows += _rows(each.host, parse_result(each.result, f"{path}: {each.host}"))
    return rows


def _rows(host: str, result: BenchResult) -> Iterator[BenchRow]:
    for one in result.models:
        yield BenchRow(host, result.device, one.path, one.batch, _figures(one))
    for failure in result.failures:
        yield _failed(host, result.device, failure)


def _failed(host: str, device: str, failure: Failure) -> BenchRow:
    return BenchRow(host, device, failure.path, failure.batch, {}, failure.reason)


def _figures(one: Measurement) -> dict[str, int | float | str | None]:
    measured = one.measured_energy
    return {
        "parameters": one.parameters,
        "predicted_s": one.predicted_s,
        "measured_s": one.median_s,
        "speedup": one.speedup,
        "energy_j": one.energy_j,
        "measured_j": None if measured is None else measured.net_j,
        "unstable": one.unstable,
    }
