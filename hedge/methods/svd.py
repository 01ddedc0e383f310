"""Low rank by singular values: of the weights, or of the weights as the activations meet them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from hedge.compression import Case, byte_count, parameter_count
from hedge.graph import Evaluator, SiteMatrix, assemble
from hedge.hmatrix import Spectrum, plain_spectrum, weighted_spectrum
from hedge.methods.bisection import coarsest_within
from hedge.methods.candidate import Candidate

# log10 of the part of Σσ² that is dropped; below the first only rounding is.
FINEST, COARSEST = -16.0, 0.0


def plain_svd(case: Case, aim: float | None = None) -> Candidate:
    """Truncated SVD of every weight matrix; the same part of Σσ² is kept in all.

    The errors are surely within ``aim``, or the tolerance.
    """
    spectra = {name: plain_spectrum(m.dense()) for name, m in case.split.matrices.items()}
    return _smallest(case, spectra, aim)


def activation_svd(case: Case, aim: float | None = None) -> Candidate:
    """SVD-LLM (Wang et al., ICLR 2025): with X Xᵀ = L Lᵀ, the SVD of W L instead of W.

    X Xᵀ is the uncentred second moment of a layer's inputs in the dense model. The singular values are
    then errors of the layer's output, and of all matrices of its rank the truncated one is the best.
    """
    return _smallest(case, activation_spectra(case), aim)


def activation_spectra(case: Case) -> dict[str, Spectrum]:
    """The singular values of W L of every site, over the fit points."""
    dense = case.split.matrices
    tensors = sorted({site.input for site in case.split.sites})
    evaluate = Evaluator(assemble(case.split.skeleton, dense), tensors)
    values = evaluate.intermediates(case.points.fit)
    spectra = {}
    for site in case.split.sites:
        x, weight = values[site.input], dense[site.name].dense()
        spectra[site.name] = weighted_spectrum(weight, np.eye(len(weight)), x.T @ x / len(x))
    return spectra


def truncated(
    dense: Mapping[str, SiteMatrix], spectra: Mapping[str, Spectrum], dropped: float
) -> dict[str, SiteMatrix]:
    """Every site at the least rank, from 1 on, that drops at most the part ``dropped`` of Σσ².

    A site whose factors have no fewer weights than its matrix stays as it is.
    """
    matrices = {}
    for name, matrix in dense.items():
        tail = spectra[name].tail_squared()
        rank = max(1, int(np.argmax(tail <= dropped * tail[0])))
        factors = spectra[name].truncate(rank)
        smaller = sum(factor.size for factor in factors) < np.prod(matrix.shape)
        matrices[name] = SiteMatrix(factors, matrix.bias) if smaller else matrix
    return matrices


def _smallest(case: Case, spectra: Mapping[str, Spectrum], aim: float | None) -> Candidate:
    dense = case.split.matrices
    knob, matrices = coarsest_within(
        case, lambda knob: truncated(dense, spectra, 10.0**knob), FINEST, COARSEST, aim
    )
    ranks = [str(m.structure.rank or "dense") for m in matrices.values()]
    note = f"ranks {', '.join(ranks)}; {10.0**knob:.1e} of each layer's energy dropped"
    if set(ranks) == {"dense"}:
        note = "stays dense: with fewer weights in any layer the error is too large"
    return Candidate(
        model=assemble(case.split.skeleton, matrices),
        parameters=parameter_count(matrices),
        bytes=byte_count(matrices),
        note=note,
        matrices=matrices,
    )
