"""What certificates prove, and where in the domain their bounds come from."""

from __future__ import annotations

import numpy as np

from hedge.arrays import Array
from hedge.certifying import Certificate
from hedge.problems import Domain
from hedge.reporting.axes import Axis
from hedge.reporting.contents import Contents
from hedge.reporting.maps import ACROSS, DECADES, HEIGHT, TOP, UP, Plane, map_of, plane_of
from hedge.reporting.numbers import UNKNOWN, count
from hedge.reporting.parts import Drawing, Gallery, Part, Section, table
from hedge.reporting.runs import CertificateFile


def proofs(contents: Contents) -> Section | None:
    """The claims of every certificate, and a map of the bounds of its boxes."""
    if not contents.certificates:
        return None
    rows = [row for file in contents.certificates for row in _rows(file)]
    caption = (
        "Proved for every point of the box and every rounding of float32, under the assumptions that each "
        "certificate names; the report does not check them: hedge certify --check does. e is the small model "
        "minus the dense one."
    )
    parts: list[Part] = [table(caption, rows, prose=["certificate", "models"])]
    figures = tuple(
        drawing
        for file in contents.certificates
        if (drawing := _map(file, contents.input_names)) is not None
    )
    parts += [Gallery(figures, width=24)] if figures else []
    return Section("proved", "What is proved", tuple(parts))


def _rows(file: CertificateFile) -> list[dict[str, str]]:
    certificate = file.certificate
    return [
        {
            "certificate": file.origin.name,
            "models": f"{certificate.small.name} against {certificate.dense.name}",
            "column": claim.column,
            "max |e| at most": f"{claim.largest:.3e}",
            "at least": f"{claim.largest_seen:.3e}",
            "relative L2 at most": UNKNOWN
            if claim.relative_l2 is None
            else f"{claim.relative_l2:.3e}",
            "of it rounding": f"{claim.rounding:.1e}",
            "boxes": count(len(certificate.boxes.levels)),
        }
        for claim in certificate.claims
    ]


def _map(file: CertificateFile, names: tuple[str, ...]) -> Drawing | None:
    """Of two inputs and more: the bound of |e| in the box of every pixel, the first column's."""
    certificate = file.certificate
    domain = Domain(tuple(certificate.domain))
    if domain.dimension < 2:
        return None
    own = tuple(f"x{i}" for i in range(1, domain.dimension + 1))
    plane = plane_of(domain, names if len(names) == domain.dimension else own)
    bounds = _painted(certificate, plane)
    largest = float(bounds.max())
    if not largest > 0.0:
        return None
    scale = Axis(largest * 10.0**-DECADES, largest, TOP + HEIGHT, TOP, "", logarithmic=True)
    told = f"{file.origin.name}, bound of |e| box by box{plane.told()}"
    return map_of(plane, bounds.ravel(), scale, told, "magma")


def _painted(certificate: Certificate, plane: Plane) -> Array:
    """The bound of the box that holds each pixel, (UP, ACROSS), row by row from the top."""
    boxes = certificate.boxes
    levels, places = np.array(boxes.levels), np.array(boxes.places)
    lower, upper = np.ldexp(places, -levels), np.ldexp(places + 1, -levels)
    rest = [v for v in range(levels.shape[1]) if v not in (plane.across, plane.up)]
    shown = ((lower[:, rest] <= 0.5) & (upper[:, rest] > 0.5)).all(axis=1)
    painted = np.zeros((UP, ACROSS))
    for box in np.flatnonzero(shown):
        left, right = (_pixel(e[box, plane.across], ACROSS) for e in (lower, upper))
        bottom, top = (_pixel(e[box, plane.up], UP) for e in (lower, upper))
        rows = slice(UP - 1 - top, UP - bottom)
        here = painted[rows, left : right + 1]
        np.maximum(here, boxes.largest[box][0], out=here)
    return painted


def _pixel(share: float, pixels: int) -> int:
    """The pixel that holds this share of an axis."""
    return min(int(share * pixels), pixels - 1)
