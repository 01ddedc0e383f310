"""C99 of the Burgers network against onnxruntime on the dense one, one row at a time and in batches.

    python benchmarks/c99_timing.py

Dense as hedge writes it, dense with plain loops (weights as in ONNX, inputs innermost, as exporters to C
usually write them), compressed within 1e-2, and recovered within 1e-3 and 7e-4 for C in batches.
C and onnxruntime are timed in turns in one process; figures are medians. Needs gcc.
"""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import hedge
from hedge.benching.protocol import bound_run
from hedge.cli.console import print_table, seconds
from hedge.exporting.c99.text import numbers
from hedge.graph import SplitModel, load_model, split, tanh_chain
from hedge.problems import find_problem

FAST = ("-O3", "-march=native")
PLAIN = ("-O2",)
BATCH = 1024
ROUNDS = 200
SAMPLE_S = 5e-4

TIMER = """
#define _POSIX_C_SOURCE 199309L
#include <stddef.h>
#include <time.h>

void m_eval(const float *x, float *u);
void m_eval_batch(size_t n, const float *x, float *u);

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Seconds per row, of rows one by one or of all in one call, over and over. */
double seconds_per_row(size_t repeats, int batched, size_t n, size_t d, size_t m, const float *x,
                       float *u)
{
    const double started = now();
    for (size_t i = 0; i < repeats; ++i) {
        if (batched)
            m_eval_batch(n, x, u);
        else
            for (size_t r = 0; r < n; ++r) m_eval(x + r * d, u + r * m);
    }
    return (now() - started) / (double)(repeats * n);
}
"""
NAIVE = """
static void layer{i}(const float *a, float *z)
{{
    for (int j = 0; j < {outputs}; ++j) {{
        float sum = b{i}[j];
        for (int k = 0; k < {inputs}; ++k) sum += w{i}[j][k] * a[k];
        z[j] = {activation};
    }}
}}
"""

Run = Callable[[], float]


@dataclass(frozen=True)
class Case:
    """C files (by name) whose functions begin with ``m``."""

    label: str
    files: dict[str, str]


def exported(label: str, model: object, **options: object) -> Case:
    """A model as ``hedge export --format c`` writes it."""
    with tempfile.TemporaryDirectory() as folder:
        hedge.export_c(model, Path(folder) / "m.c", **options)
        return Case(label, {p.name: p.read_text() for p in Path(folder).iterdir()})


def naive(label: str, parts: SplitModel) -> Case:
    """The layers of a tanh network (without its head and tail) in the loops of a textbook."""
    layers = tanh_chain(parts)
    text = "#include <math.h>\n#include <stddef.h>\n"
    calls, source = "", "x"
    for i, layer in enumerate(layers):
        outputs, inputs = layer.weight.shape
        last = i == len(layers) - 1
        weights, bias = (v.astype(np.float32) for v in (layer.weight, layer.bias))
        rows = ",\n".join(f"{{{numbers(row)}}}" for row in weights)
        text += f"static const float w{i}[{outputs}][{inputs}] = {{{rows}}};\n"
        text += f"static const float b{i}[{outputs}] = {{{numbers(bias)}}};\n"
        activation = "sum" if last else "tanhf(sum)"
        text += NAIVE.format(i=i, outputs=outputs, inputs=inputs, activation=activation)
        target = "u" if last else f"z{i}"
        calls += "" if last else f"    float {target}[{outputs}];\n"
        calls += f"    layer{i}({source}, {target});\n"
        source = target
    d, m = layers[0].weight.shape[1], len(layers[-1].weight)
    text += f"void m_eval(const float *x, float *u)\n{{\n{calls}}}\n"
    text += "void m_eval_batch(size_t n, const float *x, float *u)\n{\n"
    text += f"    for (size_t r = 0; r < n; ++r) m_eval(x + {d} * r, u + {m} * r);\n}}\n"
    return Case(label, {"m.c": text})


def timed_run(
    case: Case, flags: tuple[str, ...], rows: NDArray[np.float32], *, batched: bool
) -> Run:
    """A function that returns seconds per row of the compiled case, over enough repeats to be exact."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in {**case.files, "timer.c": TIMER}.items():
            (Path(folder) / name).write_text(text)
        library = Path(folder) / "m.so"
        objects = []
        for source in ("m.c", "timer.c"):
            objects.append(str(Path(folder) / f"{source}.o"))
            compile_one = ["gcc", "-std=c99", *flags, "-fPIC", "-c", source, "-o", objects[-1]]
            subprocess.run(compile_one, check=True, cwd=folder)
        subprocess.run(["gcc", "-shared", *objects, "-o", str(library), "-lm"], check=True)
        timer = ctypes.CDLL(str(library)).seconds_per_row
    timer.restype = ctypes.c_double
    timer.argtypes = [ctypes.c_size_t, ctypes.c_int, *[ctypes.c_size_t] * 3, *[ctypes.c_void_p] * 2]
    n, d = rows.shape
    results = np.empty((n, 1), dtype=np.float32)

    def run(repeats: int = 1) -> float:
        found: float = timer(repeats, batched, n, d, 1, rows.ctypes.data, results.ctypes.data)
        return found

    run()
    enough = max(1, int(SAMPLE_S / (run() * n)))
    return lambda: run(enough)


def runtime_run(path: Path, batch: int) -> Run:
    """Seconds per row of onnxruntime with bound buffers, over as long a sample."""
    call = bound_run(load_model(path), batch, 1)

    def run(repeats: int = 1) -> float:
        started = time.perf_counter()
        for _ in range(repeats):
            call()
        return (time.perf_counter() - started) / (repeats * batch)

    run(10)
    enough = max(1, int(SAMPLE_S / (run(10) * batch)))
    return lambda: run(enough)


def medians(runs: list[Run], rounds: int = ROUNDS) -> list[float]:
    """The median of each, all of them run in turns."""
    times = [[run() for run in runs] for _ in range(rounds)]
    return [float(np.median(column)) for column in zip(*times, strict=True)]


def burgers_cases() -> list[Case]:
    """The networks of the table above."""
    path = hedge.reference_models()["burgers"]
    small = hedge.compress(path, device="laptop-x86", tolerance=1e-2, recover=None)
    recovered, larger = (
        hedge.compress(path, device="laptop-x86-c", tolerance=tolerance, batch=BATCH)
        for tolerance in (1e-3, 7e-4)
    )
    return [
        naive("dense, plain loops", split(load_model(path))),
        exported("dense", path),
        exported(f"compressed, {small.plan.parameters} parameters", small),
        exported(f"recovered, {recovered.plan.parameters} parameters", recovered),
        exported(f"recovered, {larger.plan.parameters} parameters", larger),
        exported("recovered, tanh of libm", recovered, fast_tanh=False),
    ]


def main() -> None:
    path = hedge.reference_models()["burgers"]
    rows = find_problem("burgers").domain.sample(BATCH, 0).astype(np.float32)
    cases = burgers_cases()
    table = []
    for flags in (FAST, PLAIN):
        for batch in (1, BATCH):
            runs = [runtime_run(path, batch)]
            runs += [timed_run(case, flags, rows, batched=batch > 1) for case in cases]
            dense, *found = medians(runs)
            table += [
                [case.label, " ".join(flags), str(batch), seconds(t), seconds(dense), f"{dense / t:.1f}"]
                for case, t in zip(cases, found, strict=True)
            ]  # fmt: skip
    print_table(
        "Burgers 4 x 128 tanh, time per row",
        ["network", "flags", "batch", "C", "onnxruntime, dense", "times faster"],
        table,
        prose={"flags"},
    )


if __name__ == "__main__":
    main()
