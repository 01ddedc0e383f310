"""One network made small by every method at many strengths: the points behind figures 2a to 4."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from hedge.arrays import Array
from hedge.compression import Case, byte_count, output_error
from hedge.devices import Device
from hedge.graph import PRECISIONS, Matrix, assemble, run_float32, stored_as
from hedge.hmatrix import plain_spectrum
from hedge.methods import Candidate, dynamic_int8, static_int8
from hedge.methods.paper import ALGORITHMS, partition_sites
from hedge.methods.pruning import largest_kept, pruned_candidate
from hedge.methods.svd import activation_spectra, truncated
from hedge.reproducing.making import compressed

HEDGE, PAPER, SVD = "hedge", "H-matrix (Algorithm 4)", "SVD"
TOLERANCES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2, 3e-2, 1e-1, 3e-1)
QUICK_TOLERANCES = (1e-4, 1e-3, 1e-2, 5e-2)
DROPPED = (1e-8, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 2e-1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9)
KEPT = (0.7, 0.5, 0.35, 0.25, 0.15, 0.1, 0.05, 0.03, 0.02, 0.01, 0.005, 0.002)
RELATIVE = (1e-3, 1e-2, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)


@dataclass(frozen=True, eq=False)
class SweepPoint:
    """A network that a method made: dense bytes over its own, and relative L2 errors.

    error is against the problem's reference and moved against the dense network, on points that
    nothing was fitted to; fitted is the error against the reference on the points that were used.
    """

    method: str
    knob: float
    ratio: float
    error: float
    moved: float
    fitted: float
    model: ModelProto

    def numbers(self) -> dict[str, object]:
        """All but the model."""
        return {name: value for name, value in vars(self).items() if name != "model"}


def sweep(case: Case, edge: Device, tolerances: Sequence[float]) -> tuple[SweepPoint, ...]:
    """A case's network by every method, none of which trains again.

    edge has the paper's energies, which Algorithm 4 minimises; tolerances are those of hedge.
    """
    measure = _Measuring(case)
    found: list[SweepPoint] = []
    for tolerance in tolerances:
        small = compressed(case, tolerance, objective="size")
        found.append(measure(HEDGE, tolerance, small.to_onnx(), small.plan.bytes))
    found += [
        measure(method, knob, assemble(case.split.skeleton, matrices), byte_count(matrices))
        for method, knob, matrices in _replaced(case, edge)
    ]
    dense = case.split.matrices
    total = sum(matrix.dense().size for matrix in dense.values())
    for part in KEPT:
        pruned = pruned_candidate(case, largest_kept(dense, int(part * total)))
        found.append(measure("pruning", part, pruned.model, pruned.bytes))
    for quantize in (dynamic_int8, static_int8):
        candidate = quantize(case)
        if isinstance(candidate, Candidate):
            found.append(measure("quantization", 8.0, candidate.model, candidate.bytes))
    return tuple(found)


def _replaced(case: Case, edge: Device) -> Iterator[tuple[str, float, Mapping[str, Matrix]]]:
    """Methods that put other matrices at the sites: method, knob, matrices."""
    dense = case.split.matrices
    plain = {name: plain_spectrum(matrix.dense()) for name, matrix in dense.items()}
    for method, spectra in ((SVD, plain), ("activation SVD", activation_spectra(case))):
        for dropped in DROPPED:
            yield method, dropped, truncated(dense, spectra, dropped)
    for relative in RELATIVE:
        yield (
            PAPER,
            relative,
            partition_sites(case.split, edge, ALGORITHMS["Algorithm 4"], relative),
        )
    for precision in PRECISIONS[1:]:
        bits = 8.0 if precision == "int8" else 16.0
        yield "quantization", bits, {n: stored_as(one, precision) for n, one in dense.items()}


class _Measuring:
    def __init__(self, case: Case) -> None:
        assert case.reference is not None
        # the last of the fresh points: compress certifies on the first
        self._fresh = case.points.judge()
        self._fit = case.points.fit
        self._dense = run_float32(case.dense, self._fresh)
        self._wanted = case.reference(self._fresh)
        self._wanted_fit = case.reference(self._fit)
        self._bytes = byte_count(case.split.matrices)

    def __call__(self, method: str, knob: float, model: ModelProto, size: int) -> SweepPoint:
        outputs = run_float32(model, self._fresh)
        return SweepPoint(
            method=method,
            knob=knob,
            ratio=self._bytes / size,
            error=_relative(outputs, self._wanted),
            moved=_relative(outputs, self._dense),
            fitted=_relative(run_float32(model, self._fit), self._wanted_fit),
            model=model,
        )


def _relative(outputs: Array, wanted: Array) -> float:
    return output_error(outputs, wanted).relative


def ratios(least: float, most: float) -> Sequence[float]:
    """Compression ratios evenly spaced on a logarithmic axis."""
    return [float(r) for r in np.geomspace(least, most, 49)]
