"""``hedge certify``: a proof of the error over a whole box, and its check."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hedge.cli.options import Box, Force, Json, ProblemName, file_argument, file_option
from hedge.request import MOST_BOXES

if TYPE_CHECKING:
    from hedge.certifying import Certificate


def certify(
    small: Annotated[
        Path | None, file_argument(help="The small model, .onnx or .hedge.safetensors.")
    ] = None,
    dense: Annotated[
        Path | None, file_argument(help="The dense .onnx; else the one it was compressed from.")
    ] = None,
    domain: Box = None,
    problem: ProblemName = None,
    out: Annotated[
        Path | None, file_option(help="Write the certificate, a .json, for others to check.")
    ] = None,
    check: Annotated[
        Path | None,
        file_option(help="Verify this certificate, of these models or of those it names."),
    ] = None,
    boxes: Annotated[int, typer.Option(help="How many boxes to look at, at most.")] = MOST_BOXES,
    budget: Annotated[
        float | None, typer.Option(help="Seconds after which to end with the best bound so far.")
    ] = None,
    workers: Annotated[int, typer.Option(help="Processes to spread the boxes over.")] = 1,
    force: Force = False,
    json: Json = False,
) -> None:
    """Prove how far a small model is from the dense one, everywhere in a box and with float32's rounding."""
    from hedge import api
    from hedge.cli.console import print_json, progress, say
    from hedge.errors import InputError

    with progress() as on_progress:
        if check is not None:
            _refuse_beside_check(domain=domain, problem=problem, out=out, budget=budget)
            found = api.check_certificate(check, small, dense, on_progress=on_progress)
        elif small is None:
            raise InputError("SMALL: give the model to certify, or --check with a certificate")
        else:
            found = api.certify(
                small, dense, domain=domain, problem=problem, out=out, boxes=boxes,
                budget_s=budget, workers=workers, force=force, on_progress=on_progress,
            )  # fmt: skip
    if json:
        print_json(_document(found, checked=check is not None))
        return
    print_claims(found)
    say(_what_it_says(found))
    if check is not None:
        say(
            f"{check}: checked, all {len(found.boxes.levels)} boxes hold; the bounds from below (>=) and the "
            "part of rounding are not checked"
        )
    elif out is not None:
        say(f"{out}: anyone can verify it with: hedge certify --check {out.name}")


def _refuse_beside_check(**options: object) -> None:
    """What a check would not heed: a certificate has its own box."""
    from hedge.errors import InputError

    for name, value in options.items():
        if value is not None:
            raise InputError(
                f"{name}: --check verifies what the certificate says; leave out --{name}"
            )


def print_claims(certificate: Certificate) -> None:
    """One row a column: what is proved, and what the error is at least."""
    from hedge.cli.console import print_table

    rows = [
        [
            claim.column,
            f"{claim.largest:.3e}",
            f"{claim.largest_seen:.3e}",
            "-" if claim.relative_l2 is None else f"{claim.relative_l2:.3e}",
            f"{claim.relative_l2_seen:.3e}",
            f"{claim.rounding:.1e}",
        ]
        for claim in certificate.claims
    ]
    columns = ["column", "max |e| <=", ">=", "relative L2 <=", ">=", "of it rounding"]
    print_table(f"{certificate.small.name} - {certificate.dense.name}", columns, rows)


ENDS = {
    "close": "but for the rounding, bounds are as close as asked",
    "boxes": "the boxes (--boxes) are used up before the bounds are close",
    "budget": "the time (--budget) is used up before the bounds are close",
    "depth": "bounds are not close, though boxes are as small as they may be",
}


def _what_it_says(certificate: Certificate) -> str:
    domain = ",".join(f"{lower:g}:{upper:g}" for lower, upper in certificate.domain)
    return (
        f"proved over {domain}, as deployed in float32: {len(certificate.boxes.levels)} boxes of order "
        f"{certificate.order}, {certificate.evaluated} looked at; {ENDS[certificate.ended]}"
    )


def _document(certificate: Certificate, *, checked: bool) -> dict[str, object]:
    return {
        "checked": checked,
        "boxes": len(certificate.boxes.levels),
        **certificate.model_dump(mode="json", exclude={"boxes"}),
    }
