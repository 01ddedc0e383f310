"""Certifying: a proof of how far a small model is from the dense one, and its file."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import TypedDict

from onnx import ModelProto

from hedge.api.inputs import box_of, check_not_read, solved_by, way_to_problem
from hedge.certifying import (
    Certificate,
    CertifiedFile,
    Difference,
    Distance,
    Solution,
    as_certificate,
    as_deployed,
    as_difference,
    by_theorems,
    network_of,
    prove,
    prove_solution,
    read_certificate,
)
from hedge.certifying.checking import check
from hedge.clusters import Spread, spread_over
from hedge.compression import box_of_origin
from hedge.errors import InputError, naming, quoted
from hedge.exporting import StoredModel, open_model
from hedge.files import check_writable, sha256_of, write_atomically
from hedge.graph import as_found, input_dimension
from hedge.graph.ports import true_inputs
from hedge.hmatrix.threads import one_blas_thread
from hedge.memory import keep_freed_memory
from hedge.names import certificate_of
from hedge.problems import (
    GALLERY,
    Domain,
    OperatorProblem,
    Problem,
    chosen_problem,
    parse_domain,
)
from hedge.progress import Progress, silent
from hedge.request import MOST_BOXES


@one_blas_thread()
def certify(
    model: Path | str,
    dense: Path | str | None = None,
    *,
    domain: str | None = None,
    problem: Problem | str | None = None,
    out: Path | str | None = None,
    boxes: int = MOST_BOXES,
    budget_s: float | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    force: bool = False,
    on_progress: Progress = silent,
) -> Certificate:
    """Prove how far a model is from a dense one, and from the solution of a problem, anywhere in a box.

    To the dense one, of which it is the small one as deployed in float32: that is by default the file that
    the model was compressed from, beside it. To the solution of the ``problem``, yours or one of the
    gallery, if that is given: the residual is bounded, and by the problem's theorems the distance; of the
    dense model, too, unless its own certificate lies beside it (``NAME.certificate.json``, of a problem of
    the gallery). The box or shape is ``domain`` (``"-1:1,0:1"``), or else that of the ``problem``, or the
    one on which the model was compressed. At most so many ``boxes`` are looked at for each, spread over
    ``workers`` processes, or over the workers of the Dask ``scheduler`` at an address ("tcp://host:8786");
    the bounds are the same. ``budget_s`` seconds end each early, with the best bound by then. Writes the
    certificate to ``out`` if given.

    Raises InputError if a box, the dense model or a bound of anything is missing, or the model does not meet
    the problem's conditions; ModelError for nodes that enclosures don't cover, with what they do; RemoteError
    if the scheduler can't be reached.

    >>> from hedge import certify, compress, reference_models
    >>> import tempfile, pathlib
    >>> folder, dense = pathlib.Path(tempfile.mkdtemp()), reference_models()["poisson"]
    >>> small = compress(dense, device="raspberry-pi-4b", tolerance=1e-2, recover=None, batch=256,
    ...     out=folder / "small.onnx")
    >>> (claim,) = certify(folder / "small.onnx", dense, boxes=100).difference.claims
    >>> claim.largest_seen <= claim.largest
    True
    """
    keep_freed_memory()
    _check_limits(boxes, budget_s)
    first = open_model(model, on_progress)
    solved = _solved(problem, first)
    path = dense if dense is not None else _source_of(first, needed=solved is None)
    second = None if path is None else open_model(path, on_progress)
    if out is not None:
        check_writable(Path(out), force=force)
        check_not_read(Path(out), [each.path for each in (first, second) if each is not None])
    with spread_over(workers, scheduler, on_progress) as spread:
        search = _Search(boxes, budget_s, spread, on_progress)
        certificate = _certificate(first, second, domain, solved, search)
    if out is not None:
        write_atomically(Path(out), certificate.as_bytes(), force=force)
    return certificate


def _check_limits(boxes: int, budget_s: float | None) -> None:
    """Raise InputError for numbers that are too small."""
    if boxes < 1:
        raise InputError(f"boxes: {boxes} is too small; at least 1")
    if budget_s is not None and not 0.0 < budget_s < float("inf"):
        raise InputError(f"budget: {budget_s:g} s is not positive and finite")


@dataclass(frozen=True)
class _Search:
    """How long is looked for a proof, and who looks."""

    boxes: int
    budget_s: float | None
    spread: Spread
    on_progress: Progress

    def started(self) -> _Limits:
        """What ends a search that begins now."""
        return {
            "most": self.boxes,
            "spread": self.spread,
            "is_over": _deadline(self.budget_s),
            "on_progress": self.on_progress,
        }


class _Limits(TypedDict):
    """What the searches take to know when to end."""

    most: int
    spread: Spread
    is_over: Callable[[], bool]
    on_progress: Progress


def _certificate(
    first: StoredModel,
    second: StoredModel | None,
    domain: str | None,
    solved: Problem | None,
    search: _Search,
) -> Certificate:
    """Of the first model: to the second one, if there is one, and as the solution of a problem, if of one."""
    difference = None if second is None else _difference(first, second, domain, solved, search)
    own = reference = None
    distances: list[Distance] = []
    if solved is not None:
        own = _solution(first, solved, domain, search)
        if second is not None and _file(second) != _file(first):
            reference = _solution_of_dense(second, solved, domain, search)
        distances = as_deployed(solved, own, reference, difference)
    solutions = [each for each in (own, reference) if each is not None]
    return as_certificate(_file(first), difference, solutions, distances)


def _difference(
    first: StoredModel,
    second: StoredModel,
    domain: str | None,
    problem: Problem | None,
    search: _Search,
) -> Difference:
    """Of the first model, as deployed, to the second one."""
    _check_order(first, second)
    box = _box(first, second, domain, problem)
    for model in (first, second):
        with naming(model.path):
            network_of(model.graph)
    with naming(first.path):
        pair, proof = prove(first.graph, second.graph, box, **search.started())
    columns = _columns(first.graph, len(proof.largest))
    return as_difference(pair, proof, [_file(first), _file(second)], columns)


def _solved(problem: Problem | str | None, model: StoredModel) -> Problem | None:
    """The problem that a model is said to solve; None if the user names none.

    Raises InputError for an operator, which has no residual, for several fields, where the model says that
    it solves another one, and for one of your own that has the name of one of the gallery, of which checkers
    would read that.
    """
    if problem is None:
        return None
    with naming(model.path):
        found = as_found(chosen_problem(problem), model.graph)
    found.check_certifiable()
    if model.problem is not None and model.problem != found.name:
        raise InputError(
            f"{model.path}: solves {quoted(model.problem)}, by what it says, not {found.name!r}; leave out "
            "--problem, or name that one"
        )
    return found


def _solution(
    model: StoredModel, problem: Problem, domain: str | None, search: _Search
) -> Solution:
    box = problem.domain if domain is None else parse_domain(domain, problem.dimension)
    if box.dimension != problem.dimension:
        raise InputError(
            f"domain: {box} has {box.dimension} interval(s), problem {problem.name!r} has "
            f"{problem.dimension} input(s)"
        )
    if not box.is_within(problem.domain):
        raise InputError(
            f"domain: {box} reaches beyond that of problem {problem.name!r}, {problem.domain}"
        )
    with naming(model.path):
        return prove_solution(model.graph, _file(model), problem, box, **search.started())


def _solution_of_dense(
    dense: StoredModel, problem: Problem, domain: str | None, search: _Search
) -> Solution:
    """That of its own certificate, beside it, if there is one of the same file, problem and box."""
    if domain is None and (found := solution_beside(dense, problem)) is not None:
        return found
    search.on_progress(f"bounding the residual of {dense.path.name}")
    return _solution(dense, problem, domain, search)


def solution_beside(
    model: StoredModel, problem: Problem | OperatorProblem | None
) -> Solution | None:
    """What a certificate beside the model proves of it as the problem's solution, unchecked, if there is one.

    Only of a problem of the gallery: one of your own may have had other lines when it was certified.
    Raises InputError for a file of that name that is no certificate.
    """
    path = certificate_of(model.path)
    if problem is None or GALLERY.get(problem.name) is not problem or not path.exists():
        return None
    file = _file(model)
    found = read_certificate(path).solution_of(file.sha256)
    if found is None or found.problem != problem.name or not found.distances:
        return None
    if found.where != problem.domain:
        return None
    try:  # by the theorems as they are now: an older hedge may have written it
        distances = by_theorems(problem, found)
    except (InputError, ArithmeticError, ValueError):
        return None
    return found.model_copy(update={"file": file, "distances": distances})


@one_blas_thread()
def check_certificate(
    certificate: Path | str,
    model: Path | str | None = None,
    dense: Path | str | None = None,
    *,
    problem: Problem | str | None = None,
    on_progress: Progress = silent,
) -> Certificate:
    """Verify a certificate by code of its own, see :mod:`hedge.certifying.checking`.

    The models are by default those that it names, beside it; a ``problem`` of your own must be given.
    Raises InputError for a certificate that is damaged or changed, of other models, or claims what does
    not follow.
    """
    path = Path(certificate)
    found = read_certificate(path)
    models = {found.model: _same(path, found.model, model).graph}
    if found.difference is None and dense is not None:
        raise InputError(f"{dense}: {path} is about no second model; leave it out")
    if found.difference is not None:
        models[found.difference.dense] = _same(path, found.difference.dense, dense).graph
    if problem is not None and not (found.solutions or found.distances):
        raise InputError(f"problem: {path} is about the solution of none; leave it out")
    try:
        own = None if problem is None else as_found(chosen_problem(problem), models[found.model])
        check(found, models, own, on_progress)
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


def _source_of(small: StoredModel, *, needed: bool) -> Path | None:
    """The file that it was compressed from; where that is not there none or, if needed, an InputError."""
    plan = small.plan
    if plan is None:
        if not needed:
            return None
        raise InputError(
            f"{small.path}: does not say what it was compressed from; give the dense model, too, or the "
            "problem that it solves (--problem)"
        )
    path = small.path.with_name(Path(plan.source).name)
    if not path.exists() or sha256_of(path) != plan.source_sha256:
        if not needed:
            return None
        raise InputError(
            f"{small.path}: was compressed from {plan.source!r}, which is not beside it; give that file, too"
        )
    return path


def _box(
    small: StoredModel, dense: StoredModel, domain: str | None, problem: Problem | None
) -> Domain:
    """What the user names; else the box that the small model was compressed on, or that of the problem."""
    dimension = input_dimension(dense.graph)
    solved = (solved_by(model.graph, None) for model in (small, dense) if domain is None)
    known = problem or next((each for each in solved if each is not None), None)
    box = box_of(known, domain, dimension)
    if domain is None and problem is None and small.plan is not None:
        box = box_of_origin(small.plan.points) or box
    if isinstance(known, OperatorProblem) and domain is None:
        raise InputError(
            f"problem {known.name!r}: its inputs fill no box to prove anything on; give --domain"
        )
    if box is None:
        raise InputError(
            f"domain: not known for this model; give --domain with {dimension} lower:upper, or "
            f"{way_to_problem(small.graph)}"
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
