"""Whether a certificate is true.

Theorem. Let u be the function of real numbers that the dense model defines at one row, and û(x) what the
small one computes there as float32 arithmetic, deployed in the way that rules.py describes, with its
functions as close as the certificate's ``errors`` say; e = û − u. If ``check_difference`` returns, then

    1. the certificate's boxes tile its domain;
    2. on box b and for output column j, |e_j| ≤ largest[b][j], the mean of e_j² is at most square[b][j], and
       the mean of u_j² is at least dense_square[b][j];
    3. so that |e_j| ≤ claims[j].largest on the whole domain, and ‖e_j‖ ≤ claims[j].relative_l2 ‖u_j‖ in
       L²(domain).

At points that are no float32 numbers, e stands for any values within the rounding that is bounded, so that
the means of 2. are those of such an e.

It rests on numpy (its float64 arithmetic is IEEE's, its functions and the C library's erf within 4 ulp, its
matrix products add up products in any order), on onnx (it decodes the weights, and its reference
implementation moves numbers), and on the code of this folder, which shares nothing with the search that
made the certificate: polynomials.py, functions.py, composition.py and rules.py state each rule and why it
holds, graphs.py which operator is which rule, tiling.py how 1. is decided.

Not checked: ``largest_seen``, ``relative_l2_seen`` and ``rounding``, which the theorem does without, but that
what was seen is no more than what is claimed; the names and SHA-256 of the files, which whoever reads
the files compares; the digest, which reading the certificate compares; ``evaluated`` and ``ended``.
``order`` says how fine the search's polynomials were. The theorem does without it, too: the polynomials
here are of one degree more, since they must not be looser, or of fewer where these are enough; an order
that is too high to compute with is refused.

Proof of 2., box by box: proving.py. Where its bounds are not enough, a box is halved, and its halves again:
it holds for the box what is the maximum of its parts' bounds, and of means their mean.
"""

from __future__ import annotations

from collections.abc import Mapping

from onnx import ModelProto

from hedge.certifying.certificate import Certificate, CertifiedFile
from hedge.certifying.checking.differences import check_difference
from hedge.certifying.checking.solutions import check_distances, check_solution, problem_of
from hedge.problems import Problem
from hedge.progress import Progress, silent


def check(
    certificate: Certificate,
    models: Mapping[CertifiedFile, ModelProto],
    problem: Problem | None = None,
    on_progress: Progress = silent,
) -> None:
    """Raise InputError, with what is wrong and where, unless the certificate is true of these models.

    problem is that of its solutions, where it is none of the gallery.
    """
    difference = certificate.difference
    if certificate.solutions or certificate.distances:
        solved = problem_of(certificate, problem)
        for solution in certificate.solutions:
            check_solution(solution, models[solution.file], solved, on_progress)
        check_distances(certificate, solved)
    if difference is not None:
        check_difference(
            difference, models[certificate.model], models[difference.dense], on_progress
        )
