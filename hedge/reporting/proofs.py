"""What certificates prove, and where in the domain their bounds come from."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from hedge.arrays import Array
from hedge.problems import Domain
from hedge.reporting.axes import Axis
from hedge.reporting.contents import Contents
from hedge.reporting.maps import ACROSS, DECADES, HEIGHT, TOP, UP, Plane, map_of, plane_of
from hedge.reporting.numbers import UNKNOWN, count
from hedge.reporting.parts import Drawing, Gallery, Part, Section, table
from hedge.reporting.runs import CertificateFile

Whole = NDArray[np.int64]


def proofs(contents: Contents) -> Section | None:
    """The claims of every certificate, and maps of the bounds of its boxes."""
    if not contents.certificates:
        return None
    parts: list[Part] = []
    for caption, rows_of in (
        (OF_DIFFERENCES, _differences),
        (OF_RESIDUALS, _residuals),
        (OF_DISTANCES, _distances),
    ):
        rows = [row for file in contents.certificates for row in rows_of(file)]
        parts += [table(caption, rows, prose=["certificate", "models", "by"])] if rows else []
    figures = tuple(
        drawing for file in contents.certificates for drawing in _maps(file, contents.input_names)
    )
    parts += [Gallery(figures, width=24)] if figures else []
    return Section("proved", "What is proved", tuple(parts))


OF_DIFFERENCES = (
    "Proved for every point of the box and every rounding of float32, under the assumptions that each "
    "certificate names; the report does not check them: hedge certify --check does. e is the small model "
    "minus the dense one."
)
OF_RESIDUALS = (
    "The residual r of what each model is as a function of real numbers. Where it is large is where to train "
    "on."
)
OF_DISTANCES = (
    "The distance to the solution of the problem, which nobody needs to know: by a theorem, of the model's "
    "own residual, or of the dense one's and the difference to that, whichever proves more."
)


def _differences(file: CertificateFile) -> list[dict[str, str]]:
    certificate, difference = file.certificate, file.certificate.difference
    if difference is None:
        return []
    return [
        {
            "certificate": file.origin.name,
            "models": f"{certificate.model.name} against {difference.dense.name}",
            "column": claim.column,
            "max |e| at most": f"{claim.largest:.3e}",
            "at least": f"{claim.largest_seen:.3e}",
            "relative L2 at most": UNKNOWN
            if claim.relative_l2 is None
            else f"{claim.relative_l2:.3e}",
            "of it rounding": f"{claim.rounding:.1e}",
            "boxes": count(len(difference.boxes.levels)),
        }
        for claim in difference.claims
    ]


def _residuals(file: CertificateFile) -> list[dict[str, str]]:
    return [
        {
            "certificate": file.origin.name,
            "models": f"{solution.file.name} in {solution.problem}",
            "max |r| at most": f"{solution.residual.largest:.3e}",
            "at least": f"{solution.residual.largest_seen:.3e}",
            "rms r at most": f"{solution.residual.rms:.3e}",
            "mean |r| at most": f"{solution.residual.mean:.3e}",
            "conditions missed by": f"{max(solution.mismatch):.1e}"
            if solution.mismatch
            else UNKNOWN,
            "boxes": count(len(solution.boxes.levels)),
        }
        for solution in file.certificate.solutions
    ]


def _distances(file: CertificateFile) -> list[dict[str, str]]:
    certificate = file.certificate
    return [
        {
            "certificate": file.origin.name,
            "models": f"{certificate.model.name} to the solution",
            "norm": each.kind if each.kind == "max" else f"{each.kind} over {', '.join(each.over)}",
            "at most, as deployed": UNKNOWN if each.bound is None else f"{each.bound:.3e}",
            "by": f"{each.theorem}, of "
            + ("its own residual" if each.by == "residual" else "the dense model's residual"),
        }
        for each in certificate.distances
    ]


def _maps(file: CertificateFile, names: tuple[str, ...]) -> list[Drawing]:
    """Of |e|, the first column's, and of every residual."""
    certificate, name = file.certificate, file.origin.name
    maps = []
    if certificate.difference is not None:
        boxes, domain = certificate.difference.boxes, certificate.difference.where
        largest = np.array(boxes.largest)[:, 0]
        told = f"{name}, bound of |e| box by box"
        maps.append(_map(boxes.levels, boxes.places, largest, domain, names, told))
    for solution in certificate.solutions:
        table_of = solution.boxes
        told = f"{name}, bound of the residual of {solution.file.name} box by box"
        largest = np.array(table_of.largest)
        maps.append(_map(table_of.levels, table_of.places, largest, solution.where, names, told))
    return [each for each in maps if each is not None]


def _map(
    levels: Sequence[Sequence[int]],
    places: Sequence[Sequence[int]],
    largest: Array,
    domain: Domain,
    names: tuple[str, ...],
    told: str,
) -> Drawing | None:
    """Of two inputs and more: the bound in the box of every pixel that lies in the domain."""
    if domain.dimension < 2:
        return None
    own = tuple(f"x{i}" for i in range(1, domain.dimension + 1))
    plane = plane_of(domain, names if len(names) == domain.dimension else own)
    bounds = _painted(np.array(levels), np.array(places), largest, plane)
    most = float(bounds.max())
    if not most > 0.0:
        return None
    scale = Axis(most * 10.0**-DECADES, most, TOP + HEIGHT, TOP, "", logarithmic=True)
    shown = np.where(plane.inside, bounds.ravel(), np.nan)
    return map_of(plane, shown, scale, f"{told}{plane.told()}", "magma")


def _painted(levels: Whole, places: Whole, largest: Array, plane: Plane) -> Array:
    """The bound of the box that holds each pixel, (UP, ACROSS), row by row from the top."""
    lower, upper = np.ldexp(places, -levels), np.ldexp(places + 1, -levels)
    rest = [v for v in range(levels.shape[1]) if v not in (plane.across, plane.up)]
    shown = ((lower[:, rest] <= 0.5) & (upper[:, rest] > 0.5)).all(axis=1)
    painted = np.zeros((UP, ACROSS))
    for box in np.flatnonzero(shown):
        left, right = (_pixel(e[box, plane.across], ACROSS) for e in (lower, upper))
        bottom, top = (_pixel(e[box, plane.up], UP) for e in (lower, upper))
        rows = slice(UP - 1 - top, UP - bottom)
        here = painted[rows, left : right + 1]
        np.maximum(here, largest[box], out=here)
    return painted


def _pixel(share: float, pixels: int) -> int:
    """The pixel that holds this share of an axis."""
    return min(int(share * pixels), pixels - 1)
