"""What --guard costs, what a call of --format library costs from Python, and what tanh takes in double.

    python benchmarks/deployment.py

The Burgers network recovered within 1e-3 for C in batches, the compressed and the dense one, on one thread
with -O3 -march=native; times are medians of runs in turns. Needs gcc.
"""

from __future__ import annotations

import importlib
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from c99_timing import BATCH, FAST, Run, exported, medians, runtime_run, timed_run

import hedge
from hedge.cli.console import print_table, seconds
from hedge.problems import find_problem

LONG = 1_000_000


def python_run(evaluate: Callable[[Any], Any], x: Any, rows: int, calls: int) -> Run:
    """Seconds per row of a Python function."""

    def run() -> float:
        started = time.perf_counter()
        for _ in range(calls):
            evaluate(x)
        return (time.perf_counter() - started) / (calls * rows)

    return run


def guard_table(models: dict[str, Any]) -> None:
    """With a guard over without, a row alone and in batches."""
    rows = find_problem("burgers").domain.sample(BATCH, 0).astype(np.float32)
    table = []
    for label, model in models.items():
        cases = [exported(label, model), exported(label, model, guard=True, domain="-1:1,0:1")]
        for batch in (1, BATCH):
            plain, guarded = medians([timed_run(c, FAST, rows, batched=batch > 1) for c in cases])
            cost = f"{100 * (guarded / plain - 1):+.1f} %"
            table.append([label, str(batch), seconds(plain), seconds(guarded), cost])
    columns = ["network", "batch", "C", "with --guard", "more"]
    print_table("Burgers, time per row", columns, table)


def onnx_guard_table(models: dict[str, Any]) -> None:
    """The same of ONNX, in onnxruntime."""
    table = []
    with tempfile.TemporaryDirectory() as folder:
        plain, guarded = (Path(folder) / name for name in ("plain.onnx", "guarded.onnx"))
        for label, model in models.items():
            hedge.export(model, plain, outputs="u", inputs="x,t", force=True)
            hedge.export(
                model, guarded, outputs="u", inputs="x,t", domain="-1:1,0:1", guard=True, force=True
            )
            for batch in (1, BATCH):
                runs = [runtime_run(path, batch) for path in (plain, guarded)]
                before, after = medians(runs)
                cost = f"{100 * (after / before - 1):+.1f} %"
                table.append([label, str(batch), seconds(before), seconds(after), cost])
    columns = ["network", "batch", "ONNX", "with --guard", "more"]
    print_table("Burgers, time per row", columns, table)


def library_table(models: dict[str, Any]) -> None:
    """A row alone and a million of them from Python, beside the C alone."""
    domain = find_problem("burgers").domain
    many = domain.sample(LONG, 0).astype(np.float32)
    few = many[:BATCH]
    table = []
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for number, (label, model) in enumerate(models.items()):
            name = f"burgers_net_{number}"
            hedge.export_library(model, Path(folder) / name)
            library = importlib.import_module(name)
            case = exported(label, model)
            row, batch, call, whole = medians(
                [
                    timed_run(case, FAST, few, batched=False),
                    timed_run(case, FAST, many, batched=True),
                    python_run(library.evaluate, many[0], 1, 1000),
                    python_run(library.evaluate, many, LONG, 1),
                ],
                rounds=20,
            )
            table.append(
                [label, seconds(row), seconds(call), seconds(batch), seconds(whole), f"{whole / batch:.2f}"]
            )  # fmt: skip
    columns = ["network", "C, a row", "Python, a row", "C, of 10^6", "Python, of 10^6", "ratio"]
    print_table("Burgers, time per row", columns, table)


def double_table(models: dict[str, Any]) -> None:
    """In double, in batches, with hedge's tanh and with libm's."""
    rows = find_problem("burgers").domain.sample(BATCH, 0)
    table = []
    with tempfile.TemporaryDirectory() as folder:
        sys.path.insert(0, folder)
        for number, (label, model) in enumerate(models.items()):
            runs = []
            for kind in (True, False):
                name = f"burgers_double_{number}_{kind}"
                hedge.export_library(model, Path(folder) / name, precision="double", fast_tanh=kind)
                runs.append(python_run(importlib.import_module(name).evaluate, rows, BATCH, 20))
            own, libm = medians(runs)
            table.append([label, seconds(own), seconds(libm), f"{libm / own:.2f}"])
    columns = ["network", "double", "with --no-fast-tanh", "ratio"]
    print_table("Burgers, time per row in batches of 1,024", columns, table)


def main() -> None:
    path = hedge.reference_models()["burgers"]
    recovered = hedge.compress(path, device="laptop-x86-c", tolerance=1e-3, batch=BATCH)
    models: dict[str, Any] = {
        f"recovered, {recovered.plan.parameters} parameters": recovered,
        "shipped, compressed": path.with_name("burgers-128x4.hedge.safetensors"),
        "dense": path,
    }
    guard_table(models)
    onnx_guard_table(models)
    library_table(models)
    double_table(models)


if __name__ == "__main__":
    main()
