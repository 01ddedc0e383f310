"""How much faster two workers are than one, and whether what they prove is the same.

    OMP_NUM_THREADS=1 python benchmarks/clusters.py            all of it
    OMP_NUM_THREADS=1 python benchmarks/clusters.py proofs     certificates: alone, in processes, on Dask
    …                                                   rivals     compare's methods, the same way

Wall seconds; and, which hold on a busy machine, too, processor seconds: of two processes those of the busier
one, of which this is one; on Dask those here and half of those of the workers.
"""

from __future__ import annotations

import compileall
import os
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from statistics import median

import hedge
from hedge.benching import Effort
from hedge.clusters import Local, open_cluster

MODELS = Path(__file__).parent.parent / "models"
ROUNDS = 3


def cpu_of(client) -> float:
    """Processor seconds of all workers so far."""
    return sum(client.run(time.process_time).values())


@contextmanager
def taken(client=None):
    """Wall seconds, and processor seconds here and of the workers."""
    found = {}
    wall, here = time.perf_counter(), time.process_time()
    there = cpu_of(client) if client else children()
    yield found
    found["wall"] = time.perf_counter() - wall
    found["here"] = time.process_time() - here
    found["there"] = (cpu_of(client) if client else children()) - there


def children() -> float:
    times = os.times()
    return times.children_user + times.children_system


def compared(name: str, make) -> None:
    """The same work alone, in two processes and by two workers of Dask, in turn: a round, and medians."""
    rounds = [one_round(name, make) for _ in range(ROUNDS)]
    processes, dask = (median(ratios) for ratios in zip(*rounds, strict=True))
    print(
        f"{name}, medians: {processes:.2f} times as processes, {dask:.2f} times on Dask", flush=True
    )


def one_round(name: str, make) -> tuple[float, float]:
    with taken() as alone:
        first = make()
    tell(f"{name}, alone", alone, alone, alone["here"], "")
    with taken() as seconds:
        result = make(workers=2)
    busier = max(seconds["here"], seconds["there"])
    of_processes = tell(f"{name}, two processes", seconds, alone, busier, sameness(result, first))
    with open_cluster(Local(), 2) as client:
        scheduler = client.scheduler.address
        with taken(client) as seconds:
            result = make(scheduler=scheduler)
    each = seconds["here"] + seconds["there"] / 2
    return of_processes, tell(f"{name}, two of Dask", seconds, alone, each, sameness(result, first))


def sameness(result, first) -> str:
    return "; the same" if result == first else "; DIFFERS"


def tell(what: str, seconds, alone, processor: float, end: str) -> float:
    print(
        f"{what}: {seconds['wall']:.1f} s, {alone['wall'] / seconds['wall']:.2f} times; processor "
        f"{seconds['here']:.1f} s here and {seconds['there']:.1f} s of workers, "
        f"{alone['here'] / processor:.2f} times{end}",
        flush=True,
    )
    return float(alone["wall"] / seconds["wall"])


def proofs() -> None:
    for name, problem, boxes in (
        ("burgers-128x4", "burgers", 10**6),
        ("burgers-nu-24x3", "burgers-nu", 40_000),
    ):

        def certificate(name=name, problem=problem, boxes=boxes, **options):
            model = MODELS / f"{name}.onnx"
            return hedge.certify(model, problem=problem, boxes=boxes, **options).as_bytes()

        compared(f"{name} to the solution", certificate)


def rivals() -> None:
    def table(**options):
        found = hedge.compare_methods(
            MODELS / "burgers-128x4.onnx",
            device="laptop-x86",
            tolerance=1e-2,
            steps=2000,
            effort=Effort(0.01, 0.01),
            batches=[1],
            **options,
        )
        return [(row.method, row.parameters, row.error) for row in found.rows]

    compared("compare of burgers-128x4", table)


PARTS = {"proofs": proofs, "rivals": rivals}

if __name__ == "__main__":
    compileall.compile_dir(Path(hedge.__file__).parent, quiet=2)  # as after a first start
    for part in sys.argv[1:] or PARTS:
        PARTS[part]()
