"""Random cases for the promise of compress: networks of kinks and shocks, columns of any scale and offset."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
from onnx import ModelProto, helper, numpy_helper

from hedge.arrays import Array
from hedge.compression import Case, Request, Source, certifying_points, points_of_domain, prepare
from hedge.devices import find_profile
from hedge.graph import Evaluator, run_float32
from hedge.problems import Domain
from hedge.request import Norm, RelativeTo
from tests.conftest import make_model, random_mlp

LAPTOP = find_profile("laptop-x86")
ROWS_AT_ONCE = 20_000
# The tolerance of derivatives, where they have one, in parts of that of the outputs.
SLOPES = 5.0


@dataclass(frozen=True)
class Promise:
    """A network on a box, and what is asked of a smaller one."""

    model: ModelProto
    domain: Domain
    tolerance: float
    relative_to: RelativeTo
    norm: Norm
    seed: int
    what: str
    derivatives: float | None = None


def random_promise(seed: int, norm: Norm = "l2") -> Promise:
    """1 to 4 inputs and columns, scales 1e-3 to 1e6, offsets up to 1e3 spreads; smooth, kinked or steep.

    Of every tenth the derivatives are promised, too.
    """
    rng = np.random.default_rng(seed)
    inputs, columns = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    activation = str(rng.choice(["Tanh", "Relu", "Sin", "Softplus"]))
    steep = float(rng.choice([1.0, 3.0, 30.0]))
    widths = [inputs, *rng.integers(4, 13, rng.integers(1, 4)).tolist(), columns]
    scales = 10.0 ** rng.uniform(-3.0, 6.0, columns)
    offsets = rng.choice([0.0, 1.0], columns) * 10.0 ** rng.uniform(-1.0, 3.0, columns)
    weights, nodes, source = {}, [], "x"
    for i, (n, m) in enumerate(pairwise(widths)):
        w, b = rng.standard_normal((m, n)) / np.sqrt(n), 0.3 * rng.standard_normal(m)
        if i == 0:
            w[0] *= steep
        is_last = i == len(widths) - 2
        if is_last:
            w, b = w * scales[:, None], (b + offsets) * scales
        weights |= {f"w{i}": w, f"b{i}": b}
        target = "u" if is_last else f"z{i}"
        nodes.append(helper.make_node("Gemm", [source, f"w{i}", f"b{i}"], [target], transB=1))
        if not is_last:
            nodes.append(helper.make_node(activation, [target], [f"a{i}"]))
            source = f"a{i}"
    what = f"seed {seed}, {norm}: {widths}, {activation}, steep {steep:g}"
    tolerance = float(10.0 ** rng.uniform(-3.0, -1.0))
    return Promise(
        model=make_model(nodes, weights, inputs=inputs),
        domain=Domain(((-1.0, 1.0),) * inputs),
        tolerance=tolerance,
        relative_to="spread" if rng.random() < 0.5 and norm == "l2" else "size",
        norm=norm,
        seed=seed,
        what=what,
        derivatives=SLOPES * tolerance if seed % 10 == 3 else None,
    )


def case_of(promise: Promise) -> Case:
    """To be made small in bytes."""
    request = Request(
        promise.tolerance,
        "size",
        seed=promise.seed,
        relative_to=promise.relative_to,
        norm=promise.norm,
        derivatives=promise.derivatives,
    )
    points = points_of_domain(
        promise.domain, promise.domain.dimension, 12, promise.seed, certifying_points(request)
    )
    return prepare(promise.model, LAPTOP, points, request, Source("m", ""))


def worst_of(promise: Promise, small: ModelProto, count: int) -> float:
    """The worst column's error on ``count`` fresh points, in parts of the tolerance; a constant's is none."""
    points = promise.domain.sample(count, seed=10**6 + promise.seed)
    wanted, found = (
        _in_chunks(partial(run_float32, model), points) for model in (promise.model, small)
    )
    of_outputs = _worst_output(promise, wanted, found)
    if promise.derivatives is None:
        return of_outputs
    return max(of_outputs, _worst_slope(promise, small, points) / promise.derivatives)


def _in_chunks(run: Callable[[Array], Array], points: Array) -> Array:
    chunks = np.array_split(points, -(-len(points) // ROWS_AT_ONCE))
    return np.concatenate([run(chunk) for chunk in chunks])


def _worst_slope(promise: Promise, small: ModelProto, points: Array) -> float:
    """The worst relative error of a derivative, by differences of our own; of columns that have one."""
    worst = 0.0
    for step in 1e-4 * np.eye(points.shape[1]):
        wanted, found = (
            _in_chunks(Evaluator(model), points + step)
            - _in_chunks(Evaluator(model), points - step)
            for model in (promise.model, small)
        )
        sizes = np.linalg.norm(wanted, axis=0)
        parts = np.linalg.norm(found - wanted, axis=0) / np.where(sizes > 0.0, sizes, np.inf)
        worst = max(worst, float(parts.max()))
    return worst


def _worst_output(promise: Promise, wanted: Array, found: Array) -> float:
    if promise.norm == "max":
        errors = np.abs(found - wanted).max(axis=0) / np.abs(wanted).max(axis=0)
        return float(errors.max() / promise.tolerance)
    size = wanted - wanted.mean(axis=0) if promise.relative_to == "spread" else wanted
    errors = np.linalg.norm(found - wanted, axis=0) / np.linalg.norm(size, axis=0)
    return float(errors.max() / promise.tolerance)


def head(*scales: float, offset: float = 0.0, width: int = 24) -> ModelProto:
    """A network of one output with a column of each of these scales; all around ``offset`` of its scale."""
    model = random_mlp([2, width, width, len(scales)], seed=3)
    for tensor in model.graph.initializer[-2:]:
        values = numpy_helper.to_array(tensor).copy()
        values += offset if values.ndim == 1 else 0.0
        values *= np.array(scales, np.float32).reshape(-1, *[1] * (values.ndim - 1))
        tensor.CopyFrom(numpy_helper.from_array(values.astype(np.float32), tensor.name))
    return model
