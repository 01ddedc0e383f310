"""``hedge certify``: a proof of the error over a whole box, and its check."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hedge.cli.options import (
    IN_FILE,
    Box,
    Force,
    Json,
    SchedulerAddress,
    Workers,
    file_argument,
    file_option,
)
from hedge.request import MOST_BOXES

if TYPE_CHECKING:
    from hedge.certifying import Certificate, Difference, Solution


def certify(
    model: Annotated[
        Path | None, file_argument(help="The model to certify, .onnx or .hedge.safetensors.")
    ] = None,
    dense: Annotated[
        Path | None, file_argument(help="The dense .onnx; else the one it was compressed from.")
    ] = None,
    domain: Box = None,
    problem: Annotated[
        str | None,
        typer.Option(help=f"Also prove the distance to the solution of this problem. {IN_FILE}"),
    ] = None,
    out: Annotated[
        Path | None,
        file_option(
            help="Write the certificate, for others to check; exports of M.onnx take M.certificate.json."
        ),
    ] = None,
    check: Annotated[
        Path | None,
        file_option(help="Verify this certificate, of these models or of those it names."),
    ] = None,
    boxes: Annotated[
        int, typer.Option(help="How many boxes to look at for each proof, at most.")
    ] = MOST_BOXES,
    budget: Annotated[
        float | None,
        typer.Option(
            help="Seconds for each proof, after which it ends with the best bound so far."
        ),
    ] = None,
    workers: Workers = 1,
    scheduler: SchedulerAddress = None,
    force: Force = False,
    json: Json = False,
) -> None:
    """Prove how far a model is from the dense one, or from a problem's solution, everywhere in a box.

    To the solution, by bounding the residual: hedge certify heat.onnx --problem heat
    """
    from hedge import api
    from hedge.cli.console import print_json, progress, say
    from hedge.errors import InputError
    from hedge.problems import is_in_file

    with progress() as on_progress:
        if check is not None:
            _refuse_beside_check(domain=domain, out=out, budget=budget)
            found = api.check_certificate(
                check, model, dense, problem=problem, on_progress=on_progress
            )
        elif model is None:
            raise InputError("MODEL: give the model to certify, or --check with a certificate")
        else:
            found = api.certify(
                model, dense, domain=domain, problem=problem, out=out, boxes=boxes,
                budget_s=budget, workers=workers, scheduler=scheduler, force=force,
                on_progress=on_progress,
            )  # fmt: skip
    if json:
        print_json(_document(found, checked=check is not None))
        return
    print_claims(found)
    if check is not None:
        say(
            f"{check}: checked, all {count_of_boxes(found)} boxes hold; the bounds from below (>=) and the "
            "part of rounding in a difference are not checked"
        )
    elif out is not None:
        own = f" --problem {shlex.quote(problem)}" if problem and is_in_file(problem) else ""
        say(f"{out}: anyone can verify it with: hedge certify --check {out.name}{own}")


def _refuse_beside_check(**options: object) -> None:
    """What a check would not heed: a certificate has its own box."""
    from hedge.errors import InputError

    for name, value in options.items():
        if value is not None:
            raise InputError(
                f"{name}: --check verifies what the certificate says; leave out --{name}"
            )


def print_claims(certificate: Certificate) -> None:
    """What is proved, and what it rests on."""
    if certificate.difference is not None:
        _print_difference(certificate.model.name, certificate.difference)
    for solution in certificate.solutions:
        _print_residual(solution)
    if certificate.distances:
        _print_distances(certificate)


def _print_difference(name: str, difference: Difference) -> None:
    """One row a column: what is proved, and what the error is at least."""
    from hedge.cli.console import print_table, say

    rows = [
        [
            claim.column,
            f"{claim.largest:.3e}",
            f"{claim.largest_seen:.3e}",
            "-" if claim.relative_l2 is None else f"{claim.relative_l2:.3e}",
            f"{claim.relative_l2_seen:.3e}",
            f"{claim.rounding:.1e}",
        ]
        for claim in difference.claims
    ]
    columns = ["column", "max |e| <=", ">=", "relative L2 <=", ">=", "of it rounding"]
    print_table(f"{name} - {difference.dense.name}", columns, rows)
    say(_what_it_says("as deployed in float32", difference, len(difference.boxes.levels)))


def _print_residual(solution: Solution) -> None:
    """Of the residual what is proved, and what it is at least; of the conditions what they are missed by."""
    from hedge.cli.console import print_table, say

    claim = solution.residual
    row = [
        f"{claim.largest:.3e}",
        f"{claim.largest_seen:.3e}",
        f"{claim.rms:.3e}",
        f"{claim.rms_seen:.3e}",
        f"{claim.mean:.3e}",
        f"{max(solution.mismatch):.1e}" if solution.mismatch else "-",
    ]
    columns = ["max |r| <=", ">=", "rms r <=", ">=", "mean |r| <=", "conditions missed by <="]
    print_table(f"{solution.file.name}, residual r of {solution.problem}", columns, [row])
    say(_what_it_says("as real numbers", solution, len(solution.boxes.levels)))
    if not solution.mismatch:
        say(
            "conditions, if it has any, are bounded on ends of inputs alone, and over the whole domain"
        )
    if not solution.distances:
        say(f"no distance to the solution of {solution.problem}: {_why_none(solution)}")


def _why_none(solution: Solution) -> str:
    from hedge.problems import GALLERY

    known = GALLERY.get(solution.problem)
    if known is None:
        return "it has no theorem that bounds it by the residual, or not in this box"
    if not known.stability:
        return "hedge knows no theorem that bounds it by the residual"
    return "its theorems are of its whole domain"


def _print_distances(certificate: Certificate) -> None:
    """By each theorem, how far the model is from the solution, as real numbers and as deployed."""
    from hedge.cli.console import print_table

    name, problem = certificate.model.name, certificate.solutions[0].problem
    own = certificate.solution_of(certificate.model.sha256)
    exact = own.distances if own is not None and own.distances else [None] * 99
    rows = [
        [
            NORMS[each.kind].format(over=", ".join(each.over)),
            "-" if real is None else f"{real:.3e}",
            "not bounded" if each.bound is None else f"{each.bound:.3e}",
            "-" if each.further is None else f"{each.further:.1e}",
            "its own residual" if each.by == "residual" else "the dense model",
        ]
        for each, real in zip(certificate.distances, exact, strict=False)
    ]
    columns = ["distance", "as real numbers <=", "as deployed <=", "of it further", "by"]
    print_table(f"{name} - solution of {problem}", columns, rows)


NORMS = {"max": "max |e|", "L1": "L1 over {over}", "L2": "L2 over {over}"}

ENDS = {
    "close": "but for the rounding, bounds are as close as asked",
    "boxes": "the boxes (--boxes) are used up before the bounds are close",
    "budget": "the time (--budget) is used up before the bounds are close",
    "depth": "bounds are not close, though boxes are as small as they may be",
}


def _what_it_says(how: str, proved: Difference | Solution, boxes: int) -> str:
    box = ",".join(f"{lower:g}:{upper:g}" for lower, upper in proved.domain)
    domain = box if proved.shape is None else str(proved.where)
    return (
        f"proved over {domain}, {how}: {boxes} boxes of order {proved.order}, {proved.evaluated} looked at; "
        f"{ENDS[proved.ended]}"
    )


def count_of_boxes(certificate: Certificate) -> int:
    """Of all that it proves."""
    difference = certificate.difference
    tables = [difference.boxes.levels] if difference is not None else []
    for solution in certificate.solutions:
        tables += [solution.boxes.levels, *(face.levels for face in solution.faces)]
    return sum(len(levels) for levels in tables)


def _document(certificate: Certificate, *, checked: bool) -> dict[str, object]:
    document = certificate.model_dump(mode="json")
    for part in (document["difference"] or {}, *document["solutions"]):
        for table in ("boxes", "faces"):
            part.pop(table, None)
    return {"checked": checked, "boxes": count_of_boxes(certificate), **document}
