"""The report on a certificate: its claims, and the map of its boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hedge
from hedge.certifying.certificate import Boxes
from hedge.problems import parse_domain
from hedge.reporting.maps import ACROSS, UP, plane_of
from hedge.reporting.proofs import _painted


def test_every_pixel_has_the_bound_of_its_box(tmp_path: Path) -> None:
    dense = hedge.reference_models()["poisson"]
    certificate = hedge.certify(dense, dense, boxes=1, out=tmp_path / "cert.json")
    # x below and above the middle; y above it is halved once more
    boxes = Boxes(
        levels=[[1, 0], [1, 1], [1, 1]],
        places=[[0, 0], [1, 0], [1, 1]],
        largest=[[1.0], [2.0], [3.0]],
        square=[[1.0]] * 3,
        dense_square=[[1.0]] * 3,
    )
    painted = _painted(
        certificate.model_copy(update={"boxes": boxes}),
        plane_of(parse_domain("0:1,0:1"), ("x", "y")),
    )
    assert painted.shape == (UP, ACROSS)
    assert (painted[:, : ACROSS // 2] == 1.0).all()
    assert (painted[UP // 2 :, ACROSS // 2 + 1 :] == 2.0).all()
    assert (painted[: UP // 2 - 1, ACROSS // 2 + 1 :] == 3.0).all()
    assert set(np.unique(painted)) == {1.0, 2.0, 3.0}

    hedge.report([dense, tmp_path / "cert.json"], tmp_path / "page.html")
    page = (tmp_path / "page.html").read_text(encoding="utf-8")
    assert "What is proved" in page
    assert f"{certificate.claims[0].largest:.3e}" in page
    assert "bound of |e| box by box" in page
