"""Magnitude pruning: the smallest weights of the whole model become zero."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from hedge.compression import Case
from hedge.devices import BYTES_PER_FLOAT
from hedge.graph import SiteMatrix, assemble
from hedge.methods.bisection import coarsest_within
from hedge.methods.candidate import Candidate


def magnitude_pruning(case: Case) -> Candidate:
    """Keep as few of the largest weights as the tolerance allows (Han et al., 2015), no retraining.

    The file stays dense, for onnxruntime has no sparse kernel: fewer bytes, the same time.
    """
    return pruned_candidate(case, pruned_within(case))


def pruned_within(case: Case) -> Mapping[str, SiteMatrix]:
    """The matrices with the fewest weights that are surely within the tolerance."""
    dense = case.split.matrices
    total = sum(math.prod(matrix.shape) for matrix in dense.values())
    _, matrices = coarsest_within(
        case, lambda kept: largest_kept(dense, round(kept)), float(total), 0.0
    )
    return matrices


def pruned_candidate(case: Case, matrices: Mapping[str, SiteMatrix], how: str = "") -> Candidate:
    """Pruned matrices as a dense file, sized as they would be stored; ``how`` begins its note."""
    weights = [matrix.dense() for matrix in matrices.values()]
    kept = sum(int(np.count_nonzero(w)) for w in weights)
    biases = sum(matrix.bias.size for matrix in matrices.values())
    sparse = sum(csr_bytes(w) < BYTES_PER_FLOAT * w.size for w in weights)
    return Candidate(
        model=assemble(case.split.skeleton, matrices),
        parameters=kept + biases,
        bytes=sum(min(csr_bytes(w), BYTES_PER_FLOAT * w.size) for w in weights)
        + BYTES_PER_FLOAT * biases,
        note=f"{how}{kept} of {sum(w.size for w in weights)} weights kept; bytes with {sparse} of "
        f"{len(weights)} layers as CSR; runs as a dense file",
    )


def largest_kept(dense: Mapping[str, SiteMatrix], count: int) -> dict[str, SiteMatrix]:
    """The ``count`` largest weights of all sites together; the others zero, biases as they are."""
    weights = {name: matrix.dense() for name, matrix in dense.items()}
    flat = np.concatenate([w.ravel() for w in weights.values()])
    flat[np.argsort(-np.abs(flat), kind="stable")[count:]] = 0.0
    ends = np.cumsum([w.size for w in weights.values()])
    pieces = np.split(flat, ends[:-1])
    return {
        name: SiteMatrix((piece.reshape(weights[name].shape),), dense[name].bias)
        for name, piece in zip(weights, pieces, strict=True)
    }


def csr_bytes(weight: np.ndarray) -> int:
    """Bytes of a matrix (n_out, n_in) as compressed sparse rows: values, column numbers, row starts.

    Values are float32, row starts 32 bits, column numbers 16 where they fit and else 32.

    >>> csr_bytes(np.eye(3))
    34
    """
    rows, columns = weight.shape
    per_value = BYTES_PER_FLOAT + (2 if columns <= 2**16 else 4)
    nonzeros = int(np.count_nonzero(weight))
    return nonzeros * per_value + 4 * (int(rows) + 1)
