"""A test program for the C files: inputs, what they must give, and a makefile to build it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.errors import ModelError
from hedge.exporting.c99.export import COptions
from hedge.exporting.c99.kernels import TILE
from hedge.exporting.c99.source import same_export
from hedge.exporting.c99.text import number, numbers
from hedge.graph import Evaluator, input_dimension, metadata, run_float32
from hedge.problems import GALLERY, find_problem

# One tile and a row that is left over: both loops of the batched form run.
REFERENCE_ROWS = TILE + 1
SEED = 0
# Exact arithmetic in another order moves doubles by at least this, in parts of the largest output,
DOUBLE_TOLERANCE = 1e-12
# and floats by this; a network whose sums cancel by more, as onnxruntime's floats show.
FLOAT_TOLERANCE = 1e-5
TIMES_ROUNDING = 10.0
FLOATS_IN_DOUBLES = float(np.finfo(np.float64).eps / np.finfo(np.float32).eps)

PROGRAM = """\
/* Compares {name}_eval and {name}_eval_batch with reference values; returns 0 if they agree. */
#include "{stem}.h"
{same_export}
#include <math.h>
#include <stdio.h>

enum {{ ROWS = {rows} }};

static const {real} x[ROWS * {guard}_INPUTS] = {{
{x}
}};
static const double expected[ROWS * {guard}_OUTPUTS] = {{
{u}
}};

static double worst(const {real} *u)
{{
    double error = 0;
    for (size_t i = 0; i < ROWS * {guard}_OUTPUTS; ++i)
        error = fmax(error, fabs((double)u[i] - expected[i]));
    return error;
}}

int main(void)
{{
    static {real} u[ROWS * {guard}_OUTPUTS];
    const double allowed = {allowed};
    double row, batch;
    for (size_t i = 0; i < ROWS; ++i)
        {name}_eval(x + i * {guard}_INPUTS, u + i * {guard}_OUTPUTS);
    row = worst(u);
    {name}_eval_batch(ROWS, x, u);
    batch = worst(u);
    printf("{name}: %d rows, off by at most %.1e (batched %.1e), allowed %.1e\\n", ROWS, row, batch,
           allowed);
    return row <= allowed && batch <= allowed ? 0 : 1;
}}
"""
MAKEFILE = """\
# make -f {stem}.mk test
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -pedantic
LDLIBS ?= -lm

test: {stem}_test
\t./{stem}_test

{stem}_test: {stem}_test.c {stem}.c {stem}.h
\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ {stem}_test.c {stem}.c $(LDLIBS)

clean:
\trm -f {stem}_test

.PHONY: test clean
"""


def reference_program(model: ModelProto, options: COptions, stem: str, identity: str) -> str:
    """A main that compares the C of a runnable ``model`` with its float64 values at random points.

    identity is that of the C.
    The points are of the model's problem if it names one, else between 0 and 1.

    Raises ModelError if the model can't be evaluated.
    """
    points = _points(model)
    expected = Evaluator(model)(points)
    if not np.isfinite([expected, run_float32(model, points)]).all():
        raise ModelError("its output is not finite between 0 and 1; leave --test out")
    return PROGRAM.format(
        name=options.name, stem=stem, guard=options.name.upper(), rows=REFERENCE_ROWS,
        real="double" if options.double else "float",
        same_export=same_export(options.name, stem, f"{stem}_test.c", identity),
        x=numbers(points if options.double else points.astype(np.float32)),
        u=numbers(expected),
        allowed=number(_allowed(model, options, points, expected), double=True),
    )  # fmt: skip


def makefile(stem: str) -> str:
    """A makefile that builds and runs the program beside ``stem``.c."""
    return MAKEFILE.format(stem=stem)


def _points(model: ModelProto) -> Array:
    """(REFERENCE_ROWS, d), float64 of numbers that float32 holds."""
    dimension = input_dimension(model)
    problem = metadata(model).get("hedge.problem", "")
    if problem in GALLERY and find_problem(problem).domain.dimension == dimension:
        points = find_problem(problem).domain.sample(REFERENCE_ROWS, SEED)
    else:
        points = np.random.default_rng(SEED).uniform(0.0, 1.0, (REFERENCE_ROWS, dimension))
    return points.astype(np.float32).astype(np.float64)


def _allowed(model: ModelProto, options: COptions, points: Array, expected: Array) -> float:
    """The largest difference that rounding explains."""
    largest = float(np.abs(expected).max())
    rounding = TIMES_ROUNDING * float(np.abs(run_float32(model, points) - expected).max())
    if options.double:
        return max(DOUBLE_TOLERANCE * largest, rounding * FLOATS_IN_DOUBLES)
    return max(FLOAT_TOLERANCE * largest, rounding)
