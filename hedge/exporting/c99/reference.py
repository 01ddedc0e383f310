"""A test program for the C files: inputs, what they must give, and a makefile to build it."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.devices import TILE
from hedge.errors import ModelError
from hedge.exporting.c99.export import COptions
from hedge.exporting.c99.header import same_export
from hedge.exporting.c99.text import number, numbers
from hedge.graph import (
    Evaluator,
    in_single_again,
    input_dimension,
    metadata,
    run_float32,
    with_jacobian,
)
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
/* Compares the functions of {stem}.c with reference values; returns 0 if they agree. */
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
{slopes}
static double worst(const {real} *found, const double *wanted, size_t count)
{{
    double error = 0;
    for (size_t i = 0; i < count; ++i) {{
        const double off = fabs((double)found[i] - wanted[i]);
        if (off > error || off != off) error = off;
    }}
    return error;
}}

int main(void)
{{
    static {real} u[ROWS * {guard}_OUTPUTS];
    const double allowed = {allowed};
    double row, batch;
    for (size_t i = 0; i < ROWS; ++i)
        {name}_eval(x + i * {guard}_INPUTS, u + i * {guard}_OUTPUTS);
    row = worst(u, expected, ROWS * {guard}_OUTPUTS);
    {name}_eval_batch(ROWS, x, u);
    batch = worst(u, expected, ROWS * {guard}_OUTPUTS);
    printf("{name}: %d rows, off by at most %.1e (batched %.1e), allowed %.1e\\n", ROWS, row, batch,
           allowed);
{jacobian}{box}    return row <= allowed && batch <= allowed ? 0 : 1;
}}
"""
SLOPES = """
static const double slopes[ROWS * {guard}_OUTPUTS * {guard}_INPUTS] = {{
{J}
}};
"""
JACOBIAN = """\
    {{
        static {real} J[ROWS * {guard}_OUTPUTS * {guard}_INPUTS];
        const double allowed_slope = {allowed_slope};
        double value, slope;
        for (size_t i = 0; i < ROWS; ++i)
            {name}_jacobian(x + i * {guard}_INPUTS, u + i * {guard}_OUTPUTS,
                J + i * {guard}_OUTPUTS * {guard}_INPUTS);
        value = worst(u, expected, ROWS * {guard}_OUTPUTS);
        slope = worst(J, slopes, ROWS * {guard}_OUTPUTS * {guard}_INPUTS);
        printf("{name}: with derivatives off by at most %.1e, those by %.1e, allowed %.1e\\n", value, slope,
               allowed_slope);
        if (!(value <= allowed && slope <= allowed_slope)) return 1;
    }}
"""
GUARD = """\
    {{
        static {real} outside[{guard}_INPUTS];
        outside[0] = {beyond};
        for (size_t i = 1; i < {guard}_INPUTS; ++i) outside[i] = x[i];
        {name}_eval(outside, u);
        if (!{name}_inside(x) || {name}_inside(outside) || u[0] == u[0]) {{
            printf("{name}: rows outside the domain are not told from those inside\\n");
            return 1;
        }}
    }}
"""
MAKEFILE = """\
# make -f {stem}.mk test; what RUN names starts the program, in place of this machine.
CFLAGS ?= -std=c99 -O2 -Wall -Wextra -pedantic
LDLIBS ?= -lm

test: {stem}_test
\t$(RUN) ./{stem}_test

{stem}_test: {stem}_test.c {stem}.c {stem}.h
\t$(CC) $(CFLAGS) $(LDFLAGS) -o $@ {stem}_test.c {stem}.c $(LDLIBS)

clean:
\trm -f {stem}_test

# {stem}_test, too: make does not see that it is of another compiler or of other flags.
.PHONY: test clean {stem}_test
"""


def reference_program(model: ModelProto, options: COptions, stem: str, identity: str) -> str:
    """A main that compares the C of a runnable ``model`` with its float64 values at random points.

    identity is that of the C.
    The points are of the guarded domain, of the model's problem if it names one, or between 0 and 1.

    Raises ModelError if the model can't be evaluated.
    """
    points = _points(model, options)
    expected = Evaluator(model)(points)
    rounded = run_float32(in_single_again(model), points)
    _check_finite("output", expected, rounded)
    slopes, jacobian = _of_jacobian(model, options, points) if options.jacobian else ("", "")
    return PROGRAM.format(
        **_names(options), stem=stem, rows=REFERENCE_ROWS, slopes=slopes, jacobian=jacobian,
        box=_of_guard(options),
        same_export=same_export(options.name, stem, f"{stem}_test.c", identity),
        x=numbers(points if options.double else points.astype(np.float32)),
        u=numbers(expected),
        allowed=number(_allowed(options, rounded, expected), double=True),
    )  # fmt: skip


def _names(options: COptions) -> dict[str, str]:
    real = "double" if options.double else "float"
    return {"name": options.name, "guard": options.name.upper(), "real": real}


def _of_jacobian(model: ModelProto, options: COptions, points: Array) -> tuple[str, str]:
    """The derivatives at the points, and what compares them."""
    columns = points.shape[1]
    expected = _slopes(Evaluator(with_jacobian(model, np.float64))(points), columns)
    rounded = _slopes(run_float32(with_jacobian(in_single_again(model)), points), columns)
    _check_finite("Jacobian", expected, rounded)
    names, allowed = _names(options), _allowed(options, rounded, expected)
    return (
        SLOPES.format(**names, J=numbers(expected)),
        JACOBIAN.format(**names, allowed_slope=number(allowed, double=True)),
    )


def _of_guard(options: COptions) -> str:
    """What tries a row beyond the domain."""
    if options.guard is None:
        return ""
    lower, upper = options.guard.lower[0], options.guard.upper[0]
    beyond = number(2 * upper - lower, double=options.double)
    return GUARD.format(**_names(options), beyond=beyond)


def _slopes(found: Array, columns: int) -> Array:
    """J by rows, (n, m, d), of outputs (n, m) and their derivatives column by column."""
    every = found.reshape(len(found), columns + 1, -1)
    return np.ascontiguousarray(np.swapaxes(every[:, 1:], 1, 2))


def _check_finite(what: str, expected: Array, rounded: Array) -> None:
    if not np.isfinite([expected, rounded]).all():
        raise ModelError(f"its {what} is not finite between 0 and 1; leave --test out")


def makefile(stem: str) -> str:
    """A makefile that builds and runs the program beside ``stem``.c."""
    return MAKEFILE.format(stem=stem)


def _points(model: ModelProto, options: COptions) -> Array:
    """(REFERENCE_ROWS, d), float64 of numbers that float32 holds."""
    dimension = input_dimension(model)
    if options.guard is not None:
        inner = np.random.default_rng(SEED).uniform(0.01, 0.99, (REFERENCE_ROWS, dimension))
        lower, upper = np.array(options.guard.lower), np.array(options.guard.upper)
        points: Array = lower + inner * (upper - lower)
        return points.astype(np.float32).astype(np.float64)
    problem = metadata(model).get("hedge.problem", "")
    if problem in GALLERY and find_problem(problem).domain.dimension == dimension:
        points = find_problem(problem).domain.sample(REFERENCE_ROWS, SEED)
    else:
        points = np.random.default_rng(SEED).uniform(0.0, 1.0, (REFERENCE_ROWS, dimension))
    return points.astype(np.float32).astype(np.float64)


def _allowed(options: COptions, rounded: Array, expected: Array) -> float:
    """The largest difference that rounding explains, as in what floats of onnxruntime give."""
    largest = float(np.abs(expected).max())
    rounding = TIMES_ROUNDING * float(np.abs(rounded - expected).max())
    if options.double:
        return max(DOUBLE_TOLERANCE * largest, rounding * FLOATS_IN_DOUBLES)
    return max(FLOAT_TOLERANCE * largest, rounding)
