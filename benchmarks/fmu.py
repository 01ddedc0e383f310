"""How large FMUs are, and what a step in them takes beside the network's own C.

    python benchmarks/fmu.py

A step sets all inputs, calls DoStep and gets all outputs; a derivative is a directional one at new inputs.
They are timed in C, with the flags of FMUs, by turns with the network alone; times are medians, one thread.
Needs gcc.
"""

from __future__ import annotations

import statistics
import subprocess
import tempfile
from pathlib import Path
from typing import Any, get_args

import hedge
from hedge.cli.console import print_table, seconds
from hedge.exporting.fmu import FLAGS, Version
from tests.exporting.fmu_instance import unpacked

MODELS = Path(__file__).parent.parent / "models"
NETWORKS = {
    "Burgers, recovered within 1e-2": None,
    "Burgers, compressed": MODELS / "burgers-128x4.hedge.safetensors",
    "heat, 3 x 64": MODELS / "heat-64x3.onnx",
    "Burgers, 4 x 128": MODELS / "burgers-128x4.onnx",
}
TURNS = 40

DRIVER = """
#include <time.h>
#include "fmi2.c"

static void quiet(void *e, const char *n, fmi2Status s, const char *c, const char *m, ...)
{
    (void)e, (void)n, (void)s, (void)c, (void)m;
}

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int main(void)
{
    enum { CALLS = 20000 };
    const fmi2CallbackFunctions functions = {quiet, NULL, NULL, NULL, NULL};
    const unsigned in[] = {0, 1}, out[] = {2};
    const double seed[] = {1.0, 1.0};
    fmi2Component c = fmi2Instantiate("one", fmi2CoSimulation, TOKEN, "", &functions, 0, 0);
    double x[2], u, changes;
    real row[2], result[1], sum = 0;
    fmi2EnterInitializationMode(c);
    fmi2ExitInitializationMode(c);
    for (int turn = 0; turn < %(turns)d; ++turn) {
        double t[4];
        t[0] = now();
        for (int i = 0; i < CALLS; ++i) {
            row[0] = row[1] = (real)i / CALLS;
            EVALUATE(row, result);
            sum += result[0];
        }
        t[1] = now();
        for (int i = 0; i < CALLS; ++i) {
            x[0] = x[1] = (double)i / CALLS;
            fmi2SetReal(c, in, 2, x);
            fmi2DoStep(c, 0.0, 1e-3, 1);
            fmi2GetReal(c, out, 1, &u);
            sum += (real)u;
        }
        t[2] = now();
        for (int i = 0; i < CALLS; ++i) {
            x[0] = x[1] = (double)i / CALLS;
            fmi2SetReal(c, in, 2, x);
            fmi2GetDirectionalDerivative(c, out, 1, in, 2, seed, &changes);
            sum += (real)changes;
        }
        t[3] = now();
        printf("%%.9g %%.9g %%.9g\\n", (t[1] - t[0]) / CALLS, (t[2] - t[1]) / CALLS, (t[3] - t[2]) / CALLS);
    }
    return sum == 12345;
}
"""


def times(sources: Path) -> list[float]:
    """Medians of seconds: the network's function, a step, a directional derivative."""
    (sources / "driver.c").write_text(DRIVER % {"turns": TURNS})
    flags = [flag for flag in FLAGS if flag != "-std=c99"]  # clock_gettime is of POSIX
    files = ("driver.c", "network.c", "-o", "driver", "-lm")
    subprocess.run(["gcc", *flags, *files], cwd=sources, check=True)
    run = subprocess.run(["./driver"], cwd=sources, capture_output=True, text=True, check=True)
    rows = [[float(word) for word in line.split()] for line in run.stdout.splitlines()]
    return [statistics.median(column) for column in zip(*rows, strict=True)]


def main() -> None:
    """Print both tables."""
    models: dict[str, Any] = dict(NETWORKS)
    burgers = MODELS / "burgers-128x4.onnx"
    models["Burgers, recovered within 1e-2"] = hedge.compress(
        burgers, device="laptop-x86-c", tolerance=1e-2, batch=1
    )
    table = []
    with tempfile.TemporaryDirectory() as folder:
        for number, (label, model) in enumerate(models.items()):
            outs = [Path(folder) / f"net{number}_{version[0]}.fmu" for version in get_args(Version)]
            written = [
                hedge.export_fmu(model, out, fmi=version)
                for out, version in zip(outs, get_args(Version), strict=True)
            ]
            sizes = [f"{one.binary_bytes:,}" for one in written]
            files = [f"{one.bytes:,}" for one in written]
            alone, step, slope = times(unpacked(outs[0]) / "sources")
            table.append(
                [label, f"{written[0].parameters:,}", *sizes, *files]
                + [seconds(t) for t in (alone, step, slope)]
            )
    columns = ["network", "parameters", "binary, 2.0", "3.0", "FMU, 2.0", "3.0", "C alone"]
    print_table("FMUs, bytes and times", [*columns, "a step", "a derivative"], table)


if __name__ == "__main__":
    main()
