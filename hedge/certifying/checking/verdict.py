"""Whether a certificate is true.

Let û(x) be what a file computes at one row x as float32 arithmetic, deployed in the way that rules.py
describes, with its functions as close as ``errors`` say, and u the function of real numbers that it
defines. A problem is what its value in hedge.problems says: its lines are functions of real numbers, with
the float64 numbers that stand in them.

The domain is a box or, where a ``shape`` is named, what of the box lies in that: shapes.py says which boxes
surely have no point of it and which surely lie in it, and nothing is said on the former.

Theorem. If ``check`` returns, then of ``difference``, with e = û_model − u_dense,

    1. the boxes tile the box of the domain;
    2. on box b and for output column j, |e_j| ≤ largest[b][j], the mean of e_j² is at most square[b][j], and
       the mean of u_j² is at least dense_square[b][j];
    3. so that |e_j| ≤ claims[j].largest on the whole domain, and ‖e_j‖ ≤ claims[j].relative_l2 ‖u_j‖ in
       L²(domain);

and of each of ``solutions``, with u and û of its file, and r the problem's residual of u,

    4. the boxes tile the domain's box, and the domain lies in the problem's; on box b, |r| ≤ largest[b] and
       the mean of r² is at most square[b]; on all of them |u| ≤ value and |û − u| ≤ rounding, if it is a
       number;
    5. so that |r| ≤ residual.largest on the domain, and the root of the mean of r² and the mean of |r| are at
       most residual.rms and residual.mean;
    6. where the domain is the problem's, and a box: on each face that a condition of the problem is about,
       the boxes of one of ``faces`` tile the domain, and on its part of the face box b misses the condition
       by at most largest[b]; so that u misses condition i by at most mismatch[i]. That is what its line gives
       there; of a jump, what it gives at the upper end minus what it gives at the lower one;
    7. so that ‖u − u*‖ ≤ distances[k] for the problem's solution u*, by its k-th theorem;

and of ``distances``, 8.: ‖û_model − u*‖ ≤ bound, if it is a number, in the norm that is named, by 7. and 4.
or by 7. of the dense model and 2., and the triangle inequality.

Squares below 1e-300, and norms below 1e-140, are taken for that. At points that are no float32 numbers, e and
û stand for any values within the rounding that is bounded, so that means and norms are those of such ones.

It rests on numpy (its float64 arithmetic is IEEE's, its functions and the C library's erf within 4 ulp, its
matrix products add up products in any order), on onnx (it decodes the weights, and its reference
implementation moves numbers), and on the code of this folder, which shares nothing with the search that
made the certificate: polynomials.py, functions.py, derivatives.py, composition.py and rules.py state each
rule and why it holds, operators.py which operator is which rule, jets.py how derivatives follow, lines.py how
a problem's lines do, tiling.py how 1. is decided, shapes.py what shapes are (of hedge.geometry it takes what
their text means). 7. and 8. rest, beside the proofs of the theorems in
docs/mathematics.md and the bounds in hedge.problems that say the same, on norms.py and distances.py in
hedge.certifying, which made the certificate, too: they are short, and part of the statement.

Not checked: ``largest_seen``, ``rms_seen``, ``relative_l2_seen``, ``dense_seen`` and the ``rounding`` of
claims, which the theorem does without, but that what was seen is no more than what is claimed; the names and
SHA-256 of the files, which whoever reads the files compares; the digest, which reading the certificate
compares; ``evaluated`` and ``ended``; the words in ``assumptions``. That all theorems of a problem are used,
and that ``distances`` are the smallest that follow, is not claimed. ``order`` says how fine the search's
polynomials were. The theorem does without it, too: the polynomials here are of one degree more, since they
must not be looser, or of fewer where these are enough; an order that is too high to compute with is refused.

Proof of 2., 4. and 6., box by box: boxes.py, by proving.py with what differences.py and residuals.py enclose.
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
