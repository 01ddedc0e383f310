"""The points a compression is fitted on, chosen by, certified on and compared on: sets that never meet."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from hedge.array_files import read_array
from hedge.arrays import Array
from hedge.errors import InputError, quoted
from hedge.problems import LARGEST, Domain, OperatorProblem, parse_domain
from hedge.request import Request

VALIDATION_POINTS = 4096
FRESH_POINTS = 16384
# A mean is known from fewer than a peak is found by, or a kink that was moved.
MORE_FOR_PEAKS, MORE_FOR_SLOPES = 8, 4
# Fit points: enough that least squares over a whole layer is well determined, or, of layers too wide for
# that, as many as fit a machine: so many numbers in each tensor.
LEAST_FIT_POINTS, FIT_POINTS_PER_NEURON, MOST_FIT_POINTS = 2048, 8, 8192
MOST_FIT_NUMBERS = 2**25
LEAST_SAMPLES = 256
# Samples that certify are cut into sets of about so many rows, four sets at least; the last one judges.
ROWS_PER_SET, LEAST_SETS, MOST_SETS = 1000, 4, 33
UNLIMITED = 2**31
# A random source tells about the error at every node, so fewer are needed than points; as few, where a
# point has so many coordinates that more would hold more numbers than these.
VALIDATION_SOURCES, FRESH_SOURCES = 1024, 2048
VALIDATION_NUMBERS, FRESH_NUMBERS = 2**22, 2**24
# A dense layer of the largest grids is fitted to fewer sources per sensor: 4 would take 1 GiB, and more.
FIT_SOURCES_PER_SENSOR, MOST_FIT_SOURCES, MOST_FIT_SOURCE_NUMBERS = 4, 6144, 2**26
# Numbers that all tensors of a run on the sources to fit hold, 4 GiB: maps of many steps get fewer sources.
MOST_HELD = 2**29
IN_A_BOX = "uniform over "


class _Fresh(Protocol):
    """The points of a certification, see :class:`PointSets`."""

    def __call__(self, attempt: int, times: int = 1, /) -> Array:
        """Of an attempt, (n, d)."""


@dataclass(frozen=True)
class PointSets:
    """fit and validation are (n, d); fresh(i) are the points of certification i < attempts, (n, d), and
    fresh(i, times) so many times as many, where there are.

    No two certifications of a run, or of one that goes on with it, are on the same. judge() are points on
    which results are compared, which no certification sees. practice(n) are n points to recover on, or as
    many as there are, that are none of these. domain is the box they fill evenly, None for points of another
    kind.
    """

    fit: Array
    validation: Array
    practice: Callable[[int], Array]
    fresh: _Fresh
    judge: Callable[[], Array]
    attempts: int
    origin: str
    domain: Domain | None = None


def certifying_points(request: Request) -> int:
    """How many points of a box certify what is asked."""
    if request.norm == "max":
        return MORE_FOR_PEAKS * FRESH_POINTS
    return FRESH_POINTS if request.derivatives is None else MORE_FOR_SLOPES * FRESH_POINTS


def points_of_domain(
    domain: Domain, dimension: int, widest: int, seed: int, certifying: int = FRESH_POINTS
) -> PointSets:
    """Uniform points of a domain, for a model with ``dimension`` inputs and layers up to ``widest``.

    So many are in each set that certifies, see :func:`certifying_points`; fewer where points have
    thousands of coordinates.

    Raises InputError if the dimensions don't agree.
    """
    if domain.dimension != dimension:
        raise InputError(
            f"domain: {domain!s:.200} has {domain.dimension} interval(s), but the model has {dimension} "
            "input(s); give one lower:upper per input, or a shape for two or three of them"
        )
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(5)]
    validating = _rows(VALIDATION_POINTS, VALIDATION_SOURCES, VALIDATION_NUMBERS // dimension)
    judging, certifying = (
        _rows(count, FRESH_SOURCES, FRESH_NUMBERS // dimension)
        for count in (FRESH_POINTS, certifying)
    )
    return PointSets(
        fit=domain.sample(fit_points(widest), seeds[0]),
        validation=domain.sample(validating, seeds[1]),
        practice=lambda count: domain.sample(count, seeds[3]),
        fresh=lambda attempt, times=1: domain.sample(times * certifying, seeds[2] + attempt),
        judge=lambda: domain.sample(judging, seeds[4]),
        attempts=UNLIMITED,
        origin=f"{IN_A_BOX}{domain}",
        domain=domain,
    )


def fit_points(widest: int) -> int:
    """How many points of a box a model with layers up to ``widest`` is fitted on.

    >>> [fit_points(width) for width in (64, 512, 4096, 12_000)]
    [2048, 4096, 8192, 2796]
    """
    most = min(MOST_FIT_POINTS, MOST_FIT_NUMBERS // widest)
    return _rows(FIT_POINTS_PER_NEURON * widest, LEAST_FIT_POINTS, most)


def _rows(wanted: int, least: int, most: int) -> int:
    """As many as wanted, but not more than ``most``; at least ``least``."""
    return max(least, min(wanted, most))


def box_of_origin(origin: str) -> Domain | None:
    """The domain that points of such an ``origin`` fill evenly; None for points of another kind.

    >>> print(box_of_origin("uniform over -1:1,0:1"))
    -1:1,0:1
    """
    if not origin.startswith(IN_A_BOX):
        return None
    return parse_domain(origin.removeprefix(IN_A_BOX))


def points_of_sources(problem: OperatorProblem, dimension: int, seed: int) -> PointSets:
    """Random sources of an operator problem, for a model with ``dimension`` inputs.

    Raises InputError if the problem has another number of sensors, or for a negative seed.
    """
    if problem.sensors != dimension:
        raise InputError(
            f"sensors: {problem.name} has {problem.sensors}, but the model has {dimension} inputs; "
            "give the grid it was trained on"
        )
    if seed < 0:
        raise InputError(f"seed: {seed} is negative; give 0 or more")
    count = max(LEAST_FIT_POINTS, FIT_SOURCES_PER_SENSOR * problem.sensors)
    seeds = [int(s) for s in np.random.SeedSequence(seed).generate_state(5)]
    count = min(count, MOST_FIT_SOURCES, MOST_FIT_SOURCE_NUMBERS // problem.sensors)
    count = min(count, MOST_HELD // (problem.sensors * problem.vectors))
    return PointSets(
        fit=problem.sample(count, seeds[0]),
        validation=problem.sample(VALIDATION_SOURCES, seeds[1]),
        practice=lambda count: problem.sample(count, seeds[3]),
        fresh=lambda attempt, times=1: problem.sample(times * FRESH_SOURCES, seeds[2] + attempt),
        judge=lambda: problem.sample(FRESH_SOURCES, seeds[4]),
        attempts=UNLIMITED,
        origin=f"random sources of {problem.name} on {problem.sensors} sensors",
    )


def points_of_file(path: Path, dimension: int, seed: int) -> PointSets:
    """A user's own samples, shape (n, d) in a ``.npy`` file: half to fit, a quarter to choose by, and
    a quarter, in sets, to certify, one each. Rows that occur twice count once.

    Raises InputError if the file is not such an array, or has too few rows or NaN in it.
    """
    values = read_array(path)
    if values.ndim != 2 or values.shape[1] != dimension:
        raise InputError(f"{path}: has shape {values.shape}; the model needs (n, {dimension})")
    return points_of_rows(path, real_numbers(path, values), seed)


def real_numbers(path: Path, values: NDArray[Any], name: str = "") -> Array:
    """An array of a file, or that of a ``name`` in it, as float64.

    Raises InputError unless it holds finite real numbers.
    """
    what = f"{path}: {quoted(name)}" if name else f"{path}:"
    if values.dtype.kind not in "fiu":
        raise InputError(
            f"{what} holds {values.dtype!s:.60}, no real numbers; write them with numpy.save"
        )
    with np.errstate(all="ignore"):  # a NaN that signals, a long double beyond all
        wide = values.astype(np.float64)  # float16 ends below LARGEST, and int64 has no |min|
    if not (np.abs(wide) <= LARGEST).all():
        raise InputError(f"{what} holds NaN, Inf, or numbers beyond {LARGEST:g}")
    return wide


def points_of_rows(path: Path, values: Array, seed: int) -> PointSets:
    """The same of rows (n, d) that were read from the file.

    Raises InputError for too few.
    """
    fit, validation, (*fresh, judge) = parted(path, values, "rows", seed)
    count = len(fit) + len(validation) + sum(map(len, fresh)) + len(judge)
    return PointSets(
        fit,
        validation,
        practice=lambda count: fit[:count],
        fresh=lambda attempt, times=1: fresh[attempt],
        judge=lambda: judge,
        attempts=len(fresh),
        origin=f"{count} rows of {path.name}",
    )


def parted(path: Path, values: Array, what: str, seed: int) -> tuple[Array, Array, list[Array]]:
    """The different rows of samples, shuffled: half of them, a quarter, and a quarter in sets.

    Raises InputError if they are too few; ``what`` they are is told.
    """
    rows = np.unique(values, axis=0)
    if len(rows) < LEAST_SAMPLES:
        raise InputError(f"{path}: has {len(rows)} different {what}; give at least {LEAST_SAMPLES}")
    shuffled = np.random.default_rng(seed).permutation(rows)
    fit, validation, rest = np.split(shuffled, [len(rows) // 2, 3 * len(rows) // 4])
    sets = min(max(len(rest) // ROWS_PER_SET, LEAST_SETS), MOST_SETS)
    return fit, validation, np.array_split(rest, sets)


def rows_of_file(certifying: float) -> int:
    """How many samples a file needs for so many in each set that certifies."""
    sets = LEAST_SETS if certifying <= ROWS_PER_SET else MOST_SETS
    return 4 * sets * int(np.ceil(certifying))
