"""Bench results made up from a seed, of both schemas."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from hedge.benching import Machine

BATCHES = (1, 256)


def machine() -> Machine:
    return Machine(
        processor="Cortex-A72",
        system="Linux aarch64",
        cores=4,
        load_average=(0.1, 0.2, 0.3),
        python="3.11.2",
        onnxruntime="1.31.1",
        hedge="0.1.0",
    )


def bench_document(
    paths: Sequence[str], *, energy: bool = False, unstable: str | None = None
) -> dict[str, Any]:
    """A result of schema 2: each model half as slow as the one before."""
    rng = np.random.default_rng(0)
    models = []
    for batch in BATCHES:
        for i, path in enumerate(paths):
            times = 1.234e-5 * batch * 0.5**i * rng.lognormal(0.0, 0.05, (20, 16))
            median = float(np.median(times))
            models.append(
                {
                    "path": path,
                    "batch": batch,
                    "parameters": 8577 // (i + 1),
                    "median_s": median,
                    "p90_s": float(np.percentile(times, 90)),
                    "p99_s": None,
                    "rows_per_s": batch / median,
                    "spread": 0.07,
                    "speedup": 2.0**i,
                    "speedup_interval": [0.99 * 2.0**i, 1.01 * 2.0**i],
                    "unstable": unstable,
                    "first_s": median,
                    "start_s": 1e-3,
                    "first_run_s": 1e-4,
                    "memory_bytes": 10**6,
                    "paper_bound_s": 0.5 * median,
                    "bound_holds": False,
                    "roofline_s": 0.01 * median,
                    "predicted_s": 1.5 * median,
                    "energy_j": 3.3 * median,
                    "measured_energy": measured(median) if energy else None,
                    "times_s": times.tolist(),
                }
            )
    return {
        "hedge_bench": 2,
        "device": "raspberry-pi-4b",
        "calibrated_here": False,
        "backend": "onnxruntime",
        "runtime": "onnxruntime 1.31.1",
        "threads": 1,
        "loop_s": 1e-3,
        "machine": machine().model_dump(mode="json"),
        "models": models,
        "failures": [{"path": "wide.onnx", "batch": None, "reason": "wide.onnx: is too wide"}],
    }


def measured(median_s: float) -> dict[str, Any]:
    return {
        "source": "hwmon",
        "gross_j": 5.0 * median_s,
        "net_j": 2.0 * median_s,
        "idle_w": 3.0,
        "window_s": 10.0,
        "calls": 1000,
    }


def bench_document_1(paths: Sequence[str]) -> dict[str, Any]:
    """The same of schema 1."""
    new = bench_document(paths)
    kept = {
        "path", "batch", "parameters", "median_s", "p90_s", "p99_s", "spread", "speedup",
        "paper_bound_s", "bound_holds", "roofline_s", "predicted_s", "energy_j",
    }  # fmt: skip
    models = [
        {
            **{key: value for key, value in model.items() if key in kept},
            "p99_s": model["p90_s"],
            "times_s": [time for window in model["times_s"] for time in window],
        }
        for model in new["models"]
    ]
    shown = {"processor", "system", "cores", "load_average", "python", "onnxruntime", "hedge"}
    facts = {key: value for key, value in new["machine"].items() if key in shown}
    return {
        "hedge_bench": 1,
        "device": new["device"],
        "threads": 1,
        "machine": facts,
        "models": models,
    }
