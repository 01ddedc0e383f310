"""Exported C on microcontrollers: compiled for four cores, run by QEMU, compared with float32.

Prints for every model and core what the model takes of flash and RAM, how deep one evaluation reaches
into the stack, and how many instructions it runs; then how many single functions and operations take.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from counting import CORES, Core, Floats, counted, run
from numpy.typing import NDArray

from hedge import load
from hedge.compression import Plan
from hedge.exporting.c99.vector_functions import FAST_TANH
from hedge.graph import Evaluator, load_model, run_float32

CHOSEN, CHOSEN_CORE = "chosen.safetensors", "cortex-m0plus"
MODELS = Path(__file__).parent.parent / "models"
# Float32 in another order may differ by this, or by so many times what onnxruntime's own differs from
# float64: sums of some networks cancel.
TOLERANCE, TIMES_ROUNDING = 1e-5, 10.0
ROW = "{:18} {:>10} {:>13} {:>9} {:>5} {:>7} {:>12} {:>10} {:>8}"
TABLE = "{:9}" + " {:>13}" * len(CORES)
# What is done with floats; on two of the cores a library does all of it.
EXPRESSIONS = {
    "fast_tanh": "fast_tanh(x[0])",
    "tanhf": "tanhf(x[0])",
    "expf": "expf(x[0])",
    "sinf": "sinf(x[0])",
    "add": "x[0] + x[1]",
    "multiply": "x[0] * x[1]",
    "divide": "x[0] / x[1]",
}
SOURCE = f"""#include <math.h>
#include <stdint.h>
#include <string.h>
#include "call.h"
#pragma GCC diagnostic ignored "-Wunused-function"
{FAST_TANH}void call_eval(const float *x, float *u) {{ u[0] = %s; }}
"""
HEADER = """#define CALL_INPUTS 2
#define CALL_OUTPUTS 1
void call_eval(const float *x, float *u);
"""


@dataclass(frozen=True)
class Case:
    """A model as C, the points (N, d) it is run at, and its outputs there (N, m) in onnxruntime.

    These are float32, and the C may be ``allowed`` from them, in relative L2.
    """

    source: Path
    parameters: int
    points: Floats
    expected: Floats
    allowed: float


def main() -> None:
    """Make the models, run each on all cores, and print what was found."""
    with tempfile.TemporaryDirectory(prefix="hedge-boards-") as folder:
        work = Path(folder)
        print(ROW.format("model", "parameters", "core", "flash", "RAM", "stack", "instructions",
                         "to float32", "allowed"))  # fmt: skip
        instructions = {
            (case.source.stem, core.name): check(case, core)
            for case in cases(work)
            for core in CORES.values()
        }
        print(told_of_choice(load(work / CHOSEN).plan, instructions))
        print("\n" + TABLE.format("a call of", *CORES))
        without = calls("x[0]", work)
        for name, expression in EXPRESSIONS.items():
            found = calls(expression, work)
            print(
                TABLE.format(name, *(f"{a - b:.0f}" for a, b in zip(found, without, strict=True)))
            )
    print("\nboards: all outputs are those in float32")


def told_of_choice(plan: Plan, instructions: Mapping[tuple[str, str], float]) -> str:
    """How much faster than the dense net what was chosen for a board is, predicted and counted."""
    dense, chosen = (instructions[name, CHOSEN_CORE] for name in ("burgers_20x3", "burgers_chosen"))
    return (
        f"\nburgers_chosen ({plan.command}) to burgers_20x3: predicted "
        f"{plan.dense_predicted_s / plan.predicted_s:.1f} times faster, counted on {CHOSEN_CORE} "
        f"{dense / chosen:.1f} times"
    )


def cases(work: Path) -> Sequence[Case]:
    """A small trained net and what is chosen for a board, a recovered one, one with a parameter, blocks."""
    trained, recovered, blocks = (
        work / name for name in ("burgers.onnx", "recovered.safetensors", "blocks.safetensors")
    )
    compress = ("compress", "--device", "laptop-x86", "--tolerance", "1e-3")
    hedge("train", "burgers", "--width", "20", "--depth", "3", "--steps", "400", "--out", trained)
    hedge(
        "compress",
        trained,
        "--device",
        "rp2040",
        "--flash",
        "8192",
        "--ram",
        "2048",
        "--tolerance",
        "1e-2",
        "--out",
        work / CHOSEN,
    )
    hedge(*compress, MODELS / "burgers-128x4.onnx", "--recover", "auto",
          "--out", recovered)  # fmt: skip
    hedge(*compress, MODELS / "poisson-operator-1024.onnx", "--out", blocks)
    strip, viscosity = [(-1.0, 1.0), (0.0, 1.0)], (3e-3, 3e-2)
    nu = MODELS / "burgers-nu-24x3.onnx"
    return [
        exported(work, "burgers_20x3", trained, strip, 64),
        exported(work, "burgers_chosen", work / CHOSEN, strip, 64),
        exported(work, "burgers_recovered", recovered, strip, 64),
        exported(work, "burgers_nu_24x3", nu, [*strip, viscosity], 64),
        exported(work, "poisson_blocks", blocks, [(-1.0, 1.0)] * 1024, 4),
    ]


def hedge(*words: str | Path) -> str:
    """What a hedge command prints."""
    return run([sys.executable, "-m", "hedge", *map(str, words)])


def exported(
    work: Path, name: str, model: Path, box: Sequence[tuple[float, float]], count: int
) -> Case:
    """NAME.c and NAME.h, and what onnxruntime computes at random points of the box."""
    source = work / f"{name}.c"
    said = json.loads(hedge("export", model, "--format", "c", "--out", source, "--json"))
    low, high = np.transpose(box)
    points = np.random.default_rng(0).uniform(low, high, (count, len(box))).astype(np.float32)
    graph = load(model).to_onnx() if model.suffix == ".safetensors" else load_model(model)
    expected = run_float32(graph, points).astype(np.float32)
    rounding = distance(expected, Evaluator(graph)(points.astype(np.float64)))
    allowed = max(TOLERANCE, TIMES_ROUNDING * rounding)
    return Case(source, said["parameters"], points, expected, allowed)


def distance(outputs: NDArray[np.floating], reference: NDArray[np.floating]) -> float:
    """Relative L2."""
    return float(np.linalg.norm(outputs - reference) / np.linalg.norm(reference))


def check(case: Case, core: Core) -> float:
    """Print what the model takes on the core, its instructions; ends if outputs are not those in float32."""
    name = case.source.stem
    found = counted([case.source], name, core, case.points)
    error = distance(found.outputs, case.expected)
    print(ROW.format(name, case.parameters, core.name, f"{found.flash} B", f"{found.ram} B",
                     f"{found.stack} B", f"{found.instructions:.0f}", f"{error:.1e}",
                     f"{case.allowed:.1e}"), flush=True)  # fmt: skip
    if not error < case.allowed:
        sys.exit(f"{name}: outputs on {core.name} differ from those in float32")
    return found.instructions


def calls(expression: str, work: Path) -> list[float]:
    """Instructions on each core of a function that computes the expression."""
    source = work / "call.c"
    source.write_text(SOURCE % expression)
    (work / "call.h").write_text(HEADER)
    points = np.random.default_rng(0).normal(0, 1.5, (1000, 2)).astype(np.float32)
    return [counted([source], "call", core, points).instructions for core in CORES.values()]


if __name__ == "__main__":
    main()
