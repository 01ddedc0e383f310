"""Measuring: errors, latencies, tangent kernels, and the other ways to a small model."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from onnx import ModelProto

from hedge.api.inputs import (
    check_outputs,
    chosen_device,
    is_inside,
    points_of,
    problem_of,
    solved_by,
    way_to_problem,
)
from hedge.benching import Accuracy, Effort, check_batches, check_threads
from hedge.benching import evaluate as evaluate_model
from hedge.clusters import spread_over
from hedge.comparing import ComparisonTable
from hedge.comparing import compare as compare_candidates
from hedge.compression import Allowance, Request, prepare
from hedge.devices import Device
from hedge.errors import InputError, OtherProblemWarning, naming
from hedge.exporting import open_model
from hedge.graph import check_finite, input_dimension, metadata, split
from hedge.hmatrix.threads import one_blas_thread
from hedge.methods import METHODS
from hedge.ntk import Comparison, TangentKernel, compare_kernels, output_kernel, residual_kernel
from hedge.problems import OPERATORS, OperatorProblem, Problem, parse_domain, reference_of
from hedge.progress import Progress, silent

MOST_KERNEL_POINTS = 65536  # activations and gradients of more points fill the memory


def evaluate(model: Path | str, problem: Problem | str, *, seed: int = 0) -> Accuracy:
    """The error of a model file against the reference of a problem or operator, and its residual.

    An ``.onnx``, or a ``.hedge.safetensors`` as the graph that it is exported as; in float32 as onnxruntime
    runs it, or in float64 if the file is in double precision.

    Over uniform points of the problem's domain, or random sources on the grid of the model's inputs. Without
    a reference there is the residual alone. Raises ModelError if its outputs there are not finite.
    """
    file = open_model(model, exact=True)
    loaded = file.graph
    with naming(file.path):
        known = problem_of(loaded, problem)
        found = evaluate_model(loaded, known, seed)
        _warn_of_another(file.path, loaded, known)
        check_finite(np.array([found.max_abs or 0.0, found.residual_rms or 0.0]))
    return found


def _warn_of_another(path: Path, model: ModelProto, known: Problem | OperatorProblem) -> None:
    """Warn where an operator's model says that it solves another one on as many sensors: grids look alike."""
    told = metadata(model).get("hedge.problem", "")
    if told in OPERATORS and told != known.name:
        text = (
            f"{path} says that it solves {told!r}; measured was how far it is from {known.name!r}"
        )
        warnings.warn(text, OtherProblemWarning, stacklevel=3)


@one_blas_thread()
def compare_methods(
    model: Path | str,
    *,
    device: Device | str = "auto",
    tolerance: float = 1e-3,
    batches: Sequence[int] = (1, 1024),
    problem: Problem | str | None = None,
    domain: str | None = None,
    samples: Path | str | None = None,
    steps: int = 20_000,
    budget_s: float | None = None,
    threads: int = 1,
    effort: Effort | None = None,
    seed: int = 0,
    workers: int = 1,
    scheduler: str | None = None,
    on_progress: Progress = silent,
) -> ComparisonTable:
    """hedge beside the other ways to a small model, each within ``tolerance`` of a dense ``.onnx``.

    Inputs are named as for :func:`compress`; hedge optimises for the largest of ``batches``.
    Each method that trains may take so many ``steps``, and ends early after ``budget_s`` seconds if they
    are given: recovery, pruning with recovery and, where the problem is known and torch installed, a small
    network from scratch. The problem's reference counts if the points lie inside its
    domain. The methods search side by side in so many ``workers``, processes of this machine, or on those of
    the Dask ``scheduler`` at an address ("tcp://host:8786"), and find the same; then all are timed here. More
    than one worker needs Dask (``pip install 'hedge-pinn[sweep]'``).
    """
    check_batches(batches)
    check_threads(threads)
    allowance = Allowance(steps, budget_s)
    request = Request(tolerance, batch=max(batches), seed=seed)
    path = Path(model)
    file = open_model(path)
    dense = file.onnx
    with naming(path):
        parts = split(dense)
    known = solved_by(dense, problem)
    with naming(path):
        points = points_of(dense, parts, known, domain, samples, seed)
    if isinstance(known, Problem) and not is_inside(known, points):
        known = None
    if known is not None:
        with naming(path):
            check_outputs(dense, known)
    device = chosen_device(device, on_progress)
    source = file.source(known.name if known else None)
    with naming(path), spread_over(workers, scheduler, on_progress) as spread:
        case = prepare(
            dense,
            device,
            points,
            request,
            source,
            problem=known,
            reference=reference_of(known),
            allowance=allowance,
        )
        return compare_candidates(
            case,
            {name: method.solve for name, method in METHODS.items()},
            batches=batches,
            threads=threads,
            effort=effort or Effort(),
            spread=spread,
            on_progress=on_progress,
        )


def tangent_kernels(
    model: Path | str,
    compressed: Path | str | None = None,
    *,
    problem: Problem | str | None = None,
    domain: str | None = None,
    points: int = 1024,
    residual: bool = False,
    tolerance: float = 1e-6,
    seed: int = 0,
) -> Comparison:
    """The neural tangent kernel of a model, and of its compressed form beside it.

    ``compressed`` is an ``.onnx`` or ``.hedge.safetensors``. The kernel is that of the outputs or, with
    ``residual`` (needs torch), of the problem's residuals, at uniform ``points`` of the domain that
    the problem, ``domain`` or the model itself names. Above 2,048 rows it is an H-matrix to
    ``tolerance``.
    """
    if not 2 <= points <= MOST_KERNEL_POINTS:
        raise InputError(f"points: {points} is out of range; give 2 to {MOST_KERNEL_POINTS}")
    if not 0 < tolerance < 1:
        raise InputError(f"tolerance: {tolerance:g} is not between 0 and 1; give for example 1e-6")
    path = Path(model)
    dense = open_model(path).onnx
    known = solved_by(dense, problem)
    if isinstance(known, OperatorProblem):
        raise InputError(
            f"ntk: {known.name!r} is an operator, a map of functions on a grid; tangent kernels are "
            "of networks that take points"
        )
    if residual and known is None:
        raise InputError(f"residual: the problem is not known; give {way_to_problem(dense)}")
    if domain is None and known is None:
        raise InputError(
            f"domain: not known for this model; give --domain, or {way_to_problem(dense)}"
        )
    box = (
        parse_domain(domain, input_dimension(dense))
        if domain is not None
        else known.domain
        if known
        else None
    )
    assert box is not None
    where = box.sample(points, seed)
    other = None if compressed is None else open_model(compressed).graph

    def make(network: ModelProto) -> TangentKernel:
        if residual and known is not None:
            return residual_kernel(network, known, where)
        return output_kernel(network, where)

    with naming(path):
        return compare_kernels(dense, other, make, tolerance, seed)
