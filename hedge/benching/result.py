"""A bench's result and its file: a versioned JSON document with raw values and metadata."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from hedge.benching.machine import Machine
from hedge.benching.statistics import throughput, too_wide
from hedge.documents import Count, Figure, Number, Positive, fault, read_json
from hedge.errors import InputError, quoted
from hedge.names import Name

SCHEMA: Literal[2] = 2
CLOCK_STEP_DECIMALS = 9  # the clock counts nanoseconds

Seconds = Annotated[float, Field(ge=1e-30, le=1e30)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class MeasuredEnergy(_Strict):
    """Joules per call from a meter: gross, and net of what the idle machine takes in the same time.

    ``calls`` were made in ``window_s`` seconds; ``idle_w`` is the power before them.
    """

    source: str
    gross_j: Number
    net_j: Number
    idle_w: Number
    window_s: Figure
    calls: Positive


class Measurement(_Strict):
    """One model at one batch. Times in seconds; ``times_s`` are the raw values, (rounds, queries).

    speedup is the first model's median over this one's, with its 95 % interval; spread the
    interquartile range over the median; rows_per_s the throughput. The interval, p90_s and p99_s are
    None where there are too few windows or queries. ``unstable`` says why the times are not to be trusted,
    None if they are. first_s is the median of queries that find the caches as another model left them.
    start_s, first_run_s and memory_bytes are of a fresh process: until the session is there, the first
    call, and the memory that both took. bound_holds says whether the median is at most the paper's
    Theorem 11. energy_j is modelled.
    """

    path: Name
    batch: Positive
    parameters: Count
    median_s: Seconds
    p90_s: Seconds | None
    p99_s: Seconds | None
    rows_per_s: Figure
    spread: Figure
    speedup: Figure
    speedup_interval: tuple[Figure, Figure] | None
    unstable: str | None
    first_s: Seconds | None
    start_s: Figure | None
    first_run_s: Figure | None
    memory_bytes: Count | None
    paper_bound_s: Figure
    bound_holds: bool
    roofline_s: Figure
    predicted_s: Figure
    energy_j: Figure
    measured_energy: MeasuredEnergy | None
    times_s: tuple[tuple[Seconds, ...], ...]

    @field_validator("times_s")
    @classmethod
    def _is_a_table(cls, times: tuple[tuple[float, ...], ...]) -> tuple[tuple[float, ...], ...]:
        if len({len(window) for window in times}) != 1 or not times[0]:
            raise ValueError("must be windows of as many times each, at least one")
        return times

    @property
    def windows(self) -> NDArray[np.float64]:
        """The raw times as an array, (rounds, queries)."""
        return np.array(self.times_s)


class Failure(_Strict):
    """A model, or its measurement at one batch, that failed, and why, in one line."""

    path: Name
    batch: Positive | None
    reason: Name


class BenchResult(_Strict):
    """All measurements of a run, the machine they were made on, and what failed.

    figures_of is the runtime that the device's figures describe, calibrated_here says whether they were
    measured on this machine; runtime is what ran the models, with its version; loop_s the time of a fixed
    loop of Python before the first measurement, which tells a machine that has slowed down.
    """

    hedge_bench: Literal[2] = SCHEMA
    device: str
    calibrated_here: bool | None
    figures_of: Literal["onnxruntime", "c"] = "onnxruntime"
    backend: str
    runtime: str
    threads: Positive
    loop_s: Seconds | None
    machine: Machine
    models: tuple[Measurement, ...]
    failures: tuple[Failure, ...]

    def to_json(self) -> dict[str, Any]:
        """The result file: plain JSON values, raw times included."""
        document = self.model_dump(mode="json")
        for model in document["models"]:
            model["times_s"] = [
                [round(t, CLOCK_STEP_DECIMALS) for t in window] for window in model["times_s"]
            ]
        return document


def read_result(path: Path) -> BenchResult:
    """Read a result file of this schema or the one before it.

    Raises InputError, naming the file and the key, if it is no such file or is damaged.
    """
    return parse_result(read_json(path, "a result of hedge bench --out"), str(path))


def parse_result(document: Any, name: str) -> BenchResult:
    """The result in a JSON document that came from ``name``; raises InputError if it holds none."""
    if not isinstance(document, dict) or "hedge_bench" not in document:
        raise InputError(f"{name}: is not a result of hedge bench; make one with --out")
    schema = document["hedge_bench"]
    if type(schema) is not int or schema not in (1, SCHEMA):  # True is no schema, though equal to 1
        raise InputError(
            f"{name}: has schema {quoted(schema)}, this hedge reads 1 and {SCHEMA}; update it"
        )
    try:
        return BenchResult.model_validate(_from_schema_1(document) if schema == 1 else document)
    except ValidationError as error:
        raise InputError(f"{name}: {fault(error)}; bench again") from error
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError) as error:
        raise InputError(f"{name}: is a damaged result of schema 1; bench again") from error


def _from_schema_1(old: dict[str, Any]) -> dict[str, Any]:
    """A result of schema 1: every round was one query of each model, and nothing ran but onnxruntime."""
    unknown = (
        "speedup_interval", "first_s", "start_s", "first_run_s", "memory_bytes",
        "measured_energy",
    )  # fmt: skip
    models = [{**dict.fromkeys(unknown), **model, **_derived(model)} for model in old["models"]]
    return {
        **old,
        "hedge_bench": SCHEMA,
        "calibrated_here": None,
        "backend": "onnxruntime",
        "runtime": f"onnxruntime {old['machine']['onnxruntime']}",
        "loop_s": None,
        "models": models,
        "failures": [],
    }


def _derived(model: dict[str, Any]) -> dict[str, Any]:
    """What schema 2 says of a model that schema 1 left to its reader."""
    windows = np.array(model["times_s"], dtype=np.float64).reshape(-1, 1)
    if not windows.size:
        raise ValueError("no times")
    return {
        "times_s": windows.tolist(),
        "rows_per_s": throughput(windows, model["batch"]),
        "unstable": too_wide(model["spread"]),
    }
