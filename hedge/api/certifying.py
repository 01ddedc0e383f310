"""Certifying: a proof of how far a small model is from the dense one, and its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from onnx import ModelProto

from hedge.api.inputs import box_of, check_not_read
from hedge.certifying import (
    Certificate,
    CertifiedFile,
    as_certificate,
    network_of,
    prove,
    read_certificate,
)
from hedge.certifying.checking import check
from hedge.compression import box_of_origin
from hedge.errors import InputError, naming
from hedge.exporting import StoredModel, open_model
from hedge.files import check_writable, sha256_of, write_atomically
from hedge.graph import input_dimension
from hedge.graph.ports import true_inputs
from hedge.hmatrix.threads import one_blas_thread
from hedge.problems import GALLERY, Domain, OperatorProblem, Problem, find_problem
from hedge.progress import Progress, silent
from hedge.request import MOST_BOXES


@one_blas_thread()
def certify(
    small: Path | str,
    dense: Path | str | None = None,
    *,
    domain: str | None = None,
    problem: str | None = None,
    out: Path | str | None = None,
    boxes: int = MOST_BOXES,
    budget_s: float | None = None,
    workers: int = 1,
    force: bool = False,
    on_progress: Progress = silent,
) -> Certificate:
    """Prove how far a small model, as deployed in float32, is from the dense one anywhere in a box.

    ``dense`` is by default the file that the small model was compressed from, beside it. The box is
    ``domain`` (``"-1:1,0:1"``), or else that on which the small model was compressed, or of the ``problem``.
    At most so
    many ``boxes`` are looked at, spread over ``workers`` processes; ``budget_s`` seconds end it early, with
    the best bound by then. Writes the certificate to ``out`` if given.

    Raises InputError if a box, the dense model or a bound of anything is missing; ModelError for nodes that
    enclosures don't cover, with what they do.

    >>> from hedge import certify, compress, reference_models
    >>> import tempfile, pathlib
    >>> folder, dense = pathlib.Path(tempfile.mkdtemp()), reference_models()["poisson"]
    >>> small = compress(dense, device="raspberry-pi-4b", tolerance=1e-2, recover=None, batch=256,
    ...     out=folder / "small.onnx")
    >>> (claim,) = certify(folder / "small.onnx", dense, boxes=100).claims
    >>> claim.largest_seen <= claim.largest
    True
    """
    if boxes < 1:
        raise InputError(f"boxes: {boxes} is too small; at least 1")
    if workers < 1:
        raise InputError(f"workers: {workers} is too small; at least 1")
    if budget_s is not None and not 0.0 < budget_s < float("inf"):
        raise InputError(f"budget: {budget_s:g} s is not positive and finite")
    first = open_model(small, on_progress)
    second = open_model(dense if dense is not None else _source_of(first), on_progress)
    if out is not None:
        check_writable(Path(out), force=force)
        check_not_read(Path(out), [first.path, second.path])
    _check_order(first, second)
    box = _box(first, second, domain, problem)
    is_over = _deadline(budget_s)
    for model in (first, second):
        with naming(model.path):
            network_of(model.graph)
    with naming(first.path):
        pair, proof = prove(
            first.graph,
            second.graph,
            box,
            most=boxes,
            workers=workers,
            is_over=is_over,
            on_progress=on_progress,
        )
    columns = _columns(first.graph, len(proof.largest))
    certificate = as_certificate(pair, proof, [_file(first), _file(second)], columns)
    if out is not None:
        write_atomically(Path(out), certificate.as_bytes(), force=force)
    return certificate


@one_blas_thread()
def check_certificate(
    certificate: Path | str,
    small: Path | str | None = None,
    dense: Path | str | None = None,
    *,
    on_progress: Progress = silent,
) -> Certificate:
    """Verify a certificate by code of its own, see :mod:`hedge.certifying.checking`.

    The models are by default those that it names, beside it. Raises InputError for a certificate that is
    damaged or changed, of other models, or claims what does not follow.
    """
    path = Path(certificate)
    found = read_certificate(path)
    models = [
        _same(path, file, given) for file, given in ((found.small, small), (found.dense, dense))
    ]
    try:
        check(found, models[0].graph, models[1].graph, on_progress)
    except InputError as error:
        raise InputError(f"{path}: {error}") from error
    return found


def _same(certificate: Path, file: CertifiedFile, given: Path | str | None) -> StoredModel:
    """The model that is certified, which must be the same to the byte."""
    path = Path(given) if given is not None else certificate.with_name(file.name)
    found = open_model(path)
    if sha256_of(path) != file.sha256:
        raise InputError(
            f"{path}: is not the {file.name!r} that {certificate} is about: its SHA-256 differs"
        )
    return found


def _check_order(small: StoredModel, dense: StoredModel) -> None:
    """Both are taken column by column: the same names in another order would be other columns."""
    for what in ("input", "output"):
        mine, theirs = (
            true_inputs(m.graph) if what == "input" else m.graph.graph.output
            for m in (small, dense)
        )
        own, others = [v.name for v in mine], [v.name for v in theirs]
        if own != others and sorted(own) == sorted(others):
            raise InputError(
                f"{small.path}: its {what}s are in the order {', '.join(own)}, those of {dense.path} in the "
                f"order {', '.join(others)}; give both the same one"
            )


def _source_of(small: StoredModel) -> Path:
    plan = small.plan
    if plan is None:
        raise InputError(
            f"{small.path}: does not say what it was compressed from; give the dense model, too"
        )
    path = small.path.with_name(Path(plan.source).name)
    if not path.exists() or sha256_of(path) != plan.source_sha256:
        raise InputError(
            f"{small.path}: was compressed from {plan.source!r}, which is not beside it; give that file, too"
        )
    return path


def _box(small: StoredModel, dense: StoredModel, domain: str | None, problem: str | None) -> Domain:
    """What the user names; else the box that the small model was compressed on, or that of the problem."""
    dimension = input_dimension(dense.graph)
    names = (problem, small.problem, dense.problem)
    name = next((each for each in names if each in GALLERY or (each and each == problem)), None)
    known = find_problem(name, dimension) if name is not None else None
    box = box_of(known if isinstance(known, Problem) else None, domain, dimension)
    if domain is None and problem is None and small.plan is not None:
        box = box_of_origin(small.plan.points) or box
    if isinstance(known, OperatorProblem) and domain is None:
        raise InputError(
            f"problem {known.name!r}: its inputs fill no box to prove anything on; give --domain"
        )
    if box is None:
        raise InputError(
            f"domain: not known for this model; give --problem, or --domain with {dimension} lower:upper"
        )
    if box.dimension != dimension:
        raise InputError(
            f"domain: {box} has {box.dimension} interval(s), but the model has {dimension} input(s)"
        )
    return box


def _deadline(budget_s: float | None) -> Callable[[], bool]:
    end = float("inf") if budget_s is None else monotonic() + budget_s
    return lambda: monotonic() > end


def _file(model: StoredModel) -> CertifiedFile:
    return CertifiedFile(name=model.path.name, sha256=sha256_of(model.path))


def _columns(model: ModelProto, count: int) -> list[str]:
    """What the columns of all outputs side by side are called."""
    outputs = [value.name for value in model.graph.output]
    if len(outputs) == count:
        return outputs
    if len(outputs) == 1:
        return [f"{outputs[0]}[{column}]" for column in range(count)]
    return [f"column {column}" for column in range(count)]
