"""C files compiled with every warning an error and with sanitizers, many models in one program."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from hedge.exporting import COptions, to_c
from hedge.graph import Evaluator, Matrix, assemble, input_dimension

WARNINGS = (
    "-std=c99", "-Wall", "-Wextra", "-pedantic", "-Wconversion", "-Wdouble-promotion", "-Wshadow",
    "-Werror",
)  # fmt: skip
SANITIZERS = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all")
ROWS = 2 * 16 + 5  # two tiles and a rest

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="there is no gcc here")

# Rows and results lie in memory of their exact size, so that a step beyond them is found.
MAIN = """
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
{includes}

static void *read_all(const char *path, size_t size)
{{
    void *data = malloc(size);
    FILE *file = fopen(path, "rb");
    if (!data || !file || fread(data, 1, size, file) != size) exit(2);
    fclose(file);
    return data;
}}

static void write_all(const char *path, const void *data, size_t size)
{{
    FILE *file = fopen(path, "wb");
    if (!file || fwrite(data, 1, size, file) != size) exit(2);
    fclose(file);
}}

int main(void)
{{
{calls}
    return 0;
}}
"""
CALL = """
    {{
        const size_t n = {rows}, d = {upper}_INPUTS, m = {upper}_OUTPUTS, w = sizeof({real});
        {real} *x = read_all("{name}.x", n * d * w), *u = malloc(n * m * w);
        {real} *row = malloc(d * w), *result = malloc(m * w);
        for (size_t i = 0; i < n; ++i) {{
            memcpy(row, x + i * d, d * w);
            {name}_eval(row, result);
            memcpy(u + i * m, result, m * w);
        }}
        write_all("{name}.u", u, n * m * w);
        {name}_eval_batch(n, x, u);
        write_all("{name}.batch", u, n * m * w);
{derived}        free(x); free(u); free(row); free(result);
    }}
"""


JACOBIAN = """
        {real} *J = malloc(n * m * d * w), *slopes = malloc(m * d * w);
        for (size_t i = 0; i < n; ++i) {{
            memcpy(row, x + i * d, d * w);
            {name}_jacobian(row, result, slopes);
            memcpy(u + i * m, result, m * w);
            memcpy(J + i * m * d, slopes, m * d * w);
        }}
        write_all("{name}.beside", u, n * m * w);
        write_all("{name}.J", J, n * m * d * w);
        free(J); free(slopes);
"""


HESSIAN = """
        {real} *first = malloc(m * d * w), *H = malloc(n * m * d * d * w), *bends = malloc(m * d * d * w);
        for (size_t i = 0; i < n; ++i) {{
            memcpy(row, x + i * d, d * w);
            {name}_hessian(row, result, first, bends);
            memcpy(H + i * m * d * d, bends, m * d * d * w);
        }}
        write_all("{name}.H", H, n * m * d * d * w);
        free(H); free(first); free(bends);
"""


@dataclass(frozen=True, eq=False)
class Model:
    """A skeleton with the matrices of its sites, and points to run it on."""

    skeleton: object
    matrices: Mapping[str, Matrix]
    low: float = -1.0
    high: float = 1.0

    @property
    def points(self) -> np.ndarray:
        """(ROWS, d), float64 of numbers that float32 holds."""
        rng = np.random.default_rng(3)
        points = rng.uniform(self.low, self.high, (ROWS, input_dimension(self.skeleton)))
        return points.astype(np.float32).astype(np.float64)

    @property
    def expected(self) -> np.ndarray:
        """What hedge computes in float64, (ROWS, m)."""
        return Evaluator(assemble(self.skeleton, self.matrices))(self.points)


@dataclass(frozen=True, eq=False)
class Results:
    """Outputs of the compiled C, row by row, batched and beside slopes, (ROWS, m); slopes (ROWS, m d).

    bends are second derivatives, (ROWS, m d d).
    """

    single: np.ndarray
    batched: np.ndarray
    beside: np.ndarray | None = None
    slopes: np.ndarray | None = None
    bends: np.ndarray | None = None


def gcc(folder: Path, *arguments: str) -> str:
    """Run gcc in a folder; what it prints is an assertion's message if it fails."""
    run = subprocess.run(
        ["gcc", *arguments], cwd=folder, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


def run_all(
    folder: Path,
    models: Mapping[str, Model],
    *,
    double: bool = False,
    fast_tanh: bool = True,
    ram: int | None = None,
    jacobian: bool = False,
    outputs: tuple[str, ...] = (),
    letters: str = "",
    hessian: bool = False,
    flags: tuple[str, ...] = ("-O0", *SANITIZERS),
) -> dict[str, Results]:
    """Every model compiled and run, in one program."""
    dtype = np.dtype(np.float64 if double else np.float32)
    names = {label: f"m{i}" for i, label in enumerate(models)}
    for label, name in names.items():
        model = models[label]
        options = COptions(
            name, double, fast_tanh, None, ram, jacobian, None, outputs, letters, hessian
        )
        files = to_c(model.skeleton, model.matrices, options, name)
        (folder / f"{name}.c").write_text(files.source)
        (folder / f"{name}.h").write_text(files.header)
        (folder / f"{name}.x").write_bytes(model.points.astype(dtype).tobytes())
    real = "double" if double else "float"
    more = (JACOBIAN if jacobian else "") + (HESSIAN if hessian else "")
    calls = [
        CALL.format(
            name=name, upper=name.upper(), rows=ROWS, real=real,
            derived=more.format(name=name, real=real),
        )
        for name in names.values()
    ]  # fmt: skip
    includes = "\n".join(f'#include "{name}.h"' for name in names.values())
    (folder / "main.c").write_text(MAIN.format(includes=includes, calls="".join(calls)))
    sources = [f"{name}.c" for name in names.values()]
    gcc(folder, *WARNINGS, *flags, *sources, "main.c", "-o", "all", "-lm")
    run = subprocess.run(["./all"], cwd=folder, capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

    def result(name: str, kind: str) -> np.ndarray:
        return np.fromfile(folder / f"{name}.{kind}", dtype).astype(np.float64).reshape(ROWS, -1)

    kinds = ["u", "batch", *(["beside", "J"] if jacobian else []), *(["H"] if hessian else [])]
    return {label: Results(*(result(n, kind) for kind in kinds)) for label, n in names.items()}
